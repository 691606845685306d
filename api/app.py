"""The composition root: builds the aiohttp application. The only place that wires things together."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from datetime import timedelta
from functools import partial

from aiohttp import web

from api.auth import Bearers
from api.http.cors import parse_origins
from api.http.graphql import GraphQL
from api.http.network import caller_network, parse_proxies
from api.http.protocol import SENT_ALWAYS, SHORTCUT
from api.http.screen import Screen, Users
from api.settings import Settings
from api.webhooks.deliveries import Deliveries, DeliverySettings
from api.webhooks.receivers import Receivers
from db.pool import DatabaseUnreachableError, PatientPool, create_pool, hold
from db.stamps import Stamps
from feed.bodies import Bodies
from feed.polls import PollLog, PollSettings
from feed.prerendering import Prerenderer
from feed.rates import PollRates
from feed.room import FeedLimits
from feed.routes import FeedRoutes, Notices
from feed.tokens import Keyring
from feed.updating import CurrentFeeds

SENT_OVER_TLS = {"Strict-Transport-Security": "max-age=31536000"}  # a year
READY_SECONDS = 3.0  # for the database to answer a readiness probe
# Nothing is forbidden: old readers do not know Allow, and a search engine must fetch a page to see its X-Robots-Tag.
ROBOTS = "User-agent: *\nAllow: /feeds/\nDisallow:\n"


def create_app(settings: Settings, dsn: str, users: Users | None = None) -> web.Application:
    """The service; call inside the loop that will run it. `settings` must hold the secrets.

    `users`: whom the screen lets anybody be, in the demo.
    """
    assert settings.secret_keys is not None
    pool = create_pool(dsn, settings.pool_size, settings.statement_cache_size)
    keyring = Keyring.parse(settings.secret_keys.get_secret_value())
    limits = FeedLimits(timedelta(minutes=settings.refresh_minutes), settings.max_events, settings.max_bytes)
    network = partial(caller_network, proxies=parse_proxies(settings.proxies))
    rates, polls = _rates(settings), PollLog(pool, _poll_settings(settings))
    notices = Notices(settings.notice_days, settings.page_url)
    patient, bearers = PatientPool(pool, settings.patience_seconds), Bearers(settings)
    stamps = Stamps(
        partial(hold, dsn, settings.statement_cache_size), settings.patience_seconds, distributed=settings.distributed
    )
    current = CurrentFeeds(patient, limits, settings.cache_bytes)
    receivers = Receivers(keyring, parse_proxies(settings.webhook_networks))
    deliveries = Deliveries(pool, keyring, receivers, DeliverySettings())
    app = web.Application()
    parts: list[AbstractAsyncContextManager[object]] = [pool, stamps.running(), aclosing(rates), polls.running()]
    parts += [bearers.running(), deliveries.running()]
    if settings.render_ahead:
        parts.append(Prerenderer(pool, current).running())
    app.cleanup_ctx.append(lambda _: _open(parts))
    sent = _sent(settings)
    app.on_response_prepare.append(partial(_add_headers, sent))
    app.router.add_route("*", "/graphql", GraphQL(settings, bearers, pool, keyring, limits, network))
    bodies = Bodies(settings.cache_bytes)
    feeds = FeedRoutes(patient, stamps, bodies, current, keyring, notices, limits, rates, polls, network, sent)
    app.router.add_routes(feeds.routes())
    app[SHORTCUT] = feeds.shortcut
    app.router.add_routes(Screen(parse_origins(settings.screen_origins), users).routes())
    app.router.add_get("/robots.txt", _robots)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", partial(_readyz, PatientPool(pool, READY_SECONDS)))
    return app


def _rates(settings: Settings) -> PollRates:
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    return PollRates(settings.link_polls_per_minute, settings.unknown_polls_per_minute, redis_url)


def _poll_settings(settings: Settings) -> PollSettings:
    return PollSettings(settings.network_days, settings.alarm_clients, settings.alarm_networks)


def _sent(settings: Settings) -> dict[str, str]:
    return SENT_ALWAYS | SENT_OVER_TLS if settings.base_url.startswith("https:") else SENT_ALWAYS


async def _add_headers(headers: Mapping[str, str], _: web.Request, response: web.StreamResponse) -> None:
    if isinstance(response, web.HTTPExpectationFailed):
        response.text = "There is nothing to expect here.\n"  # aiohttp's text repeats the header
    response.headers.update(headers)
    response.headers.setdefault("Cache-Control", "no-store")  # the API's answers hold private URLs


async def _open(parts: Sequence[AbstractAsyncContextManager[object]]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for part in parts:
            await stack.enter_async_context(part)
        yield


async def _robots(_: web.Request) -> web.Response:
    return web.Response(text=ROBOTS)


async def _healthz(_: web.Request) -> web.Response:
    """The process lives."""
    return web.json_response({"status": "ok"})


async def _readyz(pool: PatientPool, _: web.Request) -> web.Response:
    """The process can serve: its database answers."""
    try:
        await pool.read(lambda conn: conn.fetchval("SELECT 1"))
    except DatabaseUnreachableError:
        return web.json_response({"status": "database unreachable"}, status=503)
    return web.json_response({"status": "ok"})

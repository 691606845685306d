"""The composition root: builds the aiohttp application. The only place that wires things together."""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from ipaddress import IPv4Address, ip_address, ip_network

from aiohttp import web
from strawberry.aiohttp.views import GraphQLView
from strawberry.http import GraphQLHTTPResponse
from strawberry.types import ExecutionResult

from api.auth import NotAuthenticatedError, read_bearer
from api.context import Context, Network
from api.errors import formatted_error
from api.schema import schema
from api.settings import Settings
from db.pool import DatabaseUnreachableError, PatientPool, Pool, create_pool
from feed.room import FeedLimits
from feed.routes import FeedRoutes
from feed.tokens import Keyring

SENT_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",
    "Server": "calendar-feeds",
}
READY_SECONDS = 3.0  # for the database to answer a readiness probe


def create_app(settings: Settings, dsn: str) -> web.Application:
    """The service; call inside the loop that will run it. `settings` must hold the secrets."""
    assert settings.secret_keys is not None
    pool = create_pool(dsn, settings.pool_size, settings.statement_cache_size)
    keyring = Keyring.parse(settings.secret_keys.get_secret_value())
    limits = FeedLimits(timedelta(minutes=settings.refresh_minutes), settings.max_events, settings.max_bytes)
    view = GraphQL(settings, pool, keyring, limits)
    patient = PatientPool(pool, settings.patience_seconds)
    app = web.Application()
    app.cleanup_ctx.append(lambda _: _open(pool))
    app.on_response_prepare.append(_add_headers)
    app.router.add_route("*", "/graphql", view)
    app.router.add_routes(FeedRoutes(patient, keyring, settings.notice_days, limits).routes())
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", partial(_readyz, PatientPool(pool, READY_SECONDS)))
    return app


class GraphQL(GraphQLView[Context, None]):
    """The GraphQL endpoint: makes each request's context, and gives every error its code."""

    def __init__(self, settings: Settings, pool: Pool, keyring: Keyring, limits: FeedLimits) -> None:
        super().__init__(schema, graphql_ide="graphiql" if settings.graphiql else None, subscription_protocols=())
        assert settings.jwt_secret is not None
        self._jwt_secret = settings.jwt_secret.get_secret_value()
        self._context = partial(Context, pool, keyring, settings.base_url, limits)

    async def get_context(self, request: web.Request, response: web.StreamResponse) -> Context:
        try:
            caller = read_bearer(self._jwt_secret, request.headers.get("Authorization"))
        except NotAuthenticatedError as exc:
            return self._context(exc, _network(request))
        return self._context(caller, _network(request))

    async def process_result(self, request: web.Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        answer: GraphQLHTTPResponse = {"data": result.data}
        if result.errors:
            answer["errors"] = [formatted_error(error) for error in result.errors]
        return answer


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SENT_ALWAYS)


async def _open(pool: Pool) -> AsyncIterator[None]:
    async with pool:
        yield


def _network(request: web.Request) -> Network | None:
    """The caller's address as a network, /24 or /48: enough for an audit, too little to follow a person."""
    if not request.remote:
        return None
    address = ip_address(request.remote.partition("%")[0])
    return ip_network((address, 24 if isinstance(address, IPv4Address) else 48), strict=False)


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

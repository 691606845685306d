"""GET and HEAD /feeds/{token}/{name}.ics: the life of a poll, top to bottom.

Token → rate → gate (one query) → notice, 410 or 304 → rows of one snapshot → body. Never 401 or 403, a redirect, a
cookie, HTML, or an empty 200 that stands for a failure: calendar programs believe a 200 and drop what is not in it.
"""

import hashlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import structlog
from aiohttp import web

from db.audit import Network
from db.gate import Gate, get_gate
from db.polls import Answer
from db.pool import DatabaseUnreachableError, PatientPool
from feed.body import feed_content, feed_octets, read_gate_feed
from feed.document import notice, pause_notice
from feed.feeds import Feed, gate_feed
from feed.policy import expiry
from feed.polls import PollLog
from feed.rates import PollRates
from feed.room import FeedLimits
from feed.style import FORMAT, ZONES
from feed.tokens import FeedToken, Keyring
from feed.urls import file_name
from feed.words import words

RETRY_AFTER_SECONDS = 60
SECOND, MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)
SETTLED = timedelta(minutes=1)  # longer than a write should take from its first change to its commit

log = structlog.get_logger()

Answered = tuple[
    Answer | None, web.Response
]  # None: a token that opens nothing, so that there is no link to note it for


@dataclass(frozen=True, slots=True)
class Notices:
    """What a dead link serves: a notice for so many days, which names the page on which users manage their links."""

    days: int = 30
    page: str | None = None


class FeedRoutes:
    """The subscription route."""

    def __init__(
        self,
        pool: PatientPool,
        keyring: Keyring,
        notices: Notices,
        limits: FeedLimits,
        rates: PollRates,
        polls: PollLog,
        caller_network: Callable[[web.Request], Network | None],
    ) -> None:
        self._pool = pool
        self._keyring = keyring
        self._notices = notices
        self._limits = limits
        self._rates = rates
        self._polls = polls
        self._caller_network = caller_network

    def routes(self) -> list[web.RouteDef]:
        paths = ("/feeds/{token}/{name}.ics", "/feeds/{token}.ics")  # the name is decoration: any name serves
        return [web.get(path, self.poll) for path in paths] + [web.options(path, _options) for path in paths]

    async def poll(self, request: web.Request) -> web.Response:
        network = self._caller_network(request)
        token = self._keyring.verify(request.match_info["token"])
        if token is None:
            wait = await self._rates.unknown(network)
            return _limited(wait) if wait else _unknown()
        answer, response = await self._answer_to(request, token)
        if answer:
            said = (request.headers.get("User-Agent"), network, response.status, answer, datetime.now(UTC))
            self._polls.note(token.account_id, token.link_id, *said, token.generation)
        return response

    async def _answer_to(self, request: web.Request, token: FeedToken) -> Answered:
        # By URL, not by link: who polls a dead one must not use up what the present one may be polled.
        if wait := await self._rates.link(f"{token.link_id}.{token.generation}.{token.key_id}"):
            return "LIMITED", _limited(wait)
        try:
            return await self._answer(request, token)
        except DatabaseUnreachableError:
            return "UNAVAILABLE", _unavailable()
        except Exception as exc:  # whatever it is: a calendar program must get an answer that it can bear
            where = traceback.format_tb(exc.__traceback__)  # without the message, which may hold what a row says
            log.error("poll failed", link_id=str(token.link_id), error=type(exc).__name__, where=where)
            return "UNAVAILABLE", _unavailable()

    async def _answer(self, request: web.Request, token: FeedToken) -> Answered:
        gate = await self._pool.read(lambda conn: get_gate(conn, token.account_id, token.link_id, token.generation))
        now = datetime.now(UTC)
        if gate is None or not _is_current(token, gate, now):
            return None, _unknown()
        if closed := self._closed(request, token, gate, now):
            return closed
        feed = gate_feed(gate, now)
        if _has_current(request, etag(gate, feed, self._limits), feed.changed_at, now):
            return "UNCHANGED", web.Response(status=304, headers=self._validators(gate, feed, now))
        found = await self._pool.read(lambda conn: read_gate_feed(conn, token, now))
        if found is None or found[0].paused_at or ended_at(token, found[0], now):
            return await self._answer(request, token)  # it ended between the two questions
        gate, rows = found
        content = await feed_content(rows, self._pool.pool, self._limits)
        validators = self._validators(gate, rows.feed, now)
        return "CALENDAR", _calendar(feed_octets(content, self._limits), rows.feed.name, validators)

    def _validators(self, gate: Gate, feed: Feed, now: datetime) -> dict[str, str]:
        tag, modified = etag(gate, feed, self._limits), last_modified(feed.changed_at, now)
        dates = {"Last-Modified": format_datetime(modified, usegmt=True)}
        return {"ETag": f'"{tag}"', **dates, "Cache-Control": "private, no-cache"}

    def _closed(self, request: web.Request, token: FeedToken, gate: Gate, now: datetime) -> Answered | None:
        """What a link without a feed serves. One that ended: the notice for some days, then 410, as an error leaves
        stale appointments on phones, and the notice clears them. One that is paused may come back, so it is never gone.
        """
        say, page = words(gate.locale), self._notices.page
        if ended := ended_at(token, gate, now):
            if now - ended >= timedelta(days=self._notices.days):
                return "GONE", _gone()
            return "NOTICE", _notice(request, notice(gate.link_id, ended, say, page), now)
        if gate.paused_at:
            return "NOTICE", _notice(request, pause_notice(gate.link_id, gate.paused_at, say, page), now)
        return None


def ended_at(token: FeedToken, gate: Gate, now: datetime) -> datetime | None:
    """Since when this token opens nothing any more; None while it does, or does so again once its link is resumed.

    Only an expiry and a grace lie in the future: what else was written ends the link at once, whatever the clock of its
    writer.
    """
    ends = [gate.revoked_at, gate.deactivated_at, gate.suspended_at, gate.policy.feeds_disabled_at]
    ends.append(_expired_at(gate, now))
    if token.generation < gate.generation and not _in_grace(token, gate, now):
        ends.append(_grace_until(token, gate) or gate.reset_at)
    if gate.calendar_id and not gate.calendar_ids:
        ends.append(gate.lost_at or gate.user_changed_at)
    return min(filter(None, ends), default=None)


def _expired_at(gate: Gate, now: datetime) -> datetime | None:
    """When the URL's time was over. A lifetime that the policy sets ends none before it was set: all see the notice."""
    expires_at = expiry(gate.policy, gate.made_at, gate.expires_at)
    if expires_at is None or expires_at > now:
        return None
    return expires_at if expires_at == gate.expires_at else max(expires_at, gate.account_changed_at or expires_at)


def etag(gate: Gate, feed: Feed, limits: FeedLimits) -> str:
    """Changes with everything that the body is made of: link, user, account, the day, and the calendars' versions.

    A version's time stands beside its number: a database that was restored gives the same number to other content.
    """
    changed = (gate.link_changed_at, gate.user_changed_at, gate.account_changed_at)
    content = (FORMAT, ZONES, changed, feed.style.window.today, limits)
    calendars = (gate.calendar_ids, gate.calendar_versions, gate.calendar_times)
    return hashlib.sha256(repr((gate.link_id, content, calendars)).encode()).hexdigest()[:32]


def last_modified(changed_at: datetime, now: datetime) -> datetime:
    """The whole second that ends with or after the change once that has settled, before then one before the change.

    A change becomes visible when it is committed, which is later than its time: a poll may see a later change of
    another calendar first. So a date is given that no later poll can match until every write of that time is done.
    """
    second = (changed_at - MICROSECOND).replace(microsecond=0) + SECOND
    return second if second + SETTLED <= now else min(second - SECOND, now.replace(microsecond=0))


def _is_current(token: FeedToken, gate: Gate, now: datetime) -> bool:
    """Whether the link had this generation, and, if that serves, was on the key that signed it.

    Without this, whoever holds an old key of the ring could sign tokens of links that have moved to a newer one.
    """
    if token.generation == gate.generation:
        return token.key_id == gate.key_id
    if _in_grace(token, gate, now):
        return token.key_id == gate.grace_key_id
    return 1 <= token.generation < gate.generation


def _grace_until(token: FeedToken, gate: Gate) -> datetime | None:
    """Until when the token's generation serves though a reset has ended it; None: there was no grace, or it is over
    with another reset.
    """
    return gate.grace_until if token.generation == gate.generation - 1 == gate.grace_generation else None


def _in_grace(token: FeedToken, gate: Gate, now: datetime) -> bool:
    until = _grace_until(token, gate)
    return until is not None and now < until


def _has_current(request: web.Request, tag: str, changed_at: datetime, now: datetime) -> bool:
    """Whether the client has this version: by ETag if it sent any, else by date (RFC 9110, section 13.2.2)."""
    if request.if_none_match is not None:
        return any(known.value in (tag, "*") for known in request.if_none_match)
    try:
        since = request.if_modified_since
    except (ValueError, OverflowError):  # a date like no other is as good as none (RFC 9110, section 13.1.3)
        return False
    return since is not None and changed_at <= since <= now


def _notice(request: web.Request, body: bytes, now: datetime) -> web.Response:
    """It has no Last-Modified: a program that goes by dates alone must not take it for the feed that it had."""
    tag = hashlib.sha256(body).hexdigest()[:32]
    validators = {"ETag": f'"{tag}"', "Cache-Control": "private, no-cache"}
    if request.if_none_match and _has_current(request, tag, now, now):
        return web.Response(status=304, headers=validators)
    return _calendar(body, None, validators)


def _calendar(body: bytes, calendar_name: str | None, validators: dict[str, str]) -> web.Response:
    disposition = f'inline; filename="{file_name(calendar_name)}"'
    headers = {**validators, "Content-Type": "text/calendar; charset=utf-8", "Content-Disposition": disposition}
    return web.Response(body=body, headers=headers)


def _unknown() -> web.Response:
    return _refusal(404, "There is no such calendar feed.")


def _gone() -> web.Response:
    return _refusal(410, "This calendar link no longer works. Remove this calendar and subscribe again.")


def _limited(seconds: int) -> web.Response:
    return _refusal(429, "Too many polls: come again later.", seconds)


def _unavailable() -> web.Response:
    return _refusal(503, "The calendar feed is not available at the moment.", RETRY_AFTER_SECONDS)


def _refusal(status: int, text: str, retry_after: int | None = None) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    if retry_after:
        headers["Retry-After"] = str(retry_after)
    return web.Response(status=status, text=text + "\n", headers=headers)


async def _options(_: web.Request) -> web.Response:
    return web.Response(status=204, headers={"Allow": "GET,HEAD,OPTIONS"})

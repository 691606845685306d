"""GET and HEAD /feeds/{token}/{name}.ics: the life of a poll, top to bottom.

Token → rate → gate (one query) → notice, 410 or 304 → body. Never 401 or 403, a redirect, a cookie, HTML, or an empty
200 that stands for a failure: calendar programs believe a 200 and drop what is not in it.
"""

import asyncio
import hashlib
import re
import traceback
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import structlog
from aiohttp import web
from aiohttp.hdrs import ACCEPT_ENCODING, EXPECT, IF_NONE_MATCH, USER_AGENT

from db.audit import Network
from db.gate import Gate, LinkKey, get_gate
from db.polls import Answer
from db.pool import DatabaseUnreachableError, PatientPool
from db.stamps import Stamps
from feed.assembly import whole_calendar
from feed.blocks import Block, gzip_parts, joined
from feed.bodies import Bodies, Body, Key
from feed.clients import takes_gzip
from feed.document import notice, pause_notice
from feed.feeds import gate_feed
from feed.polls import PollLog
from feed.rates import PollRates
from feed.ready import Ready, ReadyResponse, ready, ready_text
from feed.room import FeedLimits
from feed.standing import GZIPPED, Standing, ended_at, is_current, standing
from feed.tokens import FeedToken, Keyring
from feed.updating import CurrentFeeds, LinkEndedError
from feed.urls import file_name
from feed.words import words

RETRY_AFTER_SECONDS = 60
MOST_KNOWN = 20_000  # tokens of which is known where their links stood at their last poll
PATHS = ("/feeds/{token}/{name}.ics", "/feeds/{token}.ics")  # the name is decoration: any name serves
PLAIN_PATH = re.compile(r"/feeds/([^/{}%?#]+)(?:/[^/{}?#]+)?\.ics")  # what the router would find in most of them
PRIVATE = {"Cache-Control": "private, no-cache", "Vary": "Accept-Encoding"}

log = structlog.get_logger()

# None: a token that opens nothing, so that there is no link to note it for.
Answered = tuple[Answer | None, web.StreamResponse]


@dataclass(frozen=True, slots=True)
class Notices:
    """What a dead link serves: a notice for so many days, which names the page on which users manage their links."""

    days: int = 30
    page: str | None = None


class Stood(NamedTuple):
    """Where a link stood, and the answers to who has that version: as it is, and by gzip."""

    standing: Standing
    unchanged: tuple[Ready, Ready]


@dataclass(slots=True)
class Known:
    """A token that was verified, and where its link stood at its last poll."""

    token: FeedToken
    link: LinkKey
    url: str  # tells it from the link's other URLs, and gives none of them away
    stood: Stood | None = None


class FeedRoutes:
    """The subscription route."""

    def __init__(
        self,
        pool: PatientPool,
        stamps: Stamps,
        bodies: Bodies,
        feeds: CurrentFeeds,
        keyring: Keyring,
        notices: Notices,
        limits: FeedLimits,
        rates: PollRates,
        polls: PollLog,
        caller_network: Callable[[web.BaseRequest], Network | None],
        sent_always: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._pool = pool
        self._stamps = stamps
        self._bodies = bodies
        self._feeds = feeds
        self._keyring = keyring
        self._notices = notices
        self._limits = limits
        self._rates = rates
        self._polls = polls
        self._caller_network = caller_network
        self._private = {**PRIVATE, **sent_always}
        self._uncached = {"Cache-Control": "no-store", **sent_always}
        self._unknown = self._refusal(404, "There is no such calendar feed.")
        self._known: OrderedDict[str, Known] = OrderedDict()  # the last poll last

    def routes(self) -> list[web.RouteDef]:
        return [web.get(path, self._routed) for path in PATHS] + [web.options(path, _options) for path in PATHS]

    def shortcut(self, request: web.BaseRequest) -> Coroutine[Any, Any, web.StreamResponse] | None:
        """The answer to what any router would take for a poll; None: let it look."""
        path = PLAIN_PATH.fullmatch(request.raw_path) if request.method == "GET" else None
        return self.poll(request, path[1]) if path and EXPECT not in request.headers else None

    async def _routed(self, request: web.Request) -> web.StreamResponse:
        return await self.poll(request, request.match_info["token"])

    async def poll(self, request: web.BaseRequest, text: str) -> web.StreamResponse:
        network = self._caller_network(request)
        known = self._verified(text)
        if known is None:
            wait = await self._rates.unknown(network)
            return self._limited(wait) if wait else ReadyResponse(self._unknown)
        answer, response = await self._answer_to(request, known)
        if answer:
            link, said = known.link, (request.headers.get(USER_AGENT), network, response.status, answer)
            self._polls.note(link.account_id, link.link_id, *said, datetime.now(UTC), known.token.generation)
        return response

    def _verified(self, text: str) -> Known | None:
        """The token, if it was signed with one of our keys."""
        if known := self._known.get(text):
            self._known.move_to_end(text)
        elif token := self._keyring.verify(text):
            url = f"{token.link_id}.{token.generation}.{token.key_id}"
            known = self._known[text] = Known(token, LinkKey.lasting(token.account_id, token.link_id), url)
            if len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return known

    async def _answer_to(self, request: web.BaseRequest, known: Known) -> Answered:
        # By URL, not by link: who polls a dead one must not use up what the present one may be polled.
        if wait := await self._rates.link(known.url):
            return "LIMITED", self._limited(wait)
        try:
            return await self._answer(request, known)
        except DatabaseUnreachableError:
            return "UNAVAILABLE", self._unavailable()
        except Exception as exc:  # whatever it is: a calendar program must get an answer that it can bear
            where = traceback.format_tb(exc.__traceback__)  # without the message, which may hold what a row says
            log.error("poll failed", link_id=str(known.token.link_id), error=type(exc).__name__, where=where)
            return "UNAVAILABLE", self._unavailable()

    async def _answer(self, request: web.BaseRequest, known: Known) -> Answered:
        token, stood = known.token, known.stood
        if stood is None or not await self._still_stands(known.link, stood.standing):
            gate = await self._pool.read(lambda conn: get_gate(conn, token.account_id, token.link_id, token.generation))
            now = datetime.now(UTC)
            if gate is None or not is_current(token, gate, now):
                return None, ReadyResponse(self._unknown)
            if closed := self._closed(request, token, gate, now):
                return closed
            known.stood = stood = self._stood(standing(token, gate, gate_feed(gate, now), self._limits, now))
        version = stood.standing
        gzipped = takes_gzip(request.headers.get(ACCEPT_ENCODING), request.headers.get(USER_AGENT))
        if has_version(request, version):
            return "UNCHANGED", ReadyResponse(stood.unchanged[gzipped])
        try:
            body = await self._body(token, Key(version.tag, gzipped))
        except LinkEndedError:
            known.stood = None
            return await self._answer(request, known)
        return "CALENDAR", ReadyResponse(body.answer)

    async def _still_stands(self, link: LinkKey, version: Standing) -> bool:
        return await self._stamps.ask(link) == version.stamp and datetime.now(UTC) < version.until

    def _stood(self, version: Standing) -> Stood:
        plain, gzipped = (ready(304, self._validators(version, gzipped)) for gzipped in (False, True))
        return Stood(version, (plain, gzipped))

    async def _body(self, token: FeedToken, key: Key) -> Body:
        make = partial(self._zip, token, key.tag) if key.is_gzipped else partial(self._make, token)
        return await self._bodies.get(key, make)

    async def _zip(self, token: FeedToken, tag: str) -> Body:
        body = await self._body(token, Key(tag, False))
        octets = await asyncio.to_thread(gzip_parts, body.blocks)
        headers = {**self._validators(body.standing, True), "Content-Encoding": "gzip"}
        return replace(body, answer=_calendar(joined(octets), body.name, headers))

    async def _make(self, token: FeedToken) -> Body:
        """The body as it is now, which may be of a later version than the one that was asked for."""
        now = datetime.now(UTC)
        gate, assembled = await self._feeds.read(token, now)
        version, name = standing(token, gate, assembled.feed, self._limits, now), assembled.feed.name
        blocks = await asyncio.to_thread(whole_calendar, assembled, self._limits)
        octets = joined([block.octets for block in blocks])
        blocks = blocks if len(octets) > 1 else [Block(octets[0])]
        return Body(version, name, blocks, _calendar(octets, name, self._validators(version, False)))

    def _closed(self, request: web.BaseRequest, token: FeedToken, gate: Gate, now: datetime) -> Answered | None:
        """What a link without a feed serves. One that ended: the notice for some days, then 410, as an error leaves
        stale appointments on phones, and the notice clears them. One that is paused may come back, so it is never gone.
        """
        say, page = words(gate.locale), self._notices.page
        if ended := ended_at(token, gate, now):
            if now - ended >= timedelta(days=self._notices.days):
                return "GONE", self._gone()
            return "NOTICE", self._notice(request, notice(gate.link_id, ended, say, page))
        if gate.paused_at:
            return "NOTICE", self._notice(request, pause_notice(gate.link_id, gate.paused_at, say, page))
        return None

    def _notice(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        """It has no Last-Modified: a program that goes by dates alone must not take it for the feed that it had."""
        tag = hashlib.sha256(body).hexdigest()[:32]
        headers = {"ETag": f'"{tag}"', **self._private}
        if _matches(request, tag):
            return ReadyResponse(ready(304, headers))
        return ReadyResponse(_calendar([body], None, headers))

    def _validators(self, version: Standing, gzipped: bool) -> Mapping[str, str]:
        return {"ETag": version.etags[gzipped], "Last-Modified": version.modified, **self._private}

    def _gone(self) -> web.StreamResponse:
        said = "This calendar link no longer works. Remove this calendar and subscribe again."
        return ReadyResponse(self._refusal(410, said))

    def _limited(self, seconds: int) -> web.StreamResponse:
        return ReadyResponse(self._refusal(429, "Too many polls: come again later.", seconds))

    def _unavailable(self) -> web.StreamResponse:
        said = "The calendar feed is not available at the moment."
        return ReadyResponse(self._refusal(503, said, RETRY_AFTER_SECONDS))

    def _refusal(self, status: int, text: str, retry_after: int | None = None) -> Ready:
        wait = {"Retry-After": str(retry_after)} if retry_after else {}
        return ready_text(status, {**self._uncached, **wait}, text + "\n")


def has_version(request: web.BaseRequest, version: Standing) -> bool:
    """Whether the client has this version: by ETag if it sent any, else by date (RFC 9110, section 13.2.2)."""
    if sent := request.headers.get(IF_NONE_MATCH):
        return sent in version.etags or _matches(request, version.tag, version.tag + GZIPPED)
    try:
        since = request.if_modified_since
    except (ValueError, OverflowError):  # a date like no other is as good as none (RFC 9110, section 13.1.3)
        return False
    return since is not None and version.changed_at <= since <= datetime.now(UTC)


def _matches(request: web.BaseRequest, *tags: str) -> bool:
    return any(known.value in (*tags, "*") for known in request.if_none_match or ())


def _calendar(octets: Sequence[bytes], calendar_name: str | None, headers: Mapping[str, str]) -> Ready:
    disposition = f'inline; filename="{file_name(calendar_name)}"'
    content = {"Content-Type": "text/calendar; charset=utf-8", "Content-Disposition": disposition}
    return ready(200, {**headers, **content}, octets)


async def _options(_: web.Request) -> web.Response:
    return web.Response(status=204, headers={"Allow": "GET,HEAD,OPTIONS"})

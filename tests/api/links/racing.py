"""Links that end and serve again round by round, while they are polled all the time at several worker processes."""

import asyncio
import random
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, NamedTuple, cast
from uuid import UUID, uuid4

from aiohttp import ClientError, ClientHandlerType, ClientRequest, ClientResponse, ClientSession, TCPConnector

from db.pool import Conn, Pool
from db.users import UserRecord
from tests.api.test_workers import children, frozen
from tests.feed.subscription import HOST, stay_in_today, token_of
from tests.process import Running
from tests.seed import Client, Seed, Service, link_node, meeting, plant

WORKERS = 3
ENDED, PAUSED = ("This calendar link no longer works: subscribe again",), ("This calendar link is paused",)
UNCHANGED = ("304",)  # in place of the titles, which it does not send
MARK = "Secret"  # in the title of whatever is data
SUMMARY = re.compile(rb"^SUMMARY:(.*)\r\n", re.MULTILINE)
KEPT_SECONDS = 600  # for which a connection may be idle
PAUSE_SECONDS = 0.04  # between two polls of one that watches


class Seen(NamedTuple):
    """What a poll was answered with: the titles of the calendar or of the notice, and the ETag."""

    titles: tuple[str, ...]
    tag: str


@dataclass(frozen=True)
class Line(Service):
    """One connection, which carries one request at a time."""

    sockets: Sequence[socket.socket]  # one, unless it broke and was made anew

    async def look(self, url: str, known: str | None = None) -> Seen:
        """Poll. The answer may be a calendar, a notice or a 304, and is whole in any case."""
        answer = await self.poll(url, **({"If_None_Match": known} if known else {}))
        octets = await answer.read()
        assert answer.status in (200, 304), f"{answer.status}: {octets!r}"
        tag = answer.headers["ETag"]
        if answer.status == 304:
            assert (octets, tag) == (b"", known)
            return Seen(UNCHANGED, tag)
        assert octets.startswith(b"BEGIN:VCALENDAR\r\n")
        assert octets.endswith(b"\r\nEND:VCALENDAR\r\n")
        assert octets.count(b":VCALENDAR\r\n") == 2
        titles = tuple(sorted(found.decode() for found in SUMMARY.findall(octets)))
        assert all(MARK in title for title in titles) if MARK.encode() in octets else titles in (ENDED, PAUSED)
        return Seen(titles, tag)


async def look(lines: Sequence[Line], url: str, known: str | None = None, first: int = 0) -> list[Seen]:
    """Poll on all lines at once, with the ETag on every other one."""
    tags = (known if (first + place) % 2 else None for place in range(len(lines)))
    return await asyncio.gather(*(line.look(url, tag) for line, tag in zip(lines, tags, strict=True)))


@dataclass(frozen=True)
class Served:
    """A service of several workers, and its address."""

    process: Running
    base: str

    @property
    def workers(self) -> list[int]:
        return sorted(children(self.process.process.pid))

    def log(self) -> str:
        return self.process.data_dir.with_suffix(".log").read_text()

    async def connect(self, stack: AsyncExitStack, each: int, *, patient: bool = False) -> list[list[Line]]:
        """So many lines to each worker: while they are opened, the other workers are frozen."""
        pids, lines = self.workers, list[list[Line]]()
        assert len(pids) == WORKERS
        for pid in pids:
            with ExitStack() as ice:
                for other in {*pids} - {pid}:
                    ice.enter_context(frozen(other))
                lines.append([await stack.enter_async_context(_line(self.base, patient)) for _ in range(each)])
                for line in lines[-1]:
                    assert (await line.poll("/healthz")).status == 200
        return lines


@asynccontextmanager
async def _line(base: str, patient: bool) -> AsyncIterator[Line]:
    sockets: list[socket.socket] = []

    def make(address: tuple[Any, ...]) -> socket.socket:
        sockets.append(socket.socket(*address[:3]))
        return sockets[-1]

    connector = TCPConnector(limit=1, keepalive_timeout=KEPT_SECONDS, socket_factory=make)
    async with ClientSession(base, connector=connector, middlewares=(_ask_again,) if patient else ()) as session:
        yield Line(cast(Client, session), sockets)  # a session is asked as a client of aiohttp's tests is


async def _ask_again(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Ask until there is an answer: whatever is asked here may be asked twice."""
    while True:
        with suppress(ClientError):
            answer = await handler(request)
            await answer.read()
            return answer


# ---- ways in which a link ends, and serves again


async def reset(line: Line, user: UserRecord, calendar_id: UUID) -> str:
    return await line.generate(user, calendar_id, regenerate=True, requestId=uuid4().hex)


async def reset_all(line: Line, user: UserRecord) -> str:
    payload = await line.mutate("resetCalendarFeeds", user, "resetCount feeds { url }", requestId=uuid4().hex)
    assert (payload["resetCount"], payload["userErrors"]) == (1, [])
    return str(payload["feeds"][0]["url"]).removeprefix(HOST)


Step = Callable[["Racer", Line], Awaitable[None]]


@dataclass(frozen=True)
class Way:
    """Its steps return when they are acknowledged: once GraphQL has answered or PostgreSQL has committed."""

    end: Step
    mend: Step
    notice: tuple[str] = ENDED
    of_account: bool = False  # whether it ends the links of all users of the account


async def _reset(racer: "Racer", line: Line) -> None:
    racer.next_url = await reset(line, racer.user, racer.calendar_id)


async def _reset_all(racer: "Racer", line: Line) -> None:
    racer.next_url = await reset_all(line, racer.user)


async def _generate(racer: "Racer", line: Line) -> None:
    racer.next_url = await line.generate(racer.user, racer.calendar_id)


async def _nothing(racer: "Racer", line: Line) -> None:
    """What was reset has its new URL already."""


def _mutate(name: str) -> Step:
    async def step(racer: "Racer", line: Line) -> None:
        payload = await line.mutate(name, racer.user, "", linkId=link_node(token_of(racer.url).link_id))
        assert payload == {"userErrors": []}

    return step


def _switch(*, enabled: bool) -> Step:
    async def step(racer: "Racer", line: Line) -> None:
        payload = await line.mutate("updateFeedPolicy", racer.user, "policy { enabled }", enabled=enabled)
        assert payload == {"policy": {"enabled": enabled}, "userErrors": []}

    return step


def _by_sql(table: str, key: str, column: str) -> tuple[Step, Step]:
    """Write on a connection of one's own that it ended a moment ago, and that it did not."""
    sql = f"UPDATE {table} SET {column} = $3 WHERE account_id = $1 AND {key} = $2"

    async def write(racer: "Racer", at: datetime | None) -> None:
        done = await racer.pool.execute(sql, racer.user.account_id, racer.ids[table], at)
        assert done != "UPDATE 0"

    return (
        lambda racer, _: write(racer, datetime.now(UTC) - timedelta(milliseconds=1)),
        lambda racer, _: write(racer, None),
    )


WAYS = {
    "reset": Way(_reset, _nothing),
    "reset with all": Way(_reset_all, _nothing),
    "paused": Way(_mutate("pauseFeedLink"), _mutate("resumeFeedLink"), PAUSED),
    "revoked": Way(_mutate("revokeFeedLink"), _generate),
    "expired": Way(*_by_sql("feed_links", "id", "expires_at")),
    "access withdrawn": Way(*_by_sql("calendar_access", "user_id", "withdrawn_at")),
    "calendar deleted": Way(*_by_sql("calendars", "id", "deleted_at")),
    "user deactivated": Way(*_by_sql("users", "id", "deactivated_at")),
    "account suspended": Way(*_by_sql("accounts", "account_id", "suspended_at"), of_account=True),
    "switched off": Way(_switch(enabled=False), _switch(enabled=True), of_account=True),
}
OF_USER = [name for name, way in WAYS.items() if not way.of_account]

# ---- rounds


@dataclass
class Racer:
    """A user with a link to a calendar, which ends and serves again, and what polls of it have to see."""

    user: UserRecord
    calendar_id: UUID
    titles: tuple[str, ...]
    rounds: Sequence[str]  # ways
    pool: Pool
    checking: Sequence[Line]  # one to each worker
    watching: Line
    url: str = ""
    tag: str = ""
    next_url: str = ""  # the link's once the round is over
    dead: list[tuple[str, str]] = field(default_factory=list)  # URLs that ended for good, with their last ETags
    counts: Counter[str] = field(default_factory=Counter)
    _notice: tuple[str] | None = None  # that polls have to see; None while the link serves, or is being changed
    _turn: int = 0  # counts the changes of it
    _is_over: bool = False

    @property
    def ids(self) -> dict[str, UUID]:
        """Which row of a table a way writes to; of the access all that the user has."""
        user_id, link_id = self.user.id, token_of(self.url).link_id
        users = {"accounts": self.user.account_id, "users": user_id, "calendar_access": user_id}
        return {**users, "calendars": self.calendar_id, "feed_links": link_id}

    async def race(self) -> None:
        await _generate(self, self.checking[0])
        await self._serve(None, 0)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            for number, way in enumerate(self.rounds):
                await self._round(WAYS[way], number)
                self.counts.update([way, "rounds"])
            self._is_over = True

    async def _round(self, way: Way, number: int) -> None:
        """End the link, look at every worker at once, and let it serve again."""
        line = self.checking[number % WORKERS]
        await way.end(self, line)
        self._expect(way.notice)
        seen = await look(self.checking, self.url, self.tag, number)
        assert [one.titles for one in seen] == [way.notice] * WORKERS, (self.rounds[number], seen)
        self.counts["looks"] += WORKERS
        self._expect(None)
        await way.mend(self, line)
        await self._serve(seen[0].tag if number % 2 else None, number + 1)

    async def _serve(self, known: str | None, number: int) -> None:
        """The first poll must see the data again, whatever the client knew."""
        if self.url not in ("", self.next_url):
            self.dead.append((self.url, self.tag))
        self.url = self.next_url
        seen = await self.checking[number % WORKERS].look(self.url, known)
        assert seen.titles == self.titles, seen
        self.tag = seen.tag

    async def _watch(self) -> None:
        """Poll all the time. What starts and ends while the link has ended must see the notice, else either."""
        for number in count():
            if self._is_over:
                return
            turn, notice = self._turn, self._notice
            seen = await self.watching.look(self.url, self.tag if number % 2 else None)
            assert seen.titles in ([notice] if notice and turn == self._turn else self._either), seen
            self.counts["watched, ended" if seen.titles in (ENDED, PAUSED) else "watched, serving"] += 1
            if self.dead and number % 4 == 0:
                assert (await self.watching.look(*self.dead[-1])).titles == ENDED
                self.counts["watched, dead"] += 1
            await asyncio.sleep(PAUSE_SECONDS)

    @property
    def _either(self) -> Sequence[tuple[str, ...]]:
        return self.titles, UNCHANGED, ENDED, PAUSED

    def _expect(self, notice: tuple[str] | None) -> None:
        self._turn, self._notice = self._turn + 1, notice


async def enter(
    conn: Conn, pool: Pool, lines: Sequence[Sequence[Line]], times: int, alone: int, pairs: int
) -> list[Racer]:
    """Racers in accounts of their own, which go all ways so many times, and pairs of racers that share an account."""
    racers: list[Racer] = []
    for number in range(alone + pairs):
        seed = await plant(conn, f"Account {number}")
        await stay_in_today(seed)
        users = [(seed.anna, seed.own), (seed.ben, seed.team)]
        for user, calendar_id in users[: 1 if number < alone else 2]:
            titles, place = await _write(seed, user, calendar_id), len(racers)
            rounds = [*(WAYS if number < alone else OF_USER)] * times
            random.Random(place).shuffle(rounds)
            checking, watching = [worker[2 * place] for worker in lines], lines[place % WORKERS][2 * place + 1]
            racers.append(Racer(user, calendar_id, titles, rounds, pool, checking, watching))
    return racers


async def _write(seed: Seed, user: UserRecord, calendar_id: UUID) -> tuple[str, ...]:
    """Some activities of the calendar; their titles."""
    titles = [f"{MARK} {number} of {user.id}" for number in range(5)]
    await seed.write(*(meeting(title, title=title) for title in titles), calendars=(calendar_id,))
    return tuple(titles)

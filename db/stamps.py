"""Asks for the stamps of many polls together: one statement answers all that arrived before it was sent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import groupby
from typing import NamedTuple
from uuid import UUID

import asyncpg
import structlog

from db.gate import LinkKey, list_stamps, list_stamps_across_accounts
from db.pool import COMMAND_TIMEOUT, CONFLICTS, CONNECTION_LOST, RETRY_SECONDS, Conn, DatabaseUnreachableError

MOST_AT_ONCE = 1_000  # links in a statement
MOST_WAITING = 1_000  # polls that wait for a database that is away

log = structlog.get_logger()


class Poll(NamedTuple):
    """A poll that waits for its answer."""

    link: LinkKey
    deadline: float  # by the loop's clock
    answer: "asyncio.Future[bytes | None]"


class Stamps:
    """The stamps of links, each asked for after its poll arrived, on a connection that is held for nothing else.

    A pool would ask the database to reset the connection after every use, and lends its connections to slow work too.
    While the database is away polls wait, `patience` seconds at the most (0: they do not), and so many at once;
    beyond that `DatabaseUnreachableError`.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]],
        patience: float,
        *,
        distributed: bool = False,
    ) -> None:
        """`distributed`: the database is distributed by account, so that a statement must be about one."""
        self._connect = connect
        self._patience = patience
        self._list = _list_by_account if distributed else list_stamps_across_accounts
        self._conn: asyncpg.Connection[asyncpg.Record] | None = None
        self._waiting: list[Poll] = []
        self._task: asyncio.Task[None] | None = None
        self._is_away = False

    async def ask(self, link: LinkKey) -> bytes | None:
        """The link's stamp as it is now; None if there is no such link."""
        if self._is_away and len(self._waiting) >= MOST_WAITING:
            raise DatabaseUnreachableError
        loop = asyncio.get_running_loop()
        poll = Poll(link, loop.time() + (self._patience or COMMAND_TIMEOUT), loop.create_future())
        self._waiting.append(poll)
        if self._task is None:
            self._task = loop.create_task(self._answer_all())
        return await poll.answer

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Closes the connection at the end."""
        try:
            yield
        finally:
            if self._task:
                self._task.cancel()
            self._drop()

    async def _answer_all(self) -> None:
        """Answer who waits, and those who have come meanwhile, until nobody waits."""
        try:
            while self._waiting:
                polls, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                await self._answer(polls)
                await asyncio.sleep(0)  # who has come meanwhile is read first: fewer statements, for more polls each
        finally:
            self._task = None

    async def _answer(self, polls: Sequence[Poll]) -> None:
        try:
            async with asyncio.timeout_at(polls[0].deadline):
                stamps = await self._list(await self._connected(), {poll.link for poll in polls})
        except (*CONNECTION_LOST, *CONFLICTS) as exc:
            self._drop()
            await self._wait(polls, exc)
        except Exception as exc:
            self._drop()
            _fail(polls, exc)
        else:
            self._is_away = False
            for poll in polls:
                if not poll.answer.done():  # it is, if its client hung up
                    poll.answer.set_result(stamps.get(poll.link.link_id))

    async def _wait(self, polls: Sequence[Poll], exc: Exception) -> None:
        """Let those try again who have patience left, a little later; tell the others."""
        if not self._is_away:
            log.warning("database away", error=type(exc).__name__)
        self._is_away = True
        now = asyncio.get_running_loop().time()
        patient = [poll for poll in polls if self._patience and poll.deadline > now][:MOST_WAITING]
        _fail([poll for poll in polls if poll not in patient], DatabaseUnreachableError())
        self._waiting = [*patient, *self._waiting]
        if patient:
            await asyncio.sleep(RETRY_SECONDS)

    async def _connected(self) -> Conn:
        if self._conn is None or self._conn.is_closed():
            self._conn = await self._connect()
        return self._conn

    def _drop(self) -> None:
        """Whatever went wrong: the next statement has a connection of its own."""
        if self._conn:
            with suppress(*CONNECTION_LOST):
                self._conn.terminate()
            self._conn = None


def _fail(polls: Sequence[Poll], exc: Exception) -> None:
    for poll in polls:
        if not poll.answer.done():
            poll.answer.set_exception(exc)


async def _list_by_account(conn: Conn, links: set[LinkKey]) -> Mapping[UUID, bytes]:
    stamps: dict[UUID, bytes] = {}
    for account_id, of_account in groupby(sorted(links), key=lambda link: link.account_id):
        stamps |= await list_stamps(conn, account_id, [link.link_id for link in of_account])
    return stamps

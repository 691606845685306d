"""Connections: the pool, and what to do while PostgreSQL cannot be reached."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias, TypeVar

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

Conn: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

CONNECT_TIMEOUT = 3.0  # seconds
COMMAND_TIMEOUT = 10.0  # seconds; without it a frozen server would hold its callers for ever
RETRY_SECONDS = 0.2
BRIEFLY = "SET LOCAL lock_timeout = '1s'"  # so long whoever holds locks of one account delays the others

# What asyncpg raises when the server goes away, shuts down, starts up or fails over (InternalClientError: seen on open
# connections at planned shutdowns and crashes alike). Work that changes nothing may simply be done again.
CONNECTION_LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
)

# Two transactions got in each other's way, and this one was chosen to give way: nothing of it happened.
CONFLICTS = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)

# PostgreSQL is there and cannot write: it is a standby, or its disk or memory is full.
NO_ROOM = (asyncpg.ReadOnlySQLTransactionError, asyncpg.InsufficientResourcesError)

T = TypeVar("T")
log = structlog.get_logger()


class DatabaseUnreachableError(Exception):
    """No answer from PostgreSQL within the patience that the caller had."""


def create_pool(dsn: str, max_size: int = 10, statement_cache_size: int = 100) -> Pool:
    """A pool to be opened with `async with`; it connects when first used, and again after the database was away."""
    return asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=max_size,
        timeout=CONNECT_TIMEOUT,
        command_timeout=COMMAND_TIMEOUT,
        statement_cache_size=statement_cache_size,
        reset=_leave,
    )


async def _leave(_: Conn) -> None:
    """Leave the session as it is, which saves a round trip for each use: whatever we set is set for a transaction, and
    asyncpg itself rolls back one that was left open.
    """


async def hold(dsn: str, statement_cache_size: int = 100) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection like those of the pool, for one use that goes on as long as the process."""
    return await asyncpg.connect(
        dsn, timeout=CONNECT_TIMEOUT, command_timeout=COMMAND_TIMEOUT, statement_cache_size=statement_cache_size
    )


async def connect(dsn: str) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection for a command. It prepares nothing that lasts, so it works behind PgBouncer too."""
    return await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT, statement_cache_size=0)


def is_away(error: BaseException | None) -> bool:
    """Whether PostgreSQL could not do the work at this moment, so that it is worth doing again a little later."""
    return isinstance(error, (DatabaseUnreachableError, *CONNECTION_LOST, *CONFLICTS, *NO_ROOM))


class PatientPool:
    """Runs reads on a pool and waits for the database while it is away, so that a restart or failover passes unnoticed.

    A deadlock does too, and a conflict with a writer: the read is simply done again.

    A read takes `patience` seconds at the most (0: it is tried once), and at most `most_waiting` reads wait at once;
    beyond that `DatabaseUnreachableError`.
    """

    def __init__(self, pool: Pool, patience: float, most_waiting: int = 1_000) -> None:
        self.pool = pool
        self._patience = patience
        self._most_waiting = most_waiting
        self._waiting = 0

    async def read(self, query: Callable[[Conn], Awaitable[T]]) -> T:
        """Run `query`, which must change nothing, on a connection; and again where that is lost or has to give way."""
        deadline = asyncio.get_running_loop().time() + (self._patience or COMMAND_TIMEOUT)
        try:
            return await self._once(query, deadline)
        except (*CONNECTION_LOST, *CONFLICTS) as exc:
            if not self._patience or self._waiting >= self._most_waiting:
                raise DatabaseUnreachableError from exc
            if self._waiting == 0 and isinstance(exc, CONNECTION_LOST):
                log.warning("database away", error=type(exc).__name__)
        self._waiting += 1
        try:
            return await self._again(query, deadline)
        finally:
            self._waiting -= 1

    async def _again(self, query: Callable[[Conn], Awaitable[T]], deadline: float) -> T:
        """Try until the deadline; the clock is asked, as asyncpg may answer a cancellation with an error of its own."""
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(RETRY_SECONDS)
            with suppress(*CONNECTION_LOST, *CONFLICTS):
                return await self._once(query, deadline)
        raise DatabaseUnreachableError

    async def _once(self, query: Callable[[Conn], Awaitable[T]], deadline: float) -> T:
        async with asyncio.timeout_at(deadline), self.pool.acquire(timeout=CONNECT_TIMEOUT) as conn:
            return await query(conn)


async def alone(conn: Conn, work: Callable[[], Awaitable[None]], errors: set[str]) -> bool:
    """Do the work of one account in a transaction; whether it succeeded. Only a connection that is lost is an error."""
    try:
        async with conn.transaction():
            await conn.execute(BRIEFLY)
            await work()
    except Exception as exc:  # a lock, a link deleted meanwhile, a full disk: the next flush tries again
        if isinstance(exc, CONNECTION_LOST) and not isinstance(exc, TimeoutError):
            raise
        errors.add(type(exc).__name__)
        return False
    return True

"""Which database a command works on: the one that the settings name, else the embedded one in the data folder."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from api.settings import PREFIX, Settings
from db.embedded import postgres
from db.migrate import check_schema, migrate
from db.pool import CONNECT_TIMEOUT, CONNECTION_LOST


class DatabaseError(Exception):
    """The database cannot be used; the message says why and what to do."""


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """Yield the DSN; an embedded server runs until the end of the block."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    with postgres(settings.data_dir) as dsn:
        yield dsn


async def prepare(settings: Settings, dsn: str) -> None:
    """See that the database answers and has this release's schema; the embedded one is migrated, others are not."""
    await ping(dsn)
    await (check_schema if settings.database_url else migrate)(dsn)


async def ping(dsn: str) -> None:
    """Raise `DatabaseError` unless PostgreSQL answers. The message never holds the DSN, which may hold a password."""
    try:
        conn = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT)
    except (*CONNECTION_LOST, asyncpg.PostgresError, ValueError) as exc:
        reason = exc.sqlstate if isinstance(exc, asyncpg.PostgresError) else type(exc).__name__
        message = (
            f"PostgreSQL does not answer ({reason}): check {PREFIX}DATABASE_URL, or leave it out for the embedded one."
        )
        raise DatabaseError(message) from None
    await conn.close()

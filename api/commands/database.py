"""Which database a command works on: the one that the settings name, else the embedded one in the data folder."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from api.settings import PREFIX, Settings
from db.embedded import postgres
from db.migrate import check_schema, migrate
from db.pool import CONNECTION_LOST, connect

OLDEST_POSTGRESQL = 15


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
    """Raise `DatabaseError` unless a PostgreSQL that is new enough answers.

    The message never holds the DSN, which may hold a password.
    """
    remedy = f"check {PREFIX}DATABASE_URL, or leave it out for the embedded one."
    try:
        conn = await connect(dsn)
    except asyncpg.PostgresError as exc:
        raise DatabaseError(f"PostgreSQL refuses the connection ({type(exc).__name__}): {remedy}") from None
    except (*CONNECTION_LOST, ValueError) as exc:
        raise DatabaseError(f"PostgreSQL does not answer ({type(exc).__name__}): {remedy}") from None
    version = conn.get_server_version()
    await conn.close()
    if version.major < OLDEST_POSTGRESQL:
        raise DatabaseError(f"PostgreSQL {version.major} is too old: use {OLDEST_POSTGRESQL} or newer.")

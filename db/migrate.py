"""Bring a database to this release's schema with Alembic, one process at a time."""

from functools import partial
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

LOCK = 5545_7986  # the advisory lock's key: any number that nothing else in the database uses


class SchemaError(Exception):
    """The database's schema does not fit this release; the message says what to do."""


async def migrate(dsn: str) -> None:
    """Apply what is missing, in one transaction under one lock.

    Raises `SchemaError` if the database was migrated by a newer release.
    """
    async with _engine(dsn).begin() as connection:
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        await connection.run_sync(_upgrade)


async def check_schema(dsn: str) -> None:
    """Raise `SchemaError` unless the database has exactly this release's schema."""
    async with _engine(dsn).connect() as connection:
        found = await connection.run_sync(_revision)
    if found != ScriptDirectory.from_config(_config()).get_current_head():
        raise SchemaError(
            f"The database has schema {found or 'none'}: run `calendar-feeds migrate` of this release first."
        )


def _engine(dsn: str):  # type: ignore[no-untyped-def]  # SQLAlchemy's engine, Alembic's alone
    return create_async_engine("postgresql+asyncpg://", async_creator=partial(asyncpg.connect, dsn), poolclass=NullPool)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as exc:
        raise SchemaError(
            f"The database has schema {_revision(connection)}, which a newer release made: use that."
        ) from exc

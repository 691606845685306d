"""Bring a database to this release's schema with Alembic, one process at a time."""

from functools import partial
from pathlib import Path
from uuid import uuid4

import asyncpg
import structlog
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from db.pool import connect

LOCK = 5545_7986  # the advisory lock's key: any number that nothing else in the database uses

# Citus changes the shards of a table in parallel, and then refuses what the same transaction does to types and keys.
# PostgreSQL without it takes the setting as one that it does not know.
SEQUENTIAL = "SET LOCAL citus.multi_shard_modify_mode = 'sequential'"

log = structlog.get_logger()


class SchemaError(Exception):
    """The database's schema does not fit this release; the message says what to do."""


async def migrate(dsn: str, revision: str = "head") -> None:
    """Apply what is missing up to that revision, in one transaction under one lock.

    Raises `SchemaError` if the database was migrated by a newer release, or refuses what a migration does.
    """
    try:
        async with _engine(dsn).begin() as connection:
            await connection.exec_driver_sql(SEQUENTIAL)
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
            await connection.run_sync(_upgrade, revision)
    except DBAPIError as exc:
        raise SchemaError(f"The database refuses the migration: {exc.orig}") from exc


async def check_schema(dsn: str) -> None:
    """Raise `SchemaError` if the database lacks migrations of this release.

    One that a newer release has migrated already is taken: migrations are safe for the release before.
    """
    found = await _revision(dsn)
    scripts = ScriptDirectory.from_config(_config())
    if found == scripts.get_current_head():
        return
    if found is None or _is_known(scripts, found):
        raise SchemaError(f"The database has schema {found or 'none'}: run `calendar-feeds migrate` first.")
    log.warning("the database was migrated by a newer release", schema=found)


async def _revision(dsn: str) -> str | None:
    conn = await connect(dsn)
    try:
        revision: str | None = await conn.fetchval("SELECT v.version_num FROM alembic_version v")
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await conn.close()
    return revision


def _is_known(scripts: ScriptDirectory, revision: str) -> bool:
    try:
        return scripts.get_revision(revision) is not None
    except CommandError:
        return False


def _engine(dsn: str) -> AsyncEngine:
    """Alembic's engine; its statements have names of their own, as PgBouncer lends one connection to many clients."""
    names = {"prepared_statement_cache_size": 0, "prepared_statement_name_func": lambda: f"migrate_{uuid4().hex}"}
    url, creator = "postgresql+asyncpg://", partial(connect, dsn)
    return create_async_engine(url, async_creator=creator, connect_args=names, poolclass=NullPool)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _upgrade(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except CommandError as exc:
        raise SchemaError("A newer release has migrated the database: use that release's `migrate`.") from exc

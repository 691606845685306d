"""Migrations: safe to repeat, one at a time, and clear about a database that does not fit."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from db.migrate import SchemaError, check_schema, migrate


@pytest.fixture
async def empty_dsn(server_dsn: str) -> AsyncIterator[str]:
    name = f"empty_{uuid4().hex}"
    admin = await asyncpg.connect(server_dsn)
    await admin.execute(f"CREATE DATABASE {name}")
    yield urlunsplit(urlsplit(server_dsn)._replace(path=f"/{name}"))
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


async def test_migrate_makes_the_schema_that_check_asks_for(empty_dsn: str) -> None:
    with pytest.raises(SchemaError, match="has schema none: run `calendar-feeds migrate`"):
        await check_schema(empty_dsn)
    await migrate(empty_dsn)
    await check_schema(empty_dsn)


async def test_migrate_may_run_again_and_at_the_same_time(empty_dsn: str) -> None:
    await asyncio.gather(*(migrate(empty_dsn) for _ in range(4)))
    await migrate(empty_dsn)
    await check_schema(empty_dsn)


async def test_database_of_a_newer_release_is_left_alone(empty_dsn: str) -> None:
    await migrate(empty_dsn)
    conn = await asyncpg.connect(empty_dsn)
    await conn.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaError, match="schema 9999, which a newer release made"):
        await migrate(empty_dsn)
    with pytest.raises(SchemaError, match="has schema 9999"):
        await check_schema(empty_dsn)
    assert await conn.fetchval("SELECT version_num FROM alembic_version") == "9999"
    await conn.close()

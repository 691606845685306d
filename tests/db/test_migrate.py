"""Migrations: safe to repeat, one at a time, and clear about a database that does not fit."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from db.migrate import SchemaError, check_schema, migrate


async def test_migrate_makes_the_schema_that_check_asks_for(empty_database: str) -> None:
    with pytest.raises(SchemaError, match="has schema none: run `calendar-feeds migrate` first"):
        await check_schema(empty_database)
    await migrate(empty_database)
    await check_schema(empty_database)


async def test_migrate_may_run_again_and_at_the_same_time(empty_database: str) -> None:
    await asyncio.gather(*(migrate(empty_database) for _ in range(4)))
    await migrate(empty_database)
    await check_schema(empty_database)


async def test_database_of_a_newer_release_is_served_but_not_migrated(empty_database: str) -> None:
    await migrate(empty_database)
    conn = await asyncpg.connect(empty_database)
    await conn.execute("UPDATE alembic_version SET version_num = '9999'")
    await check_schema(empty_database)
    with pytest.raises(SchemaError, match="A newer release has migrated the database"):
        await migrate(empty_database)
    assert await conn.fetchval("SELECT version_num FROM alembic_version") == "9999"
    await conn.close()


async def test_role_without_rights_is_told_what_the_database_refuses(empty_database: str) -> None:
    role = f"reader_{uuid4().hex}"
    conn = await asyncpg.connect(empty_database)
    await conn.execute(f"CREATE ROLE {role} LOGIN")
    as_reader = empty_database.replace("//postgres@", f"//{role}@")
    try:
        with pytest.raises(SchemaError, match=r"The database refuses the migration: .*permission denied"):
            await migrate(as_reader)
    finally:
        await conn.execute(f"DROP ROLE {role}")
        await conn.close()

"""What the schema has to keep to grow: read from the catalogue, so that a new table cannot forget it."""

import asyncpg
import pytest

from db.activities import Activity, upsert_activities
from db.pool import Conn
from tests.seed import HOUR, NOW, Seed, meeting, task

OURS = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version'"""
TABLES = {
    "accounts",
    "activities",
    "api_keys",
    "audit_log",
    "calendar_access",
    "calendar_changes",
    "calendar_entries",
    "calendar_versions",
    "calendars",
    "feed_links",
    "feed_networks",
    "feed_polls",
    "fragments",
    "kept_feeds",
    "users",
    "webhook_deliveries",
    "webhooks",
}


async def test_tables_are_those_of_the_design(conn: Conn) -> None:
    assert {row["relname"] for row in await conn.fetch(OURS)} == TABLES


async def test_account_id_is_required_in_every_table(conn: Conn) -> None:
    required = await conn.fetch(
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND column_name = 'account_id' AND data_type = 'uuid' AND is_nullable = 'NO'"
    )
    assert {row["table_name"] for row in required} == TABLES


async def test_every_key_starts_with_account_id(conn: Conn) -> None:
    keys = await conn.fetch(
        f"""
        SELECT i.indrelid::regclass::text AS table_name, i.indexrelid::regclass::text AS name, a.attname AS first_column
          FROM pg_index i LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
         WHERE i.indrelid::regclass::text IN ({OURS})"""
    )
    assert [row["name"] for row in keys if row["first_column"] != "account_id"] == []
    assert {row["table_name"] for row in keys if row["name"].endswith("_pkey")} == TABLES


async def test_every_foreign_key_pairs_account_id_first(conn: Conn) -> None:
    wrong = await conn.fetch(
        """
        SELECT k.conname FROM pg_constraint k
          JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
          JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = k.confkey[1]
         WHERE k.contype = 'f' AND (a.attname <> 'account_id' OR b.attname <> 'account_id')"""
    )
    assert wrong == []
    assert await conn.fetchval("SELECT count(*) FROM pg_constraint WHERE contype = 'f'") > len(TABLES)


async def test_no_constraint_is_deferrable_or_sets_null(conn: Conn) -> None:
    sets_null = "confdeltype IN ('n', 'd') OR confupdtype IN ('n', 'd')"
    wrong = f"SELECT conname FROM pg_constraint WHERE condeferrable OR {sets_null}"
    assert await conn.fetch(wrong) == []


async def test_no_table_is_unlogged(conn: Conn) -> None:
    assert await conn.fetch(f"{OURS} AND c.relpersistence <> 'p'") == []


async def test_no_sequence_and_no_default_makes_ids(conn: Conn) -> None:
    assert await conn.fetch("SELECT 1 FROM pg_class WHERE relkind = 'S'") == []
    volatile = "SELECT adrelid::regclass FROM pg_attrdef WHERE pg_get_expr(adbin, adrelid) ~ '\\('"
    assert await conn.fetch(volatile) == []


async def test_every_constraint_has_a_name_of_ours(conn: Conn) -> None:
    """PostgreSQL's own names end in a number or name the columns; ours say the table and what they hold."""
    names = await conn.fetch(
        "SELECT conrelid::regclass::text AS table_name, conname FROM pg_constraint WHERE conrelid <> 0"
        " AND contype IN ('p', 'u', 'f', 'c') AND conrelid::regclass::text <> 'alembic_version' AND conrelid > 16383"
    )
    ending = ("_pkey", "_key", "_fkey", "_check")
    assert [r["conname"] for r in names if not r["conname"].startswith(r["table_name"])] == []
    assert [r["conname"] for r in names if not r["conname"].endswith(ending)] == []


REFUSED = {
    "activities_status_check": meeting(status="COMPLETED"),
    "activities_end_check": meeting(ends_at=NOW - HOUR),
    "activities_due_check": meeting(due_at=NOW),
    "activities_priority_check": meeting(priority="URGENT"),
    "activities_type_check": Activity(type="PARTY", status="CONFIRMED"),
    "activities_start_check": meeting(starts_on=NOW.date()),
}


@pytest.mark.parametrize("constraint", REFUSED)
async def test_impossible_activity_is_refused_by_the_database(seed: Seed, constraint: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await upsert_activities(seed.conn, seed.account_id, [REFUSED[constraint]], NOW)
    assert refused.value.constraint_name == constraint


async def test_participants_of_another_shape_are_refused_by_the_database(seed: Seed) -> None:
    await seed.write(task())
    for wrong in (
        '{"name": "Ana"}',
        "[[]]",
        '["Ana"]',
        '[{"name": 7}]',
        '[{"phone": "1"}]',
        '[{"response": "ACCEPTED"}]',
    ):
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await seed.conn.execute("UPDATE activities SET participants = $1", wrong)
        assert refused.value.constraint_name == "activities_participants_check"


IMPOSSIBLE_TIMES = ("infinity", "-infinity", "4713-01-01 BC", "0001-12-31", "10000-01-01", "294276-01-01")


@pytest.mark.parametrize("column", ["starts_at", "due_at", "starts_on", "due_on"])
@pytest.mark.parametrize("time", IMPOSSIBLE_TIMES)
async def test_time_that_no_feed_can_say_is_refused_by_the_database(seed: Seed, column: str, time: str) -> None:
    await seed.write(task())
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await seed.conn.execute(f"UPDATE activities SET {column} = '{time}'")
    assert refused.value.constraint_name == "activities_years_check"


@pytest.mark.parametrize("zone", ["", "a\r\nBEGIN:VEVENT", "Mars/Olympus Mons"])
async def test_text_that_is_no_name_of_a_zone_is_refused_by_the_database(seed: Seed, zone: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await seed.conn.execute("UPDATE users SET time_zone = $1", zone)
    assert refused.value.constraint_name == "users_time_zone_check"

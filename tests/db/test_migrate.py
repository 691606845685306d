"""Migrations: safe to repeat, one at a time, and clear about a database that does not fit."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from ipaddress import ip_network
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.migrate import SchemaError, check_schema, migrate
from db.polls import NOWHERE, PollCount, PollKey, list_stale_polls, save_polls
from db.pool import Conn, create_pool
from db.webhooks import add_webhook
from tests.seed import NOW, Seed, meeting, plant


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


async def test_migration_lets_citus_change_one_shard_after_the_other(empty_database: str) -> None:
    conn = await asyncpg.connect(empty_database)
    await conn.execute(
        """
        CREATE TABLE seen (mode text);
        CREATE FUNCTION see() RETURNS event_trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO seen VALUES (current_setting('citus.multi_shard_modify_mode', true));
        END $$;
        CREATE EVENT TRIGGER seen ON ddl_command_end EXECUTE FUNCTION see()"""
    )
    await migrate(empty_database)
    assert [row["mode"] for row in await conn.fetch("SELECT DISTINCT mode FROM seen")] == ["sequential"]
    await conn.close()


# ---- from the schema before, under the release before


# What the release before sends, word for word.
OLD_COLUMNS = """l.account_id, l.id, l.user_id, l.calendar_id, l.name, l.key_id, l.generation, l.options,
    l.style_revision, l.styled_at, l.created_at, l.resets[l.generation - 1] AS reset_at, l.paused_at, l.expires_at"""
OLD_GATE = """
    SELECT l.account_id, l.id AS link_id, l.user_id, l.calendar_id, l.key_id, l.generation, l.options,
           l.style_revision, l.styled_at, u.time_zone, u.locale,
           l.resets[$3] AS reset_at, l.paused_at, l.expires_at, l.revoked_at, u.deactivated_at, a.suspended_at,
           s.lost_at, coalesce(s.ids, '{}') AS calendar_ids, coalesce(s.versions, '{}') AS calendar_versions,
           coalesce(s.times, '{}') AS calendar_times,
           k.name AS calendar_name, k.color AS calendar_color,
           l.changed_at AS link_changed_at, u.changed_at AS user_changed_at,
           greatest(l.changed_at, u.changed_at, s.changed_at) AS changed_at
      FROM feed_links l
      JOIN accounts a ON a.account_id = $1
      JOIN users u ON u.account_id = $1 AND u.id = l.user_id
      LEFT JOIN calendars k ON k.account_id = $1 AND k.id = l.calendar_id
     CROSS JOIN LATERAL (
           SELECT array_agg(c.id ORDER BY c.id) FILTER (WHERE x.withdrawn_at IS NULL AND c.deleted_at IS NULL) AS ids,
                  array_agg(v.version ORDER BY c.id) FILTER (WHERE x.withdrawn_at IS NULL AND c.deleted_at IS NULL)
                      AS versions,
                  array_agg(v.changed_at ORDER BY c.id) FILTER (WHERE x.withdrawn_at IS NULL AND c.deleted_at IS NULL)
                      AS times,
                  max(v.changed_at) AS changed_at,
                  max(least(x.withdrawn_at, c.deleted_at)) AS lost_at
             FROM calendar_access x
             JOIN calendars c ON c.account_id = $1 AND c.id = x.calendar_id
             JOIN calendar_versions v ON v.account_id = $1 AND v.calendar_id = x.calendar_id
            WHERE x.account_id = $1 AND x.user_id = l.user_id
              AND (l.calendar_id IS NULL OR x.calendar_id = l.calendar_id)) s
     WHERE l.account_id = $1 AND l.id = $2"""
OLD_ADD_LINK = f"""
    INSERT INTO feed_links AS l
           (account_id, id, user_id, calendar_id, name, key_id, options, created_at, changed_at)
    VALUES ($1, $2, $3, $4, $5, $6, $8, $7, $7)
    ON CONFLICT DO NOTHING RETURNING {OLD_COLUMNS}"""
OLD_RESET_LINKS = f"""
    UPDATE feed_links l SET generation = l.generation + 1, resets = l.resets || $3::timestamptz, key_id = $4
     WHERE l.account_id = $1 AND l.id = ANY ($2::uuid[]) AND l.revoked_at IS NULL
    RETURNING {OLD_COLUMNS}"""
OLD_ADD_AUDIT_ENTRIES = """
    INSERT INTO audit_log (account_id, id, at, actor_id, action, subject_id, network)
    SELECT $1, d.id, $2, $3, $4, d.subject_id, $5
      FROM unnest($6::uuid[], $7::uuid[]) AS d (id, subject_id)"""
OLD_LOCK_USER = "SELECT u.id FROM users u WHERE u.account_id = $1 AND u.id = $2 FOR NO KEY UPDATE"


async def plant_before(conn: Conn) -> Seed:
    """What `plant` does, in a schema that has no place yet for the CRM's own keys of accounts."""
    await conn.execute("ALTER TABLE accounts ADD COLUMN external_id text")
    seed = await plant(conn)
    await conn.execute("ALTER TABLE accounts DROP COLUMN external_id")
    return seed


async def add_old_link(seed: Seed, conn: Conn, user_id: UUID, name: str = "") -> UUID:
    values = (seed.account_id, uuid4(), user_id, None, name, "k1", NOW, json.dumps({}))
    row = await conn.fetchrow(OLD_ADD_LINK, *values)
    assert row
    return UUID(str(row["id"]))


async def reset_old_link(seed: Seed, conn: Conn, link_id: UUID) -> None:
    assert len(await conn.fetch(OLD_RESET_LINKS, seed.account_id, [link_id], NOW, "k1")) == 1
    values = (NOW, seed.anna.id, "LINK_RESET", ip_network("192.0.2.0/24"), [uuid4()], [link_id])
    await conn.execute(OLD_ADD_AUDIT_ENTRIES, seed.account_id, *values)


def old_traffic(seed: Seed, link_id: UUID) -> list[Callable[[Conn], Awaitable[None]]]:
    """Transactions of the release before: polls, and writers who take accounts and users before links."""

    async def poll(conn: Conn) -> None:
        async with conn.transaction(isolation="repeatable_read", readonly=True):
            assert await conn.fetchrow(OLD_GATE, seed.account_id, link_id, 1)
            assert await conn.fetch("SELECT a.id, a.title FROM activities a WHERE a.account_id = $1", seed.account_id)

    async def generate(conn: Conn) -> None:
        async with conn.transaction():
            await conn.fetchval(OLD_LOCK_USER, seed.account_id, seed.anna.id)
            await add_old_link(seed, conn, seed.anna.id, str(uuid4()))

    async def reset(conn: Conn) -> None:
        async with conn.transaction():
            await conn.fetchval(OLD_LOCK_USER, seed.account_id, seed.ben.id)
            await reset_old_link(seed, conn, link_id)

    async def suspend(conn: Conn) -> None:
        async with conn.transaction():
            await conn.execute("UPDATE accounts a SET suspended_at = now() WHERE a.account_id = $1", seed.account_id)
            await conn.fetch("SELECT l.id FROM feed_links l WHERE l.account_id = $1", seed.account_id)

    async def grant(conn: Conn) -> None:
        sql = "UPDATE calendar_access x SET granted_at = now() WHERE x.account_id = $1 AND x.user_id = $2"
        await conn.execute(sql, seed.account_id, seed.anna.id)

    return [poll, poll, poll, poll, generate, reset, suspend, grant]


# What the release before the integrators sends.
OLD_SAVE_POLLS = """
    INSERT INTO feed_polls AS p
           (account_id, link_id, client, first_polled_at, last_polled_at, polls, last_status, last_answer)
    SELECT $1, $2, $3, $4, $4, 1, 200, 'CALENDAR'
    ON CONFLICT (account_id, link_id, client) DO UPDATE
       SET polls = p.polls + excluded.polls, last_polled_at = greatest(p.last_polled_at, excluded.last_polled_at)"""


def old_statistics(seed: Seed, link_id: UUID) -> Callable[[Conn], Awaitable[None]]:
    """Polls and an alarm, which take feed_polls before accounts and the audit log."""

    async def flush(conn: Conn) -> None:
        async with conn.transaction():
            await conn.execute("SET LOCAL lock_timeout = '1s'")
            await conn.execute(OLD_SAVE_POLLS, seed.account_id, link_id, "curl", NOW)
            await asyncio.sleep(0.01)
            await conn.fetchval("SELECT a.pauses_alarmed FROM accounts a WHERE a.account_id = $1", seed.account_id)
            values = (NOW, seed.anna.id, "LINK_ALARMED", None, [uuid4()], [link_id])
            await conn.execute(OLD_ADD_AUDIT_ENTRIES, seed.account_id, *values)

    return flush


@pytest.mark.parametrize("revision", ["0002", "0003"])
@pytest.mark.parametrize("time", range(4))
async def test_migration_from_the_schema_before_hinders_neither_polls_nor_writers(
    empty_database: str, time: int, revision: str
) -> None:
    await migrate(empty_database, revision)
    conn = await asyncpg.connect(empty_database)
    seed = await plant_before(conn)
    await seed.write(*(meeting(f"m{n}") for n in range(50)))
    link_id = await add_old_link(seed, conn, seed.ben.id)
    done, counts = asyncio.Event(), []

    async def repeat(work: Callable[[Conn], Awaitable[None]]) -> None:
        count = 0
        async with create_pool(empty_database, max_size=1) as pool, pool.acquire() as mine:
            while not done.is_set():
                await work(mine)
                count += 1
                await asyncio.sleep(0.02)
        counts.append(count)

    async with asyncio.TaskGroup() as tasks:
        for work in (*old_traffic(seed, link_id), *([old_statistics(seed, link_id)] if revision == "0003" else [])):
            tasks.create_task(repeat(work))
        await asyncio.sleep(0.1 * time)
        await migrate(empty_database)
        await asyncio.sleep(0.2)
        done.set()
    await check_schema(empty_database)
    assert min(counts) > 1
    await conn.close()


async def test_statements_of_the_release_before_work_on_this_schema(seed: Seed) -> None:
    link_id = await add_old_link(seed, seed.conn, seed.ben.id)
    await reset_old_link(seed, seed.conn, link_id)
    gate = await seed.conn.fetchrow(OLD_GATE, seed.account_id, link_id, 1)
    assert gate
    assert (gate["generation"], gate["reset_at"]) == (2, NOW)
    sql = "SELECT actor_id, actor_type, outcome FROM audit_log WHERE action = 'LINK_RESET'"
    assert [tuple(row) for row in await seed.conn.fetch(sql)] == [(seed.anna.id, "USER", "DONE")]


ALTERED = {
    "0003": ("accounts", "audit_log", "feed_links", "feed_polls"),
    "head": ("accounts", "api_keys", "feed_polls"),
}
GIVEN_TRIGGERS = {"0003": ("calendar_access", "calendars", "users"), "head": ("audit_log", "calendars", "feed_links")}
GIVEN_STATISTICS: dict[str, tuple[str, ...]] = {"0003": (), "head": ("activities", "calendar_entries")}


@pytest.mark.parametrize(("before", "after"), [("0002", "0003"), ("0003", "head")])
async def test_migration_waits_for_no_table_once_it_holds_one(empty_database: str, before: str, after: str) -> None:
    """What it has locked before its first change is all that it locks of the tables that were there."""
    await migrate(empty_database, before)
    conn = await asyncpg.connect(empty_database)
    await conn.execute(
        """
        CREATE TABLE seen (locks text[]);
        CREATE TABLE known AS SELECT oid, relname FROM pg_class
          WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname NOT IN ('seen', 'alembic_version');
        CREATE FUNCTION see() RETURNS event_trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO seen SELECT array_agg(s.lock ORDER BY s.lock) FROM (
                SELECT DISTINCT ON (o.relname) o.relname || ' ' || k.mode AS lock
                  FROM pg_locks k JOIN known o ON o.oid = k.relation WHERE k.pid = pg_backend_pid()
                 ORDER BY o.relname, array_position('{AccessExclusiveLock,ShareRowExclusiveLock}', k.mode)) s;
        END $$;
        CREATE EVENT TRIGGER seen_before ON ddl_command_start EXECUTE FUNCTION see();
        CREATE EVENT TRIGGER seen_after ON ddl_command_end EXECUTE FUNCTION see()"""
    )
    await migrate(empty_database, after)
    rows = await conn.fetch("SELECT DISTINCT s.locks FROM seen s")
    await conn.close()
    altered = {f"{name} AccessExclusiveLock" for name in ALTERED[after]}
    given_triggers = {f"{name} ShareRowExclusiveLock" for name in GIVEN_TRIGGERS[after]}
    given_statistics = {f"{name} ShareUpdateExclusiveLock" for name in GIVEN_STATISTICS[after]}
    assert [row["locks"] for row in rows] == [sorted(altered | given_triggers | given_statistics)]


async def test_migration_lets_polls_through_while_a_long_transaction_holds_it_up(empty_database: str) -> None:
    await migrate(empty_database, "0002")
    conn = await asyncpg.connect(empty_database)
    seed = await plant_before(conn)
    await seed.write(meeting())
    poll, *_ = old_traffic(seed, await add_old_link(seed, conn, seed.ben.id))
    holding = conn.transaction()
    await holding.start()
    await conn.execute("SELECT a.name FROM accounts a FOR KEY SHARE")
    migrating = asyncio.create_task(migrate(empty_database))
    async with create_pool(empty_database, max_size=1) as pool, pool.acquire() as mine, asyncio.timeout(5):
        for _ in range(20):
            await poll(mine)
            await asyncio.sleep(0.05)
        assert not migrating.done()
        await holding.commit()
        await migrating
        await poll(mine)
    await conn.close()


async def test_clients_that_were_known_before_webhooks_are_told_to_nobody(empty_database: str) -> None:
    await migrate(empty_database, "0003")
    conn = await asyncpg.connect(empty_database)
    seed = await plant_before(conn)
    link_id = await add_old_link(seed, conn, seed.ben.id)
    month_ago = NOW - timedelta(days=30)
    for client, at in (("curl", NOW), ("Thunderbird", month_ago)):
        await conn.execute(OLD_SAVE_POLLS, seed.account_id, link_id, client, at)
    await migrate(empty_database)
    events = ["client.first_polled", "client.stale"]
    await add_webhook(conn, seed.account_id, "k1", NOW, url="https://crm.example", events=events)
    assert await list_stale_polls(conn, seed.account_id, NOW) == []
    polled = PollCount(NOW, NOW, 1, 200, "CALENDAR")
    for client in ("curl", "Thunderbird", "Apple Calendar"):
        await save_polls(conn, seed.account_id, [(PollKey(link_id, client, NOWHERE, 1, True), polled)])
    rows = await conn.fetch("SELECT d.event, d.facts ->> 'client' FROM webhook_deliveries d")
    assert [tuple(row) for row in rows] == [("client.first_polled", "Apple Calendar")]
    await conn.close()

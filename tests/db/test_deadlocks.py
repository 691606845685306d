"""Bulk changes of links beside whatever restyles many links at once, and reads that had to give way to a writer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from db.calendars import add_calendar, grant_access
from db.links import LinkFilter, add_link, lock_filtered_links, reset_links
from db.pool import CONFLICTS, Conn, DatabaseUnreachableError, PatientPool, Pool, create_pool
from db.users import add_user
from tests.seed import NOW, Seed

USERS = 40
ROUNDS = 40


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    async with create_pool(dsn) as pool:
        yield pool


@pytest.fixture
async def users(seed: Seed) -> list[UUID]:
    """Users with two links each, whose ids are in another order than those of the users and than their rows."""
    added = [await add_user(seed.conn, seed.account_id, NOW, name=f"User {n}") for n in range(USERS)]
    ids = [user.id for user in added]
    await grant_access(seed.conn, seed.account_id, seed.team, ids, NOW)
    for user_id in sorted(ids, key=lambda id_: id_.hex[::-1]):
        await add_link(seed.conn, seed.account_id, user_id, None, "", "k1", NOW, {"title_with": "OWNER"})
        await add_link(seed.conn, seed.account_id, user_id, seed.team, "", "k1", NOW, {"title_with": "CALENDAR"})
    await seed.conn.execute("UPDATE feed_links l SET name = 'rewritten' WHERE md5(l.id::text) < '8'")
    return ids


Work = Callable[[Seed, Conn, list[UUID], int], Awaitable[object]]


async def grant(seed: Seed, conn: Conn, users: list[UUID], round_: int) -> None:
    calendar_id = await add_calendar(conn, seed.account_id, NOW, name=f"Calendar {round_}")
    await grant_access(conn, seed.account_id, calendar_id, users, NOW)


async def rewrite_access(seed: Seed, conn: Conn, users: list[UUID], round_: int) -> None:
    sql = "UPDATE calendar_access x SET granted_at = granted_at + interval '1 s' WHERE x.account_id = $1"
    await conn.execute(sql, seed.account_id)


async def speak(seed: Seed, conn: Conn, users: list[UUID], round_: int) -> None:
    sql = "UPDATE users u SET locale = $3 WHERE u.account_id = $1 AND u.id = ANY ($2::uuid[])"
    await conn.execute(sql, seed.account_id, users[::-1], ("de", "fr")[round_ % 2])


async def rename_users(seed: Seed, conn: Conn, users: list[UUID], round_: int) -> None:
    sql = "UPDATE users u SET name = u.name || '!' WHERE u.account_id = $1 AND u.id = ANY ($2::uuid[])"
    await conn.execute(sql, seed.account_id, users[-3:])


async def rename_calendars(seed: Seed, conn: Conn, users: list[UUID], round_: int) -> None:
    await conn.execute("UPDATE calendars c SET name = c.name || '!' WHERE c.account_id = $1", seed.account_id)


async def force_detail(seed: Seed, conn: Conn, users: list[UUID], round_: int) -> None:
    sql = "UPDATE accounts a SET forced_detail = $2 WHERE a.account_id = $1"
    await conn.execute(sql, seed.account_id, ("BUSY", "FULL")[round_ % 2])


async def reset_all(seed: Seed, conn: Conn, users: list[UUID], round_: int) -> None:
    async with conn.transaction():
        links = await lock_filtered_links(conn, seed.account_id, LinkFilter())
        await asyncio.sleep(0)
        await reset_links(conn, seed.account_id, [link.id for link in links], "k1", NOW)


@pytest.mark.parametrize("work", [grant, rewrite_access, speak, rename_users, rename_calendars, force_detail])
async def test_changes_that_restyle_many_links_do_not_deadlock_with_bulk_resets(
    seed: Seed, users: list[UUID], pool: Pool, work: Work
) -> None:
    async def repeat(work: Work) -> None:
        async with pool.acquire() as conn:
            for round_ in range(ROUNDS):
                await work(seed, conn, users, round_)

    before: int = await seed.conn.fetchval("SELECT sum(l.style_revision) FROM feed_links l")
    await asyncio.gather(repeat(work), repeat(reset_all))
    rows = await seed.conn.fetch("SELECT DISTINCT l.generation FROM feed_links l")
    assert [row["generation"] for row in rows] == [ROUNDS + 1]
    assert await seed.conn.fetchval("SELECT sum(l.style_revision) FROM feed_links l") >= before + ROUNDS


# ---- reads


LOCK = "SELECT pg_advisory_xact_lock($1)"


async def deadlock(pool: PatientPool, dsn: str) -> list[str]:
    """What the tries of a read say that first waits for a writer who waits for it."""
    tries: list[str] = []
    writer = await asyncpg.connect(dsn)
    await writer.execute("SET deadlock_timeout = '1min'")  # so that the read is the one to give way
    writing = writer.transaction()
    await writing.start()
    await writer.execute(LOCK, 2)

    async def query(conn: Conn) -> str:
        tries.append("tried")
        async with conn.transaction():
            await conn.execute(LOCK, 1)
            blocked = asyncio.create_task(finish()) if len(tries) == 1 else None
            await conn.execute(LOCK, 2)
            assert blocked is None
        return "read"

    async def finish() -> None:
        await writer.execute(LOCK, 1)
        await writing.commit()

    try:
        return [await pool.read(query), *tries]
    finally:
        await writer.close()


async def test_read_that_is_the_victim_of_a_deadlock_is_done_again_and_nobody_is_told(dsn: str, pool: Pool) -> None:
    with capture_logs() as logs:
        assert await deadlock(PatientPool(pool, patience=15), dsn) == ["read", "tried", "tried"]
    assert logs == []


async def test_read_without_patience_is_not_done_again_after_a_deadlock(dsn: str, pool: Pool) -> None:
    with pytest.raises(DatabaseUnreachableError) as refused:
        await deadlock(PatientPool(pool, patience=0), dsn)
    assert isinstance(refused.value.__cause__, CONFLICTS)


async def test_read_whose_snapshot_is_overtaken_is_done_again(seed: Seed, pool: Pool) -> None:
    tries: list[int] = []

    async def query(conn: Conn) -> str:
        async with conn.transaction(isolation="repeatable_read"):
            name: str = await conn.fetchval("SELECT c.name FROM calendars c WHERE c.id = $1", seed.own)
            tries.append(1)
            if len(tries) == 1:
                await seed.conn.execute("UPDATE calendars c SET name = 'Overtaken' WHERE c.id = $1", seed.own)
            await conn.execute("SELECT c.name FROM calendars c WHERE c.id = $1 FOR SHARE", seed.own)
            return name

    assert await PatientPool(pool, patience=15).read(query) == "Overtaken"
    assert len(tries) == 2

"""Feeds as they were assembled: whose they are, what replaces them, and with what they go."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.changes import Version
from db.gate import get_gate
from db.kept import KeptRecord, delete_old_kept_feeds, read_kept_feed, save_kept_feed
from db.links import LinkRecord, add_link
from db.pool import create_pool
from tests.seed import HOUR, NOW, Seed, plant

TODAY = NOW.date()
MADE, OTHERWISE = b"made so", b"made otherwise"


@pytest.fixture
async def link(seed: Seed) -> LinkRecord:
    return await new_link(seed)


async def new_link(seed: Seed, name: str = "iPhone") -> LinkRecord:
    link = await add_link(seed.conn, seed.account_id, seed.anna.id, None, name, "k1", NOW)
    assert link
    return link


def assembled(seed: Seed, **said: Any) -> KeptRecord:
    """Three components in two blocks, of both calendars."""
    feed = KeptRecord(
        fingerprint=MADE,
        day=TODAY,
        versions={seed.team: Version(2**40, NOW), seed.own: Version(7, NOW + HOUR)},
        activity_ids=[UUID(int=n) for n in range(3)],
        sizes=[300, 2**31, 280],
        events=[1, 500, 1],
        counts=[2, 1],
        deflated=[bytes(range(256)), b""],
    )
    return replace(feed, **said)


async def kept(seed: Seed, link_id: UUID, fingerprint: bytes = MADE) -> KeptRecord | None:
    return await read_kept_feed(seed.conn, seed.account_id, link_id, fingerprint)


async def save(seed: Seed, link_id: UUID, feed: KeptRecord) -> None:
    await save_kept_feed(seed.conn, seed.account_id, link_id, feed)


async def count(seed: Seed) -> int:
    """Of all accounts."""
    found: int = await seed.conn.fetchval("SELECT count(*) FROM kept_feeds")
    return found


async def test_feed_is_read_as_it_was_kept(seed: Seed, link: LinkRecord) -> None:
    feed = assembled(seed)
    await save(seed, link.id, feed)
    assert await kept(seed, link.id) == feed


async def test_kept_feed_is_one_statement_where_the_gate_was_asked(dsn: str, seed: Seed, link: LinkRecord) -> None:
    """Of types that the driver knows from there already: it asks the database for no others."""
    sent: list[str] = []
    async with create_pool(dsn, max_size=1) as pool, pool.acquire() as new:
        await get_gate(new, seed.account_id, link.id, 1)
        with new.query_logger(lambda query: sent.append(query.query.split()[0])):
            await save_kept_feed(new, seed.account_id, link.id, assembled(seed))
            await read_kept_feed(new, seed.account_id, link.id, MADE)
            await asyncio.sleep(0)  # the log is written when the loop comes to it
    assert sent == ["INSERT", "SELECT"]


async def test_feed_of_many_components_is_read_as_it_was_kept(seed: Seed, link: LinkRecord) -> None:
    """More than stays in the row, of each column."""
    many = range(20_000)
    feed = assembled(
        seed,
        versions={uuid4(): Version(n, NOW) for n in range(500)},
        activity_ids=[UUID(int=n) for n in many],
        sizes=[n * n for n in many],
        events=many,
        counts=[1] * len(many),
        deflated=[n.to_bytes(64) for n in many],
    )
    await save(seed, link.id, feed)
    assert await kept(seed, link.id) == replace(feed, events=list(many))


async def test_feed_without_calendars_and_components_is_read_as_it_was_kept(seed: Seed, link: LinkRecord) -> None:
    nothing = assembled(seed, versions={}, activity_ids=[], sizes=[], events=[], counts=[], deflated=[])
    await save(seed, link.id, nothing)
    assert await kept(seed, link.id) == nothing


async def test_feed_that_is_made_otherwise_is_not_there(seed: Seed, link: LinkRecord) -> None:
    assert await kept(seed, link.id) is None
    await save(seed, link.id, assembled(seed))
    assert await kept(seed, link.id, OTHERWISE) is None
    assert await kept(seed, link.id) is not None


async def test_feed_of_another_link_or_account_is_not_there(seed: Seed, link: LinkRecord) -> None:
    await save(seed, link.id, assembled(seed))
    assert await kept(seed, (await new_link(seed, "Other")).id) is None
    assert await kept(await plant(seed.conn, "Other"), link.id) is None


async def test_feed_that_is_kept_anew_replaces_the_one_before(seed: Seed, link: LinkRecord) -> None:
    await save(seed, link.id, assembled(seed))
    other = KeptRecord(
        fingerprint=OTHERWISE,
        day=TODAY + timedelta(days=1),
        versions={seed.own: Version(8, NOW + 2 * HOUR)},
        activity_ids=[UUID(int=9)],
        sizes=[90],
        events=[2],
        counts=[1],
        deflated=[b"other"],
    )
    await save(seed, link.id, other)
    assert await kept(seed, link.id, OTHERWISE) == other
    assert await kept(seed, link.id) is None
    assert await count(seed) == 1


async def test_feed_of_no_link_of_the_account_is_not_kept(seed: Seed, link: LinkRecord) -> None:
    await save(seed, uuid4(), assembled(seed))
    await save(await plant(seed.conn, "Other"), link.id, assembled(seed))
    assert await count(seed) == 0


async def test_feed_of_a_link_that_goes_meanwhile_is_not_kept(dsn: str, seed: Seed, link: LinkRecord) -> None:
    async with create_pool(dsn, max_size=1) as pool, pool.acquire() as other:
        going = seed.conn.transaction()
        await going.start()
        await seed.conn.execute("DELETE FROM feed_links")
        saving = asyncio.create_task(save_kept_feed(other, seed.account_id, link.id, assembled(seed)))
        waits = "SELECT count(*) FROM pg_locks k WHERE k.pid = $1 AND NOT k.granted"
        async with asyncio.timeout(10):
            while not await seed.conn.fetchval(waits, other.get_server_pid()):
                await asyncio.sleep(0.01)
        await going.commit()
        await saving
    assert await count(seed) == 0


async def test_feeds_of_earlier_days_are_deleted(seed: Seed, link: LinkRecord) -> None:
    older, other = await new_link(seed, "Older"), await plant(seed.conn, "Other")
    others = await new_link(other)
    yesterday = TODAY - timedelta(days=1)
    await save(seed, older.id, assembled(seed, day=yesterday))
    await save(seed, link.id, assembled(seed))
    await save(other, others.id, assembled(other, day=yesterday))
    await delete_old_kept_feeds(seed.conn, seed.account_id, TODAY)
    assert await kept(seed, older.id) is None
    assert await kept(seed, link.id) is not None
    assert await kept(other, others.id) is not None


async def test_feed_that_somebody_is_keeping_anew_is_left_and_not_waited_for(
    dsn: str, seed: Seed, link: LinkRecord
) -> None:
    await save(seed, link.id, assembled(seed))
    tomorrow = TODAY + timedelta(days=1)
    async with create_pool(dsn, max_size=1) as pool, pool.acquire() as other, seed.conn.transaction():
        await save(seed, link.id, assembled(seed, day=tomorrow))
        async with asyncio.timeout(10):
            await delete_old_kept_feeds(other, seed.account_id, tomorrow)
    assert await kept(seed, link.id) == assembled(seed, day=tomorrow)


# As whoever deletes them sends it, who may know nothing of kept feeds: a process of the release before.
OWNERS: dict[str, Callable[[Seed], tuple[str, UUID]]] = {
    "feed_links": lambda seed: ("user_id", seed.anna.id),
    "calendars": lambda seed: ("id", seed.own),
    "users": lambda seed: ("id", seed.anna.id),
    "accounts": lambda seed: ("account_id", seed.account_id),
}


@pytest.mark.parametrize("table", OWNERS)
async def test_feed_goes_with_what_it_belongs_to(seed: Seed, table: str) -> None:
    link = await add_link(seed.conn, seed.account_id, seed.anna.id, seed.own, "", "k1", NOW)
    assert link
    other = await plant(seed.conn, "Other")
    for each, link_id in ((seed, link.id), (other, (await new_link(other)).id)):
        await save(each, link_id, assembled(each))
    column, id_ = OWNERS[table](seed)
    await seed.conn.execute(f"DELETE FROM {table} t WHERE t.account_id = $1 AND t.{column} = $2", seed.account_id, id_)
    rows = await seed.conn.fetch("SELECT k.account_id FROM kept_feeds k")
    assert [row["account_id"] for row in rows] == [other.account_id]


IMPOSSIBLE: dict[str, tuple[str, dict[str, Any]]] = {
    "one component more than sizes": ("components", {"activity_ids": [UUID(int=n) for n in range(4)]}),
    "one size more than components": ("components", {"sizes": [1, 2, 3, 4]}),
    "no events": ("components", {"events": []}),
    "one count more than blocks": ("blocks", {"counts": [1, 1, 1]}),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
async def test_feed_whose_parts_do_not_agree_is_refused_by_the_database(
    seed: Seed, link: LinkRecord, what: str
) -> None:
    constraint, said = IMPOSSIBLE[what]
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await save(seed, link.id, assembled(seed, **said))
    assert refused.value.constraint_name == f"kept_feeds_{constraint}_check"


@pytest.mark.parametrize("column", ["calendar_versions", "calendar_times"])
async def test_calendar_without_its_version_is_refused_by_the_database(
    seed: Seed, link: LinkRecord, column: str
) -> None:
    await save(seed, link.id, assembled(seed))
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await seed.conn.execute(f"UPDATE kept_feeds SET {column} = {column}[1:1]")
    assert refused.value.constraint_name == "kept_feeds_calendars_check"


async def test_octets_that_are_compressed_already_are_stored_as_they_are(seed: Seed, link: LinkRecord) -> None:
    """Nobody spends time on them: of a feed that would compress well, here."""
    await save(seed, link.id, assembled(seed, deflated=[b"a" * 100_000, b""]))
    sql = "SELECT pg_column_compression(deflated), pg_column_size(deflated) >= 100000 FROM kept_feeds"
    assert [tuple(row) for row in await seed.conn.fetch(sql)] == [(None, True)]

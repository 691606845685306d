"""Large feeds that are kept in their components, and brought up to date by what has changed of them."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest

from db.pool import create_pool, hold
from feed.body import feed_content, read_rows
from feed.feeds import gate_feed
from feed.room import FeedLimits
from feed.updating import KeptFeeds
from tests.feed.subscription import DAY, gate_of, subscribe, weekly
from tests.seed import HOUR, NOW, CountingPool, Seed, Service, feeds_alone, meeting, task

MANY = 40
PARTLY = "AND e.activity_id = ANY ("  # in the statement that reads some activities of a feed


@asynccontextmanager
async def keeping(
    dsn: str, *, fewest: int = 1, most_octets: int = 10_000_000
) -> AsyncIterator[tuple[Service, CountingPool]]:
    async with create_pool(dsn) as pool:
        counting = CountingPool(pool)
        async with feeds_alone(counting, partial(hold, dsn), KeptFeeds(most_octets, fewest)) as service:
            yield service, counting


def reads(pool: CountingPool) -> list[bool]:
    """The readings of feeds since the last time: whether each was of some of its activities alone."""
    found = [PARTLY in sql for sql in pool.sent if "FROM activities" in sql and "LEFT JOIN fragments" in sql]
    pool.sent.clear()
    return found


async def fill(seed: Seed) -> None:
    await seed.write(*(meeting(f"m{n}", starts_at=NOW + n * HOUR, ends_at=NOW + n * HOUR + HOUR) for n in range(MANY)))
    await seed.write(*(task(f"t{n}", due_at=NOW + n * HOUR) for n in range(5)))
    await seed.write(meeting("s0", recurrence=weekly(), starts_at=None, ends_at=None))
    await seed.write(*(meeting(f"m{n}") for n in range(0, MANY, 3)), calendars=(seed.team,))


Change = Callable[[Seed, str, int], Awaitable[object]]


def by_sql(sql: str) -> Change:
    """`$1` is the external id of some activity, `$2` a number that did not occur before."""

    async def change(seed: Seed, external_id: str, number: int) -> object:
        return await seed.conn.execute(f"WITH p AS (SELECT $1::text AS id, $2::int AS n) {sql}", external_id, number)

    return change


async def write_new(seed: Seed, external_id: str, number: int) -> None:
    await seed.write(meeting(f"new{number}", title=f"New {number}"))


async def write_again(seed: Seed, external_id: str, number: int) -> None:
    await seed.write(meeting(external_id, title=f"Again {number}"))


async def write_to_team(seed: Seed, external_id: str, number: int) -> None:
    await seed.write(meeting(external_id, title=f"For the team {number}"), calendars=(seed.team,))


ENTRY = "USING activities a, p WHERE c.activity_id = a.id AND a.external_id = p.id"
CHANGES: dict[str, Change] = {
    "title": by_sql("UPDATE activities a SET title = 'Title ' || p.n FROM p WHERE a.external_id = p.id"),
    "titles": by_sql("UPDATE activities a SET title = 'Titles ' || p.n FROM p WHERE a.type = 'TASK'"),
    "time": by_sql(
        "UPDATE activities a SET ends_at = a.starts_at + p.n * interval '1 s' FROM p WHERE a.external_id = p.id"
    ),
    "out of the window": by_sql(
        "UPDATE activities a SET starts_at = '2020-01-01Z', ends_at = NULL FROM p WHERE a.external_id = p.id"
    ),
    "into a note": by_sql("UPDATE activities a SET type = 'NOTE' FROM p WHERE a.external_id = p.id"),
    "private": by_sql("UPDATE activities a SET private = NOT a.private FROM p WHERE a.external_id = p.id"),
    "owner": by_sql(
        "UPDATE activities a SET owner_id = u.id FROM p, users u WHERE a.external_id = p.id AND u.email LIKE 'ben%'"
    ),
    "deleted": by_sql("DELETE FROM activities a USING p WHERE a.external_id = p.id AND p.n % 2 = 0"),
    "taken out": by_sql(f"DELETE FROM calendar_entries c {ENTRY} AND p.n % 2 = 0"),
    "done": by_sql("UPDATE activities a SET status = 'COMPLETED' FROM p WHERE a.external_id = 't' || p.n % 5"),
    "series": by_sql("UPDATE activities a SET title = 'Weekly ' || p.n FROM p WHERE a.external_id = 's0'"),
    "new": write_new,
    "written again": write_again,
    "for the team": write_to_team,
    "calendar renamed": by_sql("UPDATE calendars c SET name = 'Team ' || p.n FROM p WHERE c.external_id IS NULL"),
    "zone": by_sql("UPDATE users u SET time_zone = CASE p.n % 2 WHEN 0 THEN 'UTC' ELSE 'Asia/Tokyo' END FROM p"),
}


@pytest.mark.parametrize("of_all", [False, True])
async def test_feed_that_is_brought_up_to_date_is_the_one_that_is_read_whole(
    seed: Seed, dsn: str, service: Service, of_all: bool
) -> None:
    await fill(seed)
    link = await subscribe(service, seed.anna, None if of_all else seed.own)
    chance, partly = random.Random(7), 0
    async with keeping(dsn) as (kept, pool), keeping(dsn, fewest=1_000_000) as (whole, others):
        for number in range(120):
            how = chance.choice(sorted(CHANGES))
            await CHANGES[how](seed, f"m{chance.randrange(MANY)}", number)
            answers = [await each.poll(link.url) for each in (kept, whole)]
            assert [answer.status for answer in answers] == [200, 200]
            assert await answers[0].read() == await answers[1].read(), (number, how)
            assert answers[0].headers["ETag"] == answers[1].headers["ETag"]
            partly += sum(reads(pool))
            assert not any(reads(others))
    assert partly > 60


async def test_one_change_reads_one_activity_however_large_the_feed(seed: Seed, dsn: str, service: Service) -> None:
    """So whatever the database holds of the others in the meantime is not looked at."""
    await fill(seed)
    link = await subscribe(service, seed.anna, seed.own)
    async with keeping(dsn) as (kept, pool):
        before = await (await kept.poll(link.url)).read()
        assert reads(pool) == [False]
        await seed.conn.execute("UPDATE fragments SET ics = 'not looked at'")
        await seed.conn.execute("UPDATE activities SET title = 'Other' WHERE external_id = 'm7'")
        after = await (await kept.poll(link.url)).read()
        assert reads(pool) == [True]
    assert after.count(b"SUMMARY:Other") == 1
    assert b"not looked at" not in after
    assert after.count(b"BEGIN:VEVENT") == before.count(b"BEGIN:VEVENT")


async def test_feed_that_grows_too_large_is_read_whole(seed: Seed, dsn: str, service: Service) -> None:
    await fill(seed)
    link = await subscribe(service, seed.anna, seed.own)
    async with keeping(dsn, most_octets=1) as (kept, pool):
        for n in range(2):
            await seed.write(meeting(f"new{n}"))
            await kept.poll(link.url)
            assert reads(pool) == [False]


async def test_small_feed_is_read_whole(seed: Seed, dsn: str, service: Service) -> None:
    await fill(seed)
    link = await subscribe(service, seed.anna, seed.own)
    async with keeping(dsn, fewest=MANY * 2) as (kept, pool):
        for n in range(2):
            await seed.write(meeting(f"new{n}"))
            await kept.poll(link.url)
            assert reads(pool) == [False]


async def test_next_day_is_read_whole(seed: Seed, dsn: str, service: Service) -> None:
    """It shows other days, and has other tasks overdue, though nothing has changed."""
    await fill(seed)
    gate = await gate_of(seed.conn, await subscribe(service, seed.anna, seed.own))
    today, tomorrow = (gate_feed(gate, now) for now in (NOW, NOW + DAY))
    feeds = KeptFeeds(10_000_000, 1)
    async with create_pool(dsn) as pool:
        feeds.keep(gate, await feed_content(await read_rows(seed.conn, today), pool, FeedLimits()))
    kept = feeds.get(gate.link_id)
    assert kept
    assert await kept.changed(seed.conn, gate, today) == set()
    assert await kept.changed(seed.conn, gate, tomorrow) is None

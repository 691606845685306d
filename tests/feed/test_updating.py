"""Large feeds that are kept in their components, and brought up to date by what has changed of them."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import pytest

from db.pool import create_pool, hold
from feed.room import FeedLimits
from feed.updating import MOST_BEHIND, CurrentFeeds
from tests.feed.subscription import DAY, octets_at, subscribe, token_of, weekly
from tests.seed import HOUR, NOW, CountingPool, Seed, Service, feeds_alone, meeting, task

MANY = 40
PARTLY = "AND e.activity_id = ANY ("  # in the statement that reads some activities of a feed


@asynccontextmanager
async def keeping(
    dsn: str, *, fewest: int = 1, most_octets: int = 10_000_000
) -> AsyncIterator[tuple[Service, CountingPool]]:
    async with create_pool(dsn) as pool:
        counting = CountingPool(pool)
        async with feeds_alone(counting, partial(hold, dsn), most_octets, fewest) as service:
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
    chance, partly = random.Random(7), [0, 0]
    async with keeping(dsn) as (kept, pool), keeping(dsn, most_octets=0) as (fresh, others):  # all from the database
        for number in range(120):
            how = chance.choice(sorted(CHANGES))
            await CHANGES[how](seed, f"m{chance.randrange(MANY)}", number)
            whole = await octets_at(dsn, link.url, datetime.now(UTC))
            answers = [await each.poll(link.url) for each in (kept, fresh)]
            assert [answer.status for answer in answers] == [200, 200]
            assert [await answer.read() for answer in answers] == [whole, whole], (number, how)
            assert answers[0].headers["ETag"] == answers[1].headers["ETag"]
            partly = [count + sum(reads(each)) for count, each in zip(partly, (pool, others), strict=True)]
    assert min(partly) > 60


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


async def test_feed_that_memory_has_no_room_for_is_brought_up_to_date_from_the_database(
    seed: Seed, dsn: str, service: Service
) -> None:
    await fill(seed)
    link = await subscribe(service, seed.anna, seed.own)
    async with keeping(dsn, most_octets=1) as (kept, pool):
        found = []
        for n in range(3):
            await seed.write(meeting(f"new{n}"))
            await kept.poll(link.url)
            found += reads(pool)
    assert found == [False, True, True]


async def test_another_process_reads_no_activities_of_what_has_not_changed(
    seed: Seed, dsn: str, service: Service
) -> None:
    await fill(seed)
    link = await subscribe(service, seed.anna, seed.own)
    bodies = []
    for expected in ([False], []):
        async with keeping(dsn) as (process, pool):
            bodies.append(await (await process.poll(link.url)).read())
            assert reads(pool) == expected
    assert bodies[0] == bodies[1]


async def test_what_the_database_keeps_is_replaced_before_it_is_too_old(seed: Seed, dsn: str, service: Service) -> None:
    await fill(seed)
    link = await subscribe(service, seed.anna, seed.own)
    numbers = []
    async with keeping(dsn) as (kept, _):
        for n in range(MOST_BEHIND + 3):
            await seed.conn.execute("UPDATE activities SET title = $1 WHERE external_id = 'm7'", f"Title {n}")
            await kept.poll(link.url)
            numbers.append(await seed.conn.fetchval("SELECT k.calendar_versions[1] FROM kept_feeds k"))
    assert [number - numbers[0] for number in numbers] == [0] * (MOST_BEHIND + 1) + [MOST_BEHIND + 1] * 2


async def test_feed_that_cannot_be_kept_is_served(
    seed: Seed, dsn: str, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(seed)
    link = await subscribe(service, seed.anna, seed.own)
    await seed.conn.execute("ALTER TABLE kept_feeds ADD CONSTRAINT none CHECK (false)")
    try:
        async with keeping(dsn) as (kept, _):
            assert (await kept.poll(link.url)).status == 200
    finally:
        await seed.conn.execute("ALTER TABLE kept_feeds DROP CONSTRAINT none")
    assert "feed not kept" in caplog.text


async def test_feed_that_outgrows_the_limits_is_read_whole(seed: Seed, dsn: str, service: Service) -> None:
    await seed.write(*(meeting(f"m{n}", starts_at=NOW + n * HOUR, ends_at=None) for n in range(5)))
    token = token_of((await subscribe(service, seed.anna, seed.own)).url)
    async with create_pool(dsn) as pool:
        counting = CountingPool(pool)
        feeds = CurrentFeeds(counting, FeedLimits(most_events=6), 10_000_000, 1)
        for n, expected in enumerate([[False], [True], [True, False], [True, False]]):
            _, assembled = await feeds.read(token, NOW)
            assert reads(counting) == expected
            assert (assembled.events, assembled.over_cap) == (min(5 + n, 6), max(0, n - 1))
            await seed.write(meeting(f"new{n}"))


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
    token = token_of((await subscribe(service, seed.anna, seed.own)).url)
    async with create_pool(dsn) as pool:
        counting = CountingPool(pool)
        feeds = CurrentFeeds(counting, FeedLimits(), 10_000_000, 1)
        for now, read in ((NOW, [False]), (NOW, []), (NOW + DAY, [False])):
            await feeds.read(token, now)
            assert reads(counting) == read

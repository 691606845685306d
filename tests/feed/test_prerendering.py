"""What was changed in large numbers is rendered before a poll asks for it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from db.pool import PatientPool, Pool, create_pool
from feed.prerendering import Prerenderer
from feed.room import FeedLimits
from feed.updating import CurrentFeeds
from tests.seed import NOW, Seed, Service, meeting, running_service

SOME, MANY = 10, 11


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    async with create_pool(dsn) as pool:
        yield pool


def feeds_of(pool: Pool) -> CurrentFeeds:
    return CurrentFeeds(PatientPool(pool, 15), FeedLimits(), 0)


@pytest.fixture
def prerenderer(pool: Pool) -> Prerenderer:
    return Prerenderer(pool, feeds_of(pool))


async def write(seed: Seed, count: int) -> None:
    await seed.write(*(meeting(f"m{n}") for n in range(count)))


async def rendered(seed: Seed) -> int:
    count: int = await seed.conn.fetchval("SELECT count(*) FROM fragments")
    return count


async def test_many_activities_are_rendered_ahead_of_the_poll(
    seed: Seed, service: Service, prerenderer: Prerenderer
) -> None:
    url = await service.generate(seed.anna, seed.own)
    await write(seed, MANY)
    await prerenderer.render_ahead()
    assert await rendered(seed) == MANY
    stored = await seed.conn.fetch("SELECT f.xmin::text, f.ics FROM fragments f ORDER BY f.activity_id")
    body = await (await service.poll(url)).read()
    assert all(line in body for row in stored for line in row["ics"].splitlines())
    assert await seed.conn.fetch("SELECT f.xmin::text, f.ics FROM fragments f ORDER BY f.activity_id") == stored


async def test_few_activities_are_left_to_the_poll(seed: Seed, service: Service, prerenderer: Prerenderer) -> None:
    await service.generate(seed.anna, seed.own)
    await write(seed, SOME)
    await prerenderer.render_ahead()
    assert await rendered(seed) == 0


async def test_what_no_link_shows_is_not_rendered(seed: Seed, service: Service, prerenderer: Prerenderer) -> None:
    await service.generate(seed.ben, seed.team)
    await write(seed, MANY)
    await prerenderer.render_ahead()
    assert await rendered(seed) == 0


@pytest.mark.parametrize(
    "ended",
    [
        "UPDATE feed_links SET revoked_at = $1",
        "UPDATE feed_links SET paused_at = $1",
        "UPDATE users SET deactivated_at = $1",
        "UPDATE calendar_access SET withdrawn_at = $1",
        "UPDATE accounts SET suspended_at = $1",
    ],
)
async def test_nothing_is_rendered_for_a_link_that_serves_nothing(
    seed: Seed, service: Service, prerenderer: Prerenderer, ended: str
) -> None:
    await service.generate(seed.anna, seed.own)
    await write(seed, MANY)
    await seed.conn.execute(ended, NOW)
    await prerenderer.render_ahead()
    assert await rendered(seed) == 0


async def test_each_kind_of_link_is_rendered_for_once(seed: Seed, service: Service, prerenderer: Prerenderer) -> None:
    for name in ("", "phone", "tablet"):
        await service.generate(seed.anna, seed.own, name=name)
    await service.generate(seed.anna, seed.own, name="busy", options={"detail": "BUSY"})
    await write(seed, MANY)
    await prerenderer.render_ahead()
    variants = await seed.conn.fetch("SELECT f.variant, count(*) FROM fragments f GROUP BY 1")
    assert [row["count"] for row in variants] == [MANY, MANY]


async def test_what_one_process_has_claimed_no_other_renders(
    seed: Seed, service: Service, prerenderer: Prerenderer, pool: Pool
) -> None:
    await service.generate(seed.anna, seed.own)
    await write(seed, MANY)
    others = [Prerenderer(pool, feeds_of(pool)) for _ in range(3)]
    claimed = await asyncio.gather(*(each._claim() for each in (prerenderer, *others)))
    assert sorted(map(len, claimed)) == [0, 0, 0, 1]


async def test_running_service_renders_ahead(seed: Seed, dsn: str, service: Service) -> None:
    await service.generate(seed.anna, seed.own)
    async with running_service(dsn, render_ahead=True):
        await write(seed, MANY)
        async with asyncio.timeout(30):
            while await rendered(seed) < MANY:
                await asyncio.sleep(0.1)


async def test_failure_is_said_once_and_tried_again(seed: Seed, service: Service, pool: Pool) -> None:
    await service.generate(seed.anna, seed.own)
    await write(seed, MANY)
    await seed.conn.execute("ALTER TABLE calendar_changes RENAME TO elsewhere")
    with capture_logs() as logs:
        async with Prerenderer(pool, feeds_of(pool), pause_seconds=0.05).running():
            try:
                await asyncio.sleep(0.5)
            finally:
                await seed.conn.execute("ALTER TABLE elsewhere RENAME TO calendar_changes")
            async with asyncio.timeout(30):
                while await rendered(seed) < MANY:
                    await asyncio.sleep(0.1)
    assert [entry["error"] for entry in logs] == ["UndefinedTableError"]

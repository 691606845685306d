"""What grows with a feed and what does not, in statements and rendered components: the same on every machine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from db.gate import STAMPS_ACROSS_ACCOUNTS
from db.pool import PatientPool, hold
from tests.api.integrating import listening_to
from tests.seed import HOUR, NOW, Seed, Service, feeds_alone, meeting

SIZES = (10, 700)


@asynccontextmanager
async def listening(dsn: str) -> AsyncIterator[tuple[Service, list[str]]]:
    """The feed route, and all statements that it sends. It keeps every feed."""
    sent: list[str] = []
    listen = listening_to(sent)

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        conn = await hold(dsn)
        await listen(conn)
        return conn

    async with asyncpg.create_pool(dsn, min_size=0, init=listen) as pool:
        async with feeds_alone(PatientPool(pool, 15), connect, most_octets=100_000_000, fewest=1) as service:
            yield service, sent


async def fill(seed: Seed, size: int) -> None:
    await seed.write(*(meeting(f"m{n}", starts_at=NOW + n * HOUR, ends_at=None) for n in range(size)))


@pytest.mark.parametrize("size", SIZES)
async def test_poll_without_news_is_one_statement(seed: Seed, dsn: str, service: Service, size: int) -> None:
    await fill(seed, size)
    url = await service.generate(seed.anna, seed.own)
    async with listening(dsn) as (polled, sent):
        tag = (await polled.poll(url)).headers["ETag"]
        sent.clear()
        answer = await polled.poll(url, If_None_Match=tag)
        assert (answer.status, sent) == (304, [STAMPS_ACROSS_ACCOUNTS])


async def test_one_change_is_the_same_statements_and_one_rendered_component_whatever_the_size(
    seed: Seed, dsn: str, service: Service
) -> None:
    url, found = await service.generate(seed.anna, seed.own), list[list[str]]()
    fragments = "SELECT f.activity_id, f.xmin::text FROM fragments f"
    async with listening(dsn) as (polled, sent):
        for size in SIZES:
            await fill(seed, size)
            await polled.poll(url)
            before = set(await seed.conn.fetch(fragments))
            await seed.conn.execute("UPDATE activities SET title = $1 WHERE external_id = 'm7'", f"Of {size}")
            sent.clear()
            body = await (await polled.poll(url)).text()
            assert (body.count(f"SUMMARY:Of {size}"), body.count("BEGIN:VEVENT")) == (1, size)
            assert (len(before), len(set(await seed.conn.fetch(fragments)) - before)) == (size, 1)
            found.append(list(sent))
    assert found[0] == found[1]
    assert len(found[0]) < 15

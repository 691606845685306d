"""Resets and lost rights race polls over several worker processes: what is acknowledged holds for the very next poll.

A round ends a link in one of ten ways, looks at every worker at once, and lets the link serve again.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack

import pytest

from db.pool import Conn, Pool, create_pool
from tests.api.links.racing import (
    ENDED,
    MARK,
    OF_USER,
    WAYS,
    WORKERS,
    Line,
    Racer,
    Served,
    enter,
    look,
    reset,
    reset_all,
)
from tests.feed.subscription import HOST, token_of
from tests.process import free_port, running, until
from tests.seed import JWT_SECRET, SECRET_KEY, Seed, meeting

ALONE, PAIRS = 4, 1  # accounts of one racer, and of two
RACERS = ALONE + 2 * PAIRS
KILLS = 3
SERVES = (MARK,)
RESETS = ("reset", "reset with all")


@pytest.fixture(scope="module")
def served(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    said = {
        "port": free_port(),
        "database_url": dsn,
        "secret_keys": SECRET_KEY,
        "jwt_secret": JWT_SECRET,
        "public_url": HOST,
        "link_polls_per_minute": 0,
        "unknown_polls_per_minute": 0,
        "log_level": "WARNING",
    }
    with running(tmp_path_factory.mktemp("races") / "data", "serve", "--workers", str(WORKERS), **said) as process:
        served = Served(process, f"http://127.0.0.1:{said['port']}")
        until(lambda: len(served.workers) == WORKERS)
        yield served


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    async with create_pool(dsn) as pool:
        yield pool


@pytest.fixture
async def lines(served: Served) -> AsyncIterator[list[Line]]:
    """One line to each worker."""
    async with AsyncExitStack() as stack:
        yield [line for (line,) in await served.connect(stack, 1)]


async def race(racers: Sequence[Racer]) -> Counter[str]:
    async with asyncio.TaskGroup() as group:
        for racer in racers:
            group.create_task(racer.race())
    return sum((racer.counts for racer in racers), Counter())


def ways(times: int) -> dict[str, int]:
    """How many rounds go each way."""
    return {name: times * (RACERS if name in OF_USER else ALONE) for name in WAYS}


async def titles(lines: Sequence[Line], url: str, known: str | None = None) -> list[tuple[str, ...]]:
    return [seen.titles for seen in await look(lines, url, known)]


async def link_counts(conn: Conn) -> tuple[int, int]:
    """How many links there are, and how many resets of them."""
    (row,) = await conn.fetch("SELECT count(*), sum(l.generation - 1) FROM feed_links l")
    return row[0], row[1]


async def check_for_good(racer: Racer, lines: Sequence[Line]) -> None:
    """Of all URLs that the racer ever had, the last one serves."""
    for url, tag in racer.dead:
        assert await titles(lines, url, tag) == [ENDED] * len(lines)
    assert await titles(lines, racer.url) == [racer.titles] * len(lines)


async def test_no_poll_at_any_worker_sees_data_once_the_end_of_its_link_is_acknowledged(
    served: Served, conn: Conn, pool: Pool
) -> None:
    times, log, pids = 36, served.log(), served.workers
    async with AsyncExitStack() as stack:
        lines = await served.connect(stack, 2 * RACERS)
        racers = await enter(conn, pool, lines, times, ALONE, PAIRS)
        counts = await race(racers)
        for racer in racers:
            await check_for_good(racer, racer.checking[:1])
        assert {len(line.sockets) for worker in lines for line in worker} == {1}
    expected = ways(times)
    assert {name: counts[name] for name in WAYS} == expected
    assert counts["rounds"] == sum(expected.values()) == 2016
    assert counts["looks"] == counts["rounds"] * WORKERS
    assert min(counts[f"watched, {what}"] for what in ("ended", "serving", "dead")) >= 100
    resets = sum(counts[name] for name in RESETS)
    assert sum(len(racer.dead) for racer in racers) == resets + counts["revoked"]
    assert await link_counts(conn) == (RACERS + counts["revoked"], resets)
    assert (served.workers, served.log()) == (pids, log)


async def test_url_before_a_reset_serves_at_every_worker_during_its_grace_and_not_after_the_next_reset(
    seed: Seed, lines: Sequence[Line]
) -> None:
    await seed.write(meeting(title=MARK))
    urls, tags = [await lines[0].generate(seed.anna, seed.own)], [""]
    for number in range(30):
        before = await look(lines, urls[-1])
        assert [seen.titles for seen in before] == [SERVES] * WORKERS
        urls.append(await lines[number % WORKERS].generate(seed.anna, seed.own, regenerate=True, graceHours=1))
        for url in urls[-2:]:
            assert await titles(lines, url) == [SERVES] * WORKERS
        for url in urls[-3:-2]:
            assert await titles(lines, url, tags[-1]) == [ENDED] * WORKERS
        tags.append(before[0].tag)
    urls.append(await reset(lines[0], seed.anna, seed.own))
    found = [await titles(lines, url, tags[-1]) for url in urls]
    assert found == [[ENDED] * WORKERS] * 31 + [[SERVES] * WORKERS]


async def test_two_resets_of_a_link_at_once_are_two_generations_of_which_the_last_serves(
    seed: Seed, lines: Sequence[Line]
) -> None:
    await seed.write(meeting(title=MARK))
    url = await lines[0].generate(seed.anna, seed.own)
    for number in range(60):
        tag = (await lines[0].look(url)).tag
        one, other = lines[number % WORKERS], lines[(number + 1) % WORKERS]
        second = reset_all(other, seed.anna) if number % 2 else reset(other, seed.anna, seed.own)
        fresh = await asyncio.gather(reset(one, seed.anna, seed.own), second)
        generations = {token_of(new).generation: new for new in fresh}
        assert sorted(generations) == [2 * number + 2, 2 * number + 3]
        assert await titles(lines, url, tag) == [ENDED] * WORKERS
        assert await titles(lines, generations[2 * number + 2], tag) == [ENDED] * WORKERS
        url = generations[2 * number + 3]
        assert await titles(lines, url, tag) == [SERVES] * WORKERS


async def test_killed_workers_undo_nothing_that_was_acknowledged(served: Served, conn: Conn, pool: Pool) -> None:
    """A call or a poll that got no answer is repeated, a reset with its `requestId`; so each is one reset."""
    times = 6
    async with AsyncExitStack() as stack:
        lines = await served.connect(stack, 2 * RACERS, patient=True)
        racers = await enter(conn, pool, lines, times, ALONE, PAIRS)
        killing = asyncio.create_task(kill_workers(served, racers, sum(ways(times).values())))
        counts = await race(racers)
        await killing
        assert sum(len(line.sockets) for worker in lines for line in worker) > WORKERS * 2 * RACERS
        fresh = [line for (line,) in await served.connect(stack, 1)]
        for racer in racers:
            await check_for_good(racer, fresh)
    assert {name: counts[name] for name in WAYS} == ways(times)
    assert counts["looks"] == counts["rounds"] * WORKERS
    resets = sum(counts[name] for name in RESETS)
    assert await link_counts(conn) == (RACERS + counts["revoked"], resets)


async def kill_workers(served: Served, racers: Sequence[Racer], rounds: int) -> None:
    """Kill one worker after another while the rounds go on."""
    for number in range(1, KILLS + 1):
        while sum(racer.counts["rounds"] for racer in racers) < number * rounds // (KILLS + 1):
            await asyncio.sleep(0.01)
        before = served.workers
        killed = before[number % WORKERS]
        os.kill(killed, signal.SIGKILL)
        while len({*served.workers} - {killed}) < WORKERS:
            await asyncio.sleep(0.05)

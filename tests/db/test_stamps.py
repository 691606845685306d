"""Stamps of links: asked for together, each after its poll arrived, also while the database is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.gate import STAMPS, STAMPS_ACROSS_ACCOUNTS, LinkKey, get_gate
from db.links import add_link
from db.pool import DatabaseUnreachableError, hold
from db.stamps import MOST_WAITING, Stamps
from tests.seed import NOW, Seed, plant


@dataclass
class Line:
    """Connections to the database, and what is sent on them; it can be cut."""

    dsn: str
    sent: list[str] = field(default_factory=list)
    made: int = 0
    is_cut: bool = False

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        if self.is_cut:
            raise ConnectionRefusedError
        self.made += 1
        conn = await hold(self.dsn)
        await conn.fetchval("SELECT 1")
        conn.add_query_logger(lambda record: self.sent.append(record.query))
        return conn


@pytest.fixture
def line(dsn: str) -> Line:
    return Line(dsn)


@asynccontextmanager
async def running(line: Line, *, patience: float = 15, distributed: bool = False) -> AsyncIterator[Stamps]:
    stamps = Stamps(line.connect, patience, distributed=distributed)
    async with stamps.running():
        yield stamps


async def link_of(seed: Seed, calendar_id: UUID | None = None) -> LinkKey:
    link = await add_link(seed.conn, seed.account_id, seed.anna.id, calendar_id, str(uuid4()), "k1", NOW)
    assert link
    return LinkKey(seed.account_id, link.id)


async def statements(line: Line) -> list[str]:
    """What was sent but for asyncpg's own questions for the names of types."""
    await asyncio.sleep(0)  # the log is written when the loop comes to it
    return [text for text in line.sent if text in (STAMPS, STAMPS_ACROSS_ACCOUNTS)]


async def test_polls_that_wait_together_are_answered_by_one_statement(seed: Seed, line: Line) -> None:
    other = await plant(seed.conn, "Other")
    links = [await link_of(seed), await link_of(seed, seed.own), await link_of(other), await link_of(other, other.team)]
    async with running(line) as stamps:
        first = await asyncio.gather(*map(stamps.ask, [*links, *links]))
        assert len(await statements(line)) == 1
        assert first[:4] == first[4:]
        assert len(set(first)) == 4
        for link, stamp in zip(links, first, strict=False):
            gate = await get_gate(seed.conn, *link, 1)
            assert gate
            assert stamp == gate.stamp
    assert line.made == 1


async def test_poll_that_arrives_while_others_are_answered_is_asked_anew(seed: Seed, line: Line) -> None:
    link = await link_of(seed)
    async with running(line) as stamps:
        first = await stamps.ask(link)
        async with seed.conn.transaction():
            await seed.conn.execute("LOCK TABLE feed_links IN ACCESS EXCLUSIVE MODE")
            early = asyncio.create_task(stamps.ask(link))
            await asyncio.sleep(0.1)  # its statement waits for the lock
            late = asyncio.create_task(stamps.ask(link))
            await seed.conn.execute("UPDATE feed_links SET paused_at = $1", NOW)
        assert await early != first
        assert await late == await early
        assert len(await statements(line)) == 3


async def test_stamps_by_account_are_those_across_accounts(seed: Seed, line: Line) -> None:
    """For a database that is distributed by account: one statement for each."""
    other = await plant(seed.conn, "Other")
    links = [await link_of(seed), await link_of(other, other.own), await link_of(seed, seed.team)]
    async with running(line) as across, running(line, distributed=True) as by_account:
        assert await asyncio.gather(*map(across.ask, links)) == await asyncio.gather(*map(by_account.ask, links))
    assert await statements(line) == [STAMPS_ACROSS_ACCOUNTS, STAMPS, STAMPS]


@pytest.mark.parametrize("distributed", [False, True])
async def test_link_of_another_account_has_no_stamp(seed: Seed, line: Line, distributed: bool) -> None:
    link, other = await link_of(seed), await plant(seed.conn, "Other")
    async with running(line, distributed=distributed) as stamps:
        assert await stamps.ask(link._replace(account_id=other.account_id)) is None
        assert await stamps.ask(LinkKey(seed.account_id, uuid4())) is None


async def test_connection_that_is_lost_is_made_anew_and_nobody_notices(seed: Seed, line: Line) -> None:
    link = await link_of(seed)
    async with running(line) as stamps:
        before = await stamps.ask(link)
        for _ in range(3):
            await seed.conn.execute(
                "SELECT pg_terminate_backend(s.pid, 5000) FROM pg_stat_activity s"
                " WHERE s.datname = current_database() AND s.pid <> pg_backend_pid() AND s.query LIKE '%record_send%'"
            )
            assert await asyncio.gather(*(stamps.ask(link) for _ in range(20))) == [before] * 20
    assert line.made == 4


async def test_polls_wait_for_a_database_that_is_away_as_long_as_they_have_patience(seed: Seed, line: Line) -> None:
    link, line.is_cut = await link_of(seed), True
    async with running(line, patience=1) as hasty, running(line, patience=15) as patient:
        waiting = asyncio.create_task(patient.ask(link))
        with pytest.raises(DatabaseUnreachableError):
            await hasty.ask(link)
        assert not waiting.done()
        line.is_cut = False
        assert await waiting == await hasty.ask(link)


async def test_poll_without_patience_is_told_at_once(seed: Seed, line: Line) -> None:
    line.is_cut = True
    async with running(line, patience=0) as stamps:
        with pytest.raises(DatabaseUnreachableError):
            await stamps.ask(await link_of(seed))


async def test_only_so_many_polls_wait_for_a_database_that_is_away(seed: Seed, line: Line) -> None:
    link, line.is_cut = await link_of(seed), True
    async with running(line) as stamps:
        many = [asyncio.create_task(stamps.ask(link)) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0.1)
        with pytest.raises(DatabaseUnreachableError):
            await stamps.ask(link)
        line.is_cut = False
        assert len({await stamp for stamp in many}) == 1


async def test_client_that_hangs_up_takes_nothing_from_the_others(seed: Seed, line: Line) -> None:
    link = await link_of(seed)
    async with running(line) as stamps:
        gone, stays = asyncio.create_task(stamps.ask(link)), asyncio.create_task(stamps.ask(link))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == await stamps.ask(link)
        assert gone.cancelled()


async def test_fault_of_ours_is_told_and_the_next_poll_is_answered(seed: Seed, dsn: str) -> None:
    link, given = await link_of(seed), [dsn, "postgresql:///nothing?host=/nowhere&port=x"]
    stamps = Stamps(lambda: hold(given.pop()), patience=15)
    async with stamps.running():
        with pytest.raises(ValueError, match="invalid literal"):
            await stamps.ask(link)
        assert await stamps.ask(link)

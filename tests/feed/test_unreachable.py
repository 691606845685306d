"""Polls while PostgreSQL is away: killed, restarted, frozen. Each on a server of its own, which may die."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from db.embedded import postgres
from db.migrate import migrate
from tests.seed import Service, meeting, plant, running_service


@dataclass(frozen=True)
class Fragile:
    """A database whose server may be killed or frozen, and the URL of a feed in it."""

    dsn: str
    postmaster_file: Path
    url: str

    @property
    def postmaster(self) -> int:
        return int(self.postmaster_file.read_text().splitlines()[0])

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the postmaster and to every backend: they are in no process group together."""
        backends = Path(f"/proc/{self.postmaster}/task/{self.postmaster}/children").read_text().split()
        for pid in (self.postmaster, *map(int, backends)):
            os.kill(pid, number)


@pytest.fixture
async def fragile(tmp_path: Path) -> AsyncIterator[Fragile]:
    with postgres(tmp_path) as dsn:
        await migrate(dsn)
        conn = await asyncpg.connect(dsn)
        seed = await plant(conn)
        await seed.write(meeting())
        await conn.close()
        async with running_service(dsn) as service:
            url = await service.generate(seed.anna, seed.own)
        yield Fragile(dsn, tmp_path / "postgres" / "postmaster.pid", url)


async def status(service: Service, url: str) -> int:
    return (await service.poll(url)).status


async def test_polls_do_not_notice_that_postgres_was_killed_and_restarted(fragile: Fragile) -> None:
    async with running_service(fragile.dsn) as service:
        before = await (await service.poll(fragile.url)).read()
        polls = [asyncio.create_task(service.poll(fragile.url)) for _ in range(20)]
        os.kill(fragile.postmaster, signal.SIGKILL)
        polls += [asyncio.create_task(service.poll(fragile.url)) for _ in range(20)]
        answers = await asyncio.gather(*polls)
        assert {answer.status for answer in answers} == {200}
        assert {await answer.read() for answer in answers} == {before}


async def test_poll_is_503_with_seconds_to_wait_once_its_patience_is_over(fragile: Fragile) -> None:
    async with running_service(fragile.dsn, patience_seconds=0.5) as service:
        assert await status(service, fragile.url) == 200
        fragile.signal_all(signal.SIGSTOP)
        try:
            answer = await service.poll(fragile.url)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "60")
            assert (answer.content_type, answer.headers["Cache-Control"]) == ("text/plain", "no-store")
            assert await status(service, "/feeds/garbage.ics") == 404
            assert await status(service, "/readyz") == 503
            assert await status(service, "/healthz") == 200
        finally:
            fragile.signal_all(signal.SIGCONT)
        async with asyncio.timeout(20):
            while await status(service, fragile.url) != 200:
                await asyncio.sleep(0.1)
        assert await status(service, "/readyz") == 200


async def test_poll_without_patience_is_503_at_once(fragile: Fragile) -> None:
    async with running_service("postgresql://nobody@127.0.0.1:1/nothing", patience_seconds=0) as service:
        assert await status(service, fragile.url) == 503

"""Limits of polls: in memory, in a real Redis that processes share, and while that Redis is away."""

import asyncio
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from uuid import uuid4

import pytest
from redis import Redis
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from feed.rates import REDIS_PAUSE, REDIS_TIMEOUT, Memory, PollRates
from tests.process import free_port, until

LINK_ID = uuid4()
LINK, RESET, OTHER = f"{LINK_ID}.1.k1", f"{LINK_ID}.2.k1", f"{uuid4()}.1.k1"
NETWORK, ELSEWHERE = ip_network("198.51.100.0/24"), ip_network("2001:db8:1::/48")
PASSWORD = "hunter2"


@dataclass
class RedisServer:
    """A redis-server of the test's own, which can be killed and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def start(self) -> None:
        self.process = _start(self.folder, self.port)


def _start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    options = {"port": port, "bind": "127.0.0.1", "requirepass": PASSWORD, "save": "", "dir": folder}
    command = ["redis-server", *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until(lambda: _answers(port))
    return process


def _answers(port: int) -> bool:
    with Redis(port=port, password=PASSWORD) as client:
        try:
            return bool(client.ping())
        except RedisError:
            return False


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    assert shutil.which("redis-server"), "these tests need: sudo apt-get install redis-server"
    port = free_port()
    server = RedisServer(tmp_path, port, _start(tmp_path, port))
    try:
        yield server
    finally:
        server.kill()


@asynccontextmanager
async def poll_rates(
    link: int, unknown: int, redis: RedisServer | None = None, window: int = 60
) -> AsyncIterator[PollRates]:
    rates = PollRates(link, unknown, redis.url if redis else None, window)
    async with aclosing(rates):
        yield rates


async def polls(rates: PollRates, count: int, key: str = LINK) -> list[int | None]:
    return [about(await rates.link(key)) for _ in range(count)]


def about(seconds: int | None) -> int | None:
    """In tens, rounded up, because a busy machine makes a test slow, not wrong."""
    return seconds and -(-seconds // 10) * 10


@pytest.fixture(params=["memory", "redis"])
def where(request: pytest.FixtureRequest) -> RedisServer | None:
    server: RedisServer | None = request.getfixturevalue("redis") if request.param == "redis" else None
    return server


async def test_poll_beyond_the_limit_of_its_link_is_told_when_to_come_again(where: RedisServer | None) -> None:
    async with poll_rates(3, 0, redis=where) as rates:
        assert await polls(rates, 5) == [None, None, None, 60, 60]
        assert await rates.link(OTHER) is None


async def test_polls_of_a_url_leave_the_next_one_of_its_link_alone(where: RedisServer | None) -> None:
    async with poll_rates(2, 0, redis=where) as rates:
        assert await polls(rates, 3) == [None, None, 60]
        assert await polls(rates, 3, RESET) == [None, None, 60]


async def test_poll_beyond_the_limit_of_its_network_is_told_when_to_come_again(where: RedisServer | None) -> None:
    async with poll_rates(0, 2, redis=where) as rates:
        assert [about(await rates.unknown(NETWORK)) for _ in range(3)] == [None, None, 60]
        assert await rates.unknown(ELSEWHERE) is None


async def test_poll_comes_again_after_just_the_seconds_that_it_was_told(where: RedisServer | None) -> None:
    """No second of three sees more than two polls: the first makes room for one, not for two."""
    async with poll_rates(2, 0, redis=where, window=3) as rates:
        assert await rates.link(LINK) is None
        await asyncio.sleep(1.5)
        assert [await rates.link(LINK) for _ in range(2)] == [None, 2]
        await asyncio.sleep(1.2)
        assert await rates.link(LINK) == 1
        await asyncio.sleep(0.9)
        assert [await rates.link(LINK) for _ in range(2)] == [None, 1]


async def test_polls_that_come_together_are_counted_one_by_one(where: RedisServer | None) -> None:
    async with poll_rates(30, 0, redis=where) as rates:
        answers = await asyncio.gather(*(rates.link(LINK) for _ in range(60)))
        assert sorted(map(about, answers), key=bool) == [None] * 30 + [60] * 30


async def test_limit_of_zero_is_none(where: RedisServer | None) -> None:
    async with poll_rates(0, 0, redis=where) as rates:
        assert await polls(rates, 9) == [await rates.unknown(NETWORK) for _ in range(9)] == [None] * 9


async def test_caller_without_a_network_is_never_refused() -> None:
    async with poll_rates(1, 1) as rates:
        assert [await rates.unknown(None) for _ in range(3)] == [None] * 3


async def test_processes_share_the_count_in_redis(redis: RedisServer) -> None:
    async with poll_rates(3, 1, redis=redis) as one, poll_rates(3, 1, redis=redis) as other:
        answers = [await rates.link(LINK) for rates in (one, other, one, other, one)]
        assert [about(answer) for answer in answers] == [None, None, None, 60, 60]
        assert [about(await rates.unknown(NETWORK)) for rates in (one, other)] == [None, 60]


async def test_redis_forgets_a_link_after_its_minute(redis: RedisServer) -> None:
    async with poll_rates(3, 1, redis=redis) as rates:
        await rates.link(LINK)
        await rates.unknown(NETWORK)
    with Redis(port=redis.port, password=PASSWORD, decode_responses=True) as client:
        keys = {f"calendar-feeds:link/{LINK}/3/60/second", f"calendar-feeds:unknown/{NETWORK}/1/60/second"}
        assert set(client.keys()) == keys
        assert all(55 <= client.ttl(key) <= 60 for key in keys)


async def test_polls_are_served_and_counted_in_memory_while_redis_is_killed(redis: RedisServer) -> None:
    async with poll_rates(2, 0, redis=redis) as rates:
        assert await polls(rates, 3) == [None, None, 60]
        redis.kill()
        with capture_logs() as logs:
            assert await polls(rates, 3) == [None, None, 60]
            assert await polls(rates, 3, OTHER) == [None, None, 60]
            await asyncio.sleep(REDIS_PAUSE)
            assert await polls(rates, 2) == [60, 60]
        assert logs == [
            {"event": "redis away, polls are counted in memory", "error": "ConnectionError", "log_level": "warning"}
        ]
        redis.start()
        await asyncio.sleep(REDIS_PAUSE)
        with capture_logs() as logs:
            assert await polls(rates, 3) == [None, None, 60]
        assert logs == [{"event": "redis back", "log_level": "info"}]
        async with poll_rates(2, 0, redis=redis) as other:
            assert await polls(other, 1) == [60]


@contextmanager
def frozen(redis: RedisServer) -> Iterator[None]:
    redis.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        redis.process.send_signal(signal.SIGCONT)


async def test_polls_do_not_wait_for_a_redis_that_hangs(redis: RedisServer) -> None:
    async with poll_rates(2, 0, redis=redis) as rates:
        assert await polls(rates, 1) == [None]
        with frozen(redis), capture_logs() as logs:
            begun = time.monotonic()
            answers = await asyncio.gather(*(polls(rates, 1) for _ in range(50)))
            waited = time.monotonic() - begun
            assert await polls(rates, 1) == [60]
            assert time.monotonic() - begun - waited < REDIS_TIMEOUT
        assert sorted(answers, key=str) == [[60]] * 48 + [[None]] * 2
        assert REDIS_TIMEOUT <= waited < 4 * REDIS_TIMEOUT
        assert [entry["error"] for entry in logs] == ["TimeoutError"]
        await asyncio.sleep(REDIS_PAUSE)
        assert await polls(rates, 1, OTHER) == [None]


async def test_redis_that_refuses_the_password_is_one_warning_without_it(redis: RedisServer) -> None:
    rates = PollRates(1, 0, f"redis://someone:wrong@127.0.0.1:{redis.port}")
    with capture_logs() as logs:
        assert await polls(rates, 2) == [None, 60]
    await rates.aclose()
    assert logs == [
        {"event": "redis away, polls are counted in memory", "error": "AuthenticationError", "log_level": "warning"}
    ]


async def test_url_of_something_else_is_refused_without_its_password() -> None:
    with pytest.raises(ValueError, match=r"^Redis URL must specify one of the following schemes") as refused:
        PollRates(1, 1, f"http://:{PASSWORD}@127.0.0.1")
    assert PASSWORD not in str(refused.value)


def test_memory_holds_no_more_than_its_bound_and_forgets_the_longest_silent_first() -> None:
    memory = Memory(limit=1, window=60, most=3)
    assert [memory.count(key) for key in "abcd"] == [None] * 4
    assert [memory.count(key) for key in "dcb"] == [60] * 3
    assert memory.count("a") is None
    assert len(memory._times) == 3


async def test_memory_forgets_who_has_been_silent_for_the_window() -> None:
    memory = Memory(limit=2, window=1, most=100)
    assert [memory.count(key) for key in "abc"] == [None] * 3
    await asyncio.sleep(1.1)
    assert memory.count("d") is None
    assert list(memory._times) == ["d"]


async def test_memory_counts_what_is_in_the_window_and_holds_little_more() -> None:
    memory = Memory(limit=100, window=1, most=100)
    for _ in range(4):
        assert [memory.count("a") for _ in range(40)] == [None] * 40
        await asyncio.sleep(0.6)
    assert len(memory._times["a"]) <= 160

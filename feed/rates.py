"""How often a link may be polled by one of its URLs, and a network poll by tokens that we do not know.

Polls are counted in a moving window: no minute sees more of them than the limit, wherever it begins, and the moment at
which the next one may come is known exactly. A poll that is refused does not count.
"""

import asyncio
import time
from array import array
from bisect import bisect_right
from collections import OrderedDict
from functools import lru_cache

import structlog
from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from redis.asyncio import BlockingConnectionPool

from db.audit import Network

MINUTE = 60  # seconds, as all of these
REDIS_TIMEOUT = 0.25  # a poll waits no longer for its count
REDIS_PAUSE = 1.0  # after a failure, for which Redis is not asked
REDIS_CONNECTIONS = 20
MOST_KEPT = 100_000  # URLs, and as many networks, that are counted in memory

log = structlog.get_logger()


class PollRates:
    """Counts polls: in Redis, for all processes together, or in memory where there is none, and while it is away.

    The limits are polls in a minute; 0 is none.
    """

    def __init__(self, link_polls: int, unknown_polls: int, redis_url: str | None = None, window: int = MINUTE) -> None:
        self._redis = Redis(redis_url) if redis_url else None
        self._links = Rate(RateLimitItemPerSecond(link_polls, window, "link"), self._redis)
        self._networks = Rate(RateLimitItemPerSecond(unknown_polls, window, "unknown"), self._redis)

    async def link(self, key: str) -> int | None:
        """Count a poll of a link; None, or the seconds after which it may come again.

        The key tells the URL from the others that the link had: whoever holds one of those cannot use up the polls of
        the present one. It must be short, and must not be the token, as Redis keeps it.
        """
        return await self._links.count(key)

    async def unknown(self, network: Network | None) -> int | None:
        """Count a poll with an unknown token; likewise. A caller without a network is never refused."""
        return await self._networks.count(_text(network)) if network else None

    async def aclose(self) -> None:
        if self._redis:
            await self._redis.aclose()


@lru_cache(4_096)
def _text(network: Network) -> str:
    return str(network)


class Rate:
    """One limit and its counts."""

    def __init__(self, limit: RateLimitItemPerSecond, redis: "Redis | None") -> None:
        self._limit = limit
        self._redis = redis
        self._memory = Memory(limit.amount, limit.get_expiry(), MOST_KEPT)

    async def count(self, key: str) -> int | None:
        if self._limit.amount == 0:
            return None
        if self._redis:
            try:
                return await self._redis.count(self._limit, key)
            except RedisAwayError:
                pass
        return self._memory.count(key)


class RedisAwayError(Exception):
    """Redis does not answer, or not in time, or with an error."""


class Redis:
    """Counts that all processes share. While Redis is away only one poll in a while finds out whether it is back."""

    def __init__(self, url: str) -> None:
        """Connect when first asked; `ValueError` if it is not the URL of a Redis."""
        self._pool = BlockingConnectionPool.from_url(url, max_connections=REDIS_CONNECTIONS)
        storage = RedisStorage(
            "async+redis://",  # the pool knows where, so that limits need not hear of the password
            implementation="redispy",
            key_prefix="calendar-feeds",
            wrap_exceptions=True,
            connection_pool=self._pool,  # type: ignore[arg-type]  # says limits, which asks for one in its documentation
        )
        self._limiter = MovingWindowRateLimiter(storage)
        self._away = False
        self._ask_again_at = 0.0

    async def count(self, limit: RateLimitItemPerSecond, key: str) -> int | None:
        """None, or the whole seconds, one at least, after which there is room again."""
        now = time.monotonic()
        if now < self._ask_again_at:
            raise RedisAwayError
        if self._away:
            self._ask_again_at = now + REDIS_PAUSE  # the others do not wait for what this poll finds
        try:
            seconds = await self._count_in_time(limit, key)
        except (StorageError, OSError) as exc:  # a TimeoutError is an OSError
            self._note_away(exc)
            raise RedisAwayError from None
        self._note_back()
        return seconds

    async def _count_in_time(self, limit: RateLimitItemPerSecond, key: str) -> int | None:
        """Not longer, though what is cancelled may take its time to end: a connection is closed then."""
        task = asyncio.create_task(self._count(limit, key))
        done, _ = await asyncio.wait({task}, timeout=REDIS_TIMEOUT)
        if not done:
            task.add_done_callback(lambda late: late.cancelled() or late.exception())  # which nobody waits for
            task.cancel()
            raise TimeoutError
        return task.result()

    async def _count(self, limit: RateLimitItemPerSecond, key: str) -> int | None:
        if await self._limiter.hit(limit, key):
            return None
        window = await self._limiter.get_window_stats(limit, key)
        return max(1, int(window.reset_time - time.time()) + 1)

    async def aclose(self) -> None:
        await self._pool.aclose()

    def _note_away(self, exc: Exception) -> None:
        """Never the message, which may name what the URL holds."""
        self._ask_again_at = time.monotonic() + REDIS_PAUSE
        if not self._away:
            self._away = True
            cause = exc.__cause__ if isinstance(exc, StorageError) else exc
            log.warning("redis away, polls are counted in memory", error=type(cause).__name__)

    def _note_back(self) -> None:
        if self._away:
            self._away, self._ask_again_at = False, 0.0
            log.info("redis back")


class Memory:
    """Counts for the `most` keys that were let through last, for as long as their window lasts.

    In place of the library's own way, which walks through every key that it knows at every poll (17 ms at 100,000
    keys), and holds as many as come.
    """

    def __init__(self, limit: int, window: int, most: int) -> None:
        self._limit = limit
        self._window = window
        self._most = most
        self._times: OrderedDict[str, array[float]] = OrderedDict()  # of the monotonic clock; the last poll last

    def count(self, key: str) -> int | None:
        """None, or the whole seconds, one at least, after which there is room again."""
        now = time.monotonic()
        times = self._times.get(key)
        if times is None:
            self._forget(now - self._window)
            times = self._times[key] = array("d")
        over = bisect_right(times, now - self._window)
        if len(times) - over >= self._limit:
            return int(times[over] + self._window - now) + 1
        if over > len(times) / 2:  # not each time: what stays is moved
            del times[:over]
        times.append(now)
        self._times.move_to_end(key)
        return None

    def _forget(self, start: float) -> None:
        """Make room for one more: forget the keys whose last poll was before `start`, and those beyond the bound."""
        while len(self._times) >= self._most or (self._times and next(iter(self._times.values()))[-1] <= start):
            self._times.popitem(last=False)

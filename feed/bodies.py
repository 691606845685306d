"""The bodies of feeds, kept in memory under the version that they have: made once, though many ask at once.

What may be read of them is another's to say: whoever asks for a version was told it by the gate, at this poll.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

from cachetools import LRUCache
from isal import igzip

from feed.standing import Standing

GZIP_LEVEL = 2  # of ISA-L's: a tenth of zlib's time at its own sixth, and a body by a third larger


@dataclass(frozen=True, slots=True)
class Body:
    standing: Standing  # of its version
    name: str  # of its calendar
    octets: bytes


class Key(NamedTuple):
    tag: str  # the version's
    is_gzipped: bool


class Bodies:
    """So many octets of bodies, those that were asked for last."""

    def __init__(self, most_octets: int) -> None:
        self._kept: LRUCache[Key, Body] = LRUCache(most_octets, getsizeof=lambda body: len(body.octets))
        self._tasks: dict[Key, asyncio.Task[Body]] = {}

    async def get(self, tag: str, make: Callable[[], Awaitable[Body]], *, gzipped: bool) -> Body:
        """The body of this version, or where it is not there what `make` makes, maybe a later one, for all who ask."""
        if not gzipped:
            return await self._once(Key(tag, False), make)

        async def zip_made() -> Body:
            body = await self._once(Key(tag, False), make)
            octets = await asyncio.to_thread(igzip.compress, body.octets, GZIP_LEVEL, mtime=0)
            return replace(body, octets=octets)

        return await self._once(Key(tag, True), zip_made)

    async def _once(self, key: Key, make: Callable[[], Awaitable[Body]]) -> Body:
        if kept := self._kept.get(key):
            return kept
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.ensure_future(self._make(key, make))
            task.add_done_callback(_forgive)
        return await asyncio.shield(task)  # whoever hangs up leaves it to the others

    async def _make(self, key: Key, make: Callable[[], Awaitable[Body]]) -> Body:
        try:
            body = await make()
            with suppress(ValueError):  # larger than all that may be kept
                self._kept[Key(body.standing.tag, key.is_gzipped)] = body
            return body
        finally:
            del self._tasks[key]


def _forgive(task: "asyncio.Task[Body]") -> None:
    """Take note of its error, of which nobody else does if all who asked have hung up."""
    if not task.cancelled():
        task.exception()

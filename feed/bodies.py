"""The bodies of feeds, kept in memory under the version that they have: made once, though many ask at once.

What may be read of them is another's to say: whoever asks for a version was told it by the gate, at this poll.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from cachetools import LRUCache

from feed.blocks import Block
from feed.ready import Ready
from feed.standing import Standing


@dataclass(frozen=True, slots=True)
class Body:
    standing: Standing  # of its version
    name: str  # of its calendar
    blocks: Sequence[Block]  # of its octets as they are
    answer: Ready

    @property
    def size(self) -> int:
        """The octets that are sent."""
        return sum(map(len, self.answer.body))


class Key(NamedTuple):
    tag: str  # the version's
    is_gzipped: bool


class Bodies:
    """So many octets of bodies, those that were asked for last."""

    def __init__(self, most_octets: int) -> None:
        self._kept: LRUCache[Key, Body] = LRUCache(most_octets, getsizeof=attrgetter("size"))
        self._tasks: dict[Key, asyncio.Task[Body]] = {}

    async def get(self, key: Key, make: Callable[[], Awaitable[Body]]) -> Body:
        """The body of this version, or where it is not there what `make` makes, maybe a later one, for all who ask."""
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

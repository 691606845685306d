"""How long the event loop was kept from everybody else."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import thread_time


@dataclass
class Pause:
    """How long the loop did nothing else, at the most, and how long it took in all, of the processor's time; and how
    often others had their turn meanwhile.
    """

    longest: float = 0.0
    total: float = 0.0
    turns: int = 0


@asynccontextmanager
async def pauses() -> AsyncIterator[Pause]:
    found = Pause()

    async def tick() -> None:
        while True:
            before = thread_time()
            await asyncio.sleep(0)
            found.longest = max(found.longest, thread_time() - before)
            found.turns += 1

    gc.freeze()  # the collector does not walk over other tests' leavings
    begun, ticking = thread_time(), asyncio.create_task(tick())
    await asyncio.sleep(0)
    try:
        yield found
    finally:
        found.total = thread_time() - begun
        ticking.cancel()
        gc.unfreeze()

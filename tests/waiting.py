"""Writers that meet: one in the middle of its transaction, and others who wait for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from db.pool import Conn


@asynccontextmanager
async def another_writer(dsn: str) -> AsyncIterator[Conn]:
    """The transaction of somebody else, which is committed at the end."""
    conn = await asyncpg.connect(dsn)
    try:
        async with conn.transaction():
            yield conn
    finally:
        await conn.close()


async def until_somebody_waits(dsn: str) -> None:
    """Until a connection of this database waits for a lock."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    conn = await asyncpg.connect(dsn)
    async with asyncio.timeout(20):
        while not await conn.fetch(waiting):
            await asyncio.sleep(0.02)
    await conn.close()

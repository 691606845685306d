"""Renders ahead of polls what was changed in large numbers: after a sync of 10,000 activities nobody waits for them.

It makes some feeds that show them, as polls would, so that large ones are kept already when they are asked for.

Each process looks for such changes every few seconds; what one has claimed no other renders. If it ends meanwhile, the
next poll renders what is missing, as always.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import structlog

from db.changes import claim_unrendered, list_unrendered_accounts
from db.links import LinkRecord, list_differing_links
from db.pool import CONNECT_TIMEOUT, Pool
from feed.assembly import NothingRenderedError
from feed.tokens import FeedToken
from feed.updating import CurrentFeeds, LinkEndedError

PAUSE_SECONDS = 2.0
MOST_LINKS = 20  # of an account at a time: of each kind that is rendered in a way of its own one

log = structlog.get_logger()


class Prerenderer:
    """Renders ahead while it is `running`."""

    def __init__(self, pool: Pool, feeds: CurrentFeeds, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._pool = pool
        self._feeds = feeds
        self._pause_seconds = pause_seconds
        self._is_failing = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._pause_seconds)
            try:
                await self.render_ahead()
                self._is_failing = False
            except Exception as exc:  # polls render what is missing: a line in the log is enough, and one
                if not self._is_failing:
                    log.warning("nothing is rendered ahead", error=type(exc).__name__)
                self._is_failing = True

    async def render_ahead(self) -> None:
        """Render what has changed since the last time, account by account."""
        for link in await self._claim():
            await self._render(link)

    async def _claim(self) -> list[LinkRecord]:
        links: list[LinkRecord] = []
        async with self._pool.acquire(timeout=CONNECT_TIMEOUT) as conn:
            for account_id in await list_unrendered_accounts(conn):
                calendar_ids = await claim_unrendered(conn, account_id, datetime.now(UTC))
                links += await list_differing_links(conn, account_id, calendar_ids, MOST_LINKS)
        return links

    async def _render(self, link: LinkRecord) -> None:
        token = FeedToken(link.key_id, link.account_id, link.id, link.generation)
        with suppress(LinkEndedError, NothingRenderedError):
            await self._feeds.read(token, datetime.now(UTC))

"""Large feeds are kept, in memory and in the database: what has changed of one is put into its place."""

import asyncio
import hashlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate, chain, pairwise
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

import asyncpg
import structlog
from cachetools import LRUCache

from db.changes import Version, list_changed_activities
from db.gate import Gate
from db.kept import KeptRecord, read_kept_feed, save_kept_feed
from db.pool import CONNECT_TIMEOUT, CONNECTION_LOST, Conn, PatientPool
from feed.assembly import Assembled, assemble, parts
from feed.blocks import Block, inflated, with_changes
from feed.body import FeedContent, FeedRows, current_content, read_gate_feed
from feed.feeds import Feed
from feed.room import FeedLimits, fits
from feed.standing import ended_at
from feed.style import FORMAT, ZONES
from feed.tokens import FeedToken

FEWEST = 500  # activities: a smaller feed is read anew in no more time
MOST_BEHIND = 50  # changes, after which what the database keeps is replaced: half of those that are told one by one
ACTIVITY_OCTETS = 200  # that each activity of a kept feed takes besides its own: its id, its size, its share of a block

log = structlog.get_logger()


class LinkEndedError(Exception):
    """The link ended between the question whether it is open and the one for its feed."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A feed that holds all of its activities, at these versions of its calendars; in the database at those."""

    assembled: Assembled
    versions: Mapping[UUID, Version]
    stored: Mapping[UUID, Version] | None = None

    async def changed(self, conn: Conn, gate: Gate, feed: Feed) -> set[UUID] | None:
        """The activities to read of the feed that the gate has now; None: all of them."""
        before = self.assembled.feed
        if replace(feed, changed_at=before.changed_at) != before:
            return None
        return await list_changed_activities(conn, feed.account_id, self.versions, _versions(gate))

    def with_changes(self, changed: Collection[UUID], content: FeedContent, limits: FeedLimits) -> Assembled | None:
        """The whole feed, of which `content` is what there is now of the changed ones; None if it is too large now."""
        blocks = with_changes(self.assembled.blocks, changed, parts(content))
        whole = Assembled(content.feed, blocks, content.over_cap)
        return whole if blocks and whole.over_cap == 0 and fits(limits, whole.events, whole.size) else None

    @property
    def octets(self) -> int:
        """What it takes of the memory, about."""
        return self.assembled.size + self.assembled.count * ACTIVITY_OCTETS

    @property
    def is_far_behind(self) -> bool:
        """Whether what the database has of it is of little use, if it has any."""
        stored = self.stored or {}
        return any(
            id_ not in stored or now.number - stored[id_].number > MOST_BEHIND for id_, now in self.versions.items()
        )


class Found(NamedTuple):
    """What is read of a feed in one snapshot besides its rows: if these are but the changes, also what they change."""

    gate: Gate
    kept: Kept | None


class CurrentFeeds:
    """What feeds hold at the moment. Those that changed last are kept, so many octets of them in memory."""

    def __init__(self, pool: PatientPool, limits: FeedLimits, most_octets: int, fewest: int = FEWEST) -> None:
        self._pool = pool
        self._limits = limits
        self._fewest = fewest
        self._kept: LRUCache[UUID, Kept] = LRUCache(most_octets, getsizeof=attrgetter("octets"))

    async def read(self, token: FeedToken, now: datetime) -> tuple[Gate, Assembled]:
        """The feed of an open link, and the gate that tells its version; `LinkEndedError` if it is open no more."""
        (gate, before), rows, content = await self._read(token, now, use_kept=True)
        if before and (whole := before.with_changes(rows.only or (), content, self._limits)):
            await self._keep(gate, whole, before.stored)
            return gate, whole
        if before:
            (gate, _), _, content = await self._read(token, now, use_kept=False)
        whole = await asyncio.to_thread(assemble, content)  # of 50,000 events it would hold up others
        await self._keep(gate, whole, None)
        return gate, whole

    async def _read(self, token: FeedToken, now: datetime, *, use_kept: bool) -> tuple[Found, FeedRows, FeedContent]:
        async def read() -> tuple[tuple[Found, FeedRows], FeedRows]:
            kept: Kept | None = None

            async def changed(conn: Conn, gate: Gate, feed: Feed) -> set[UUID] | None:
                nonlocal kept
                kept = self._kept.get(gate.link_id) or await self._stored(conn, gate, feed)
                return await kept.changed(conn, gate, feed) if kept else None

            found = await self._pool.read(lambda conn: read_gate_feed(conn, token, now, changed if use_kept else None))
            if found is None or found[0].paused_at or ended_at(token, found[0], now):
                raise LinkEndedError
            gate, rows = found
            return (Found(gate, kept if rows.only is not None else None), rows), rows

        (found, rows), content = await current_content(read, self._pool.pool, self._limits)
        return found, rows, content

    async def _keep(self, gate: Gate, assembled: Assembled, stored: Mapping[UUID, Version] | None) -> None:
        """Keep the feed as the gate has it, if that is worth it."""
        self._kept.pop(gate.link_id, None)
        if assembled.count < self._fewest or assembled.over_cap:
            return
        kept = Kept(assembled, _versions(gate), stored)
        if kept.is_far_behind:
            kept = await self._store(kept)
        with suppress(ValueError):  # larger than all that may be kept
            self._kept[gate.link_id] = kept

    async def _stored(self, conn: Conn, gate: Gate, feed: Feed) -> Kept | None:
        """What another process, or this one before it ended, has kept of just this feed."""
        record = await read_kept_feed(conn, gate.account_id, gate.link_id, fingerprint(feed))
        return await asyncio.to_thread(_kept, feed, record) if record else None

    async def _store(self, kept: Kept) -> Kept:
        """Where that fails the feed is served all the same."""
        feed, record = kept.assembled.feed, await asyncio.to_thread(_record, kept)
        try:
            async with self._pool.pool.acquire(timeout=CONNECT_TIMEOUT) as conn:
                await save_kept_feed(conn, feed.account_id, feed.id, record)
        except (*CONNECTION_LOST, asyncpg.PostgresError) as exc:
            log.warning("feed not kept", account_id=str(feed.account_id), error=type(exc).__name__)
        return replace(kept, stored=kept.versions)


def fingerprint(feed: Feed) -> bytes:
    """Of all that its components are made of, but for the activities and what the calendars' versions count."""
    style, window = feed.style, feed.style.window
    days = (window.first, window.end, window.today, window.zone.key)
    made_with = (FORMAT, ZONES, style.options, style.say.language, days, feed.style_revision, feed.styled_at)
    shown = (str(feed.user_id), [*map(str, feed.calendar_ids)], feed.calendar_name)
    return hashlib.sha256(repr((made_with, shown)).encode()).digest()


def _record(kept: Kept) -> KeptRecord:
    feed, blocks = kept.assembled.feed, kept.assembled.blocks
    return KeptRecord(
        fingerprint=fingerprint(feed),
        day=feed.style.window.today,
        versions=kept.versions,
        activity_ids=[*chain.from_iterable(block.activity_ids for block in blocks)],
        sizes=[*chain.from_iterable(block.sizes for block in blocks)],
        events=[*chain.from_iterable(block.events for block in blocks)],
        counts=[len(block.activity_ids) for block in blocks],
        deflated=[block.deflated for block in blocks],
    )


def _kept(feed: Feed, record: KeptRecord) -> Kept:
    ids, sizes, events = record.activity_ids, record.sizes, record.events
    blocks = [
        Block(inflated(deflated), ids[start:end], sizes[start:end], events[start:end])
        for deflated, (start, end) in zip(record.deflated, pairwise(accumulate(record.counts, initial=0)), strict=True)
    ]
    return Kept(Assembled(feed, blocks), record.versions, record.versions)


def _versions(gate: Gate) -> dict[UUID, Version]:
    versions = map(Version, gate.calendar_versions, gate.calendar_times)
    return dict(zip(gate.calendar_ids, versions, strict=True))

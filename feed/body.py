"""What a feed holds: stored fragments, the missing ones rendered and stored, and what is left out and why."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar
from uuid import UUID

import asyncpg
import structlog

from db.activities import ActivityRecord, list_activities
from db.fragments import SelectedActivity, delete_stale_fragments, save_fragments, select_activities
from db.gate import Gate, get_gate
from db.pool import CONNECT_TIMEOUT, CONNECTION_LOST, Conn, DatabaseUnreachableError, Pool
from feed.document import BEGIN, stamp_lines, with_lines
from feed.feeds import Feed, gate_feed
from feed.render import fragment
from feed.room import FeedLimits, Piece, Room, by_importance, fits, pieces_of
from feed.tokens import FeedToken

SLICE = 100  # activities rendered before another feed's are
AT_ONCE = 1_000  # rows that are gone through before others have their turn: some 2 ms
SAVED_AT_ONCE = 500
RENDERER = ThreadPoolExecutor(1, "renderer")
KEPT = timedelta(days=30)  # since a fragment was rendered

T = TypeVar("T")
Changed = Callable[[Conn, Gate, Feed], Awaitable[Collection[UUID] | None]]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FeedRows:
    """What a body is made of, read in one snapshot; what is rendered already is stamped as this feed shows it."""

    feed: Feed
    activities: Sequence[SelectedActivity]  # each once, by id
    only: Collection[UUID] | None = None  # the activities of which these are read; None: all that the feed shows


class Component(NamedTuple):
    """An activity as the feed holds it, a series with those of its occurrences that found room."""

    row: SelectedActivity
    octets: bytes
    events: int


@dataclass(frozen=True, slots=True)
class FeedContent:
    """A feed's components by activity id, and why the other activities of its calendars are left out."""

    feed: Feed
    components: Sequence[Component]
    left_out: Mapping[UUID, str]
    over_cap: int  # how many activities and occurrences are left out because the feed is full

    @property
    def events(self) -> int:
        return sum(component.events for component in self.components)

    @property
    def size(self) -> int:
        """The octets of its components."""
        return sum(len(component.octets) for component in self.components)


class ChangedMeanwhileError(Exception):
    """An activity that had to be rendered is another one by now: read the feed anew. What was rendered is stored."""


async def read_gate_feed(
    conn: Conn, token: FeedToken, now: datetime, changed: Changed | None = None
) -> tuple[Gate, FeedRows] | None:
    """Ask the gate once more and read the rows in the same snapshot; None if there is no such link.

    The gate tells exactly the versions that these rows have. `changed` may tell which of them to read.
    """
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        gate = await get_gate(conn, token.account_id, token.link_id, token.generation)
        if gate is None:
            return None
        feed = gate_feed(gate, now)
        only = await changed(conn, gate, feed) if changed else None
        nothing = only is not None and not only
        return gate, FeedRows(feed, [], only) if nothing else await read_rows(conn, feed, only=only)


async def current_content(
    read: Callable[[], Awaitable[tuple[T, FeedRows]]], pool: Pool, limits: FeedLimits
) -> tuple[T, FeedContent]:
    """What a feed holds of the rows that `read` finds, with what it finds of the same moment besides.

    It reads anew if what has to be rendered changes meanwhile, which ends, as each time more of it is stored; and once
    if the database goes away, for which `read` may wait.
    """
    was_lost = False
    while True:
        beside, rows = await read()
        try:
            return beside, await feed_content(rows, pool, limits)
        except ChangedMeanwhileError:
            continue
        except CONNECTION_LOST as exc:
            if was_lost:
                raise DatabaseUnreachableError from exc
            was_lost = True


async def read_rows(
    conn: Conn, feed: Feed, *, left_out: bool = False, only: Collection[UUID] | None = None
) -> FeedRows:
    """What the feed shows, and if asked for what it leaves out too; call in a transaction that sees one snapshot."""
    activities = await select_activities(conn, feed.selection(), left_out=left_out, only=only)
    lines = _stamps(feed)
    for start in range(0, len(activities), AT_ONCE):  # in place, so that no fragment is held twice
        slice_ = slice(start, start + AT_ONCE)
        activities[slice_] = [_stamped(row, lines) for row in activities[slice_]]
        await asyncio.sleep(0)
    return FeedRows(feed, activities, only)


async def feed_content(rows: FeedRows, pool: Pool, limits: FeedLimits) -> FeedContent:
    """What the feed holds of its rows; what has to be rendered for it is kept for the next poll, as it goes.

    `ChangedMeanwhileError` if what is to be rendered is not what the rows were read with.
    """
    wanted = [row for row in rows.activities if row.reason is None]
    missing = [row for row in wanted if not row.is_rendered]
    async with Rendering(rows.feed, pool) as rendering:
        known = await rendering.render([row for row in missing if row.begins_at is None], slice_size=1)
        if len(missing) - len(known) <= SLICE:
            known |= await rendering.render([row for row in missing if row.begins_at])
        latest = [known.get(row.activity_id, row) for row in wanted] if known else wanted
        if len(known) == len(missing):
            components = [component async for component in _in_turns(map(_whole, latest)) if component.octets]
            whole = FeedContent(rows.feed, components, _left_out(rows, latest), 0)
            if fits(limits, whole.events, whole.size):
                return whole
        return await _crowded(rows, latest, rendering, limits)


def _whole(row: SelectedActivity) -> Component:
    octets = row.ics or b""
    return Component(row, octets, 1 if row.begins_at else len(BEGIN.findall(octets)))


async def _crowded(
    rows: FeedRows, latest: Sequence[SelectedActivity], rendering: "Rendering", limits: FeedLimits
) -> FeedContent:
    """What finds room of more than there may be room for."""
    room, pieces = Room(limits), [piece async for row in _in_turns(latest) for piece in pieces_of(rows.feed, row)]
    series = {row.activity_id: row for row in latest if row.begins_at is None}
    await asyncio.sleep(0)
    tried = await _take(rendering, by_importance(pieces, rows.feed), room, series)
    taken: dict[UUID, list[Piece]] = defaultdict(list)
    async for piece in _in_turns(room.taken):
        taken[piece.row.activity_id].append(piece)
    ids = (row.activity_id for row in latest if row.activity_id in taken)
    components = [_component(taken[id_]) async for id_ in _in_turns(ids)]
    left_out = _left_out(rows, tried)
    await asyncio.sleep(0)
    over_cap = sum(piece.row.activity_id not in left_out for piece in pieces) - len(room.taken)
    if over_cap:
        full = (row.activity_id for row in latest if row.activity_id not in taken)
        left_out |= {id_: "OVER_CAP" async for id_ in _in_turns(full) if id_ not in left_out}
    return FeedContent(rows.feed, components, left_out, over_cap)


async def _take(
    rendering: "Rendering", pieces: Sequence[Piece], room: Room, tried: dict[UUID, SelectedActivity]
) -> Iterable[SelectedActivity]:
    """Fill the room with the most important, rendered as far as there is room; which activities were `tried`."""
    for start in range(0, len(pieces), SLICE):
        if room.is_full:
            break
        slice_ = pieces[start : start + SLICE]
        fresh = await rendering.render([piece.row for piece in slice_ if not piece.row.is_rendered])
        for piece in slice_:
            row = tried[piece.row.activity_id] = fresh.get(piece.row.activity_id, piece.row)
            room.take(piece if piece.octets else piece._replace(row=row, octets=row.ics))
        await asyncio.sleep(0)
    return tried.values()


def _left_out(rows: FeedRows, tried: Iterable[SelectedActivity]) -> dict[UUID, str]:
    """What is not chosen, and what has nothing to show."""
    left_out = {row.activity_id: row.reason for row in rows.activities if row.reason}
    nothing = [row for row in tried if not row.ics]
    left_out |= {row.activity_id: "CANNOT_BE_RENDERED" for row in nothing if row.ics is None}
    return left_out | {row.activity_id: "OUTSIDE_WINDOW" for row in nothing if row.ics is not None}


def _component(pieces: Sequence[Piece]) -> Component:
    in_place = sorted(pieces, key=lambda piece: piece.place)
    octets = b"".join(piece.octets or b"" for piece in in_place)
    return Component(pieces[0].row, octets, sum(piece.events for piece in pieces))


async def _in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, with a turn for others now and then."""
    for n, item in enumerate(items, 1):
        if n % AT_ONCE == 0:
            await asyncio.sleep(0)
        yield item


def _stamps(feed: Feed) -> Callable[[SelectedActivity], bytes]:
    """What the feed puts into an activity's fragment; most of many were written at few moments."""
    known: dict[Hashable, bytes] = {}

    def lines(row: SelectedActivity) -> bytes:
        key = (row.changed_at, row.revision, row.placings, row.placed_at, row.is_task, row.due_at, row.due_on)
        if key not in known:
            if len(known) >= AT_ONCE:
                known.clear()
            known[key] = stamp_lines(feed.stamp(row))
        return known[key]

    return lines


class Rendering:
    """Renders what a feed lacks: beside the loop, in slices, so that feeds take turns; and stores it as it goes."""

    def __init__(self, feed: Feed, pool: Pool) -> None:
        self._feed, self._pool = feed, pool
        self._unsaved: list[SelectedActivity] = []
        self._saves = True
        self._lines = _stamps(feed)

    async def __aenter__(self) -> "Rendering":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._save()

    async def render(
        self, missing: Sequence[SelectedActivity], slice_size: int = SLICE
    ) -> dict[UUID, SelectedActivity]:
        """Those activities, rendered and stamped; without octets what cannot be."""
        rendered: dict[UUID, SelectedActivity] = {}
        for start in range(0, len(missing), SLICE):
            slice_ = missing[start : start + SLICE]
            records = await self._records(slice_)
            for first in range(0, len(slice_), slice_size):
                part = slice(first, first + slice_size)
                fresh = await self._beside_the_loop(slice_[part], records[part])
                rendered |= {row.activity_id: _stamped(row, self._lines) for row in fresh}
                self._unsaved += fresh
            if len(self._unsaved) >= SAVED_AT_ONCE:
                await self._save()
        return rendered

    async def _beside_the_loop(
        self, slice_: Sequence[SelectedActivity], records: Sequence[ActivityRecord]
    ) -> list[SelectedActivity]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(RENDERER, _render_slice, self._feed, slice_, records)

    async def _records(self, slice_: Sequence[SelectedActivity]) -> list[ActivityRecord]:
        """What the activities say, read apart from the rows: whole, a large feed would fill the memory."""
        async with self._pool.acquire(timeout=CONNECT_TIMEOUT) as conn:
            found = await list_activities(conn, self._feed.account_id, [row.activity_id for row in slice_])
        records = {record.id: record for record in found}
        if any(row.activity_id not in records or records[row.activity_id].revision != row.revision for row in slice_):
            raise ChangedMeanwhileError
        return [records[row.activity_id] for row in slice_]

    async def _save(self) -> None:
        """Store what was rendered for the next poll; where that fails, this one is served all the same."""
        fresh, self._unsaved = self._unsaved, []
        if not fresh or not self._saves:
            return
        account_id, today = self._feed.account_id, self._feed.style.window.today
        try:
            async with self._pool.acquire(timeout=CONNECT_TIMEOUT) as conn:
                await save_fragments(conn, account_id, fresh, today)
                await delete_stale_fragments(conn, account_id, [row.activity_id for row in fresh], today - KEPT)
        except (*CONNECTION_LOST, asyncpg.PostgresError) as exc:
            self._saves = False
            log.warning("fragments not kept", account_id=str(account_id), error=type(exc).__name__)


def _stamped(row: SelectedActivity, lines: Callable[[SelectedActivity], bytes]) -> SelectedActivity:
    if not row.ics:
        return row
    return row.holding(with_lines(row.ics, lines(row), several=row.begins_at is None))


def _render_slice(
    feed: Feed, slice_: Sequence[SelectedActivity], records: Sequence[ActivityRecord]
) -> list[SelectedActivity]:
    return [_rendered(feed, row, record) for row, record in zip(slice_, records, strict=True)]


def _rendered(feed: Feed, row: SelectedActivity, record: ActivityRecord) -> SelectedActivity:
    """One bad activity is left out, and never breaks the feed. It is tried again the next day."""
    ics = _try_render(feed, row, record)
    day = feed.style.window.today if ics is None else row.day
    return row._replace(ics=ics, day=day, is_rendered=True)


def _try_render(feed: Feed, row: SelectedActivity, record: ActivityRecord) -> bytes | None:
    try:
        return fragment(record, feed.style, feed.shown(row))
    except Exception as exc:  # whatever the row holds: the other activities must come through
        account_id, activity_id = str(feed.account_id), str(row.activity_id)
        log.error("activity left out", account_id=account_id, activity_id=activity_id, error=type(exc).__name__)
        return None

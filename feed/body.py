"""What a feed holds: stored fragments, the missing ones rendered and stored, and what is left out and why."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg
import structlog

from db.activities import ActivityRecord, list_activities
from db.fragments import SelectedActivity, delete_stale_fragments, save_fragments, select_activities
from db.gate import Gate, get_gate
from db.pool import CONNECTION_LOST, Conn, Pool
from feed.document import Head, document, nothing_planned, stamped
from feed.feeds import Feed, gate_feed
from feed.render import fragment
from feed.room import FeedLimits, Piece, Room, by_importance, series_pieces
from feed.tokens import FeedToken

SLICE = 100  # activities rendered before another feed's are
MANY = 10  # activities of which none can be rendered: more than bad rows by chance
RENDERER = ThreadPoolExecutor(1, "renderer")
SAVED_AT_ONCE = 1_000
KEPT = timedelta(days=30)  # since a fragment was rendered

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FeedRows:
    """What a body is made of, read in one snapshot."""

    feed: Feed
    activities: Sequence[SelectedActivity]  # each once, by id
    unrendered: Mapping[UUID, ActivityRecord]


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


class NothingRenderedError(Exception):
    """Of many activities not one could be rendered: the fault is ours, and programs would believe an empty feed."""


async def read_gate_feed(conn: Conn, token: FeedToken, now: datetime) -> tuple[Gate, FeedRows] | None:
    """Ask the gate once more and read the rows in the same snapshot; None if there is no such link.

    The gate tells exactly the versions that these rows have.
    """
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        gate = await get_gate(conn, token.account_id, token.link_id, token.generation)
        return (gate, await read_rows(conn, gate_feed(gate, now))) if gate else None


async def read_rows(conn: Conn, feed: Feed, *, left_out: bool = False) -> FeedRows:
    """What the feed shows, and if asked for what it leaves out too; call in a transaction that sees one snapshot."""
    activities = await select_activities(conn, feed.selection(), left_out=left_out)
    missing = [row.activity_id for row in activities if row.reason is None and not row.is_rendered]
    records = await list_activities(conn, feed.account_id, missing) if missing else []
    return FeedRows(feed, activities, {record.id: record for record in records})


async def feed_content(rows: FeedRows, pool: Pool, limits: FeedLimits) -> FeedContent:
    """What the feed holds of its rows; what had to be rendered for it is kept for the next poll."""
    feed, wanted = rows.feed, [row for row in rows.activities if row.reason is None]
    rendered = await _render(rows, [row for row in wanted if row.begins_at is None], slice_size=1)
    pieces = [piece for row in rendered.values() for piece in series_pieces(feed, row)]
    pieces += [Piece(row.begins_at, row) for row in wanted if row.begins_at]
    pieces = by_importance(pieces, feed)
    room = Room(limits)
    for start in range(0, len(pieces), SLICE):
        if room.is_full:
            break
        slice_ = pieces[start : start + SLICE]
        rendered |= await _render(rows, [piece.row for piece in slice_ if piece.octets is None])
        for piece in slice_:
            room.take(piece if piece.octets else _filled(feed, piece, rendered[piece.row.activity_id]))
    if fresh := [row for row in rendered.values() if row.activity_id in rows.unrendered]:
        await _keep(pool, feed, fresh)
    return _content(rows, rendered, pieces, room.taken)


def _content(
    rows: FeedRows, rendered: Mapping[UUID, SelectedActivity], pieces: Sequence[Piece], taken: Sequence[Piece]
) -> FeedContent:
    components: dict[UUID, Component] = {}
    for piece in sorted(taken, key=lambda piece: (piece.row.activity_id, piece.place)):
        before = components.get(piece.row.activity_id, Component(piece.row, b"", 0))
        octets, events = before.octets + (piece.octets or b""), before.events + piece.events
        components[piece.row.activity_id] = Component(piece.row, octets, events)
    left_out = {row.activity_id: row.reason for row in rows.activities if row.reason}
    left_out |= {id_: "CANNOT_BE_RENDERED" for id_, row in rendered.items() if row.ics is None}
    left_out |= {id_: "OUTSIDE_WINDOW" for id_, row in rendered.items() if row.ics == b""}
    over_cap = sum(piece.row.activity_id not in left_out for piece in pieces) - len(taken)
    known = left_out.keys() | components.keys()
    full = {piece.row.activity_id: "OVER_CAP" for piece in pieces if piece.row.activity_id not in known}
    return FeedContent(rows.feed, list(components.values()), left_out | full, over_cap)


def feed_octets(content: FeedContent, limits: FeedLimits) -> bytes:
    """The whole calendar; `NothingRenderedError` if it would be an empty one that stands for a failure."""
    if not content.components and list(content.left_out.values()).count("CANNOT_BE_RENDERED") >= MANY:
        raise NothingRenderedError
    feed, say = content.feed, content.feed.style.say
    components = [component.octets for component in content.components]
    if not components:
        components = [nothing_planned(feed.id, feed.style.window.first, feed.changed_at, say)]
    head = Head(
        name=feed.name,
        description=description(content),
        time_zone=feed.style.window.zone.key,
        color=feed.color,
        refresh=limits.refresh,
        publishes=feed.style.options.participants == "DESCRIPTION",
    )
    return document(head, feed.style.window.years, components)


def description(content: FeedContent) -> str:
    """What the feed is, the days that it shows, and what it leaves out because it is full."""
    say, options = content.feed.style.say, content.feed.style.options
    back = say.count("{n} day back", "{n} days back", options.days_back)
    ahead = say.count("{n} day ahead", "{n} days ahead", options.days_ahead)
    sentences = [
        say("Meetings, calls and tasks from the CRM. Read-only."),
        say("Shows {back} and {ahead}.", back=back, ahead=ahead),
    ]
    if content.over_cap:
        sentences.append(
            say.count(
                "This calendar is full: {n} entry is left out, the oldest first.",
                "This calendar is full: {n} entries are left out, the oldest first.",
                content.over_cap,
            )
        )
    return " ".join(sentences)


def _filled(feed: Feed, piece: Piece, rendered: SelectedActivity) -> Piece:
    return piece._replace(octets=stamped(rendered.ics, feed.stamp(rendered)) if rendered.ics else b"")


async def _render(
    rows: FeedRows, wanted: Sequence[SelectedActivity], slice_size: int = SLICE
) -> dict[UUID, SelectedActivity]:
    """Those activities, rendered if they are not yet: beside the loop, in slices, so that feeds take turns."""
    rendered = {row.activity_id: row for row in wanted}
    missing = [row for row in wanted if not row.is_rendered]
    for start in range(0, len(missing), slice_size):
        slice_ = missing[start : start + slice_size]
        fresh = await asyncio.get_running_loop().run_in_executor(RENDERER, _render_slice, rows, slice_)
        rendered |= {row.activity_id: row for row in fresh}
    return rendered


def _render_slice(rows: FeedRows, slice_: Sequence[SelectedActivity]) -> list[SelectedActivity]:
    return [_rendered(rows, row) for row in slice_]


def _rendered(rows: FeedRows, row: SelectedActivity) -> SelectedActivity:
    """One bad activity is left out, and never breaks the feed. It is tried again the next day."""
    ics = _try_render(rows, row)
    day = rows.feed.style.window.today if ics is None else row.day
    return replace(row, ics=ics, day=day, is_rendered=True)


def _try_render(rows: FeedRows, row: SelectedActivity) -> bytes | None:
    try:
        return fragment(rows.unrendered[row.activity_id], rows.feed.style, rows.feed.shown(row))
    except Exception as exc:  # whatever the row holds: the other activities must come through
        account_id, activity_id = str(rows.feed.account_id), str(row.activity_id)
        log.error("activity left out", account_id=account_id, activity_id=activity_id, error=type(exc).__name__)
        return None


async def _keep(pool: Pool, feed: Feed, fragments: Sequence[SelectedActivity]) -> None:
    """Store what was rendered for the next poll; where that fails, this one is served all the same."""
    account_id, today = feed.account_id, feed.style.window.today
    try:
        async with pool.acquire() as conn:
            for start in range(0, len(fragments), SAVED_AT_ONCE):
                slice_ = fragments[start : start + SAVED_AT_ONCE]
                ids = [row.activity_id for row in slice_]
                await save_fragments(conn, account_id, slice_, today)
                await delete_stale_fragments(conn, account_id, ids, today - KEPT)
    except (*CONNECTION_LOST, asyncpg.PostgresError) as exc:
        log.warning("fragments not kept", account_id=str(account_id), error=type(exc).__name__)

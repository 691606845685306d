"""What a feed holds: stored fragments, the missing ones rendered and stored, and what is left out and why."""

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg
import structlog

from db.activities import ActivityRecord, list_activities
from db.fragments import SelectedActivity, delete_stale_fragments, save_fragments, select_activities
from db.links import Gate, get_gate
from db.pool import CONNECTION_LOST, Conn, Pool
from feed.document import BEGIN, Head, document, nothing_planned, stamped
from feed.feeds import Feed, gate_feed
from feed.render import fragment
from feed.tokens import FeedToken

SLICE = 100  # activities rendered before another feed's are
MOST_HEAD = 10_000  # octets kept for the head and the time zones of a feed
RENDERER = ThreadPoolExecutor(1, "renderer")
SAVED_AT_ONCE = 1_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """What the operator sets for all feeds: how often to come again, and how much a feed may hold."""

    refresh: timedelta = timedelta(hours=1)
    most_events: int = 5_000
    most_bytes: int = 5_000_000


@dataclass(frozen=True, slots=True)
class FeedRows:
    """What a body is made of, read in one snapshot."""

    feed: Feed
    activities: Sequence[SelectedActivity]  # each once, by id
    unrendered: Mapping[UUID, ActivityRecord]


class Component(NamedTuple):
    """An activity as the feed holds it."""

    row: SelectedActivity
    octets: bytes
    events: int


@dataclass(frozen=True, slots=True)
class FeedContent:
    """A feed's components by activity id, and why the other activities of its calendars are left out."""

    feed: Feed
    components: Sequence[Component]
    left_out: Mapping[UUID, str]
    over_cap: int  # activities left out because the feed is full

    @property
    def events(self) -> int:
        return sum(component.events for component in self.components)


class NothingRenderedError(Exception):
    """Of several activities not one could be rendered: the fault is ours, and programs would believe an empty feed."""


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
    missing = [row.activity_id for row in activities if row.reason is None and row.ics is None]
    records = await list_activities(conn, feed.account_id, missing) if missing else []
    return FeedRows(feed, activities, {record.id: record for record in records})


async def feed_content(rows: FeedRows, pool: Pool, limits: FeedLimits) -> FeedContent:
    """What the feed holds of its rows; what had to be rendered for it is kept for the next poll."""
    left_out = {row.activity_id: row.reason for row in rows.activities if row.reason}
    wanted = by_importance((row for row in rows.activities if row.reason is None), rows.feed)
    rendered = await _render(rows, wanted[: limits.most_events])
    if fresh := [row for row in rendered if row.activity_id in rows.unrendered and row.ics is not None]:
        await _keep(pool, rows.feed.account_id, fresh)
    left_out |= {row.activity_id: "CANNOT_BE_RENDERED" for row in rendered if row.ics is None}
    left_out |= {row.activity_id: "OUTSIDE_WINDOW" for row in rendered if row.ics == b""}
    components = [_component(rows.feed, row, row.ics) for row in rendered if row.ics]
    kept = _within(components, limits)
    full = [component.row for component in components[len(kept) :]] + wanted[limits.most_events :]
    left_out |= {row.activity_id: "OVER_CAP" for row in full}
    return FeedContent(rows.feed, sorted(kept, key=lambda part: part.row.activity_id), left_out, len(full))


def feed_octets(content: FeedContent, limits: FeedLimits) -> bytes:
    """The whole calendar; `NothingRenderedError` if it would be an empty one that stands for a failure."""
    if not content.components and list(content.left_out.values()).count("CANNOT_BE_RENDERED") > 1:
        raise NothingRenderedError
    feed, say = content.feed, content.feed.style.say
    components = [component.octets for component in content.components]
    head = Head(
        name=feed.name,
        description=description(content),
        time_zone=feed.style.window.zone.key,
        color=feed.color,
        refresh=limits.refresh,
        publishes=feed.style.options.participants == "DESCRIPTION",
    )
    return document(head, feed.style.window.years, components or [nothing_planned(feed.id, feed.changed_at, say)])


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


def by_importance(rows: Iterable[SelectedActivity], feed: Feed) -> list[SelectedActivity]:
    """What is to come, the next first, then what is past, the latest first: a full feed loses the far past first.

    A series, which has no one time, counts as what comes next.
    """
    today = feed.style.window.midnight(feed.style.window.today)
    in_time = sorted(rows, key=lambda row: (row.begins_at or today, row.activity_id))
    first = bisect_left(in_time, today, key=lambda row: row.begins_at or today)
    return in_time[first:] + in_time[:first][::-1]


def _within(components: Sequence[Component], limits: FeedLimits) -> list[Component]:
    """The first of them that a feed may hold."""
    kept, events, size = [], 0, MOST_HEAD
    for component in components:
        events, size = events + component.events, size + len(component.octets)
        if events > limits.most_events or size > limits.most_bytes:
            break
        kept.append(component)
    return kept


def _component(feed: Feed, row: SelectedActivity, ics: bytes) -> Component:
    events = 1 if row.day is None else len(BEGIN.findall(ics))
    return Component(row, stamped(ics, feed.stamp(row)), events)


async def _render(rows: FeedRows, wanted: Sequence[SelectedActivity]) -> list[SelectedActivity]:
    """Render what has no fragment yet, beside the loop and in slices, so that large feeds and small ones take turns."""
    missing = [row for row in wanted if row.ics is None]
    fresh: dict[UUID, bytes | None] = {}
    for start in range(0, len(missing), SLICE):
        slice_ = missing[start : start + SLICE]
        octets = await asyncio.get_running_loop().run_in_executor(RENDERER, _render_slice, rows, slice_)
        fresh |= zip((row.activity_id for row in slice_), octets, strict=True)
    return [replace(row, ics=fresh[row.activity_id]) if row.activity_id in fresh else row for row in wanted]


def _render_slice(rows: FeedRows, slice_: Sequence[SelectedActivity]) -> list[bytes | None]:
    """One bad activity is left out, and never breaks the feed."""
    return [_try_render(rows, row) for row in slice_]


def _try_render(rows: FeedRows, row: SelectedActivity) -> bytes | None:
    try:
        return fragment(rows.unrendered[row.activity_id], rows.feed.style, rows.feed.shown(row))
    except Exception as exc:  # whatever the row holds: the other activities must come through
        account_id, activity_id = str(rows.feed.account_id), str(row.activity_id)
        log.error("activity left out", account_id=account_id, activity_id=activity_id, error=type(exc).__name__)
        return None


async def _keep(pool: Pool, account_id: UUID, fragments: Sequence[SelectedActivity]) -> None:
    """Store fragments for the next poll; where that fails now, the next poll renders them and this one is served."""
    try:
        async with pool.acquire() as conn:
            for start in range(0, len(fragments), SAVED_AT_ONCE):
                slice_ = fragments[start : start + SAVED_AT_ONCE]
                await save_fragments(conn, account_id, slice_)
                await delete_stale_fragments(conn, account_id, [row.activity_id for row in slice_])
    except (*CONNECTION_LOST, asyncpg.PostgresError) as exc:
        log.warning("fragments not kept", account_id=str(account_id), error=type(exc).__name__)

"""The body of a feed: stored fragments, and the missing ones rendered and stored, between a head and a tail."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import asyncpg
import structlog

from db.activities import ActivityRecord, list_activities
from db.fragments import FragmentRecord, list_fragments, save_fragments
from db.links import Gate, get_gate
from db.pool import CONNECTION_LOST, Conn, Pool
from feed.document import document, nothing_planned
from feed.render import BUSY, FULL, fragment
from feed.tokens import FeedToken

ALL_CALENDARS = "All my calendars"
SLICE = 100  # activities rendered between two chances for other requests
SAVED_AT_ONCE = 1_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FeedRows:
    """What a body is made of, read in one snapshot: the gate tells exactly the versions that these rows have."""

    gate: Gate
    fragments: Sequence[FragmentRecord]
    unrendered: Mapping[UUID, ActivityRecord]


class NothingRenderedError(Exception):
    """Not one of the feed's activities could be rendered: calendar programs would believe an empty feed."""


async def read_feed(conn: Conn, token: FeedToken) -> FeedRows | None:
    """Ask the gate once more and read the rows in the same snapshot; None if there is no such link."""
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        gate = await get_gate(conn, token.account_id, token.link_id, token.generation)
        if gate is None:
            return None
        fragments = await list_fragments(conn, gate.account_id, gate.calendar_ids, gate.user_id, FULL, BUSY)
        missing = [f.activity_id for f in fragments if f.ics is None]
        activities = await list_activities(conn, gate.account_id, missing) if missing else []
    return FeedRows(gate, fragments, {activity.id: activity for activity in activities})


async def feed_body(rows: FeedRows, pool: Pool) -> bytes:
    """The whole calendar; what had to be rendered for it is kept for the next poll."""
    gate = rows.gate
    rendered = await _render(rows)
    if rendered:
        await _keep(pool, gate.account_id, [f for f in rendered.values() if f.ics])
    fragments = [(rendered.get(f.activity_id) or f).ics or b"" for f in rows.fragments]
    if fragments and not any(fragments):
        raise NothingRenderedError
    if not fragments:
        fragments = [nothing_planned(gate.link_id, gate.changed_at)]
    return document(gate.calendar_name or ALL_CALENDARS, gate.time_zone, gate.calendar_color, fragments)


async def _render(rows: FeedRows) -> dict[UUID, FragmentRecord]:
    """Render what has no fragment yet, in slices; one bad activity is left out and never breaks the feed."""
    rendered = {}
    for count, record in enumerate((f for f in rows.fragments if f.ics is None), 1):
        rendered[record.activity_id] = replace(record, ics=_try_render(rows, record))
        if count % SLICE == 0:
            await asyncio.sleep(0)
    return rendered


def _try_render(rows: FeedRows, record: FragmentRecord) -> bytes | None:
    try:
        return fragment(rows.unrendered[record.activity_id], record.variant)
    except Exception as exc:  # whatever the row holds: the other activities must come through
        account_id, activity_id = str(rows.gate.account_id), str(record.activity_id)
        log.error("activity left out", account_id=account_id, activity_id=activity_id, error=type(exc).__name__)
        return None


async def _keep(pool: Pool, account_id: UUID, fragments: Sequence[FragmentRecord]) -> None:
    """Store fragments for the next poll; where that fails now, the next poll renders them and this one is served."""
    try:
        async with pool.acquire() as conn:
            for start in range(0, len(fragments), SAVED_AT_ONCE):
                await save_fragments(conn, account_id, fragments[start : start + SAVED_AT_ONCE])
    except (*CONNECTION_LOST, asyncpg.PostgresError) as exc:
        log.warning("fragments not kept", account_id=str(account_id), error=type(exc).__name__)

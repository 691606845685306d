"""Writing activities together with the calendars that they stand in: only what differs, all of it at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg

from db.activities import (
    ANCHOR,
    Activity,
    ActivityRecord,
    UpsertCounts,
    delete_activities,
    upsert_activities,
    values_of,
)
from db.calendars import lock_calendar_versions
from db.ids import new_id
from db.pool import Conn

# More than so many rows are written with new plans. Those that foreign keys and triggers keep may be of a time when the
# tables were small and without statistics; PostgreSQL then looks an activity up by reading all those of its account,
# until it gathers statistics, in a minute or so: 20 s for 10,000 activities, which take 1 s.
FEW = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """An activity as it is to be, the calendars that it is to stand in, none to delete it, and what is there before."""

    activity: Activity
    calendar_ids: frozenset[UUID]
    before: ActivityRecord | None = None
    calendar_ids_before: frozenset[UUID] = frozenset()
    id: UUID = field(default_factory=new_id)  # of one that is there before, its own

    @property
    def differs(self) -> bool:
        """Whether the activity itself is to be added or changed."""
        return self.before is None or values_of(self.activity) != values_of(self.before)

    @property
    def moves(self) -> bool:
        return self.calendar_ids != self.calendar_ids_before


class OvertakenError(asyncpg.SerializationError):
    """Somebody else has added an activity since it was not there: what is to be written has to be thought of anew."""


def upsert_counts(placements: Sequence[Placement]) -> UpsertCounts:
    """What saving them does. What only stands in other calendars than before counts as updated."""
    created = sum(each.before is None for each in placements)
    touched = sum(each.moves or each.differs for each in placements)
    return UpsertCounts(created, touched - created, len(placements) - touched)


async def save_placements(conn: Conn, account_id: UUID, placements: Sequence[Placement], now: datetime) -> None:
    """Write what differs. All that is there before must be locked (`lock_activities`), and its calendars read since.

    Raises `OvertakenError` if anything that is to be added is there by now.
    """
    differing = [each for each in placements if each.differs]
    moving = [each for each in placements if each.moves]
    if len(differing) + len(moving) > FEW:
        await conn.execute("DISCARD PLANS")
    await lock_calendar_versions(conn, account_id, _calendars([*differing, *moving]))
    if differing:
        activities, ids = [each.activity for each in differing], [each.id for each in differing]
        counts = await upsert_activities(conn, account_id, activities, now, ids)
        if counts.created != sum(each.before is None for each in differing):
            raise OvertakenError("another writer has added an activity")
    await _place(conn, account_id, moving)
    if gone := [each.id for each in moving if not each.calendar_ids]:
        await delete_activities(conn, account_id, gone)


def _calendars(placements: Sequence[Placement]) -> frozenset[UUID]:
    return frozenset().union(*(each.calendar_ids | each.calendar_ids_before for each in placements))


async def _place(conn: Conn, account_id: UUID, moving: Sequence[Placement]) -> None:
    """Put activities into calendars, then take them out of others.

    The other way round they would stand in none for a moment, and that they moved would not count as a placing.
    """
    added = [(id_, each.id) for each in moving for id_ in each.calendar_ids - each.calendar_ids_before]
    removed = [(id_, each.id) for each in moving for id_ in each.calendar_ids_before - each.calendar_ids]
    pairs = "unnest($2::uuid[], $3::uuid[]) AS d (calendar_id, activity_id)"
    insert = f"""
        INSERT INTO calendar_entries (account_id, calendar_id, activity_id)
        SELECT $1, d.calendar_id, d.activity_id FROM {pairs} ORDER BY d.activity_id, d.calendar_id
        ON CONFLICT DO NOTHING"""
    delete = f"""
        DELETE FROM calendar_entries e USING {pairs}
         WHERE e.account_id = $1 AND e.calendar_id = d.calendar_id AND e.activity_id = d.activity_id"""
    for sql, entries in ((insert, added), (delete, removed)):
        if entries:
            await conn.execute(sql, account_id, *map(list, zip(*entries, strict=True)))


async def list_placings(conn: Conn, account_id: UUID, activity_ids: Sequence[UUID]) -> dict[UUID, frozenset[UUID]]:
    """The calendars that each of the activities stands in; an activity that stands in none is left out."""
    sql = """
        SELECT e.activity_id, array_agg(e.calendar_id) AS calendar_ids
          FROM calendar_entries e WHERE e.account_id = $1 AND e.activity_id = ANY ($2::uuid[])
         GROUP BY e.activity_id"""
    rows = await conn.fetch(sql, account_id, activity_ids)
    return {row["activity_id"]: frozenset(row["calendar_ids"]) for row in rows}


async def list_window(conn: Conn, account_id: UUID, calendar_id: UUID, since: datetime, until: datetime) -> list[UUID]:
    """The activities of the calendar that have an external id and lie in the window, by `ANCHOR`."""
    sql = f"""
        SELECT a.id
          FROM calendar_entries e JOIN activities a ON a.account_id = $1 AND a.id = e.activity_id
         WHERE e.account_id = $1 AND e.calendar_id = $2 AND a.external_id IS NOT NULL
           AND {ANCHOR} >= $3 AND {ANCHOR} < $4"""
    return [row["id"] for row in await conn.fetch(sql, account_id, calendar_id, since, until)]

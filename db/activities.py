"""Activities: meetings, calls, tasks and notes, standing in one or more calendars."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from db.ids import new_id
from db.pool import Conn


@dataclass(frozen=True, slots=True)
class Participant:
    name: str | None = None
    email: str | None = None
    response: str | None = None  # ACCEPTED, DECLINED, TENTATIVE, NEEDS_ACTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What an activity says. All times are aware; `ends_on` is exclusive; a task's deadline is `due_at` or `due_on`.

    `recurrence` is the series' rule and exceptions as JSON, in the shape that `feed.importing.recurrence` documents.
    """

    type: str  # MEETING, CALL, TASK, NOTE
    status: str  # CONFIRMED, TENTATIVE, CANCELLED; of a task NEEDS_ACTION, IN_PROCESS, COMPLETED, CANCELLED
    external_id: str | None = None
    owner_id: UUID | None = None
    title: str = ""
    description: str | None = None
    location: str | None = None
    url: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    due_at: datetime | None = None
    due_on: date | None = None
    time_zone: str | None = None
    recurrence: dict[str, Any] | None = None
    priority: str | None = None  # HIGH, NORMAL, LOW
    participants: tuple[Participant, ...] = ()
    private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityRecord(Activity):
    id: UUID
    revision: int
    created_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityFilter:
    """Which activities; None is all. Of the window see `ANCHOR`."""

    types: Sequence[str] | None = None
    changed_since: datetime | None = None
    since: datetime | None = None
    until: datetime | None = None
    owner_id: UUID | None = None
    external_ids: Sequence[str] | None = None


Key = tuple[str, str]  # type and external id


@dataclass(frozen=True, slots=True)
class UpsertCounts:
    created: int
    updated: int
    unchanged: int


# One place that pairs each column with its SQL type.
COLUMN_TYPES = {
    "type": "text",
    "status": "text",
    "external_id": "text",
    "owner_id": "uuid",
    "title": "text",
    "description": "text",
    "location": "text",
    "url": "text",
    "starts_at": "timestamptz",
    "ends_at": "timestamptz",
    "starts_on": "date",
    "ends_on": "date",
    "due_at": "timestamptz",
    "due_on": "date",
    "time_zone": "text",
    "recurrence": "jsonb",
    "priority": "text",
    "participants": "jsonb",
    "private": "boolean",
}
NAMES = ", ".join(COLUMN_TYPES)
COLUMNS = ", ".join(f"a.{name}" for name in ("id", "revision", "created_at", "changed_at", *COLUMN_TYPES))
MUTABLE = [name for name in COLUMN_TYPES if name not in ("type", "external_id")]

# The moment by which an activity lies in a window: its start or else its deadline, a day as its midnight in UTC, of a
# series its first start; null for what has no time.
ANCHOR = """
    coalesce(a.starts_at, a.starts_on::timestamp AT TIME ZONE 'UTC',
             a.due_at, a.due_on::timestamp AT TIME ZONE 'UTC')"""

# Whether an activity is told in full to the user $2; None is an integrator, who is told everything. Of others' private
# ones only those are told at all that a feed shows as "Busy".
TOLD = "($2::uuid IS NULL OR NOT a.private OR a.owner_id IS NOT DISTINCT FROM $2)"
SHOWN = f"({TOLD} OR a.type <> 'NOTE' AND a.status <> 'CANCELLED' AND {ANCHOR} IS NOT NULL)"

# The order of rows is that of all who write several: two writers of the same never wait for each other.
UPSERT = f"""
    INSERT INTO activities (account_id, id, created_at, revision, changed_at, {NAMES})
    SELECT $1, d.id, $2, 0, $2, {", ".join(f"d.{name}" for name in COLUMN_TYPES)}
      FROM unnest($3::uuid[], {", ".join(f"${n}::{t}[]" for n, t in enumerate(COLUMN_TYPES.values(), 4))})
        AS d (id, {NAMES})
     ORDER BY d.type, d.external_id
    ON CONFLICT (account_id, type, external_id) DO UPDATE
       SET {", ".join(f"{name} = excluded.{name}" for name in MUTABLE)}
     WHERE ({", ".join(f"activities.{name}" for name in MUTABLE)})
        IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in MUTABLE)})
    RETURNING xmax = 0 AS created"""

FIRST_ID = UUID(int=0)  # before all

values_of = attrgetter(*COLUMN_TYPES)


async def upsert_activities(
    conn: Conn, account_id: UUID, activities: Sequence[Activity], now: datetime, ids: Sequence[UUID] | None = None
) -> UpsertCounts:
    """Write activities by (type, external id); those that are the same already are left untouched.

    `activities` must not name an external id twice; `ids` are those that new ones get. Call inside a transaction
    together with `add_entries`.
    """
    columns = {name: [getattr(activity, name) for activity in activities] for name in COLUMN_TYPES}
    columns["recurrence"] = [kept and json.dumps(kept) for kept in columns["recurrence"]]
    columns["participants"] = [_participants_json(people) for people in columns["participants"]]
    new_ids = [new_id() for _ in activities] if ids is None else ids
    rows = await conn.fetch(UPSERT, account_id, now, new_ids, *columns.values())
    created = sum(row["created"] for row in rows)
    return UpsertCounts(created, len(rows) - created, len(activities) - len(rows))


async def add_entries(conn: Conn, account_id: UUID, calendar_id: UUID, activities: Sequence[Activity]) -> int:
    """Put activities, found by (type, external id), into the calendar; how many were not in it before."""
    sql = """
        INSERT INTO calendar_entries (account_id, calendar_id, activity_id)
        SELECT $1, $2, a.id
          FROM activities a JOIN unnest($3::text[], $4::text[]) AS d (type, external_id)
            ON a.type = d.type AND a.external_id = d.external_id
         WHERE a.account_id = $1
         ORDER BY a.id
        ON CONFLICT DO NOTHING RETURNING activity_id"""
    types, external_ids = [a.type for a in activities], [a.external_id for a in activities]
    return len(await conn.fetch(sql, account_id, calendar_id, types, external_ids))


async def delete_activities(conn: Conn, account_id: UUID, activity_ids: Sequence[UUID]) -> None:
    """Delete activities that stand in no calendar any more; of others each would raise versions on its own."""
    sql = "DELETE FROM activities a WHERE a.account_id = $1 AND a.id = ANY ($2::uuid[])"
    await conn.execute(sql, account_id, activity_ids)


async def lock_activities(
    conn: Conn, account_id: UUID, keys: Iterable[Key], ids: Sequence[UUID] = ()
) -> list[ActivityRecord]:
    """Lock those that are there, by type and external id or by id, until the transaction ends.

    Whoever writes many activities locks them first, all by one statement and so in one order: a writer of one locks it
    before the versions of its calendars.
    """
    sql = f"""
        SELECT {COLUMNS}
          FROM activities a
         WHERE a.account_id = $1
           AND (a.type = ANY ($2::text[]) AND a.external_id = ANY ($3::text[]) OR a.id = ANY ($4::uuid[]))
         ORDER BY a.id FOR NO KEY UPDATE OF a"""
    wanted, chosen = set(keys), set(ids)
    types, external_ids = {type_ for type_, _ in wanted}, {external_id for _, external_id in wanted}
    rows = await conn.fetch(sql, account_id, list(types), list(external_ids), list(ids))
    return [_record(dict(row)) for row in rows if (row["type"], row["external_id"]) in wanted or row["id"] in chosen]


async def list_activities(conn: Conn, account_id: UUID, ids: Sequence[UUID]) -> list[ActivityRecord]:
    sql = f"SELECT {COLUMNS} FROM activities a WHERE a.account_id = $1 AND a.id = ANY ($2::uuid[]) ORDER BY a.id"
    return [_record(dict(row)) for row in await conn.fetch(sql, account_id, ids)]


async def page_activities(
    conn: Conn,
    account_id: UUID,
    viewer_id: UUID | None,
    calendar_id: UUID,
    wanted: ActivityFilter,
    first: int,
    after: UUID | None,
) -> list[ActivityRecord]:
    """Those of the calendar that fit, by id, `first` of them at the most, that come after that one.

    `viewer_id`: the user who sees them; None is an integrator. What they must not know of an activity finds none.
    """
    sql = f"""
        SELECT {COLUMNS}
          FROM calendar_entries e JOIN activities a ON a.account_id = $1 AND a.id = e.activity_id
         WHERE e.account_id = $1 AND e.calendar_id = $3 AND e.activity_id > $4 AND {SHOWN}
           AND ($5::text[] IS NULL OR a.type = ANY ($5))
           AND ($6::timestamptz IS NULL OR greatest(a.changed_at, a.placed_at) >= $6)
           AND ($7::timestamptz IS NULL OR {ANCHOR} >= $7)
           AND ($8::timestamptz IS NULL OR {ANCHOR} < $8)
           AND ($9::uuid IS NULL OR a.owner_id = $9 AND {TOLD})
           AND ($10::text[] IS NULL OR a.external_id = ANY ($10) AND {TOLD})
         ORDER BY e.activity_id LIMIT $11"""
    rows = await conn.fetch(
        sql, account_id, viewer_id, calendar_id, after or FIRST_ID, wanted.types, wanted.changed_since,
        wanted.since, wanted.until, wanted.owner_id, wanted.external_ids, first,
    )  # fmt: skip
    return [_record(dict(row)) for row in rows]


async def get_visible_activity(
    conn: Conn, account_id: UUID, viewer_id: UUID | None, activity_id: UUID
) -> ActivityRecord | None:
    """The activity if it stands in a calendar that the user may see now; an integrator sees any."""
    sql = f"""
        SELECT {COLUMNS}
          FROM activities a
         WHERE a.account_id = $1 AND a.id = $3 AND {SHOWN}
           AND ($2::uuid IS NULL OR EXISTS (
                SELECT 1
                  FROM calendar_entries e
                  JOIN calendar_access x ON x.account_id = $1 AND x.calendar_id = e.calendar_id AND x.user_id = $2
                  JOIN calendars c ON c.account_id = $1 AND c.id = e.calendar_id
                 WHERE e.account_id = $1 AND e.activity_id = a.id
                   AND x.withdrawn_at IS NULL AND c.deleted_at IS NULL))"""
    row = await conn.fetchrow(sql, account_id, viewer_id, activity_id)
    return _record(dict(row)) if row else None


def _record(row: dict[str, Any]) -> ActivityRecord:
    people, recurrence = row.pop("participants"), row.pop("recurrence")
    participants = () if people == "[]" else tuple(Participant(**person) for person in json.loads(people))
    return ActivityRecord(**row, participants=participants, recurrence=json.loads(recurrence) if recurrence else None)


def _participants_json(participants: Sequence[Participant]) -> str:
    if not participants:
        return "[]"
    names = Participant.__slots__
    return json.dumps([{n: said for n in names if (said := getattr(person, n)) is not None} for person in participants])

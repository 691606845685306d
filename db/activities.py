"""Activities: meetings, calls, tasks and notes, standing in one or more calendars."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
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


@dataclass(frozen=True, slots=True)
class UpsertCounts:
    created: int
    updated: int
    unchanged: int


# One place that pairs each column with its SQL type and how a value is written.
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


async def upsert_activities(
    conn: Conn, account_id: UUID, activities: Sequence[Activity], now: datetime
) -> UpsertCounts:
    """Write activities by (type, external id); those that are the same already are left untouched.

    `activities` must not name an external id twice. Call inside a transaction together with `add_entries`.
    """
    columns = [[_to_sql(getattr(a, name)) for a in activities] for name in COLUMN_TYPES]
    rows = await conn.fetch(UPSERT, account_id, now, [new_id() for _ in activities], *columns)
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


async def lock_activities(
    conn: Conn, account_id: UUID, activities: Sequence[Activity]
) -> dict[tuple[str, str | None], UUID | None]:
    """Lock those of the activities that are there, in one order for all, until the transaction ends; their owners.

    Whoever writes many activities locks them first: a writer of one locks it before the versions of its calendars.
    """
    sql = """
        SELECT a.type, a.external_id, a.owner_id
          FROM activities a JOIN unnest($2::text[], $3::text[]) AS d (type, external_id)
            ON a.type = d.type AND a.external_id = d.external_id
         WHERE a.account_id = $1
         ORDER BY a.id FOR NO KEY UPDATE OF a"""
    rows = await conn.fetch(sql, account_id, [a.type for a in activities], [a.external_id for a in activities])
    return {(row["type"], row["external_id"]): row["owner_id"] for row in rows}


async def list_entered(
    conn: Conn, account_id: UUID, calendar_id: UUID, activities: Sequence[Activity]
) -> set[tuple[str, str]]:
    """Which of the activities stand in the calendar already, by (type, external id)."""
    sql = """
        SELECT a.type, a.external_id
          FROM activities a
          JOIN unnest($3::text[], $4::text[]) AS d (type, external_id)
            ON a.type = d.type AND a.external_id = d.external_id
          JOIN calendar_entries e ON e.account_id = $1 AND e.calendar_id = $2 AND e.activity_id = a.id
         WHERE a.account_id = $1"""
    types, external_ids = [a.type for a in activities], [a.external_id for a in activities]
    rows = await conn.fetch(sql, account_id, calendar_id, types, external_ids)
    return {(row["type"], row["external_id"]) for row in rows}


async def list_activities(conn: Conn, account_id: UUID, ids: Sequence[UUID]) -> list[ActivityRecord]:
    sql = f"SELECT {COLUMNS} FROM activities a WHERE a.account_id = $1 AND a.id = ANY ($2::uuid[]) ORDER BY a.id"
    return [_record(dict(row)) for row in await conn.fetch(sql, account_id, ids)]


def _record(row: dict[str, Any]) -> ActivityRecord:
    participants = tuple(Participant(**p) for p in json.loads(row.pop("participants")))
    recurrence = row.pop("recurrence")
    return ActivityRecord(**row, participants=participants, recurrence=json.loads(recurrence) if recurrence else None)


def _to_sql(value: Any) -> Any:
    match value:
        case tuple():
            return json.dumps(
                [{k: v for k in Participant.__slots__ if (v := getattr(p, k)) is not None} for p in value]
            )
        case dict():
            return json.dumps(value)
        case _:
            return value

"""Calendars, and who may see them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from db.access import grant_pairs
from db.ids import new_id
from db.pool import Conn

COLUMNS = "c.account_id, c.id, c.external_id, c.name, c.color, c.deleted_at, v.changed_at"

# Whether the user $2 may see the calendar c now; None is an integrator, who may see all.
VISIBLE = """
    c.deleted_at IS NULL AND ($2::uuid IS NULL OR EXISTS (
        SELECT 1 FROM calendar_access x
         WHERE x.account_id = $1 AND x.calendar_id = c.id AND x.user_id = $2 AND x.withdrawn_at IS NULL))"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarRecord:
    account_id: UUID
    id: UUID
    external_id: str | None
    name: str
    color: str | None  # "#4682B4"
    deleted_at: datetime | None
    changed_at: datetime  # when a subscriber could last see a change


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedCalendars:
    """Which calendars; None is all."""

    ids: Sequence[UUID] | None = None
    external_ids: Sequence[str] | None = None
    changed_since: datetime | None = None
    deleted: bool | None = False
    visible_to: UUID | None = None  # a user


async def list_calendars(conn: Conn, account_id: UUID) -> list[CalendarRecord]:
    """The account's calendars by name."""
    sql = f"""
        SELECT {COLUMNS}
          FROM calendars c
          JOIN calendar_versions v ON v.account_id = $1 AND v.calendar_id = c.id
         WHERE c.account_id = $1 AND c.deleted_at IS NULL
         ORDER BY lower(c.name), c.id"""
    return [CalendarRecord(**row) for row in await conn.fetch(sql, account_id)]


async def list_visible_calendars(conn: Conn, account_id: UUID, user_id: UUID) -> list[CalendarRecord]:
    """The calendars that the user may see now, by name."""
    sql = f"""
        SELECT {COLUMNS}
          FROM calendar_access x
          JOIN calendars c ON c.account_id = $1 AND c.id = x.calendar_id
          JOIN calendar_versions v ON v.account_id = $1 AND v.calendar_id = c.id
         WHERE x.account_id = $1 AND x.user_id = $2 AND x.withdrawn_at IS NULL AND c.deleted_at IS NULL
         ORDER BY lower(c.name), c.id"""
    return [CalendarRecord(**row) for row in await conn.fetch(sql, account_id, user_id)]


async def page_calendars(
    conn: Conn, account_id: UUID, wanted: WantedCalendars, first: int, after: UUID | None
) -> list[CalendarRecord]:
    """The calendars that fit, the oldest first, `first` of them at the most, that come after that one."""
    sql = f"""
        SELECT {COLUMNS}
          FROM calendars c
          JOIN calendar_versions v ON v.account_id = $1 AND v.calendar_id = c.id
         WHERE c.account_id = $1
           AND ($2::uuid[] IS NULL OR c.id = ANY ($2))
           AND ($3::text[] IS NULL OR c.external_id = ANY ($3))
           AND ($4::timestamptz IS NULL OR v.changed_at >= $4)
           AND ($5::boolean IS NULL OR (c.deleted_at IS NOT NULL) = $5)
           AND ($6::uuid IS NULL OR EXISTS (
                SELECT 1 FROM calendar_access x
                 WHERE x.account_id = $1 AND x.user_id = $6 AND x.calendar_id = c.id AND x.withdrawn_at IS NULL))
           AND ($7::uuid IS NULL OR c.id > $7)
         ORDER BY c.id LIMIT $8"""
    ids, external_ids = (None if given is None else list(given) for given in (wanted.ids, wanted.external_ids))
    rows = await conn.fetch(
        sql, account_id, ids, external_ids, wanted.changed_since, wanted.deleted, wanted.visible_to, after, first
    )
    return [CalendarRecord(**row) for row in rows]


async def page_user_calendars(
    conn: Conn, account_id: UUID, user_ids: Sequence[UUID], first: int, after: UUID | None
) -> dict[UUID, list[CalendarRecord]]:
    """What each of the users may see: of each the oldest `first` calendars that come after that one."""
    sql = f"""
        SELECT d.user_id, {COLUMNS}
          FROM unnest($2::uuid[]) AS d (user_id)
         CROSS JOIN LATERAL (
               SELECT k.id FROM calendar_access x JOIN calendars k ON k.account_id = $1 AND k.id = x.calendar_id
                WHERE x.account_id = $1 AND x.user_id = d.user_id AND x.withdrawn_at IS NULL
                  AND k.deleted_at IS NULL AND ($4::uuid IS NULL OR k.id > $4)
                ORDER BY k.id LIMIT $3) s
          JOIN calendars c ON c.account_id = $1 AND c.id = s.id
          JOIN calendar_versions v ON v.account_id = $1 AND v.calendar_id = c.id
         ORDER BY d.user_id, c.id"""
    found: dict[UUID, list[CalendarRecord]] = {}
    for row in await conn.fetch(sql, account_id, list(user_ids), first, after):
        values = dict(row)
        found.setdefault(values.pop("user_id"), []).append(CalendarRecord(**values))
    return found


async def find_calendars(
    conn: Conn, account_id: UUID, external_ids: Sequence[str], deleted_too: Sequence[str]
) -> dict[str, UUID]:
    """The ids of those of them that are there, by external id; deleted ones only of `deleted_too`."""
    sql = """
        SELECT c.external_id, c.id FROM calendars c
         WHERE c.account_id = $1 AND c.external_id = ANY ($2::text[])
           AND (c.deleted_at IS NULL OR c.external_id = ANY ($3::text[]))"""
    rows = await conn.fetch(sql, account_id, list(external_ids), list(deleted_too))
    return {row["external_id"]: row["id"] for row in rows}


async def lock_calendars(conn: Conn, account_id: UUID, external_ids: Sequence[str]) -> list[CalendarRecord]:
    """Those of them that are there, deleted ones too, locked until the transaction ends."""
    sql = f"""
        SELECT {COLUMNS}
          FROM calendars c
          JOIN calendar_versions v ON v.account_id = $1 AND v.calendar_id = c.id
         WHERE c.account_id = $1 AND c.external_id = ANY ($2::text[])
         ORDER BY c.id FOR NO KEY UPDATE OF c"""
    return [CalendarRecord(**row) for row in await conn.fetch(sql, account_id, list(external_ids))]


async def save_calendars(conn: Conn, account_id: UUID, calendars: Sequence[CalendarRecord], now: datetime) -> None:
    """Add the calendars, or write those over that are there by id; what changes has to be locked before."""
    columns = ("id", "external_id", "name", "color", "deleted_at")
    sql = """
        INSERT INTO calendars (account_id, id, external_id, name, color, deleted_at, created_at)
        SELECT $1, d.id, d.external_id, d.name, d.color, d.deleted_at, $2
          FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
            AS d (id, external_id, name, color, deleted_at)
         ORDER BY d.id
        ON CONFLICT (account_id, id) DO UPDATE
           SET name = excluded.name, color = excluded.color, deleted_at = excluded.deleted_at"""
    values = ([getattr(calendar, name) for calendar in calendars] for name in columns)
    await conn.execute(sql, account_id, now, *values)


async def is_visible_calendar(conn: Conn, account_id: UUID, viewer_id: UUID | None, calendar_id: UUID) -> bool:
    """Whether there is that calendar, and the user may see it now; an integrator sees any."""
    sql = f"SELECT EXISTS (SELECT 1 FROM calendars c WHERE c.account_id = $1 AND c.id = $3 AND {VISIBLE})"
    found: bool = await conn.fetchval(sql, account_id, viewer_id, calendar_id)
    return found


async def list_calendars_of_activities(
    conn: Conn, account_id: UUID, viewer_id: UUID | None, activity_ids: Sequence[UUID]
) -> dict[UUID, list[CalendarRecord]]:
    """The calendars by name that each of the activities stands in, of those that the user may see now."""
    sql = f"""
        SELECT e.activity_id, {COLUMNS}
          FROM calendar_entries e
          JOIN calendars c ON c.account_id = $1 AND c.id = e.calendar_id
          JOIN calendar_versions v ON v.account_id = $1 AND v.calendar_id = c.id
         WHERE e.account_id = $1 AND e.activity_id = ANY ($3::uuid[]) AND {VISIBLE}
         ORDER BY lower(c.name), c.id"""
    found: dict[UUID, list[CalendarRecord]] = {}
    for row in await conn.fetch(sql, account_id, viewer_id, activity_ids):
        values = dict(row)
        found.setdefault(values.pop("activity_id"), []).append(CalendarRecord(**values))
    return found


async def lock_calendar_ids(conn: Conn, account_id: UUID, external_ids: Collection[str]) -> dict[str, UUID]:
    """The ids of those that there are, by external id; nobody else locks them until the transaction ends."""
    sql = """
        SELECT c.external_id, c.id
          FROM calendars c
         WHERE c.account_id = $1 AND c.external_id = ANY ($2::text[]) AND c.deleted_at IS NULL
         ORDER BY c.id FOR NO KEY UPDATE"""
    return {row["external_id"]: row["id"] for row in await conn.fetch(sql, account_id, list(external_ids))}


async def lock_calendar_versions(conn: Conn, account_id: UUID, calendar_ids: Collection[UUID]) -> None:
    """In one order for all: what several statements change would else raise versions in the order of the statements."""
    sql = """
        SELECT v.calendar_id FROM calendar_versions v
         WHERE v.account_id = $1 AND v.calendar_id = ANY ($2::uuid[]) ORDER BY v.calendar_id FOR UPDATE"""
    if calendar_ids:
        await conn.execute(sql, account_id, list(calendar_ids))


async def add_calendar(
    conn: Conn, account_id: UUID, now: datetime, *, name: str, color: str | None = None, external_id: str | None = None
) -> UUID:
    """Add a calendar that nobody may see yet; `color` like "#4682B4". The id of it."""
    calendar_id = new_id()
    sql = """
        INSERT INTO calendars (account_id, id, external_id, name, color, created_at)
        VALUES ($1, $2, $3, $4, $5, $6)"""
    await conn.execute(sql, account_id, calendar_id, external_id, name, color, now)
    return calendar_id


async def grant_access(conn: Conn, account_id: UUID, calendar_id: UUID, user_ids: list[UUID], now: datetime) -> None:
    """Let the users see the calendar, from now on if they could not already."""
    await grant_pairs(conn, account_id, [(calendar_id, user_id) for user_id in user_ids], now)

"""Calendars, and who may see them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from db.ids import new_id
from db.pool import Conn

COLUMNS = "c.account_id, c.id, c.external_id, c.name, c.color, v.changed_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarRecord:
    account_id: UUID
    id: UUID
    external_id: str | None
    name: str
    color: str | None  # "#4682B4"
    changed_at: datetime  # when a subscriber could last see a change


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
    sql = """
        INSERT INTO calendar_access (account_id, calendar_id, user_id, granted_at)
        SELECT $1, $2, u.id, $4 FROM unnest($3::uuid[]) AS u (id) ORDER BY u.id
        ON CONFLICT (account_id, user_id, calendar_id) DO UPDATE
           SET granted_at = excluded.granted_at, withdrawn_at = NULL
         WHERE calendar_access.withdrawn_at IS NOT NULL"""
    await conn.execute(sql, account_id, calendar_id, user_ids, now)

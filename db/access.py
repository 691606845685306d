"""Access: which user may see which calendar, as pairs of a calendar's and a user's id."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from db.pool import Conn

Pair = tuple[UUID, UUID]  # a calendar, and a user who may see it


async def list_access(conn: Conn, account_id: UUID, calendar_ids: Sequence[UUID]) -> set[Pair]:
    """Who may see the calendars, users too who were deactivated."""
    sql = """
        SELECT x.calendar_id, x.user_id FROM calendar_access x
         WHERE x.account_id = $1 AND x.calendar_id = ANY ($2::uuid[]) AND x.withdrawn_at IS NULL"""
    rows = await conn.fetch(sql, account_id, list(calendar_ids))
    return {(row["calendar_id"], row["user_id"]) for row in rows}


async def plan_anew(conn: Conn) -> None:
    """Let the next statements be planned for the tables as they are now.

    A connection keeps the plans of triggers and of foreign keys. One that it made while a table was nearly empty reads
    all of it for each row of what is written, until somebody analyses the table: for a first sync that is too late.
    """
    await conn.execute("DISCARD PLANS")


async def grant_pairs(conn: Conn, account_id: UUID, pairs: Collection[Pair], now: datetime) -> None:
    """Let the users see the calendars, from now on if they could not already."""
    sql = """
        INSERT INTO calendar_access (account_id, calendar_id, user_id, granted_at)
        SELECT $1, d.calendar_id, d.user_id, $2 FROM unnest($3::uuid[], $4::uuid[]) AS d (calendar_id, user_id)
         ORDER BY d.user_id, d.calendar_id
        ON CONFLICT (account_id, user_id, calendar_id) DO UPDATE
           SET granted_at = excluded.granted_at, withdrawn_at = NULL
         WHERE calendar_access.withdrawn_at IS NOT NULL"""
    await conn.execute(sql, account_id, now, *_columns(pairs))


async def withdraw_pairs(conn: Conn, account_id: UUID, pairs: Collection[Pair], now: datetime) -> None:
    """Let the users see the calendars no more."""
    sql = """
        UPDATE calendar_access x SET withdrawn_at = $2
          FROM unnest($3::uuid[], $4::uuid[]) AS d (calendar_id, user_id)
         WHERE x.account_id = $1 AND x.user_id = d.user_id AND x.calendar_id = d.calendar_id
           AND x.withdrawn_at IS NULL"""
    await conn.execute(sql, account_id, now, *_columns(pairs))


def _columns(pairs: Collection[Pair]) -> tuple[list[UUID], list[UUID]]:
    return [calendar_id for calendar_id, _ in pairs], [user_id for _, user_id in pairs]

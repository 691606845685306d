"""What changed in calendars since the versions that somebody has seen, and what of it is worth rendering ahead."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from db.pool import Conn


class Version(NamedTuple):
    """Of a calendar. The time tells it from one of the same number in a database that was restored since."""

    number: int
    changed_at: datetime


async def list_changed_activities(
    conn: Conn, account_id: UUID, before: Mapping[UUID, Version], now: Mapping[UUID, Version]
) -> set[UUID] | None:
    """The activities that look otherwise in the calendars now than they did before, or are in or out of them.

    None if that is not known one by one: they are many, it is about the calendar, or too long ago.
    """
    if before.keys() != now.keys():
        return None
    moved = [calendar_id for calendar_id, version in now.items() if version != before[calendar_id]]
    if not moved:
        return set()
    sql = """
        SELECT h.calendar_id, h.version, h.changed_at, h.activity_ids
          FROM unnest($2::uuid[], $3::bigint[]) AS b (calendar_id, version)
          JOIN calendar_changes h ON h.account_id = $1 AND h.calendar_id = b.calendar_id AND h.version >= b.version
         ORDER BY h.calendar_id, h.version"""
    rows = await conn.fetch(sql, account_id, moved, [before[calendar_id].number for calendar_id in moved])
    told: dict[UUID, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        told[row["calendar_id"]].append(row)
    if not all(_leads(told[calendar_id], before[calendar_id], now[calendar_id]) for calendar_id in moved):
        return None
    return {id_ for changes in told.values() for row in changes[1:] for id_ in row["activity_ids"]}


def _leads(changes: Sequence[asyncpg.Record], before: Version, now: Version) -> bool:
    """Whether the changes, the first of which led to the version before, lead to the present one."""
    versions = [Version(row["version"], row["changed_at"]) for row in changes]
    if len(versions) != now.number - before.number + 1 or (versions[0], versions[-1]) != (before, now):
        return False
    return all(row["activity_ids"] is not None for row in changes[1:])


UNRENDERED = "h.rendering_at IS NULL AND (h.activity_ids IS NULL OR cardinality(h.activity_ids) > 10)"  # as its index


async def list_unrendered_accounts(conn: Conn) -> list[UUID]:
    """The accounts that are not suspended in whose calendars much has changed that nobody has begun to render."""
    sql = f"""
        SELECT DISTINCT h.account_id
          FROM calendar_changes h JOIN accounts a ON a.account_id = h.account_id
         WHERE {UNRENDERED} AND a.suspended_at IS NULL
         ORDER BY h.account_id"""
    return [row["account_id"] for row in await conn.fetch(sql)]


async def claim_unrendered(conn: Conn, account_id: UUID, now: datetime) -> set[UUID]:
    """The account's calendars in which much has changed, for one process to render that. What others hold is theirs."""
    sql = f"""
        WITH unrendered AS (
            SELECT h.calendar_id, h.version FROM calendar_changes h
             WHERE h.account_id = $1 AND {UNRENDERED}
             ORDER BY h.calendar_id, h.version FOR UPDATE SKIP LOCKED)
        UPDATE calendar_changes c SET rendering_at = $2
          FROM unrendered r WHERE c.account_id = $1 AND c.calendar_id = r.calendar_id AND c.version = r.version
        RETURNING c.calendar_id"""
    return {row["calendar_id"] for row in await conn.fetch(sql, account_id, now)}

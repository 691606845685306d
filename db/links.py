"""Feed links, and the gate: the one query that every poll asks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from db.ids import new_id
from db.pool import Conn

COLUMNS = """l.account_id, l.id, l.user_id, l.calendar_id, l.name, l.key_id, l.generation, l.options,
    l.style_revision, l.styled_at, l.created_at, l.resets[l.generation - 1] AS reset_at, l.paused_at, l.expires_at"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRecord:
    """A link that is not revoked; `calendar_id` is None for all the user's calendars in one feed."""

    account_id: UUID
    id: UUID
    user_id: UUID
    calendar_id: UUID | None
    name: str
    key_id: str
    generation: int
    options: Mapping[str, Any]  # that differ from the defaults
    style_revision: int  # counts what changed the feed's words while its activities stayed the same
    styled_at: datetime | None  # when it last rose
    created_at: datetime
    reset_at: datetime | None
    paused_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a poll may do, asked anew each time: is the link alive, what may its user see, and in which version."""

    account_id: UUID
    link_id: UUID
    user_id: UUID
    calendar_id: UUID | None
    key_id: str
    generation: int
    options: Mapping[str, Any]
    style_revision: int
    styled_at: datetime | None
    time_zone: str
    locale: str
    reset_at: datetime | None  # when the asked generation died
    paused_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    deactivated_at: datetime | None
    suspended_at: datetime | None
    lost_at: datetime | None  # when access to the one calendar ended
    calendar_ids: Sequence[UUID]
    calendar_versions: Sequence[int]
    calendar_times: Sequence[datetime]  # when each was last changed
    calendar_name: str | None  # of the one calendar
    calendar_color: str | None
    link_changed_at: datetime
    user_changed_at: datetime
    changed_at: datetime  # when a subscriber could last see a change; a withdrawn calendar counts, or it would go back


GATE = """
    SELECT l.account_id, l.id AS link_id, l.user_id, l.calendar_id, l.key_id, l.generation, l.options,
           l.style_revision, l.styled_at, u.time_zone, u.locale,
           l.resets[$3] AS reset_at, l.paused_at, l.expires_at, l.revoked_at, u.deactivated_at, a.suspended_at,
           s.lost_at, coalesce(s.ids, '{}') AS calendar_ids, coalesce(s.versions, '{}') AS calendar_versions,
           coalesce(s.times, '{}') AS calendar_times,
           k.name AS calendar_name, k.color AS calendar_color,
           l.changed_at AS link_changed_at, u.changed_at AS user_changed_at,
           greatest(l.changed_at, u.changed_at, s.changed_at) AS changed_at
      FROM feed_links l
      JOIN accounts a ON a.account_id = $1
      JOIN users u ON u.account_id = $1 AND u.id = l.user_id
      LEFT JOIN calendars k ON k.account_id = $1 AND k.id = l.calendar_id
     CROSS JOIN LATERAL (
           SELECT array_agg(c.id ORDER BY c.id) FILTER (WHERE x.withdrawn_at IS NULL AND c.deleted_at IS NULL) AS ids,
                  array_agg(v.version ORDER BY c.id) FILTER (WHERE x.withdrawn_at IS NULL AND c.deleted_at IS NULL)
                      AS versions,
                  array_agg(v.changed_at ORDER BY c.id) FILTER (WHERE x.withdrawn_at IS NULL AND c.deleted_at IS NULL)
                      AS times,
                  max(v.changed_at) AS changed_at,
                  max(least(x.withdrawn_at, c.deleted_at)) AS lost_at
             FROM calendar_access x
             JOIN calendars c ON c.account_id = $1 AND c.id = x.calendar_id
             JOIN calendar_versions v ON v.account_id = $1 AND v.calendar_id = x.calendar_id
            WHERE x.account_id = $1 AND x.user_id = l.user_id
              AND (l.calendar_id IS NULL OR x.calendar_id = l.calendar_id)) s
     WHERE l.account_id = $1 AND l.id = $2"""


async def get_gate(conn: Conn, account_id: UUID, link_id: UUID, generation: int) -> Gate | None:
    """Everything that a poll with a token of this generation has to know; None if there is no such link."""
    row = await conn.fetchrow(GATE, account_id, link_id, generation)
    return Gate(**_values(row)) if row else None


async def list_links(conn: Conn, account_id: UUID, user_id: UUID) -> list[LinkRecord]:
    """The user's links, the default link of each feed before the named ones."""
    sql = f"""
        SELECT {COLUMNS} FROM feed_links l
         WHERE l.account_id = $1 AND l.user_id = $2 AND l.revoked_at IS NULL
         ORDER BY l.calendar_id NULLS FIRST, l.name, l.id"""
    return [LinkRecord(**_values(row)) for row in await conn.fetch(sql, account_id, user_id)]


async def get_link(
    conn: Conn, account_id: UUID, user_id: UUID, calendar_id: UUID | None, name: str
) -> LinkRecord | None:
    sql = f"""
        SELECT {COLUMNS} FROM feed_links l
         WHERE l.account_id = $1 AND l.user_id = $2 AND l.calendar_id IS NOT DISTINCT FROM $3 AND l.name = $4
           AND l.revoked_at IS NULL"""
    row = await conn.fetchrow(sql, account_id, user_id, calendar_id, name)
    return LinkRecord(**_values(row)) if row else None


async def lock_link(conn: Conn, account_id: UUID, user_id: UUID, link_id: UUID) -> LinkRecord | None:
    """The user's link, locked until the transaction ends; None if they have no such link."""
    sql = f"""
        SELECT {COLUMNS} FROM feed_links l
         WHERE l.account_id = $1 AND l.user_id = $2 AND l.id = $3 AND l.revoked_at IS NULL FOR NO KEY UPDATE"""
    row = await conn.fetchrow(sql, account_id, user_id, link_id)
    return LinkRecord(**_values(row)) if row else None


async def add_link(
    conn: Conn,
    account_id: UUID,
    user_id: UUID,
    calendar_id: UUID | None,
    name: str,
    key_id: str,
    now: datetime,
    options: Mapping[str, Any] | None = None,
) -> LinkRecord | None:
    """Add the link of that name; None if there is one already, made by another at the same moment even."""
    sql = f"""
        INSERT INTO feed_links AS l
               (account_id, id, user_id, calendar_id, name, key_id, options, created_at, changed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $8, $7, $7)
        ON CONFLICT DO NOTHING RETURNING {COLUMNS}"""
    kept = json.dumps(options or {})
    row = await conn.fetchrow(sql, account_id, new_id(), user_id, calendar_id, name, key_id, now, kept)
    return LinkRecord(**_values(row)) if row else None


async def reset_links(
    conn: Conn, account_id: UUID, link_ids: Sequence[UUID], key_id: str, now: datetime
) -> list[LinkRecord]:
    """Raise the generation of the links: every URL given out before is dead as soon as this is committed."""
    sql = f"""
        UPDATE feed_links l SET generation = l.generation + 1, resets = l.resets || $3::timestamptz, key_id = $4
         WHERE l.account_id = $1 AND l.id = ANY ($2::uuid[]) AND l.revoked_at IS NULL
        RETURNING {COLUMNS}"""
    return [LinkRecord(**_values(row)) for row in await conn.fetch(sql, account_id, link_ids, now, key_id)]


async def update_options(conn: Conn, account_id: UUID, link_id: UUID, options: Mapping[str, Any]) -> None:
    """Keep these options with the link, whose URL stays the same."""
    sql = "UPDATE feed_links l SET options = $3 WHERE l.account_id = $1 AND l.id = $2"
    await conn.execute(sql, account_id, link_id, json.dumps(options))


def _values(row: asyncpg.Record) -> dict[str, Any]:
    return {**row, "options": _options(row["options"])}


def _options(text: str) -> dict[str, Any]:
    """The options, none if Python cannot read what somebody wrote there: a number of 5,000 digits, a deep nest."""
    try:
        options: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return options

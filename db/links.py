"""Feed links, one by one and many at once."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import asyncpg

from db.calendars import CalendarRecord
from db.gate import read_options
from db.ids import new_id
from db.pool import Conn
from db.users import UserRecord

ExpiresBy = Literal["OWNER", "ADMINISTRATOR"]
PausedBy = Literal["OWNER", "ADMINISTRATOR", "ALARM"]
COLUMNS = """l.account_id, l.id, l.user_id, l.calendar_id, l.name, l.key_id, l.generation, l.options,
    l.style_revision, l.styled_at, l.created_at, l.resets[l.generation - 1] AS reset_at, l.grace_until,
    l.paused_at, l.paused_by, l.expires_at, l.expires_by, l.revoked_at, l.alarmed_at, l.request_id"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRecord:
    """A link; `calendar_id` is None for all the user's calendars in one feed."""

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
    grace_until: datetime | None  # until when the URL before the present one serves
    paused_at: datetime | None
    paused_by: PausedBy | None
    expires_at: datetime | None  # as somebody chose; a policy may end it earlier
    expires_by: ExpiresBy | None  # who chose it
    revoked_at: datetime | None
    alarmed_at: datetime | None  # since when unusually many clients poll it
    request_id: str | None  # of the call that reset it last

    @property
    def made_at(self) -> datetime:
        """When its present URL was made."""
        return self.reset_at or self.created_at


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFilter:
    """Which links of an account; None is all. Revoked links never are among them."""

    user_ids: Sequence[UUID] | None = None
    calendar_ids: Sequence[UUID] | None = None  # that the link shows: of all calendars, if its user may see one of them
    made_before: datetime | None = None  # the present URL
    unpolled_since: datetime | None = None  # at their present URL
    alarmed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnedLink:
    """A link with whose it is and what of, for those who manage an account's links."""

    link: LinkRecord
    user: UserRecord
    calendar: CalendarRecord | None  # None: all the user's calendars
    has_access: bool  # whether its user may see the calendar now


async def list_links(conn: Conn, account_id: UUID, user_id: UUID) -> list[LinkRecord]:
    """The user's links that are not revoked, the default link of each feed before the named ones."""
    sql = f"""
        SELECT {COLUMNS} FROM feed_links l
         WHERE l.account_id = $1 AND l.user_id = $2 AND l.revoked_at IS NULL
         ORDER BY l.calendar_id NULLS FIRST, l.name, l.id"""
    return [_link(row) for row in await conn.fetch(sql, account_id, user_id)]


async def count_links(conn: Conn, account_id: UUID, user_id: UUID) -> int:
    """How many links the user has that are not revoked, of calendars that they may see."""
    sql = """
        SELECT count(l.id) FROM feed_links l
         WHERE l.account_id = $1 AND l.user_id = $2 AND l.revoked_at IS NULL
           AND (l.calendar_id IS NULL OR EXISTS (
                SELECT 1 FROM calendar_access x JOIN calendars c ON c.account_id = $1 AND c.id = x.calendar_id
                 WHERE x.account_id = $1 AND x.user_id = $2 AND x.calendar_id = l.calendar_id
                   AND x.withdrawn_at IS NULL AND c.deleted_at IS NULL))"""
    count: int = await conn.fetchval(sql, account_id, user_id)
    return count


async def get_link(
    conn: Conn, account_id: UUID, user_id: UUID, calendar_id: UUID | None, name: str
) -> LinkRecord | None:
    sql = f"""
        SELECT {COLUMNS} FROM feed_links l
         WHERE l.account_id = $1 AND l.user_id = $2 AND l.calendar_id IS NOT DISTINCT FROM $3 AND l.name = $4
           AND l.revoked_at IS NULL"""
    row = await conn.fetchrow(sql, account_id, user_id, calendar_id, name)
    return _link(row) if row else None


async def lock_link(conn: Conn, account_id: UUID, link_id: UUID) -> LinkRecord | None:
    """The link, a revoked one too, locked until the transaction ends."""
    sql = f"SELECT {COLUMNS} FROM feed_links l WHERE l.account_id = $1 AND l.id = $2 FOR NO KEY UPDATE"
    row = await conn.fetchrow(sql, account_id, link_id)
    return _link(row) if row else None


async def add_link(
    conn: Conn,
    account_id: UUID,
    user_id: UUID,
    calendar_id: UUID | None,
    name: str,
    key_id: str,
    now: datetime,
    options: Mapping[str, Any] | None = None,
    expires_at: datetime | None = None,
    request_id: str | None = None,
) -> LinkRecord | None:
    """Add the link of that name; None if there is one already, made by another at the same moment even."""
    sql = f"""
        INSERT INTO feed_links AS l
               (account_id, id, user_id, calendar_id, name, key_id, options, expires_at, request_id,
                created_at, changed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $8, $9, $10, $7, $7)
        ON CONFLICT DO NOTHING RETURNING {COLUMNS}"""
    kept = json.dumps(options or {})
    row = await conn.fetchrow(
        sql, account_id, new_id(), user_id, calendar_id, name, key_id, now, kept, expires_at, request_id
    )
    return _link(row) if row else None


async def update_link(
    conn: Conn,
    account_id: UUID,
    link_id: UUID,
    name: str,
    options: Mapping[str, Any],
    expires_at: datetime | None,
    by: ExpiresBy,
) -> None:
    """Keep these with the link, whose URL stays the same; `by` is who chose the expiry, where it is another one."""
    sql = """
        UPDATE feed_links l
           SET name = $3, options = $4, expires_at = $5,
               expires_by = CASE WHEN l.expires_at IS DISTINCT FROM $5 THEN $6 ELSE l.expires_by END
         WHERE l.account_id = $1 AND l.id = $2"""
    await conn.execute(sql, account_id, link_id, name, json.dumps(options), expires_at, by)


GRACED = """
    $5::timestamptz IS NOT NULL AND l.paused_at IS NULL AND l.alarmed_at IS NULL
    AND (l.expires_at IS NULL OR l.expires_at > $3)"""


async def reset_links(
    conn: Conn,
    account_id: UUID,
    link_ids: Sequence[UUID],
    key_id: str,
    now: datetime,
    *,
    grace_until: datetime | None = None,
    request_id: str | None = None,
) -> list[LinkRecord]:
    """Raise the generation of the links: every URL given out before is dead as soon as this is committed.

    With `grace_until` the last of them serves until then, and no longer than it would have: not at all where the link
    did not serve, or was alarmed. A new URL has neither an alarm nor the pause that the alarm brought; a link that has
    expired stays so.
    """
    sql = f"""
        UPDATE feed_links l
           SET generation = l.generation + 1, resets = l.resets || $3::timestamptz, key_id = $4,
               grace_until = CASE WHEN {GRACED} THEN least($5, l.expires_at) END,
               grace_generation = CASE WHEN {GRACED} THEN l.generation END,
               grace_key_id = CASE WHEN {GRACED} THEN l.key_id END,
               request_id = $6, alarmed_at = NULL,
               paused_at = CASE WHEN l.paused_by IS DISTINCT FROM 'ALARM' THEN l.paused_at END,
               paused_by = CASE WHEN l.paused_by IS DISTINCT FROM 'ALARM' THEN l.paused_by END
         WHERE l.account_id = $1 AND l.id = ANY ($2::uuid[]) AND l.revoked_at IS NULL
        RETURNING {COLUMNS}"""
    rows = await conn.fetch(sql, account_id, link_ids, now, key_id, grace_until, request_id)
    return [_link(row) for row in rows]


async def pause_links(conn: Conn, account_id: UUID, link_ids: Sequence[UUID], by: PausedBy, now: datetime) -> None:
    sql = """
        UPDATE feed_links l SET paused_at = coalesce(l.paused_at, $3), paused_by = $4
         WHERE l.account_id = $1 AND l.id = ANY ($2::uuid[]) AND l.revoked_at IS NULL"""
    await conn.execute(sql, account_id, link_ids, now, by)


async def resume_links(conn: Conn, account_id: UUID, link_ids: Sequence[UUID], now: datetime) -> None:
    """Let the links serve again; the clients that they have now raise no alarm."""
    sql = """
        UPDATE feed_links l
           SET paused_at = NULL, paused_by = NULL, alarmed_at = NULL,
               alarm_cleared_at = CASE WHEN l.alarmed_at IS NULL THEN l.alarm_cleared_at ELSE $3 END
         WHERE l.account_id = $1 AND l.id = ANY ($2::uuid[]) AND l.revoked_at IS NULL"""
    await conn.execute(sql, account_id, link_ids, now)


async def revoke_links(conn: Conn, account_id: UUID, link_ids: Sequence[UUID], now: datetime) -> None:
    sql = """
        UPDATE feed_links l SET revoked_at = $3
         WHERE l.account_id = $1 AND l.id = ANY ($2::uuid[]) AND l.revoked_at IS NULL"""
    await conn.execute(sql, account_id, link_ids, now)


async def limit_links(conn: Conn, account_id: UUID, link_ids: Sequence[UUID], expires_at: datetime) -> None:
    """Let the links end at that moment, unless they end earlier; their users cannot put it off."""
    sql = """
        UPDATE feed_links l SET expires_at = $3, expires_by = 'ADMINISTRATOR'
         WHERE l.account_id = $1 AND l.id = ANY ($2::uuid[]) AND l.revoked_at IS NULL
           AND (l.expires_at IS NULL OR l.expires_at >= $3)"""
    await conn.execute(sql, account_id, link_ids, expires_at)


# The placeholders $2 to $6 are the values of `_filter_values`.
FILTERED = """
    l.account_id = $1 AND l.revoked_at IS NULL
    AND ($2::uuid[] IS NULL OR l.user_id = ANY ($2))
    AND ($3::uuid[] IS NULL OR l.calendar_id = ANY ($3) OR l.calendar_id IS NULL AND EXISTS (
            SELECT 1 FROM calendar_access x
             WHERE x.account_id = $1 AND x.user_id = l.user_id AND x.calendar_id = ANY ($3)
               AND x.withdrawn_at IS NULL))
    AND ($4::timestamptz IS NULL OR coalesce(l.resets[l.generation - 1], l.created_at) < $4)
    AND ($5::timestamptz IS NULL OR NOT EXISTS (
            SELECT 1 FROM feed_polls p
             WHERE p.account_id = $1 AND p.link_id = l.id AND p.last_polled_at >= $5
               AND p.last_answer NOT IN ('NOTICE', 'GONE')))
    AND ($6::boolean IS NULL OR (l.alarmed_at IS NOT NULL) = $6)"""


async def lock_filtered_links(conn: Conn, account_id: UUID, wanted: LinkFilter) -> list[LinkRecord]:
    """The links of the account that fit, locked until the transaction ends."""
    sql = f"SELECT {COLUMNS} FROM feed_links l WHERE {FILTERED} ORDER BY l.id FOR NO KEY UPDATE"
    return [_link(row) for row in await conn.fetch(sql, account_id, *_filter_values(wanted))]


OWNED = f"""
    SELECT {COLUMNS},
           u.external_id AS user_external_id, u.name AS user_name, u.email AS user_email,
           u.administrator, u.time_zone, u.locale, u.deactivated_at, u.changed_at AS user_changed_at,
           c.external_id AS calendar_external_id, c.name AS calendar_name, c.color, c.deleted_at, v.changed_at,
           l.calendar_id IS NULL OR c.deleted_at IS NULL AND EXISTS (
               SELECT 1 FROM calendar_access y
                WHERE y.account_id = $1 AND y.user_id = l.user_id AND y.calendar_id = l.calendar_id
                  AND y.withdrawn_at IS NULL) AS has_access
      FROM feed_links l
      JOIN users u ON u.account_id = $1 AND u.id = l.user_id
      LEFT JOIN calendars c ON c.account_id = $1 AND c.id = l.calendar_id
      LEFT JOIN calendar_versions v ON v.account_id = $1 AND v.calendar_id = l.calendar_id"""


async def list_differing_links(
    conn: Conn, account_id: UUID, calendar_ids: Collection[UUID], most: int
) -> list[LinkRecord]:
    """Live links that show one of the calendars, one of each kind that may be rendered in a way of its own."""
    sql = f"""
        SELECT DISTINCT ON (l.calendar_id, l.options, u.locale, u.time_zone) {COLUMNS}
          FROM feed_links l
          JOIN users u ON u.account_id = $1 AND u.id = l.user_id
          JOIN calendar_access x ON x.account_id = $1 AND x.user_id = l.user_id AND x.calendar_id = ANY ($2::uuid[])
         WHERE l.account_id = $1 AND (l.calendar_id IS NULL OR l.calendar_id = x.calendar_id)
           AND l.revoked_at IS NULL AND l.paused_at IS NULL AND u.deactivated_at IS NULL AND x.withdrawn_at IS NULL
         ORDER BY l.calendar_id, l.options, u.locale, u.time_zone, l.id LIMIT $3"""
    return [_link(row) for row in await conn.fetch(sql, account_id, calendar_ids, most)]


async def get_owned_link(conn: Conn, account_id: UUID, link_id: UUID) -> OwnedLink | None:
    """The link, a revoked one too."""
    row = await conn.fetchrow(f"{OWNED} WHERE l.account_id = $1 AND l.id = $2", account_id, link_id)
    return _owned(row) if row else None


async def page_links(
    conn: Conn, account_id: UUID, wanted: LinkFilter, first: int, after: UUID | None
) -> list[OwnedLink]:
    """The links of the account that fit, the oldest first, `first` of them at the most, that come after that one."""
    sql = f"{OWNED} WHERE {FILTERED} AND ($7::uuid IS NULL OR l.id > $7) ORDER BY l.id LIMIT $8"
    rows = await conn.fetch(sql, account_id, *_filter_values(wanted), after, first)
    return [_owned(row) for row in rows]


def _filter_values(wanted: LinkFilter) -> tuple[Any, ...]:
    lists = (list(ids) if ids is not None else None for ids in (wanted.user_ids, wanted.calendar_ids))
    return (*lists, wanted.made_before, wanted.unpolled_since, wanted.alarmed)


def _link(row: asyncpg.Record) -> LinkRecord:
    values = {field.name: row[field.name] for field in fields(LinkRecord)}
    return LinkRecord(**{**values, "options": read_options(row["options"])})


def _owned(row: asyncpg.Record) -> OwnedLink:
    link = _link(row)
    user = UserRecord(
        account_id=link.account_id,
        id=link.user_id,
        external_id=row["user_external_id"],
        name=row["user_name"],
        email=row["user_email"],
        changed_at=row["user_changed_at"],
        **{name: row[name] for name in ("administrator", "time_zone", "locale", "deactivated_at")},
    )
    calendar = link.calendar_id and CalendarRecord(
        account_id=link.account_id,
        id=link.calendar_id,
        external_id=row["calendar_external_id"],
        name=row["calendar_name"],
        **{name: row[name] for name in ("color", "deleted_at", "changed_at")},
    )
    return OwnedLink(link=link, user=user, calendar=calendar or None, has_access=row["has_access"])

"""The gate: what every poll asks, anew each time, and what tells that nothing of its last answer has changed."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from asyncpg.pgproto import pgproto

from db.accounts import PolicyRecord
from db.pool import Conn


class LinkKey(NamedTuple):
    """A link, by what its token says of it."""

    account_id: UUID
    link_id: UUID

    @classmethod
    def lasting(cls, account_id: UUID, link_id: UUID) -> "LinkKey":
        """For many questions: of the driver's own UUIDs, which it hashes and sends with less work."""
        return cls(pgproto.UUID(account_id.bytes), pgproto.UUID(link_id.bytes))


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
    policy: PolicyRecord
    made_at: datetime  # when the asked generation began
    reset_at: datetime | None  # when the asked generation died
    grace_until: datetime | None  # until when the generation before the present one serves, …
    grace_generation: int | None  # … if it is this one
    grace_key_id: str | None
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
    account_changed_at: datetime | None
    changed_at: datetime  # when a subscriber could last see a change; a withdrawn calendar counts, or it would go back
    stamp: bytes  # as long as the link has this one, nothing of all this has changed


# Triggers move the times of a link, user (by what access they have, too) and account, and the versions of calendars,
# with whatever is written to them. Versions only rise, so their sum tells of many calendars what each tells of itself.
STAMP = "record_send(ROW (l.changed_at, u.changed_at, a.changed_at, t.version, t.changed_at)) AS stamp"
STAMPED = """
      JOIN accounts a ON a.account_id = {account}
      JOIN users u ON u.account_id = {account} AND u.id = l.user_id
      LEFT JOIN calendar_versions w ON w.account_id = {account} AND w.calendar_id = l.calendar_id
     CROSS JOIN LATERAL (
           SELECT coalesce(w.version, sum(v.version)::bigint) AS version,
                  coalesce(w.changed_at, max(v.changed_at)) AS changed_at
             FROM calendar_access x
             JOIN calendar_versions v ON v.account_id = {account} AND v.calendar_id = x.calendar_id
            WHERE l.calendar_id IS NULL AND x.account_id = {account} AND x.user_id = l.user_id) t"""
# Each link is looked up by its keys: OFFSET forbids PostgreSQL to go through all, as it would while they are few.
STAMPED_LINK = f"""(
           SELECT l.id AS link_id, {STAMP}
             FROM feed_links l {STAMPED}
            WHERE l.account_id = {{account}} AND l.id = q.link_id
           OFFSET 0) s"""
# In two forms: of links of one account, as a database wants it that is distributed by account; and of any.
STAMPS = f"""
    SELECT s.link_id, s.stamp
      FROM unnest($2::uuid[]) AS q (link_id)
     CROSS JOIN LATERAL {STAMPED_LINK.format(account="$1")}"""
STAMPS_ACROSS_ACCOUNTS = f"""
    SELECT s.link_id, s.stamp
      FROM unnest($1::uuid[], $2::uuid[]) AS q (account_id, link_id)
     CROSS JOIN LATERAL {STAMPED_LINK.format(account="q.account_id")}"""
GATE = f"""
    SELECT {STAMP}, l.account_id, l.id AS link_id, l.user_id, l.calendar_id, l.key_id, l.generation, l.options,
           l.style_revision, l.styled_at, u.time_zone, u.locale,
           a.feeds_disabled_at, a.most_links, a.longest_days, a.forced_detail, a.allowed_types, a.pauses_alarmed,
           coalesce(l.resets[$3 - 1], l.created_at) AS made_at, l.resets[$3] AS reset_at, l.grace_until,
           l.grace_generation, l.grace_key_id,
           l.paused_at, l.expires_at, l.revoked_at, u.deactivated_at, a.suspended_at,
           s.lost_at, coalesce(s.ids, '{{}}') AS calendar_ids, coalesce(s.versions, '{{}}') AS calendar_versions,
           coalesce(s.times, '{{}}') AS calendar_times,
           k.name AS calendar_name, k.color AS calendar_color,
           l.changed_at AS link_changed_at, u.changed_at AS user_changed_at, a.changed_at AS account_changed_at,
           greatest(l.changed_at, u.changed_at, a.changed_at, s.changed_at) AS changed_at
      FROM feed_links l {STAMPED.format(account="$1")}
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
    if row is None:
        return None
    values = dict(row)
    policy = PolicyRecord(**{field.name: values.pop(field.name) for field in fields(PolicyRecord)})
    return Gate(**{**values, "policy": policy, "options": read_options(values["options"])})


async def list_stamps(conn: Conn, account_id: UUID, link_ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """The stamps of the account's links, by link; of those that there are."""
    rows = await conn.fetch(STAMPS, account_id, link_ids)
    return {row[0]: row[1] for row in rows}


async def list_stamps_across_accounts(conn: Conn, links: Collection[LinkKey]) -> dict[UUID, bytes]:
    """Likewise, of links of any account."""
    account_ids, link_ids = [link.account_id for link in links], [link.link_id for link in links]
    rows = await conn.fetch(STAMPS_ACROSS_ACCOUNTS, account_ids, link_ids)
    return {row[0]: row[1] for row in rows}


def read_options(text: str) -> dict[str, Any]:
    """A link's options, none if Python cannot read what somebody wrote there: a number of 5,000 digits, a deep nest."""
    try:
        options: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return options

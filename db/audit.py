"""The audit log: who did what to whom, when, from which network, and what was refused; never a token or a key."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Literal
from uuid import UUID

import asyncpg

from db.ids import new_id
from db.pool import Conn

ActorType = Literal["USER", "KEY", "OPERATOR", "SERVICE"]
Network = IPv4Network | IPv6Network
Outcome = Literal["DONE", "REFUSED"]
COLUMNS = """g.account_id, g.id, g.at, g.actor_type, g.actor_id, g.action, g.outcome, g.subject_id, g.network,
    g.details"""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a user, an integrator's key, an operator at the command line or by SQL, or the service by itself."""

    type: ActorType
    id: UUID | None = None
    network: Network | None = None
    acting_for: UUID | None = None  # the user for whom a key acts

    @property
    def details(self) -> dict[str, str]:
        """What entries say of the actor beside the columns."""
        return {"actingFor": f"User:{self.acting_for}"} if self.acting_for else {}


OPERATOR, SERVICE = Actor("OPERATOR"), Actor("SERVICE")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    account_id: UUID
    id: UUID
    at: datetime
    actor_type: ActorType
    actor_id: UUID | None
    action: str
    outcome: Outcome
    subject_id: UUID | None  # of what was acted on: a link, a user, a key; the account for its policy
    network: Network | None
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries; None is all."""

    actions: Sequence[str] | None = None
    actor_id: UUID | None = None
    subject_id: UUID | None = None
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None


async def add_audit_entries(
    conn: Conn,
    account_id: UUID,
    action: str,
    subject_ids: Sequence[UUID | None],
    *,
    actor: Actor,
    now: datetime,
    outcome: Outcome = "DONE",
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write an entry for each subject, in the transaction of the change that it speaks of."""
    sql = """
        INSERT INTO audit_log (account_id, id, at, actor_type, actor_id, action, outcome, subject_id, network, details)
        SELECT $1, d.id, $2, $3, $4, $5, $6, d.subject_id, $7, $8
          FROM unnest($9::uuid[], $10::uuid[]) AS d (id, subject_id)"""
    ids = [new_id() for _ in subject_ids]
    said = json.dumps({**(details or {}), **actor.details})
    await conn.execute(
        sql, account_id, now, actor.type, actor.id, action, outcome, actor.network, said, ids, list(subject_ids)
    )


async def name_actor(conn: Conn, actor: Actor) -> None:
    """Say in whose name this transaction moves rights: the database writes their entries itself, whoever moves them."""
    said: dict[str, Any] = {"type": actor.type, "details": actor.details}
    said |= {"id": actor.id and str(actor.id), "network": actor.network and str(actor.network)}
    await conn.execute("SELECT set_config('calendar_feeds.actor', $1, true)", json.dumps(said))


async def add_refused_call(conn: Conn, account_id: UUID, actor: Actor, now: datetime, since: datetime) -> None:
    """Note that somebody called who may not any more, unless that is noted since that moment already."""
    sql = """
        INSERT INTO audit_log (account_id, id, at, actor_type, actor_id, action, outcome, network)
        SELECT $1, $2, $3, $4, $5, 'API_CALLED', 'REFUSED', $6
         WHERE NOT EXISTS (
               SELECT 1 FROM audit_log g
                WHERE g.account_id = $1 AND g.actor_id = $5 AND g.action = 'API_CALLED' AND g.at > $7)"""
    await conn.execute(sql, account_id, new_id(), now, actor.type, actor.id, actor.network, since)


async def page_audit_log(
    conn: Conn, account_id: UUID, wanted: AuditFilter, first: int, after: tuple[datetime, UUID] | None
) -> list[AuditRecord]:
    """Entries, the newest first, `first` of them at the most, that come after the one of that time and id."""
    at, id_ = after or (None, None)
    sql = f"""
        SELECT {COLUMNS} FROM audit_log g
         WHERE g.account_id = $1
           AND ($2::text[] IS NULL OR g.action = ANY ($2))
           AND ($3::uuid IS NULL OR g.actor_id = $3)
           AND ($4::uuid IS NULL OR g.subject_id = $4)
           AND ($5::text IS NULL OR g.outcome = $5)
           AND ($6::timestamptz IS NULL OR g.at >= $6)
           AND ($7::timestamptz IS NULL OR g.at < $7)
           AND ($8::timestamptz IS NULL OR (g.at, g.id) < ($8, $9::uuid))
         ORDER BY g.at DESC, g.id DESC LIMIT $10"""
    actions = None if wanted.actions is None else list(wanted.actions)
    rows = await conn.fetch(
        sql, account_id, actions, wanted.actor_id, wanted.subject_id, wanted.outcome, wanted.since, wanted.until,
        at, id_, first,
    )  # fmt: skip
    return [_entry(row) for row in rows]


async def get_audit_entry(conn: Conn, account_id: UUID, entry_id: UUID) -> AuditRecord | None:
    row = await conn.fetchrow(
        f"SELECT {COLUMNS} FROM audit_log g WHERE g.account_id = $1 AND g.id = $2", account_id, entry_id
    )
    return _entry(row) if row else None


async def list_actor_names(conn: Conn, account_id: UUID, ids: Sequence[UUID]) -> dict[UUID, str]:
    """The names of users and API keys, by id."""
    sql = """
        SELECT u.id, u.name FROM users u WHERE u.account_id = $1 AND u.id = ANY ($2::uuid[])
        UNION ALL
        SELECT k.id, k.name FROM api_keys k WHERE k.account_id = $1 AND k.id = ANY ($2::uuid[])"""
    return {row["id"]: row["name"] for row in await conn.fetch(sql, account_id, list(ids))}


def _entry(row: asyncpg.Record) -> AuditRecord:
    return AuditRecord(**{**row, "details": json.loads(row["details"])})

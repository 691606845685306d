"""The queue of what is to be delivered to webhooks; triggers fill it, and any number of processes empty it together.

Who is to send a delivery claims it: for so long nobody else does. Where nothing is heard of it until then it is due
again, so that it is delivered once at least, whoever dies in the middle.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from db.ids import new_id
from db.pool import Conn

DeliveryError = Literal["STATUS", "TIMEOUT", "UNREACHABLE", "TLS", "ADDRESS_FORBIDDEN", "NO_KEY"]
COLUMNS = """d.account_id, d.id, d.webhook_id, d.event, d.created_at, d.attempts, d.next_attempt_at, d.delivered_at,
    d.last_status, d.last_error"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    account_id: UUID
    id: UUID
    webhook_id: UUID
    event: str
    created_at: datetime  # when it happened
    attempts: int
    next_attempt_at: datetime | None  # None: it was delivered, or given up
    delivered_at: datetime | None
    last_status: int | None  # of HTTP, if the last attempt was answered
    last_error: DeliveryError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueWebhook:
    """A webhook for which something is due."""

    account_id: UUID
    webhook_id: UUID
    key_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedDelivery:
    """What its claimer needs to send it."""

    account_id: UUID
    id: UUID
    webhook_id: UUID
    url: str = field(repr=False)
    key_id: str
    generation: int
    event: str
    facts: Mapping[str, Any]
    created_at: datetime
    attempts: int  # this one too


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What became of a claimed delivery."""

    delivery: ClaimedDelivery
    at: datetime
    status: int | None
    error: DeliveryError | None  # None: it was delivered
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """So many of a webhook's deliveries, the latest first, after the one of that time and id."""

    webhook_id: UUID
    first: int
    after: tuple[datetime, UUID] | None


async def list_due_webhooks(conn: Conn, now: datetime) -> list[DueWebhook]:
    """The webhooks of all accounts for which something is due: for those who deliver, never for a request."""
    sql = """
        SELECT h.account_id, h.id AS webhook_id, h.key_id
          FROM accounts a JOIN webhooks h ON h.account_id = a.account_id
         WHERE h.disabled_at IS NULL AND a.suspended_at IS NULL
           AND EXISTS (SELECT 1 FROM webhook_deliveries d
                        WHERE d.account_id = h.account_id AND d.webhook_id = h.id AND d.next_attempt_at <= $1)
         ORDER BY h.account_id, h.id"""
    return [DueWebhook(**row) for row in await conn.fetch(sql, now)]


async def list_webhook_accounts(conn: Conn) -> list[UUID]:
    """The accounts that have webhooks, removed ones too: for those who deliver, never for a request."""
    return [row["account_id"] for row in await conn.fetch("SELECT DISTINCT h.account_id FROM webhooks h ORDER BY 1")]


async def claim_deliveries(
    conn: Conn, account_id: UUID, most: Mapping[UUID, int], now: datetime, until: datetime
) -> list[ClaimedDelivery]:
    """Claim what is due, the longest due first, of each webhook at most so many; what others claim is passed over."""
    sql = """
        WITH due AS (
            SELECT s.id FROM unnest($2::uuid[], $3::int[]) AS w (webhook_id, most)
             CROSS JOIN LATERAL (
                   SELECT d.id FROM webhook_deliveries d
                    WHERE d.account_id = $1 AND d.webhook_id = w.webhook_id AND d.next_attempt_at <= $4
                    ORDER BY d.next_attempt_at, d.id LIMIT w.most FOR NO KEY UPDATE SKIP LOCKED) s)
        UPDATE webhook_deliveries e SET next_attempt_at = $5, attempts = e.attempts + 1
          FROM webhooks h
         WHERE e.account_id = $1 AND e.id = ANY (ARRAY(SELECT u.id FROM due u))
           AND h.account_id = $1 AND h.id = e.webhook_id AND h.disabled_at IS NULL
        RETURNING e.account_id, e.id, e.webhook_id, h.url, h.key_id, h.generation, e.event, e.facts, e.created_at,
                  e.attempts"""
    rows = await conn.fetch(sql, account_id, list(most), list(most.values()), now, until)
    claimed = [ClaimedDelivery(**{**row, "facts": json.loads(row["facts"])}) for row in rows]
    return sorted(claimed, key=lambda delivery: (delivery.created_at, delivery.id))


async def save_attempts(conn: Conn, account_id: UUID, attempts: Sequence[Attempt]) -> None:
    """Write what became of the deliveries; one that was claimed again meanwhile is left to that claim.

    A success counts all the same. Rows that were deleted are passed over.
    """
    sql = """
        WITH done AS (
            SELECT e.id FROM webhook_deliveries e
             WHERE e.account_id = $1 AND e.id = ANY ($2::uuid[]) AND e.delivered_at IS NULL
             ORDER BY e.id FOR NO KEY UPDATE)
        UPDATE webhook_deliveries d
           SET last_status = r.status, last_error = r.error, next_attempt_at = r.next_attempt_at,
               delivered_at = CASE WHEN r.error IS NULL THEN r.at END
          FROM done o, unnest($2::uuid[], $3::int[], $4::timestamptz[], $5::int[], $6::text[], $7::timestamptz[])
            AS r (id, attempts, at, status, error, next_attempt_at)
         WHERE d.account_id = $1 AND d.id = o.id AND d.id = r.id AND (d.attempts = r.attempts OR r.error IS NULL)"""
    columns = zip(
        *((a.delivery.id, a.delivery.attempts, a.at, a.status, a.error, a.next_attempt_at) for a in attempts),
        strict=True,
    )
    await conn.execute(sql, account_id, *map(list, columns))


async def postpone_deliveries(
    conn: Conn, account_id: UUID, webhook_ids: Sequence[UUID], now: datetime, until: datetime, error: DeliveryError
) -> None:
    """Put off what is due without an attempt, and say why."""
    sql = """
        WITH due AS (
            SELECT e.id FROM webhook_deliveries e
             WHERE e.account_id = $1 AND e.webhook_id = ANY ($2::uuid[]) AND e.next_attempt_at <= $3
             ORDER BY e.id FOR NO KEY UPDATE SKIP LOCKED)
        UPDATE webhook_deliveries d SET next_attempt_at = $4, last_error = $5
          FROM due u WHERE d.account_id = $1 AND d.id = u.id"""
    await conn.execute(sql, account_id, list(webhook_ids), now, until, error)


async def hasten_deliveries(
    conn: Conn, account_id: UUID, webhook_id: UUID, error: DeliveryError, now: datetime
) -> None:
    """Let what was put off for that reason be due now."""
    sql = """
        WITH waiting AS (
            SELECT e.id FROM webhook_deliveries e
             WHERE e.account_id = $1 AND e.webhook_id = $2 AND e.next_attempt_at > $4 AND e.last_error = $3
             ORDER BY e.id FOR NO KEY UPDATE)
        UPDATE webhook_deliveries d SET next_attempt_at = $4
          FROM waiting w WHERE d.account_id = $1 AND d.id = w.id"""
    await conn.execute(sql, account_id, webhook_id, error, now)


async def add_delivery(conn: Conn, account_id: UUID, webhook_id: UUID, event: str, now: datetime) -> DeliveryRecord:
    """Put something into the queue that is due at once and is about the webhook alone."""
    sql = f"""
        INSERT INTO webhook_deliveries AS d (account_id, id, webhook_id, event, facts, created_at, next_attempt_at)
        VALUES ($1, $2, $3, $4, '{{}}', $5, $5) RETURNING {COLUMNS}"""
    row = await conn.fetchrow(sql, account_id, new_id(), webhook_id, event, now)
    assert row is not None
    return DeliveryRecord(**row)


async def get_delivery(conn: Conn, account_id: UUID, delivery_id: UUID) -> DeliveryRecord | None:
    sql = f"SELECT {COLUMNS} FROM webhook_deliveries d WHERE d.account_id = $1 AND d.id = $2"
    row = await conn.fetchrow(sql, account_id, delivery_id)
    return DeliveryRecord(**row) if row else None


async def list_deliveries(conn: Conn, account_id: UUID, pages: Sequence[DeliveryPage]) -> list[list[DeliveryRecord]]:
    """The deliveries of each page."""
    sql = f"""
        SELECT p.place, {COLUMNS}
          FROM unnest($2::uuid[], $3::int[], $4::timestamptz[], $5::uuid[])
               WITH ORDINALITY AS p (webhook_id, most, at, id, place)
         CROSS JOIN LATERAL (
               SELECT {COLUMNS} FROM webhook_deliveries d
                WHERE d.account_id = $1 AND d.webhook_id = p.webhook_id
                  AND (d.created_at, d.id) < (coalesce(p.at, 'infinity'), p.id)
                ORDER BY d.created_at DESC, d.id DESC LIMIT p.most) d
         ORDER BY p.place, d.created_at DESC, d.id DESC"""
    places = [page.after or (None, None) for page in pages]
    rows = await conn.fetch(
        sql, account_id, [page.webhook_id for page in pages], [page.first for page in pages],
        [at for at, _ in places], [id_ for _, id_ in places],
    )  # fmt: skip
    found: list[list[DeliveryRecord]] = [[] for _ in pages]
    for row in rows:
        place, *values = row.values()
        found[place - 1].append(DeliveryRecord(**dict(zip(list(row.keys())[1:], values, strict=True))))
    return found


async def delete_old_deliveries(conn: Conn, account_id: UUID, before: datetime, most: int) -> int:
    """Forget what happened before that moment, delivered or not, at most so many; how many they were."""
    sql = """
        WITH old AS (
            SELECT e.id FROM webhooks h JOIN webhook_deliveries e ON e.account_id = $1 AND e.webhook_id = h.id
             WHERE h.account_id = $1 AND e.created_at < $2 LIMIT $3 FOR UPDATE OF e SKIP LOCKED)
        DELETE FROM webhook_deliveries d USING old o WHERE d.account_id = $1 AND d.id = o.id RETURNING d.id"""
    return len(await conn.fetch(sql, account_id, before, most))

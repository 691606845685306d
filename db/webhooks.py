"""Webhooks: whom an account wants to be told of what. Their secrets are derived, like the URLs of links."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from db.ids import new_id
from db.pool import Conn

COLUMNS = """h.account_id, h.id, h.url, h.events, h.description, h.key_id, h.generation, h.created_at, h.disabled_at,
    h.removed_at"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRecord:
    account_id: UUID
    id: UUID
    url: str = field(repr=False)  # its path may be a secret of the receiver's
    events: Sequence[str]
    description: str
    key_id: str
    generation: int  # of its secret
    created_at: datetime
    disabled_at: datetime | None
    removed_at: datetime | None


async def list_webhooks(conn: Conn, account_id: UUID) -> list[WebhookRecord]:
    """The account's webhooks that were not removed, the oldest first."""
    sql = f"SELECT {COLUMNS} FROM webhooks h WHERE h.account_id = $1 AND h.removed_at IS NULL ORDER BY h.id"
    return [WebhookRecord(**row) for row in await conn.fetch(sql, account_id)]


async def get_webhook(conn: Conn, account_id: UUID, webhook_id: UUID) -> WebhookRecord | None:
    """The webhook unless it was removed."""
    sql = f"SELECT {COLUMNS} FROM webhooks h WHERE h.account_id = $1 AND h.id = $2 AND h.removed_at IS NULL"
    row = await conn.fetchrow(sql, account_id, webhook_id)
    return WebhookRecord(**row) if row else None


async def lock_webhook(conn: Conn, account_id: UUID, webhook_id: UUID) -> WebhookRecord | None:
    """The webhook, a removed one too, locked until the transaction ends."""
    sql = f"SELECT {COLUMNS} FROM webhooks h WHERE h.account_id = $1 AND h.id = $2 FOR NO KEY UPDATE"
    row = await conn.fetchrow(sql, account_id, webhook_id)
    return WebhookRecord(**row) if row else None


async def add_webhook(
    conn: Conn, account_id: UUID, key_id: str, now: datetime, *, url: str, events: Sequence[str], description: str = ""
) -> WebhookRecord:
    webhook = WebhookRecord(
        account_id=account_id,
        id=new_id(),
        url=url,
        events=list(events),
        description=description,
        key_id=key_id,
        generation=1,
        created_at=now,
        disabled_at=None,
        removed_at=None,
    )
    sql = """
        INSERT INTO webhooks (account_id, id, url, events, description, key_id, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)"""
    await conn.execute(sql, account_id, webhook.id, url, webhook.events, description, key_id, now)
    return webhook


async def update_webhook(conn: Conn, webhook: WebhookRecord) -> None:
    """Write what may change of a webhook: all but its id and the time at which it was made."""
    sql = """
        UPDATE webhooks h
           SET url = $3, events = $4, description = $5, key_id = $6, generation = $7, disabled_at = $8, removed_at = $9
         WHERE h.account_id = $1 AND h.id = $2"""
    await conn.execute(
        sql, webhook.account_id, webhook.id, webhook.url, list(webhook.events), webhook.description, webhook.key_id,
        webhook.generation, webhook.disabled_at, webhook.removed_at,
    )  # fmt: skip


async def count_key_webhooks(conn: Conn) -> dict[str, int]:
    """How many webhooks have a secret of which signing key.

    Over all accounts: for the operator's commands, never for a request.
    """
    sql = "SELECT h.key_id, count(h.id) AS webhooks FROM webhooks h WHERE h.removed_at IS NULL GROUP BY h.key_id"
    return {row["key_id"]: row["webhooks"] for row in await conn.fetch(sql)}


async def disable_failing(conn: Conn, account_id: UUID, failing: dict[UUID, datetime], now: datetime) -> list[UUID]:
    """Disable those webhooks to which nothing was delivered since the moment given with each; which they are."""
    sql = """
        WITH failing AS (
            SELECT h.id FROM webhooks h JOIN unnest($2::uuid[], $3::timestamptz[]) AS f (id, since) ON f.id = h.id
             WHERE h.account_id = $1 AND h.disabled_at IS NULL
               AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d
                                WHERE d.account_id = $1 AND d.webhook_id = h.id AND d.delivered_at >= f.since)
             ORDER BY h.id FOR NO KEY UPDATE OF h)
        UPDATE webhooks w SET disabled_at = $4 FROM failing g WHERE w.account_id = $1 AND w.id = g.id
        RETURNING w.id"""
    rows = await conn.fetch(sql, account_id, list(failing), list(failing.values()), now)
    return sorted(row["id"] for row in rows)


async def delete_removed_webhooks(conn: Conn, account_id: UUID, before: datetime) -> None:
    sql = "DELETE FROM webhooks h WHERE h.account_id = $1 AND h.removed_at < $2"
    await conn.execute(sql, account_id, before)

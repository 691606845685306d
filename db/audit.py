"""The audit log: who changed which link, when, from which network; never a token."""

from collections.abc import Sequence
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from uuid import UUID

from db.ids import new_id
from db.pool import Conn


async def add_audit_entries(
    conn: Conn,
    account_id: UUID,
    action: str,
    subject_ids: Sequence[UUID],
    *,
    actor_id: UUID | None,
    network: IPv4Network | IPv6Network | None,
    now: datetime,
) -> None:
    """Write an entry for each subject, in the transaction of the change that it speaks of."""
    sql = """
        INSERT INTO audit_log (account_id, id, at, actor_id, action, subject_id, network)
        SELECT $1, d.id, $2, $3, $4, d.subject_id, $5
          FROM unnest($6::uuid[], $7::uuid[]) AS d (id, subject_id)"""
    ids = [new_id() for _ in subject_ids]
    await conn.execute(sql, account_id, now, actor_id, action, network, ids, list(subject_ids))

"""Accounts: customer organisations. Everything belongs to exactly one."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from db.ids import new_id
from db.pool import Conn


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRecord:
    account_id: UUID
    name: str


async def add_account(conn: Conn, name: str, now: datetime) -> AccountRecord:
    account = AccountRecord(account_id=new_id(), name=name)
    sql = "INSERT INTO accounts (account_id, name, created_at) VALUES ($1, $2, $3)"
    await conn.execute(sql, account.account_id, name, now)
    return account


async def list_accounts(conn: Conn) -> list[AccountRecord]:
    """All accounts by age: for the operator's commands, never for a request."""
    rows = await conn.fetch("SELECT a.account_id, a.name FROM accounts a ORDER BY a.account_id")
    return [AccountRecord(**row) for row in rows]

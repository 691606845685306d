"""Accounts: the customer organisations, and the policy of each: what its users' links may do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from db.ids import new_id
from db.pool import Conn

POLICY = "a.feeds_disabled_at, a.most_links, a.longest_days, a.forced_detail, a.allowed_types, a.pauses_alarmed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRecord:
    account_id: UUID
    name: str
    external_id: str | None = None  # the CRM's own key of the account
    created_at: datetime
    suspended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRecord:
    """What an account allows; None: no limit beyond the service's own."""

    feeds_disabled_at: datetime | None = None
    most_links: int | None = None  # of each user, default links too
    longest_days: int | None = None  # that a URL serves
    forced_detail: Literal["FULL", "BUSY"] | None = None  # FULL or BUSY, whatever the link's options say
    allowed_types: Sequence[str] | None = None  # of activities
    pauses_alarmed: bool = False  # whether a link is paused as soon as its alarm is raised


async def add_account(conn: Conn, name: str, now: datetime, external_id: str | None = None) -> AccountRecord:
    account = AccountRecord(account_id=new_id(), name=name, external_id=external_id, created_at=now)
    sql = "INSERT INTO accounts (account_id, name, external_id, created_at) VALUES ($1, $2, $3, $4)"
    await conn.execute(sql, account.account_id, name, external_id, now)
    return account


async def lock_accounts(conn: Conn) -> None:
    """Let nobody else add or change accounts until the transaction ends; everything that is in them goes on."""
    await conn.execute("LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE")


async def list_accounts(conn: Conn) -> list[AccountRecord]:
    """All accounts by age: for the operator's commands, never for a request."""
    sql = """
        SELECT a.account_id, a.name, a.external_id, a.created_at, a.suspended_at FROM accounts a
         ORDER BY a.account_id"""
    return [AccountRecord(**row) for row in await conn.fetch(sql)]


async def suspend_account(conn: Conn, account_id: UUID, now: datetime | None) -> bool:
    """Let nothing of the account serve or answer from then on, or with None all again; False if it was so before."""
    sql = """
        UPDATE accounts a SET suspended_at = $2
         WHERE a.account_id = $1 AND (a.suspended_at IS NULL) <> ($2::timestamptz IS NULL) RETURNING a.account_id"""
    return await conn.fetchval(sql, account_id, now) is not None


async def lock_account(conn: Conn, account_id: UUID) -> None:
    """Let nobody else write the account's users, calendars and access by external ids until the transaction ends."""
    sql = "SELECT a.account_id FROM accounts a WHERE a.account_id = $1 FOR NO KEY UPDATE"
    await conn.fetchval(sql, account_id)


async def list_accounts_called(conn: Conn, external_id: str) -> list[UUID]:
    """The accounts of that key of the CRM's, which should be one: for bearer tokens, before their account is known."""
    rows = await conn.fetch("SELECT a.account_id FROM accounts a WHERE a.external_id = $1 LIMIT 2", external_id)
    return [row["account_id"] for row in rows]


async def get_policy(conn: Conn, account_id: UUID) -> PolicyRecord:
    row = await conn.fetchrow(f"SELECT {POLICY} FROM accounts a WHERE a.account_id = $1", account_id)
    return PolicyRecord(**row) if row else PolicyRecord()


async def lock_policy(conn: Conn, account_id: UUID) -> PolicyRecord:
    """The policy, locked until the transaction ends."""
    sql = f"SELECT {POLICY} FROM accounts a WHERE a.account_id = $1 FOR NO KEY UPDATE"
    row = await conn.fetchrow(sql, account_id)
    return PolicyRecord(**row) if row else PolicyRecord()


async def update_policy(conn: Conn, account_id: UUID, policy: PolicyRecord) -> None:
    sql = """
        UPDATE accounts a
           SET feeds_disabled_at = $2, most_links = $3, longest_days = $4, forced_detail = $5, allowed_types = $6,
               pauses_alarmed = $7
         WHERE a.account_id = $1"""
    types = None if policy.allowed_types is None else list(policy.allowed_types)
    await conn.execute(
        sql, account_id, policy.feeds_disabled_at, policy.most_links, policy.longest_days, policy.forced_detail, types,
        policy.pauses_alarmed,
    )  # fmt: skip

"""Keys: those of the API, and how many links are on each of the keys that sign links."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from db.pool import Conn

COLUMNS = "k.account_id, k.id, k.name, k.hash, k.scopes, k.created_at, k.expires_at, k.last_used_at, k.revoked_at"
USE_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRecord:
    account_id: UUID
    id: UUID
    name: str
    hash: bytes = field(repr=False)  # SHA-256 of the key's whole text
    scopes: Sequence[str]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLinks:
    """How many live links of an account are on a signing key."""

    account_id: UUID
    key_id: str
    links: int


async def add_api_key(
    conn: Conn,
    account_id: UUID,
    key_id: UUID,
    now: datetime,
    *,
    name: str,
    key_hash: bytes,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
) -> ApiKeyRecord:
    sql = """
        INSERT INTO api_keys (account_id, id, name, hash, scopes, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)"""
    await conn.execute(sql, account_id, key_id, name, key_hash, list(scopes), now, expires_at)
    return ApiKeyRecord(
        account_id=account_id,
        id=key_id,
        name=name,
        hash=key_hash,
        scopes=scopes,
        created_at=now,
        expires_at=expires_at,
        last_used_at=None,
        revoked_at=None,
    )


async def get_api_key(conn: Conn, account_id: UUID, key_id: UUID, now: datetime) -> ApiKeyRecord | None:
    """The key if it opens anything now: neither revoked nor expired, of an account that is not suspended."""
    sql = f"""
        SELECT {COLUMNS}
          FROM api_keys k JOIN accounts a ON a.account_id = $1
         WHERE k.account_id = $1 AND k.id = $2 AND k.revoked_at IS NULL AND a.suspended_at IS NULL
           AND (k.expires_at IS NULL OR k.expires_at > $3)"""
    row = await conn.fetchrow(sql, account_id, key_id, now)
    return ApiKeyRecord(**row) if row else None


async def had_api_key(conn: Conn, account_id: UUID, key_id: UUID, key_hash: bytes) -> bool:
    """Whether that is a key of the account which opens nothing any more, or not now."""
    sql = "SELECT k.id FROM api_keys k WHERE k.account_id = $1 AND k.id = $2 AND k.hash = $3"
    return await conn.fetchval(sql, account_id, key_id, key_hash) is not None


async def list_api_keys(conn: Conn, account_id: UUID) -> list[ApiKeyRecord]:
    """The account's keys, revoked ones too, the oldest first."""
    sql = f"SELECT {COLUMNS} FROM api_keys k WHERE k.account_id = $1 ORDER BY k.created_at, k.id"
    return [ApiKeyRecord(**row) for row in await conn.fetch(sql, account_id)]


async def page_api_keys(conn: Conn, account_id: UUID, first: int, after: UUID | None) -> list[ApiKeyRecord]:
    """The account's keys, revoked ones too, the oldest first, `first` of them at the most, that come after that one."""
    sql = f"""
        SELECT {COLUMNS} FROM api_keys k
         WHERE k.account_id = $1 AND ($2::uuid IS NULL OR k.id > $2)
         ORDER BY k.id LIMIT $3"""
    return [ApiKeyRecord(**row) for row in await conn.fetch(sql, account_id, after, first)]


async def get_kept_api_key(conn: Conn, account_id: UUID, key_id: UUID) -> ApiKeyRecord | None:
    """The key, whether or not it opens anything."""
    sql = f"SELECT {COLUMNS} FROM api_keys k WHERE k.account_id = $1 AND k.id = $2"
    row = await conn.fetchrow(sql, account_id, key_id)
    return ApiKeyRecord(**row) if row else None


async def lock_api_key(conn: Conn, account_id: UUID, key_id: UUID) -> ApiKeyRecord | None:
    """The key, whether or not it opens anything, locked until the transaction ends."""
    sql = f"SELECT {COLUMNS} FROM api_keys k WHERE k.account_id = $1 AND k.id = $2 FOR NO KEY UPDATE"
    row = await conn.fetchrow(sql, account_id, key_id)
    return ApiKeyRecord(**row) if row else None


async def update_last_used(conn: Conn, account_id: UUID, key_id: UUID, now: datetime) -> None:
    """Note that the key was used, once a minute at the most."""
    sql = """
        UPDATE api_keys k SET last_used_at = $3
         WHERE k.account_id = $1 AND k.id = $2 AND (k.last_used_at IS NULL OR k.last_used_at <= $4)"""
    await conn.execute(sql, account_id, key_id, now, now - USE_NOTED_EVERY)


async def revoke_api_key(conn: Conn, account_id: UUID, key_id: UUID, now: datetime) -> bool:
    """Let the key open nothing from now on; False if it was revoked before."""
    sql = """
        UPDATE api_keys k SET revoked_at = $3 WHERE k.account_id = $1 AND k.id = $2 AND k.revoked_at IS NULL
        RETURNING k.id"""
    return await conn.fetchval(sql, account_id, key_id, now) is not None


async def count_key_links(conn: Conn) -> list[KeyLinks]:
    """How many links that are not revoked are on which key, account by account; an expired one may come back.

    Over all accounts: for the operator's commands, never for a request.
    """
    sql = """
        SELECT l.account_id, l.key_id, count(l.id) AS links FROM feed_links l
         WHERE l.revoked_at IS NULL
         GROUP BY l.account_id, l.key_id ORDER BY l.account_id, l.key_id"""
    return [KeyLinks(**row) for row in await conn.fetch(sql)]


async def lock_links_off_key(conn: Conn, account_id: UUID, newest: str, only: str | None) -> list[UUID]:
    """The account's links on another key than that, or on that `only`, locked until the transaction ends."""
    sql = """
        SELECT l.id FROM feed_links l
         WHERE l.account_id = $1 AND l.key_id <> $2 AND ($3::text IS NULL OR l.key_id = $3)
           AND l.revoked_at IS NULL
         ORDER BY l.id FOR NO KEY UPDATE"""
    return [row["id"] for row in await conn.fetch(sql, account_id, newest, only)]


async def end_graces_off_key(conn: Conn, account_id: UUID, newest: str, only: str | None, now: datetime) -> list[UUID]:
    """End the graces of URLs that another key than that, or that `only`, has signed; the links whose they were."""
    sql = """
        WITH graced AS (
            SELECT g.id FROM feed_links g
             WHERE g.account_id = $1 AND g.grace_key_id <> $2 AND ($3::text IS NULL OR g.grace_key_id = $3)
               AND g.grace_until > $4
             ORDER BY g.id FOR NO KEY UPDATE)
        UPDATE feed_links l SET grace_until = $4 FROM graced d WHERE l.account_id = $1 AND l.id = d.id
        RETURNING l.id"""
    return sorted(row["id"] for row in await conn.fetch(sql, account_id, newest, only, now))

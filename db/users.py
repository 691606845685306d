"""Users: the staff members of an account."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from db.ids import new_id
from db.pool import Conn

COLUMNS = "u.account_id, u.id, u.external_id, u.name, u.email, u.administrator, u.time_zone, u.locale, u.deactivated_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    account_id: UUID
    id: UUID
    external_id: str | None
    name: str
    email: str | None
    administrator: bool
    time_zone: str
    locale: str
    deactivated_at: datetime | None

    @property
    def active(self) -> bool:
        return self.deactivated_at is None


async def get_user(conn: Conn, account_id: UUID, user: UUID | str) -> UserRecord | None:
    """The user, by id or the CRM's own key."""
    sql = f"SELECT {COLUMNS} FROM users u WHERE u.account_id = $1 AND u.{_key(user)} = $2"
    row = await conn.fetchrow(sql, account_id, user)
    return UserRecord(**row) if row else None


async def get_acting_user(conn: Conn, account_id: UUID, user: UUID | str) -> UserRecord | None:
    """The user, by id or the CRM's own key, if they may act now: active, in an account that is not suspended."""
    sql = f"""
        SELECT {COLUMNS}
          FROM users u JOIN accounts a ON a.account_id = $1
         WHERE u.account_id = $1 AND u.{_key(user)} = $2 AND u.deactivated_at IS NULL AND a.suspended_at IS NULL"""
    row = await conn.fetchrow(sql, account_id, user)
    return UserRecord(**row) if row else None


async def lock_user(conn: Conn, account_id: UUID, user_id: UUID) -> None:
    """Let nobody else add links for the user until the transaction ends."""
    sql = "SELECT u.id FROM users u WHERE u.account_id = $1 AND u.id = $2 FOR NO KEY UPDATE"
    await conn.fetchval(sql, account_id, user_id)


async def list_users(conn: Conn, account_id: UUID) -> list[UserRecord]:
    rows = await conn.fetch(f"SELECT {COLUMNS} FROM users u WHERE u.account_id = $1 ORDER BY u.id", account_id)
    return [UserRecord(**row) for row in rows]


async def list_known_users(conn: Conn, account_id: UUID, user_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the ids that are users of the account."""
    sql = "SELECT u.id FROM users u WHERE u.account_id = $1 AND u.id = ANY ($2::uuid[])"
    return {row["id"] for row in await conn.fetch(sql, account_id, list(user_ids))}


async def list_viewers(conn: Conn, account_id: UUID, calendar_id: UUID) -> list[UserRecord]:
    """The active users who may see the calendar now."""
    sql = f"""
        SELECT {COLUMNS}
          FROM calendar_access x JOIN users u ON u.account_id = $1 AND u.id = x.user_id
         WHERE x.account_id = $1 AND x.calendar_id = $2 AND x.withdrawn_at IS NULL AND u.deactivated_at IS NULL
         ORDER BY u.id"""
    return [UserRecord(**row) for row in await conn.fetch(sql, account_id, calendar_id)]


async def add_user_if_new(
    conn: Conn,
    account_id: UUID,
    now: datetime,
    *,
    external_id: str,
    name: str,
    email: str | None,
    time_zone: str,
    locale: str,
) -> UUID | None:
    """Add the user; None if another has the key or the e-mail address, or the account is suspended."""
    sql = """
        INSERT INTO users (account_id, id, external_id, name, email, time_zone, locale, created_at, changed_at)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $8
          FROM accounts a WHERE a.account_id = $1 AND a.suspended_at IS NULL
        ON CONFLICT DO NOTHING RETURNING id"""
    added: UUID | None = await conn.fetchval(
        sql, account_id, new_id(), external_id, name, email, time_zone, locale, now
    )
    return added


def _key(user: UUID | str) -> str:
    """The column by which a user is named."""
    return "id" if isinstance(user, UUID) else "external_id"


async def add_user(
    conn: Conn,
    account_id: UUID,
    now: datetime,
    *,
    name: str,
    email: str | None = None,
    external_id: str | None = None,
    administrator: bool = False,
    time_zone: str = "UTC",
    locale: str = "en",
    deactivated_at: datetime | None = None,
) -> UserRecord:
    user = UserRecord(
        account_id=account_id,
        id=new_id(),
        external_id=external_id,
        name=name,
        email=email,
        administrator=administrator,
        time_zone=time_zone,
        locale=locale,
        deactivated_at=deactivated_at,
    )
    sql = """
        INSERT INTO users (account_id, id, external_id, name, email, administrator, time_zone, locale, deactivated_at,
                           created_at, changed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)"""
    await conn.execute(
        sql, account_id, user.id, external_id, name, email, administrator, time_zone, locale, deactivated_at, now
    )
    return user

"""Users: the staff members of an account."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from db.ids import new_id
from db.pool import Conn

COLUMNS = """u.account_id, u.id, u.external_id, u.name, u.email, u.administrator, u.time_zone, u.locale,
    u.deactivated_at, u.changed_at"""


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
    changed_at: datetime  # access that is granted or withdrawn is a change of the user, too

    @property
    def active(self) -> bool:
        return self.deactivated_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedUsers:
    """Which users; None is all."""

    active: bool | None = None
    administrator: bool | None = None
    changed_since: datetime | None = None
    external_ids: Sequence[str] | None = None
    search: str | None = None  # in names and e-mail addresses, letter case aside


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


async def lock_user_ids(conn: Conn, account_id: UUID, external_ids: Collection[str]) -> dict[str, UUID]:
    """The ids of those that there are, by external id; they are not deleted until the transaction ends."""
    sql = """
        SELECT u.external_id, u.id FROM users u
         WHERE u.account_id = $1 AND u.external_id = ANY ($2::text[]) ORDER BY u.id FOR KEY SHARE"""
    return {row["external_id"]: row["id"] for row in await conn.fetch(sql, account_id, list(external_ids))}


async def lock_user(conn: Conn, account_id: UUID, user_id: UUID) -> None:
    """Let nobody else add links for the user until the transaction ends."""
    sql = "SELECT u.id FROM users u WHERE u.account_id = $1 AND u.id = $2 FOR NO KEY UPDATE"
    await conn.fetchval(sql, account_id, user_id)


async def lock_many_users(conn: Conn, account_id: UUID, user_ids: Sequence[UUID]) -> None:
    """Let nobody else write the users until the transaction ends."""
    sql = "SELECT u.id FROM users u WHERE u.account_id = $1 AND u.id = ANY ($2::uuid[]) ORDER BY u.id FOR NO KEY UPDATE"
    await conn.execute(sql, account_id, list(user_ids))


async def list_users(conn: Conn, account_id: UUID) -> list[UserRecord]:
    rows = await conn.fetch(f"SELECT {COLUMNS} FROM users u WHERE u.account_id = $1 ORDER BY u.id", account_id)
    return [UserRecord(**row) for row in rows]


async def page_users(
    conn: Conn, account_id: UUID, wanted: WantedUsers, first: int, after: UUID | None
) -> list[UserRecord]:
    """The users that fit, the oldest first, `first` of them at the most, that come after that one."""
    sql = f"""
        SELECT {COLUMNS} FROM users u
         WHERE u.account_id = $1
           AND ($2::boolean IS NULL OR (u.deactivated_at IS NULL) = $2)
           AND ($3::boolean IS NULL OR u.administrator = $3)
           AND ($4::timestamptz IS NULL OR u.changed_at >= $4)
           AND ($5::text[] IS NULL OR u.external_id = ANY ($5))
           AND ($6::text IS NULL OR strpos(lower(u.name), lower($6)) > 0 OR strpos(lower(u.email), lower($6)) > 0)
           AND ($7::uuid IS NULL OR u.id > $7)
         ORDER BY u.id LIMIT $8"""
    external_ids = None if wanted.external_ids is None else list(wanted.external_ids)
    rows = await conn.fetch(
        sql, account_id, wanted.active, wanted.administrator, wanted.changed_since, external_ids, wanted.search,
        after, first,
    )  # fmt: skip
    return [UserRecord(**row) for row in rows]


async def page_calendar_users(
    conn: Conn, account_id: UUID, calendar_ids: Sequence[UUID], first: int, after: UUID | None
) -> dict[UUID, list[UserRecord]]:
    """Who may see each of the calendars, deactivated users too: of each the oldest `first` that come after that one."""
    sql = f"""
        SELECT d.calendar_id, {COLUMNS}
          FROM unnest($2::uuid[]) AS d (calendar_id)
         CROSS JOIN LATERAL (
               SELECT x.user_id FROM calendar_access x
                WHERE x.account_id = $1 AND x.calendar_id = d.calendar_id AND x.withdrawn_at IS NULL
                  AND ($4::uuid IS NULL OR x.user_id > $4)
                ORDER BY x.user_id LIMIT $3) s
          JOIN users u ON u.account_id = $1 AND u.id = s.user_id
         ORDER BY d.calendar_id, u.id"""
    found: dict[UUID, list[UserRecord]] = {}
    for row in await conn.fetch(sql, account_id, list(calendar_ids), first, after):
        values = dict(row)
        found.setdefault(values.pop("calendar_id"), []).append(UserRecord(**values))
    return found


async def find_users(conn: Conn, account_id: UUID, external_ids: Sequence[str]) -> dict[str, UUID]:
    """The ids of those of them that are there, by external id."""
    sql = "SELECT u.external_id, u.id FROM users u WHERE u.account_id = $1 AND u.external_id = ANY ($2::text[])"
    return {row["external_id"]: row["id"] for row in await conn.fetch(sql, account_id, list(external_ids))}


async def lock_users(conn: Conn, account_id: UUID, external_ids: Sequence[str]) -> list[UserRecord]:
    """Those of them that are there, locked until the transaction ends."""
    sql = f"""
        SELECT {COLUMNS} FROM users u
         WHERE u.account_id = $1 AND u.external_id = ANY ($2::text[])
         ORDER BY u.id FOR NO KEY UPDATE"""
    return [UserRecord(**row) for row in await conn.fetch(sql, account_id, list(external_ids))]


async def compare_emails(
    conn: Conn, account_id: UUID, emails: Sequence[str], but: Sequence[UUID]
) -> list[tuple[str, bool]]:
    """Each address in the spelling in which it is unique, and whether a user has it, `but` for those."""
    sql = """
        SELECT lower(d.email) AS folded,
               EXISTS (SELECT 1 FROM users u
                        WHERE u.account_id = $1 AND lower(u.email) = lower(d.email)
                          AND u.id <> ALL ($3::uuid[])) AS is_taken
          FROM unnest($2::text[]) WITH ORDINALITY AS d (email, place)
         ORDER BY d.place"""
    rows = await conn.fetch(sql, account_id, list(emails), list(but))
    return [(row["folded"], row["is_taken"]) for row in rows]


async def clear_emails(conn: Conn, account_id: UUID, user_ids: Sequence[UUID]) -> None:
    """Let the users have no address for a moment, so that they can exchange theirs."""
    sql = "UPDATE users u SET email = NULL WHERE u.account_id = $1 AND u.id = ANY ($2::uuid[])"
    await conn.execute(sql, account_id, list(user_ids))


async def save_users(conn: Conn, account_id: UUID, users: Sequence[UserRecord], now: datetime) -> None:
    """Add the users, or write those over that are there by id; what changes has to be locked before."""
    columns = ("id", "external_id", "name", "email", "administrator", "time_zone", "locale", "deactivated_at")
    sql = """
        INSERT INTO users (account_id, id, external_id, name, email, administrator, time_zone, locale, deactivated_at,
                           created_at, changed_at)
        SELECT $1, d.id, d.external_id, d.name, d.email, d.administrator, d.time_zone, d.locale, d.deactivated_at,
               $2, $2
          FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::text[], $9::text[],
                      $10::timestamptz[])
            AS d (id, external_id, name, email, administrator, time_zone, locale, deactivated_at)
         ORDER BY d.id
        ON CONFLICT (account_id, id) DO UPDATE
           SET name = excluded.name, email = excluded.email, administrator = excluded.administrator,
               time_zone = excluded.time_zone, locale = excluded.locale, deactivated_at = excluded.deactivated_at"""
    await conn.execute(sql, account_id, now, *([getattr(user, name) for user in users] for name in columns))


async def list_named_users(conn: Conn, account_id: UUID, user_ids: Sequence[UUID]) -> dict[UUID, UserRecord]:
    """Those of the ids that are users of the account, by id."""
    sql = f"SELECT {COLUMNS} FROM users u WHERE u.account_id = $1 AND u.id = ANY ($2::uuid[])"
    return {row["id"]: UserRecord(**row) for row in await conn.fetch(sql, account_id, list(user_ids))}


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
        changed_at=now,
    )
    sql = """
        INSERT INTO users (account_id, id, external_id, name, email, administrator, time_zone, locale, deactivated_at,
                           created_at, changed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)"""
    await conn.execute(
        sql, account_id, user.id, external_id, name, email, administrator, time_zone, locale, deactivated_at, now
    )
    return user

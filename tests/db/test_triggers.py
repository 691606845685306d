"""What the database does by itself for accounts and users, whoever writes."""

from datetime import datetime
from typing import Any

import asyncpg
import pytest

from db.links import add_link
from db.users import add_user
from tests.seed import NOW, Seed


async def account_changed_at(seed: Seed) -> datetime | None:
    sql = "SELECT a.changed_at FROM accounts a WHERE a.account_id = $1"
    value: datetime | None = await seed.conn.fetchval(sql, seed.account_id)
    return value


async def entries(seed: Seed) -> list[tuple[Any, ...]]:
    """The audit log without the seed's part."""
    sql = """
        SELECT g.action, g.subject_id, g.actor_type FROM audit_log g
         WHERE g.account_id = $1 AND g.subject_id <> $2 AND g.action <> 'ACCESS_GRANTED' ORDER BY g.at"""
    return [tuple(row) for row in await seed.conn.fetch(sql, seed.account_id, seed.anna.id)]


@pytest.mark.parametrize(
    "change", ["most_links = 3", "pauses_alarmed = true", "name = 'Harbour'", "longest_days = NULL"]
)
async def test_change_of_an_account_that_no_subscriber_sees_moves_no_time(seed: Seed, change: str) -> None:
    await seed.conn.execute(f"UPDATE accounts SET {change}")
    assert await account_changed_at(seed) is None


async def test_changes_of_an_account_that_subscribers_see_move_its_time_and_never_back(seed: Seed) -> None:
    times: list[datetime] = []
    for change in (
        "suspended_at = now()",
        "feeds_disabled_at = now()",
        "longest_days = 30",
        "forced_detail = 'BUSY'",
        "allowed_types = '{CALL}'",
        "suspended_at = NULL",
        "changed_at = '2001-01-01Z'",
        "changed_at = NULL",
    ):
        await seed.conn.execute(f"UPDATE accounts SET {change}")
        changed_at = await account_changed_at(seed)
        assert changed_at
        times.append(changed_at)
    assert times == sorted(set(times))


async def test_user_who_is_added_as_an_administrator_is_appointed_in_the_log(seed: Seed) -> None:
    added = await add_user(seed.conn, seed.account_id, NOW, name="Chloe", administrator=True)
    await add_user(seed.conn, seed.account_id, NOW, name="Dan")
    assert await entries(seed) == [("ADMINISTRATOR_APPOINTED", added.id, "OPERATOR")]


async def test_changes_of_a_user_that_move_no_rights_are_not_in_the_log(seed: Seed) -> None:
    await seed.conn.execute("UPDATE users SET name = name || '!', locale = 'de'")
    assert await entries(seed) == []


async def test_user_who_is_deleted_is_in_the_log_with_the_access_that_ended(seed: Seed) -> None:
    await seed.conn.execute("DELETE FROM users WHERE id = $1", seed.ben.id)
    assert sorted(await entries(seed)) == [
        ("ACCESS_WITHDRAWN", seed.ben.id, "OPERATOR"),
        ("USER_DELETED", seed.ben.id, "OPERATOR"),
    ]


async def test_account_is_deleted_with_its_users_and_its_log(seed: Seed) -> None:
    await seed.conn.execute("DELETE FROM accounts WHERE account_id = $1", seed.account_id)
    assert await entries(seed) == []
    assert await seed.conn.fetchval("SELECT count(*) FROM audit_log") == 0


@pytest.mark.parametrize("missing", ["grace_until", "grace_key_id", "grace_generation"])
async def test_grace_that_lacks_something_is_refused_by_the_database(seed: Seed, missing: str) -> None:
    await add_link(seed.conn, seed.account_id, seed.anna.id, None, "", "k1", NOW)
    whole = {"grace_until": "now()", "grace_key_id": "'k1'", "grace_generation": "1"}
    await seed.conn.execute("UPDATE feed_links SET " + ", ".join(f"{name} = {value}" for name, value in whole.items()))
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await seed.conn.execute(f"UPDATE feed_links SET {missing} = NULL")
    assert refused.value.constraint_name == "feed_links_grace_check"

"""Keys in the database: which open something, and which links are on which."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.ids import new_id
from db.keys import (
    ApiKeyRecord,
    KeyLinks,
    add_api_key,
    count_key_links,
    end_graces_off_key,
    get_api_key,
    list_api_keys,
    lock_links_off_key,
    page_api_keys,
    revoke_api_key,
    update_last_used,
)
from db.links import add_link, reset_links
from tests.seed import NOW, Seed, plant

SECOND = timedelta(seconds=1)
SCOPES = ["feeds:read", "audit:read"]


async def add(seed: Seed, name: str = "CRM") -> ApiKeyRecord:
    return await add_api_key(seed.conn, seed.account_id, new_id(), NOW, name=name, key_hash=bytes(32), scopes=SCOPES)


async def link(seed: Seed, name: str, key_id: str) -> UUID:
    added = await add_link(seed.conn, seed.account_id, seed.anna.id, None, name, key_id, NOW)
    assert added is not None
    return added.id


async def test_key_is_got_as_it_was_added(seed: Seed) -> None:
    key = await add(seed)
    expected = ApiKeyRecord(
        account_id=seed.account_id,
        id=key.id,
        name="CRM",
        hash=bytes(32),
        scopes=SCOPES,
        created_at=NOW,
        last_used_at=None,
        revoked_at=None,
    )
    assert key == expected
    assert await get_api_key(seed.conn, seed.account_id, key.id, NOW) == expected
    assert "hash" not in repr(key)


async def test_key_of_another_account_is_no_key(seed: Seed) -> None:
    other, key = await plant(seed.conn, "Blackwood Investigations"), await add(seed)
    assert await get_api_key(seed.conn, other.account_id, key.id, NOW) is None
    assert await get_api_key(seed.conn, seed.account_id, uuid4(), NOW) is None
    assert not await revoke_api_key(seed.conn, other.account_id, key.id, NOW)
    assert await list_api_keys(seed.conn, other.account_id) == []
    assert await list_api_keys(seed.conn, seed.account_id) == [key]


async def test_key_of_a_suspended_account_is_no_key_until_the_account_is_back(seed: Seed) -> None:
    key = await add(seed)
    await seed.conn.execute("UPDATE accounts SET suspended_at = $1", NOW)
    assert await get_api_key(seed.conn, seed.account_id, key.id, NOW) is None
    await seed.conn.execute("UPDATE accounts SET suspended_at = NULL")
    assert await get_api_key(seed.conn, seed.account_id, key.id, NOW) == key


async def test_key_is_no_key_from_its_end_on(seed: Seed) -> None:
    key = await add_api_key(
        seed.conn, seed.account_id, new_id(), NOW, name="CRM", key_hash=b"", scopes=[], expires_at=NOW + SECOND
    )
    assert await get_api_key(seed.conn, seed.account_id, key.id, NOW) == key
    assert await get_api_key(seed.conn, seed.account_id, key.id, NOW + SECOND) is None
    assert await list_api_keys(seed.conn, seed.account_id) == [key]


async def test_pages_of_keys_begin_after_one_that_need_not_be_there(seed: Seed) -> None:
    keys = [await add(seed, str(number)) for number in range(5)]
    await add(await plant(seed.conn, "Blackwood Investigations"))
    assert await page_api_keys(seed.conn, seed.account_id, 2, None) == keys[:2]
    await seed.conn.execute("DELETE FROM api_keys WHERE id = $1", keys[1].id)
    assert await page_api_keys(seed.conn, seed.account_id, 9, keys[1].id) == keys[2:]


async def test_revoked_key_is_no_key_and_keeps_the_time_of_its_end(seed: Seed) -> None:
    key, other = await add(seed), await add(seed, "Reports")
    assert await revoke_api_key(seed.conn, seed.account_id, key.id, NOW + SECOND)
    assert not await revoke_api_key(seed.conn, seed.account_id, key.id, NOW + 2 * SECOND)
    assert await get_api_key(seed.conn, seed.account_id, key.id, NOW) is None
    assert await get_api_key(seed.conn, seed.account_id, other.id, NOW) == other
    assert await list_api_keys(seed.conn, seed.account_id) == [replace(key, revoked_at=NOW + SECOND), other]


async def test_use_of_a_key_is_noted_once_a_minute(seed: Seed) -> None:
    key = await add(seed)
    noted = []
    for seconds in (0, 59, 60, 30):
        await update_last_used(seed.conn, seed.account_id, key.id, NOW + seconds * SECOND)
        found = await get_api_key(seed.conn, seed.account_id, key.id, NOW)
        assert found is not None
        assert found.last_used_at is not None
        noted.append((found.last_used_at - NOW).total_seconds())
    assert noted == [0, 0, 60, 60]


async def test_links_are_counted_by_account_and_key(seed: Seed) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    for name, key_id in (("", "k1"), ("iPhone", "k1"), ("Outlook", "k2")):
        await link(seed, name, key_id)
    await link(other, "", "k0")
    assert await count_key_links(seed.conn) == [
        KeyLinks(account_id=seed.account_id, key_id="k1", links=2),
        KeyLinks(account_id=seed.account_id, key_id="k2", links=1),
        KeyLinks(account_id=other.account_id, key_id="k0", links=1),
    ]


async def test_revoked_link_is_on_no_key(seed: Seed) -> None:
    await link(seed, "", "k1")
    await seed.conn.execute("UPDATE feed_links SET revoked_at = $1", NOW)
    assert await count_key_links(seed.conn) == []
    assert await lock_links_off_key(seed.conn, seed.account_id, "k2", None) == []


@pytest.mark.parametrize("change", ["paused_at = $1", "expires_at = $1::timestamptz - interval '9 days'"])
async def test_link_that_may_serve_again_is_on_its_key(seed: Seed, change: str) -> None:
    link_id = await link(seed, "", "k1")
    await seed.conn.execute(f"UPDATE feed_links SET {change}", NOW)
    assert await count_key_links(seed.conn) == [KeyLinks(account_id=seed.account_id, key_id="k1", links=1)]
    assert await lock_links_off_key(seed.conn, seed.account_id, "k2", None) == [link_id]


async def test_links_off_the_newest_key_are_those_of_the_account_or_of_one_key(seed: Seed) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    await link(other, "", "k1")
    ids = {key_id: await link(seed, key_id, key_id) for key_id in ("k0", "k1", "k2")}
    assert await lock_links_off_key(seed.conn, seed.account_id, "k2", None) == [ids["k0"], ids["k1"]]
    assert await lock_links_off_key(seed.conn, seed.account_id, "k2", "k1") == [ids["k1"]]
    assert await lock_links_off_key(seed.conn, seed.account_id, "k2", "k2") == []


async def test_links_off_the_newest_key_are_locked_until_the_transaction_ends(seed: Seed, dsn: str) -> None:
    link_id = await link(seed, "", "k1")
    other = await asyncpg.connect(dsn)
    try:
        async with seed.conn.transaction():
            assert await lock_links_off_key(seed.conn, seed.account_id, "k2", None) == [link_id]
            with pytest.raises(asyncpg.LockNotAvailableError):
                await other.execute("SELECT id FROM feed_links FOR NO KEY UPDATE NOWAIT")
        await other.execute("SELECT id FROM feed_links FOR NO KEY UPDATE NOWAIT")
    finally:
        await other.close()


async def test_grace_of_a_url_on_an_older_key_is_ended(seed: Seed) -> None:
    for name, key_id in (("a", "k0"), ("b", "k1"), ("c", "k2")):
        link_id = await link(seed, name, key_id)
        await reset_links(seed.conn, seed.account_id, [link_id], "k2", NOW, grace_until=NOW + 9 * SECOND)

    async def graces() -> list[int]:
        rows = await seed.conn.fetch("SELECT grace_until FROM feed_links ORDER BY name")
        return [(row["grace_until"] - NOW).seconds for row in rows]

    await end_graces_off_key(seed.conn, seed.account_id, "k2", "k1", NOW)
    assert await graces() == [9, 0, 9]
    await end_graces_off_key(seed.conn, seed.account_id, "k2", None, NOW)
    assert await graces() == [0, 0, 9]

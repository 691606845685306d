"""Many activities at once: what is written, and that twice as many take twice the work and no more."""

import asyncio
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest

from db.accounts import add_account
from db.activities import list_activities, lock_activities
from db.placements import OvertakenError, Placement, list_placings, save_placements, upsert_counts
from db.pool import Conn
from tests.seed import NOW, Seed, meeting


def placed(number: int, *calendar_ids: UUID) -> Placement:
    return Placement(activity=meeting(f"m{number}"), calendar_ids=frozenset(calendar_ids))


async def save(conn: Conn, account_id: UUID, placements: list[Placement]) -> None:
    async with conn.transaction():
        for start in range(0, len(placements), 1_000):
            await save_placements(conn, account_id, placements[start : start + 1_000], NOW)


async def there(seed: Seed, ids: list[UUID]) -> list[Placement]:
    """What has been written, as it would be saved again."""
    placings = await list_placings(seed.conn, seed.account_id, ids)
    found = await list_activities(seed.conn, seed.account_id, ids)
    return [
        Placement(
            activity=each,
            calendar_ids=placings[each.id],
            before=each,
            calendar_ids_before=placings[each.id],
            id=each.id,
        )
        for each in found
    ]


async def test_saving_counts_and_writes_what_differs(seed: Seed) -> None:
    first = [placed(number, seed.own) for number in range(4)]
    assert upsert_counts(first) == upsert_counts(first).__class__(4, 0, 0)
    await save(seed.conn, seed.account_id, first)
    same, renamed, moved, gone = await there(seed, [each.id for each in first])
    changes = [
        same,
        replace(renamed, activity=replace(renamed.activity, title="Signing")),
        replace(moved, calendar_ids=frozenset([seed.team])),
        replace(gone, calendar_ids=frozenset()),
    ]
    counts = upsert_counts(changes)
    assert (counts.created, counts.updated, counts.unchanged) == (0, 3, 1)
    await save(seed.conn, seed.account_id, changes)
    after = await there(seed, [each.id for each in first])
    assert [(each.activity.title, each.calendar_ids) for each in after] == [
        ("Viewing", frozenset([seed.own])),
        ("Signing", frozenset([seed.own])),
        ("Viewing", frozenset([seed.team])),
    ]


async def test_activity_that_is_there_already_is_not_written_over(seed: Seed) -> None:
    await seed.write(meeting("m0", title="Theirs"))
    with pytest.raises(OvertakenError):
        await save(seed.conn, seed.account_id, [placed(0, seed.own)])
    titles = "SELECT title FROM activities WHERE account_id = $1"
    assert [row["title"] for row in await seed.conn.fetch(titles, seed.account_id)] == ["Theirs"]


async def test_account_that_the_statistics_do_not_know_is_read_once_at_most(seed: Seed) -> None:
    """And not once for each key that is looked for."""
    await save(seed.conn, seed.account_id, [placed(number, seed.own) for number in range(3_000)])
    await seed.conn.execute("ANALYZE activities")
    fresh = (await add_account(seed.conn, "New", NOW)).account_id
    sent: list[asyncpg.connection.LoggedQuery] = []
    assert isinstance(seed.conn, asyncpg.Connection)
    with seed.conn.query_logger(sent.append):
        await lock_activities(seed.conn, fresh, [("MEETING", f"m{number}") for number in range(500)])
        await asyncio.sleep(0)
    (statement,) = (each for each in sent if "FOR NO KEY UPDATE" in each.query)
    plan = "\n".join(row[0] for row in await seed.conn.fetch(f"EXPLAIN {statement.query}", *statement.args))
    assert "Nested Loop" not in plan, plan

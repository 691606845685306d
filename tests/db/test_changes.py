"""What changed in calendars, as the database keeps it beside their versions."""

from uuid import UUID

import pytest

from db.activities import add_entries, upsert_activities
from db.changes import Version, list_changed_activities
from tests.seed import NOW, Seed, meeting, task

MANY = [meeting(f"m{n}") for n in range(201)]


async def versions(seed: Seed, *calendar_ids: UUID) -> dict[UUID, Version]:
    sql = """
        SELECT v.calendar_id, v.version, v.changed_at FROM calendar_versions v
         WHERE v.account_id = $1 AND v.calendar_id = ANY ($2::uuid[])"""
    rows = await seed.conn.fetch(sql, seed.account_id, calendar_ids or (seed.own,))
    return {row["calendar_id"]: Version(row["version"], row["changed_at"]) for row in rows}


async def changed(seed: Seed, before: dict[UUID, Version]) -> set[str] | None:
    """By external ids; of those that are gone none is known."""
    ids = await list_changed_activities(seed.conn, seed.account_id, before, await versions(seed, *before))
    if ids is None:
        return None
    rows = await seed.conn.fetch("SELECT a.id, a.external_id FROM activities a WHERE a.id = ANY ($1)", ids)
    return {row["external_id"] for row in rows} | ({"gone"} if len(rows) < len(ids) else set())


async def seen(seed: Seed, *calendar_ids: UUID) -> dict[UUID, Version]:
    """The versions, once each calendar holds three activities, and one change is known."""
    await seed.write(meeting("a"), meeting("b"), task("c", due_at=NOW), calendars=calendar_ids or (seed.own,))
    return await versions(seed, *calendar_ids)


async def test_nothing_has_changed_at_first(seed: Seed) -> None:
    assert await changed(seed, await seen(seed)) == set()


CHANGES = {
    "UPDATE activities SET title = 'Other' WHERE external_id = 'a'": {"a"},
    "UPDATE activities SET title = 'Other' WHERE external_id IN ('a', 'c')": {"a", "c"},
    "UPDATE activities SET external_id = 'z' WHERE external_id = 'a'": set(),
    "UPDATE activities SET title = title": set(),
    "DELETE FROM activities WHERE external_id = 'b'": {"gone"},
    "DELETE FROM calendar_entries USING activities a WHERE activity_id = a.id AND a.external_id = 'b'": {"b"},
    "UPDATE calendars SET color = '#000000'": None,
    "UPDATE calendars SET name = 'Other'": None,
    "UPDATE calendars SET external_id = name": set(),
    "UPDATE calendar_versions SET version = version + 1": None,
}


@pytest.mark.parametrize("change", CHANGES)
async def test_change_is_told_with_its_activities(seed: Seed, change: str) -> None:
    before = await seen(seed)
    await seed.conn.execute(change)
    assert await changed(seed, before) == CHANGES[change]


async def test_changes_of_several_statements_and_calendars_add_up(seed: Seed) -> None:
    before = await seen(seed, seed.own, seed.team)
    await seed.conn.execute("UPDATE activities SET title = 'Other' WHERE external_id = 'a'")
    await seed.write(meeting("d"), calendars=(seed.team,))
    await seed.conn.execute("UPDATE activities SET title = 'Another' WHERE external_id = 'b'")
    assert await changed(seed, before) == {"a", "b", "d"}


async def test_activity_that_is_put_into_a_second_calendar_is_told_in_both(seed: Seed) -> None:
    await seed.write(meeting("x"), calendars=(seed.team,))
    before = await seen(seed) | await versions(seed, seed.team)
    await add_entries(seed.conn, seed.account_id, seed.team, [meeting("a")])
    assert await changed(seed, before) == {"a"}
    assert await changed(seed, {seed.own: before[seed.own]}) == {"a"}  # it says now in how many it stands


async def test_many_changes_at_once_are_not_told_one_by_one(seed: Seed) -> None:
    before = await seen(seed)
    await upsert_activities(seed.conn, seed.account_id, MANY, NOW)
    for some, known in ((MANY[:100], True), (MANY[100:], False)):
        await add_entries(seed.conn, seed.account_id, seed.own, some)
        assert (await changed(seed, before) is not None) == known


async def test_changes_of_long_ago_are_forgotten(seed: Seed) -> None:
    before = await seen(seed)
    for n in range(99):
        await seed.conn.execute("UPDATE activities SET title = $1 WHERE external_id = 'a'", f"Title {n}")
    assert await changed(seed, before) == {"a"}
    await seed.conn.execute("UPDATE activities SET title = 'Last' WHERE external_id = 'a'")
    assert await changed(seed, before) is None
    assert await seed.conn.fetchval("SELECT count(*) FROM calendar_changes WHERE calendar_id = $1", seed.own) == 100


async def test_version_that_came_about_otherwise_is_not_the_one_that_was_seen(seed: Seed) -> None:
    """As after a restore: the numbers come again, for other changes."""
    before = await seen(seed)
    others = {seed.own: before[seed.own]._replace(changed_at=NOW)}
    await seed.conn.execute("UPDATE activities SET title = 'Other' WHERE external_id = 'a'")
    assert await changed(seed, others) is None
    assert await changed(seed, before) == {"a"}


async def test_number_that_comes_again_is_about_what_is_changed_now(seed: Seed) -> None:
    before = await seen(seed)
    await seed.conn.execute("UPDATE activities SET title = 'Other' WHERE external_id = 'a'")
    sql = "UPDATE calendar_versions SET version = version - 1, changed_at = $2 WHERE calendar_id = $1"
    await seed.conn.execute(sql, seed.own, before[seed.own].changed_at)
    await seed.conn.execute("UPDATE activities SET title = 'Other' WHERE external_id = 'b'")
    assert await changed(seed, before) == {"b"}


async def test_other_calendars_than_before_are_read_anew(seed: Seed) -> None:
    before, now = await seen(seed), await versions(seed, seed.own, seed.team)
    assert await list_changed_activities(seed.conn, seed.account_id, before, now) is None


async def test_calendar_that_is_deleted_takes_its_changes_along(seed: Seed) -> None:
    await seen(seed)
    await seed.conn.execute("DELETE FROM calendars WHERE id = $1", seed.own)
    assert await seed.conn.fetchval("SELECT count(*) FROM calendar_changes WHERE calendar_id = $1", seed.own) == 0

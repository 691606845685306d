"""Whoever writes, by whatever path, raises the version of the calendars whose subscribers could see it."""

import asyncio
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import asyncpg

from db.activities import upsert_activities
from db.calendars import add_calendar, grant_access
from db.pool import Conn
from tests.seed import NOW, Seed, meeting, task
from tests.waiting import until_somebody_waits


async def versions(seed: Seed) -> tuple[int, int]:
    """Of Anna's calendar and the team's."""
    rows = await seed.conn.fetch("SELECT calendar_id, version FROM calendar_versions")
    found = {row["calendar_id"]: row["version"] for row in rows}
    return found[seed.own], found[seed.team]


async def changed_at(seed: Seed) -> datetime:
    sql = "SELECT changed_at FROM calendar_versions WHERE calendar_id = $1"
    value: datetime = await seed.conn.fetchval(sql, seed.own)
    return value


async def revision(conn: Conn) -> tuple[int, datetime]:
    row = await conn.fetchrow("SELECT revision, changed_at FROM activities")
    assert row is not None
    return row["revision"], row["changed_at"]


async def placings(conn: Conn) -> tuple[int, datetime | None]:
    row = await conn.fetchrow("SELECT placings, placed_at FROM activities")
    assert row is not None
    return row["placings"], row["placed_at"]


async def test_new_calendar_has_version_one(seed: Seed) -> None:
    assert await versions(seed) == (1, 1)


async def test_activity_put_into_calendar_raises_that_calendar(seed: Seed) -> None:
    await seed.write(meeting())
    assert await versions(seed) == (2, 1)


async def test_many_entries_of_one_statement_raise_once(seed: Seed) -> None:
    await seed.write(*(meeting(f"m{n}") for n in range(50)))
    assert await versions(seed) == (2, 1)


async def test_changed_activity_raises_each_of_its_calendars(seed: Seed) -> None:
    await seed.write(meeting(), calendars=(seed.own, seed.team))
    await upsert_activities(seed.conn, seed.account_id, [meeting(title="Second viewing")], NOW)
    assert await versions(seed) == (4, 4)


async def test_upsert_of_the_same_data_changes_nothing(seed: Seed) -> None:
    activities = [meeting(participants=()), task(due_on=NOW.date())]
    await seed.write(*activities)
    before = await seed.conn.fetch("SELECT * FROM activities ORDER BY id")
    counts = await upsert_activities(seed.conn, seed.account_id, activities, NOW)
    await seed.write(*activities)
    assert (counts.created, counts.updated, counts.unchanged) == (0, 0, 2)
    assert await seed.conn.fetch("SELECT * FROM activities ORDER BY id") == before
    assert await versions(seed) == (2, 1)


async def test_update_by_sql_raises_the_calendar_and_the_revision(seed: Seed) -> None:
    await seed.write(meeting())
    first, then = await revision(seed.conn)
    await seed.conn.execute("UPDATE activities SET location = 'Room 4'")
    second, later = await revision(seed.conn)
    assert (first, second) == (0, 1)
    assert later > then
    assert await versions(seed) == (3, 1)


async def test_update_by_sql_that_changes_nothing_raises_nothing(seed: Seed) -> None:
    await seed.write(meeting())
    before = await revision(seed.conn)
    await seed.conn.execute(
        "UPDATE activities SET title = title, revision = 99, changed_at = now(), created_at = now()"
    )
    assert await revision(seed.conn) == before
    assert await versions(seed) == (2, 1)


async def test_two_changes_in_one_second_have_two_times(seed: Seed) -> None:
    await seed.write(meeting())
    times = []
    for location in ("a", "b", "c"):
        await seed.conn.execute("UPDATE activities SET location = $1", location)
        times.append((await revision(seed.conn))[1])
    assert times == sorted(set(times))
    assert all(time.microsecond == 0 for time in times)


async def test_deleted_activity_raises_its_calendars(seed: Seed) -> None:
    await seed.write(meeting(), calendars=(seed.own, seed.team))
    await seed.conn.execute("DELETE FROM activities")
    assert await versions(seed) == (4, 4)


async def test_activity_moved_by_sql_raises_both_calendars(seed: Seed) -> None:
    await seed.write(meeting())
    await seed.conn.execute("UPDATE calendar_entries SET calendar_id = $1", seed.team)
    assert await versions(seed) == (3, 4)


async def test_entries_copied_in_raise_the_calendar(seed: Seed) -> None:
    await seed.write(meeting("m1"), meeting("m2"))
    ids = [row["id"] for row in await seed.conn.fetch("SELECT id FROM activities")]
    records = [(seed.account_id, seed.team, activity_id) for activity_id in ids]
    columns = ["account_id", "calendar_id", "activity_id"]
    await seed.conn.copy_records_to_table("calendar_entries", records=records, columns=columns)
    assert await versions(seed) == (3, 3)


async def test_renamed_or_recoloured_calendar_is_raised(seed: Seed) -> None:
    await seed.conn.execute("UPDATE calendars SET name = 'Anna' WHERE id = $1", seed.own)
    await seed.conn.execute("UPDATE calendars SET color = '#000000' WHERE id = $1", seed.own)
    await seed.conn.execute("UPDATE calendars SET name = 'Anna' WHERE id = $1", seed.own)
    assert await versions(seed) == (3, 1)


# ---- placings


ENTER = "INSERT INTO calendar_entries SELECT $1, unnest($2::uuid[]), id FROM activities"
LEAVE = "DELETE FROM calendar_entries WHERE account_id = $1 AND calendar_id = ANY ($2::uuid[])"


async def test_new_activity_has_no_placings_in_however_many_calendars_it_is_entered_at_once(seed: Seed) -> None:
    await upsert_activities(seed.conn, seed.account_id, [meeting()], NOW)
    assert await placings(seed.conn) == (0, None)
    await seed.conn.execute(ENTER, seed.account_id, [seed.own, seed.team])
    assert await placings(seed.conn) == (0, None)


async def test_each_calendar_entered_or_left_beside_another_one_is_counted(seed: Seed) -> None:
    await seed.write(meeting())
    before = await revision(seed.conn)
    found = [await placings(seed.conn)]
    third = await add_calendar(seed.conn, seed.account_id, NOW, name="Third")
    for sql, calendars in (
        (ENTER, [seed.team, third]),
        (LEAVE, [seed.own]),
        (LEAVE, [seed.team]),
        (ENTER, [seed.own]),
    ):
        await seed.conn.execute(sql, seed.account_id, calendars)
        found.append(await placings(seed.conn))
    assert [count for count, _ in found] == [0, 1, 2, 3, 4]
    times = [time for _, time in found if time]
    assert times == sorted(set(times))
    assert (len(times), {time.microsecond for time in times}) == (4, {0})
    assert await revision(seed.conn) == before


async def test_activity_that_leaves_its_only_calendar_and_comes_back_is_not_counted(seed: Seed) -> None:
    await seed.write(meeting())
    for sql in (LEAVE, ENTER):
        await seed.conn.execute(sql, seed.account_id, [seed.own])
    assert await placings(seed.conn) == (0, None)


async def test_entry_that_is_there_already_is_not_counted(seed: Seed) -> None:
    await seed.write(meeting(), calendars=(seed.own, seed.team))
    before = await placings(seed.conn)
    await seed.write(meeting(), calendars=(seed.own, seed.team))
    assert await placings(seed.conn) == before


async def test_activity_moved_by_sql_is_counted(seed: Seed) -> None:
    await seed.write(meeting())
    await seed.conn.execute("UPDATE calendar_entries SET calendar_id = $1", seed.team)
    count, placed_at = await placings(seed.conn)
    assert count > 0
    assert placed_at
    assert (await revision(seed.conn))[0] == 0


async def test_calendar_renamed_or_recoloured_is_counted_by_the_activities_that_stand_in_it(seed: Seed) -> None:
    await seed.write(meeting())
    await seed.write(task(), calendars=(seed.team,))
    before = await seed.conn.fetch("SELECT revision, changed_at FROM activities ORDER BY external_id")
    sql = "SELECT placings FROM activities ORDER BY external_id"
    found = []
    for change in ("name = 'Anna'", "color = '#000000'", "color = NULL", "name = 'Anna'", "external_id = 'a'"):
        await seed.conn.execute(f"UPDATE calendars SET {change} WHERE id = $1", seed.own)
        found.append([row["placings"] for row in await seed.conn.fetch(sql)])
    assert found == [[1, 0], [2, 0], [3, 0], [3, 0], [3, 0]]
    assert await seed.conn.fetch("SELECT revision, changed_at FROM activities ORDER BY external_id") == before


async def test_number_that_a_writer_gives_the_placings_counts_as_one(seed: Seed) -> None:
    await seed.write(meeting())
    await seed.conn.execute("UPDATE activities SET placings = 99, placed_at = '2001-01-01Z'")
    count, placed_at = await placings(seed.conn)
    assert count == 1
    assert placed_at
    assert placed_at >= NOW.replace(hour=0)
    await seed.conn.execute("UPDATE activities SET placed_at = NULL")
    assert await placings(seed.conn) == (1, placed_at)


async def test_deletion_of_a_calendar_is_counted_by_what_stands_in_another_too(seed: Seed) -> None:
    await seed.write(meeting(), calendars=(seed.own, seed.team))
    before = (await placings(seed.conn))[0]
    await seed.conn.execute("DELETE FROM calendars WHERE id = $1", seed.team)
    assert (await placings(seed.conn))[0] == before + 1


async def test_renames_entries_and_changes_at_once_do_not_deadlock(seed: Seed, dsn: str) -> None:
    made = [meeting(f"m{n}") for n in range(20)]
    await seed.write(*made, calendars=(seed.own, seed.team))
    third = await add_calendar(seed.conn, seed.account_id, NOW, name="Third")
    entered = "SELECT $1::uuid, $2::uuid, id FROM activities ORDER BY md5(id::text) ON CONFLICT DO NOTHING"
    leave = "DELETE FROM calendar_entries WHERE account_id = $1 AND calendar_id = $2"
    rename = "UPDATE calendars SET name = name || '!' WHERE account_id = $1 AND id = $2"
    lock = "SELECT id FROM activities WHERE account_id = $1 AND $2::uuid IS NOT NULL ORDER BY id FOR NO KEY UPDATE"
    change = "UPDATE activities SET title = title || '!' WHERE account_id = $1 AND $2::uuid IS NOT NULL"

    async def write(calendar_id: UUID, *statements: str) -> None:
        conn = await asyncpg.connect(dsn)
        for _ in range(8):
            async with conn.transaction():
                for sql in statements:
                    await conn.execute(sql, seed.account_id, calendar_id)
        await conn.close()

    await asyncio.gather(
        *(write(calendar_id, rename) for calendar_id in (seed.own, seed.team, third)),
        write(third, f"INSERT INTO calendar_entries {entered}"),
        write(third, leave),
        write(third, lock, change),
    )


# ---- what is in no feed


async def test_key_of_the_crm_and_zone_of_planning_raise_nothing(seed: Seed) -> None:
    await seed.write(meeting(), calendars=(seed.own, seed.team))
    before, raised = await revision(seed.conn), await versions(seed)
    counted = await placings(seed.conn)
    await seed.conn.execute("UPDATE activities SET external_id = 'other', time_zone = 'Asia/Tokyo'")
    await seed.conn.execute("UPDATE activities SET external_id = NULL, time_zone = NULL")
    assert (await revision(seed.conn), await versions(seed), await placings(seed.conn)) == (before, raised, counted)
    await seed.conn.execute("UPDATE activities SET external_id = 'third', title = 'Other'")
    assert (await revision(seed.conn))[0] == before[0] + 1


async def test_rolled_back_change_raises_nothing(seed: Seed) -> None:
    transaction = seed.conn.transaction()
    await transaction.start()
    await seed.write(meeting())
    await transaction.rollback()
    assert await versions(seed) == (1, 1)


async def test_time_of_version_grows_with_every_change(seed: Seed) -> None:
    times = [await changed_at(seed)]
    for n in range(20):
        await seed.write(meeting(f"m{n}"))
        times.append(await changed_at(seed))
    assert times == sorted(set(times))


async def test_time_of_version_is_read_once_the_earlier_writer_is_done(seed: Seed, dsn: str) -> None:
    """Else a poll between the two commits would see a Last-Modified that the second commit does not move."""
    second = await asyncpg.connect(dsn)
    first_transaction = seed.conn.transaction()
    await first_transaction.start()
    await seed.conn.execute("UPDATE calendars SET name = 'First' WHERE id = $1", seed.own)
    waiting = asyncio.create_task(second.execute("UPDATE calendars SET color = '#111111' WHERE id = $1", seed.own))
    await until_somebody_waits(dsn)
    done = await seed.conn.fetchval("SELECT clock_timestamp()")
    await first_transaction.commit()
    await waiting
    assert await changed_at(seed) > done
    await second.close()


async def test_entry_waits_for_a_change_of_its_activity(seed: Seed, dsn: str) -> None:
    """Who changes an activity cannot see an entry that is not committed: its calendar would stay as it was."""
    await seed.write(meeting())
    activity_id: UUID = await seed.conn.fetchval("SELECT id FROM activities")
    other = await asyncpg.connect(dsn)
    changing = seed.conn.transaction()
    await changing.start()
    await seed.conn.execute("UPDATE activities SET title = 'Changed'")
    sql = "INSERT INTO calendar_entries (account_id, calendar_id, activity_id) VALUES ($1, $2, $3)"
    adding = asyncio.create_task(other.execute(sql, seed.account_id, seed.team, activity_id))
    await until_somebody_waits(dsn)
    assert not adding.done()
    await changing.commit()
    await adding
    assert await versions(seed) == (4, 3)
    await other.close()


async def test_entry_that_is_moved_waits_for_a_change_of_its_activity(seed: Seed, dsn: str) -> None:
    await seed.write(meeting())
    other = await asyncpg.connect(dsn)
    changing = seed.conn.transaction()
    await changing.start()
    await seed.conn.execute("UPDATE activities SET title = 'Changed'")
    moving = asyncio.create_task(other.execute("UPDATE calendar_entries SET calendar_id = $1", seed.team))
    await until_somebody_waits(dsn)
    assert not moving.done()
    await changing.commit()
    await moving
    assert await versions(seed) == (4, 4)
    await other.close()


async def test_access_changes_of_several_users_at_once_do_not_deadlock(seed: Seed, dsn: str) -> None:
    await grant_access(seed.conn, seed.account_id, seed.own, [seed.ben.id], NOW)

    async def withdraw(calendar_id: UUID) -> None:
        conn = await asyncpg.connect(dsn)
        lock = "SELECT 1 FROM calendar_access WHERE calendar_id = $1 ORDER BY user_id FOR UPDATE"
        for _ in range(20):
            async with conn.transaction():
                await conn.execute(lock, calendar_id)  # an UPDATE by itself locks its rows in any order
                sql = "UPDATE calendar_access SET granted_at = granted_at + interval '1 s' WHERE calendar_id = $1"
                await conn.execute(sql, calendar_id)
        await conn.close()

    await asyncio.gather(*(withdraw(calendar_id) for calendar_id in (seed.own, seed.team) * 3))


async def test_writers_of_the_same_calendars_do_not_block_each_other_for_ever(seed: Seed, dsn: str) -> None:
    """Thirty writers, one account each statement, several calendars each: every change is counted."""
    await seed.write(meeting(), calendars=(seed.own, seed.team))
    before = await versions(seed)

    async def write(number: int) -> None:
        conn = await asyncpg.connect(dsn)
        activity = replace(meeting(), title=f"Viewing {number}")
        await upsert_activities(conn, seed.account_id, [activity], NOW)
        await conn.close()

    await asyncio.gather(*(write(number) for number in range(30)))
    assert await versions(seed) == (before[0] + 30, before[1] + 30)


async def test_access_given_or_taken_touches_the_user(seed: Seed) -> None:
    async def touched() -> datetime:
        value: datetime = await seed.conn.fetchval("SELECT changed_at FROM users WHERE id = $1", seed.ben.id)
        return value

    times = [await touched()]
    project = await add_calendar(seed.conn, seed.account_id, NOW, name="Project")
    for change in (
        "INSERT INTO calendar_access (account_id, calendar_id, user_id, granted_at) VALUES ($1, $2, $3, $4)",
        "UPDATE calendar_access SET withdrawn_at = $4 WHERE account_id = $1 AND calendar_id = $2 AND user_id = $3",
        "DELETE FROM calendar_access WHERE account_id = $1 AND calendar_id = $2 AND user_id = $3",
    ):
        long_ago = [NOW] if "$4" in change else []
        await seed.conn.execute(change, seed.account_id, project, seed.ben.id, *long_ago)
        times.append(await touched())
    assert times == sorted(set(times))

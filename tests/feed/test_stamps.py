"""SEQUENCE, DTSTAMP and LAST-MODIFIED: they move with what a feed says of an activity, and with nothing else."""

import asyncio
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from db.calendars import add_calendar, grant_access
from tests.feed.subscription import DAY, Subscription, parts, state, subscribe, weekly
from tests.seed import NOW, Seed, Service, meeting, plant, task

STYLES: list[dict[str, Any]] = [
    {"detail": "BUSY"},
    {"timeStyle": "ZONED"},
    {"participants": "ATTENDEE"},
    {"reminderMinutes": 10},
    {"titleWith": "OWNER"},
    {"titleWith": "CALENDAR"},
]
CHOICES: list[dict[str, Any]] = [
    {"daysBack": 5},
    {"daysAhead": 5},
    {"activityTypes": ["MEETING"]},
    {"completedTasks": "OMIT"},
    {"cancelled": "MARK"},
    {"daysBack": 90},
    {},
]
RETITLE = "UPDATE activities SET title = title || '!'"


def has_moved(before: tuple[int, str], after: tuple[int, str]) -> bool:
    """Both numbers rose; or neither of them moved."""
    assert (after[0] > before[0] and after[1] > before[1]) or after == before
    return after != before


@pytest.fixture
async def link(seed: Seed, service: Service) -> Subscription:
    await seed.write(meeting(owner_id=seed.ben.id), calendars=(seed.own, seed.team))
    return await subscribe(service, seed.anna, seed.own)


@pytest.mark.parametrize("options", STYLES)
async def test_change_of_style_moves_all_three_there_and_back(link: Subscription, options: dict[str, Any]) -> None:
    before = await link.state()
    await link.update(**options)
    there = await link.state()
    await link.update(**dict.fromkeys(options))
    back = await link.state()
    assert has_moved(before, there)
    assert has_moved(there, back)


@pytest.mark.parametrize("options", CHOICES)
async def test_change_of_what_is_chosen_moves_none_of_them(link: Subscription, options: dict[str, Any]) -> None:
    before = await link.read()
    await link.update(**options)
    assert parts(await link.read()) == parts(before)


async def test_changes_within_one_second_differ_whatever_they_change(seed: Seed, link: Subscription) -> None:
    states = [await link.state()]
    for n in range(4):
        await link.update(reminderMinutes=n)
        states.append(await link.state())
        await seed.conn.execute(RETITLE)
        states.append(await link.state())
    for n in range(3):
        await link.update(titleWith=("OWNER", "CALENDAR", "NOTHING")[n])
        states.append(await link.state())
    for _ in range(3):
        await seed.conn.execute(RETITLE)
        states.append(await link.state())
    assert all(has_moved(before, after) for before, after in pairwise(states))


@pytest.mark.parametrize("ahead", ["feed_links SET styled_at", "activities SET changed_at"])
async def test_changes_after_the_clock_was_set_back_still_differ(seed: Seed, link: Subscription, ahead: str) -> None:
    await link.update(reminderMinutes=1)
    await seed.conn.execute("SET session_replication_role = replica")
    await seed.conn.execute(f"UPDATE {ahead} = $1", NOW + 2 * DAY)
    await seed.conn.execute("RESET session_replication_role")
    states = [await link.state()]
    for n in range(2, 4):
        await link.update(reminderMinutes=n)
        states.append(await link.state())
        await seed.conn.execute(RETITLE)
        states.append(await link.state())
    assert all(has_moved(before, after) for before, after in pairwise(states))


async def test_changes_at_the_same_moment_are_each_counted(link: Subscription) -> None:
    """Of two that wait for each other the second sees what the first one did."""
    before = await link.state()
    await asyncio.gather(*(link.update(reminderMinutes=n) for n in range(5)))
    after = await link.state()
    assert after[0] == before[0] + 5
    assert has_moved(before, after)


async def test_change_of_one_links_style_leaves_the_other_links_alone(
    seed: Seed, service: Service, link: Subscription
) -> None:
    other = await subscribe(service, seed.anna, seed.own, name="other")
    poll = await other.poll()
    await link.update(timeStyle="ZONED")
    assert (await other.poll(If_None_Match=poll.headers["ETag"])).status == 304


async def test_task_falls_overdue_and_is_done_with_numbers_that_rise(seed: Seed, service: Service) -> None:
    await seed.write(task(due_on=NOW.date(), title="Offer"))
    link = await subscribe(service, seed.anna, seed.own)
    states = [await link.state()]
    for sql in (
        "UPDATE activities SET due_on = due_on - 3",
        "UPDATE activities SET due_on = due_on + 3",
        "UPDATE activities SET due_on = due_on - 2",
        "UPDATE activities SET status = 'COMPLETED'",
        "UPDATE activities SET status = 'IN_PROCESS'",
    ):
        await seed.conn.execute(sql)
        states.append(await link.state())
    assert all(has_moved(before, after) for before, after in pairwise(states))


async def test_task_that_loses_its_deadline_moves_forwards(seed: Seed, service: Service) -> None:
    await seed.write(task(due_on=NOW.date(), title="Offer"))
    for _ in range(3):
        await seed.conn.execute(RETITLE)
    link = await subscribe(service, seed.anna, seed.own)
    before = await link.state()
    await seed.conn.execute("UPDATE activities SET due_on = NULL, starts_on = due_on")
    assert has_moved(before, await link.state())


async def test_users_language_changes_the_words_and_moves_all_three(
    seed: Seed, service: Service, link: Subscription
) -> None:
    everything = await subscribe(service, seed.anna, options={"detail": "BUSY"})
    before = await link.poll()
    states = [await link.state(), await everything.state()]
    await seed.conn.execute("UPDATE users SET locale = 'de' WHERE id = $1", seed.anna.id)
    assert (await link.poll(If_None_Match=before.headers["ETag"])).status == 200
    body, busy = await link.read(), await everything.read()
    assert b"CATEGORIES:Termin\r\n" in body
    assert "SUMMARY:Beschäftigt\r\n".encode() in busy
    assert b"X-WR-CALNAME:Alle meine Kalender\r\n" in busy
    assert all(has_moved(was, state(part)) for was, part in zip(states, parts(body) + parts(busy), strict=True))


async def test_language_of_somebody_else_changes_nothing(seed: Seed, link: Subscription) -> None:
    tag = (await link.poll()).headers["ETag"]
    await seed.conn.execute("UPDATE users SET locale = 'de' WHERE id <> $1", seed.anna.id)
    assert (await link.poll(If_None_Match=tag)).status == 304


RENAMES = {
    "owner": ("UPDATE users SET name = 'Renamed' WHERE name = 'Ben Okafor'", {"OWNER", "OWNER of all"}),
    "nobody's owner": ("UPDATE users SET email = 'ben@example.org' WHERE name = 'Ben Okafor'", set[str]()),
    "calendar": ("UPDATE calendars SET name = 'Renamed' WHERE name = 'Anna Müller'", {"CALENDAR", "CALENDAR of all"}),
    "other calendar": ("UPDATE calendars SET name = 'Renamed' WHERE name = 'Sales team'", {"CALENDAR of all"}),
    "recoloured": ("UPDATE calendars SET color = '#000000'", set[str]()),
}


@pytest.mark.parametrize("rename", RENAMES)
async def test_renaming_moves_the_links_whose_titles_hold_the_name(seed: Seed, service: Service, rename: str) -> None:
    sql, expected = RENAMES[rename]
    await seed.write(meeting(owner_id=seed.ben.id), calendars=(seed.own, seed.team))
    links = {
        f"{title}{of}": await subscribe(service, seed.anna, calendar, name=title, options={"titleWith": title})
        for title in ("NOTHING", "OWNER", "CALENDAR")
        for of, calendar in (("", seed.own), (" of all", None))
    }
    before = {name: await link.state() for name, link in links.items()}
    tags = {name: (await link.poll()).headers["ETag"] for name, link in links.items()}
    await seed.conn.execute(sql)
    moved = {name for name, link in links.items() if has_moved(before[name], await link.state())}
    assert moved == expected
    assert {name for name, link in links.items() if "Renamed" in (await link.titles())[0]} == expected
    for name in expected:
        assert (await links[name].poll(If_None_Match=tags[name])).status == 200


async def test_renaming_in_another_account_changes_nothing(seed: Seed, service: Service) -> None:
    await plant(seed.conn, "Blackwood Investigations")
    await seed.write(meeting(owner_id=seed.ben.id))
    links = [
        await subscribe(service, seed.anna, name=with_, options={"titleWith": with_}) for with_ in ("OWNER", "CALENDAR")
    ]
    tags = [(await link.poll()).headers["ETag"] for link in links]
    for table in ("users", "calendars"):
        await seed.conn.execute(f"UPDATE {table} SET name = 'Renamed' WHERE account_id <> $1", seed.account_id)
    for link, tag in zip(links, tags, strict=True):
        assert (await link.poll(If_None_Match=tag)).status == 304


@pytest.mark.parametrize("place", ["entered", "granted", "withdrawn"])
async def test_title_that_names_other_calendars_than_before_moves_all_three(
    seed: Seed, service: Service, place: str
) -> None:
    """Its activity did not change, only where it stands or what of that the user may see."""
    third = await add_calendar(seed.conn, seed.account_id, NOW, name="Zoo")
    calendars = (seed.own, seed.team) if place == "entered" else (seed.own, seed.team, third)
    await seed.write(meeting(), calendars=calendars)
    if place != "granted":
        await grant_access(seed.conn, seed.account_id, third, [seed.anna.id], NOW)
    link = await subscribe(service, seed.anna, options={"titleWith": "CALENDAR"})
    (before,) = await link.parts()
    match place:
        case "entered":
            await seed.write(meeting(), calendars=(third,))
        case "granted":
            await grant_access(seed.conn, seed.account_id, third, [seed.anna.id], NOW)
        case _:
            await seed.conn.execute("UPDATE calendar_access SET withdrawn_at = $1 WHERE calendar_id = $2", NOW, third)
    (after,) = await link.parts()
    assert before["SUMMARY"] != after["SUMMARY"]
    assert has_moved(state(before), state(after))


async def test_overdue_task_that_is_not_overdue_by_another_clock_moves_forwards(seed: Seed, service: Service) -> None:
    """The user travels west, where the day of the deadline is not over yet."""
    await seed.conn.execute("UPDATE users SET time_zone = 'Etc/GMT-14'")  # fourteen hours east
    await seed.write(task(due_on=datetime.now(ZoneInfo("Etc/GMT-14")).date() - DAY))
    link = await subscribe(service, seed.anna, seed.own)
    (before,) = await link.parts()
    await seed.conn.execute("UPDATE users SET time_zone = 'Etc/GMT+12'")
    (after,) = await link.parts()
    assert before["SUMMARY"] != after["SUMMARY"]
    assert has_moved(state(before), state(after))


async def test_changed_occurrence_moves_the_whole_series_alike(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.anna, seed.own)
    states = []
    for room in (None, "Room 1", "Room 2"):
        change = {"title": "Moved", "location": room} if room else {}
        await seed.write(meeting(recurrence=weekly(**change)))
        found = await link.parts()
        assert ["RECURRENCE-ID" in part for part in found] == [False, *([True] if room else [])]
        (one,) = {state(part) for part in found}
        states.append(one)
    assert all(has_moved(before, after) for before, after in pairwise(states))


async def test_upsert_of_the_same_data_moves_nothing(seed: Seed, service: Service) -> None:
    activities = [meeting("s1", recurrence=weekly(title="Moved")), meeting("m1"), task(due_on=NOW.date())]
    await seed.write(*activities)
    link = await subscribe(service, seed.anna, seed.own)
    before = await link.poll()
    fragments = "SELECT activity_id, variant, revision, xmin::text FROM fragments ORDER BY 1, 2"
    kept = await seed.conn.fetch(fragments)
    await seed.write(*activities)
    after = await link.poll()
    assert (await link.poll(If_None_Match=before.headers["ETag"])).status == 304
    assert after.headers["ETag"] == before.headers["ETag"]
    assert await after.read() == await before.read()
    assert await seed.conn.fetch(fragments) == kept

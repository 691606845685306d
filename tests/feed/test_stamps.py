"""SEQUENCE, DTSTAMP and LAST-MODIFIED: they move with what a feed says of an activity, and with nothing else."""

import asyncio
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from db.activities import upsert_activities
from db.calendars import add_calendar, grant_access
from tests.feed.subscription import DAY, Subscription, parts, state, stay_in_today, subscribe, weekly
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
    {"daysBack": 90},
    {},
]
RETITLE = "UPDATE activities SET title = title || '!'"


def has_moved(before: tuple[int, str], after: tuple[int, str]) -> bool:
    """Both numbers rose; or neither of them moved."""
    assert (after[0] > before[0] and after[1] > before[1]) or after == before
    return after != before


@pytest.fixture(autouse=True)
async def today_is_the_day_of_now(seed: Seed) -> None:
    await stay_in_today(seed)


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


@pytest.mark.parametrize("options", STYLES)
async def test_change_of_style_moves_all_three_where_calendars_are_named_too(
    seed: Seed, service: Service, link: Subscription, options: dict[str, Any]
) -> None:
    await seed.conn.execute("UPDATE calendars SET color = '#123456'")  # which counts as another placing
    everything = await subscribe(service, seed.anna)
    for one in (link, everything):
        states = [await one.state()]
        for change in (options, dict.fromkeys(options)):
            await one.update(**change)
            states.append(await one.state())
        assert all(has_moved(before, after) for before, after in pairwise(states))


@pytest.mark.parametrize("option", [{"tasksAs": "TODO"}, {"detail": "BUSY"}])
async def test_overdue_task_whose_mark_is_not_shown_any_more_moves_forwards(
    seed: Seed, service: Service, option: dict[str, Any]
) -> None:
    await seed.write(task(due_on=NOW.date() - 3 * DAY, title="Offer"))
    link = await subscribe(service, seed.anna, seed.own)
    states = [await link.state()]
    for change in (option, dict.fromkeys(option)):
        await link.update(**change)
        states.append(await link.state())
    assert all(has_moved(before, after) for before, after in pairwise(states))


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


async def test_placings_within_one_second_differ_from_all_else(seed: Seed, service: Service) -> None:
    await seed.write(meeting(), calendars=(seed.own, seed.team))
    link = await subscribe(service, seed.anna)
    states = [await link.state()]
    for n in range(3):
        for sql in (RETITLE, "UPDATE calendars SET color = '#00000{n}'", "UPDATE calendars SET name = '{n}' || id"):
            await seed.conn.execute(sql.format(n=n))
            states.append(await link.state())
        await link.update(reminderMinutes=n)
        states.append(await link.state())
    assert all(has_moved(before, after) for before, after in pairwise(states))


AHEAD = ["feed_links SET styled_at", "activities SET changed_at", "activities SET placed_at"]


@pytest.mark.parametrize("ahead", AHEAD)
async def test_changes_after_the_clock_was_set_back_still_differ(seed: Seed, service: Service, ahead: str) -> None:
    await seed.write(meeting(), calendars=(seed.own, seed.team))
    link = await subscribe(service, seed.anna)
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
        await seed.conn.execute("UPDATE calendars SET name = name || '!'")
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


ALL = {"NOTHING of all", "OWNER of all", "CALENDAR of all"}  # the links of all calendars
EACH = ALL | {"NOTHING", "OWNER", "CALENDAR"}
COUNTING = ALL  # the links that count placings: what one of a single calendar names is always that calendar
NONE: set[str] = set()
TEAM, ZOO = [f"(SELECT id FROM calendars WHERE name = '{name}')" for name in ("Sales team", "Zoo")]
MOVES: dict[str, tuple[str, set[str]]] = {
    "owner renamed": ("UPDATE users SET name = 'Renamed' WHERE name = 'Ben Okafor'", {"OWNER", "OWNER of all"}),
    "another user renamed": ("UPDATE users SET name = 'Renamed' WHERE name = 'Anna Müller'", {"OWNER", "OWNER of all"}),
    "owner's address": ("UPDATE users SET email = 'ben@example.org' WHERE name = 'Ben Okafor'", NONE),
    "own language": ("UPDATE users SET locale = 'de' WHERE name = 'Anna Müller'", EACH),
    "own zone": ("UPDATE users SET time_zone = 'Etc/GMT+5' WHERE name = 'Anna Müller'", EACH),
    "owner's language": ("UPDATE users SET locale = 'de', time_zone = 'Asia/Tokyo' WHERE name = 'Ben Okafor'", NONE),
    "calendar renamed": ("UPDATE calendars SET name = 'Renamed' WHERE name = 'Anna Müller'", COUNTING | {"CALENDAR"}),
    "other calendar renamed": ("UPDATE calendars SET name = 'Renamed' WHERE name = 'Sales team'", COUNTING),
    "calendar recoloured": ("UPDATE calendars SET color = '#000000' WHERE name = 'Anna Müller'", COUNTING),
    "other calendar recoloured": ("UPDATE calendars SET color = '#000000' WHERE name = 'Sales team'", COUNTING),
    "calendar left as it is": ("UPDATE calendars SET name = name, color = color, external_id = name", NONE),
    "another calendar entered": (
        f"INSERT INTO calendar_entries SELECT account_id, {ZOO}, id FROM activities",
        COUNTING,
    ),
    "another calendar left": (f"DELETE FROM calendar_entries WHERE calendar_id = {TEAM}", COUNTING),
    "another calendar gone": ("DELETE FROM calendars WHERE name = 'Sales team'", COUNTING),
    "access to a calendar without it": (
        f"UPDATE calendar_access SET withdrawn_at = granted_at WHERE calendar_id = {ZOO}",
        ALL,
    ),
    "access withdrawn": (
        f"UPDATE calendar_access SET withdrawn_at = granted_at WHERE calendar_id = {TEAM}",
        ALL,
    ),
    "access of somebody else": (
        "DELETE FROM calendar_access WHERE user_id IN (SELECT id FROM users WHERE name = 'Ben Okafor')",
        NONE,
    ),
    "activity retitled": (RETITLE, EACH),
    "what no feed shows": ("UPDATE activities SET external_id = 'other', time_zone = 'Asia/Tokyo'", NONE),
}
RENAMED = {  # the links whose titles hold the other name
    "owner renamed": {"OWNER", "OWNER of all"},
    "calendar renamed": {"CALENDAR", "CALENDAR of all"},
    "other calendar renamed": {"CALENDAR of all"},
}


@pytest.mark.parametrize("change", MOVES)
async def test_change_moves_the_links_that_could_show_it_and_no_others(
    seed: Seed, service: Service, change: str
) -> None:
    sql, expected = MOVES[change]
    zoo = await add_calendar(seed.conn, seed.account_id, NOW, name="Zoo")
    await grant_access(seed.conn, seed.account_id, zoo, [seed.anna.id], NOW)
    await seed.write(meeting(owner_id=seed.ben.id), calendars=(seed.own, seed.team))
    links = {
        f"{title}{of}": await subscribe(service, seed.anna, calendar, name=title, options={"titleWith": title})
        for title in ("NOTHING", "OWNER", "CALENDAR")
        for of, calendar in (("", seed.own), (" of all", None))
    }
    before = {name: await link.poll() for name, link in links.items()}
    states = {name: await link.state() for name, link in links.items()}
    await seed.conn.execute(sql)
    after = {name: await link.poll() for name, link in links.items()}
    assert {name for name, link in links.items() if has_moved(states[name], await link.state())} == expected
    for name in links:
        same = await before[name].read() == await after[name].read()
        assert same or before[name].headers["ETag"] != after[name].headers["ETag"]
    renamed = {name for name, link in links.items() if "Renamed" in (await link.titles())[0]}
    assert renamed == RENAMED.get(change, NONE)


HIDDEN = {
    "renamed": "UPDATE calendars SET name = 'Renamed' WHERE id = $1",
    "recoloured": "UPDATE calendars SET color = '#000000' WHERE id = $1",
    "left": "DELETE FROM calendar_entries WHERE calendar_id = $1",
}


@pytest.mark.parametrize("change", HIDDEN)
async def test_same_etag_is_the_same_bytes_where_another_calendar_is_none_of_the_users(
    seed: Seed, service: Service, change: str
) -> None:
    """Ben does not see Anna's calendar, nor what changes there."""
    await seed.write(meeting(), calendars=(seed.own, seed.team))
    links = [
        await subscribe(service, seed.ben, calendar, options={"titleWith": "CALENDAR"})
        for calendar in (None, seed.team)
    ]
    before = [await link.poll() for link in links]
    await seed.conn.execute(HIDDEN[change], seed.own)
    after = [await link.poll() for link in links]
    for was, became in zip(before, after, strict=True):
        same = await was.read() == await became.read()
        assert same or was.headers["ETag"] != became.headers["ETag"]


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


@pytest.mark.parametrize("place", ["entered", "granted", "withdrawn", "deleted"])
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
        case "deleted":
            await seed.conn.execute("UPDATE calendars SET deleted_at = $1 WHERE id = $2", NOW, third)
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


WHERE_MARKED: list[tuple[dict[str, Any], list[int]]] = [  # how often each of four counts as overdue
    ({}, [0, 1, 1, 0]),
    ({"timeStyle": "ZONED", "titleWith": "CALENDAR"}, [0, 1, 1, 0]),
    ({"tasksAs": "TODO"}, [0, 0, 0, 0]),
    ({"detail": "BUSY"}, [0, 0, 0, 0]),
]


@pytest.mark.parametrize("is_of_all", [False, True])
@pytest.mark.parametrize(("options", "overdue"), WHERE_MARKED)
async def test_sequence_is_what_counts_changes_and_of_a_task_twice_that_and_once_if_it_is_overdue(
    seed: Seed, service: Service, options: dict[str, Any], overdue: list[int], is_of_all: bool
) -> None:
    late = {"due_on": NOW.date() - 3 * DAY}
    await seed.write(
        task("0", due_on=NOW.date() + 3 * DAY),
        task("1", **late),
        task("2", private=True, owner_id=seed.anna.id, **late),
        task("3", private=True, owner_id=seed.ben.id, **late),
        meeting("4"),
        calendars=(seed.own, seed.team),
    )
    link = await subscribe(service, seed.anna, None if is_of_all else seed.own, options=options)
    for sql in (RETITLE, RETITLE, "UPDATE calendars SET color = '#ABCDEF'", "UPDATE users SET locale = 'de'"):
        await seed.conn.execute(sql)
    await link.update(reminderMinutes=5)
    counts = await seed.conn.fetch("SELECT revision, placings FROM activities ORDER BY external_id")
    assert [tuple(row) for row in counts] == [(2, 2)] * 5  # entered the team's calendar, and both were recoloured
    total = 2 + 2 + (2 if is_of_all else 0)
    expected = [*(2 * total + one for one in overdue), total]
    assert sorted(int(part["SEQUENCE"]) for part in await link.parts()) == sorted(expected)


async def test_upsert_of_another_zone_moves_nothing(seed: Seed, service: Service, link: Subscription) -> None:
    poll = await link.poll()
    other = meeting(owner_id=seed.ben.id, time_zone="Asia/Tokyo")
    await upsert_activities(seed.conn, seed.account_id, [other], NOW)
    assert await seed.conn.fetchval("SELECT time_zone FROM activities") == "Asia/Tokyo"
    assert (await link.poll(If_None_Match=poll.headers["ETag"])).status == 304
    assert await link.read() == await poll.read()


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

"""What a feed holds: as much as it may, nothing that the user may not see, and the same rows as the same bytes."""

import asyncio
import hashlib
import os
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from db.activities import Activity
from db.calendars import add_calendar, grant_access
from feed.room import FeedLimits
from tests.feed.subscription import BERLIN, DAY, octets_at, parts, stay_in_today, subscribe, titled, weekly
from tests.seed import HOUR, NOW, Seed, Service, meeting, running_service, task

PREVIEW = """
    { calendarFeeds { preview {
        description eventCount byteCount activityCount leftOutCounts { reason count } activities { title } } } }"""
WHOLE = r"Meetings\, calls and tasks from the CRM. Read-only. Shows 90 days back and 365 days ahead."
NOTHING: dict[str, Any] = {"exclusion_rules": [], "dates": [], "excluded_dates": [], "overrides": []}


@pytest.fixture(autouse=True)
async def today_is_the_day_of_now(seed: Seed) -> None:
    await stay_in_today(seed)


def on(day: int, **said: Any) -> Activity:
    """A meeting so many days from today."""
    starts = NOW + day * DAY
    return meeting(f"{day:+}", **{"title": f"{day:+}", "starts_at": starts, "ends_at": starts + HOUR, **said})


def described(octets: bytes) -> set[str]:
    lines = octets.decode().replace("\r\n ", "").split("\r\nBEGIN:", maxsplit=1)[0].split("\r\n")
    return {line.partition(":")[2] for line in lines if line.startswith(("DESCRIPTION:", "X-WR-CALDESC:"))}


async def previewed(service: Service, seed: Seed) -> Any:
    """Of Anna's calendar."""
    return (await service.graphql(PREVIEW, seed.anna))["data"]["calendarFeeds"][1]["preview"]


def deadlines() -> dict[str, Any]:
    """Of a task each day from today on, which no program is given as a rule."""
    return {**NOTHING, "zone": "UTC", "ends": NOW.isoformat(), "rules": ["FREQ=DAILY"]}


# ---- a full feed


FULL = " This calendar is full: {} left out\\, the oldest first."
DAYS = [-3, -2, -1, 1, 2, 3]
FITTING = [
    (7, ["+1", "+2", "+3", "-1", "-2", "-3"], ""),
    (6, ["+1", "+2", "+3", "-1", "-2", "-3"], ""),
    (5, ["+1", "+2", "+3", "-1", "-2"], FULL.format("1 entry is")),
    (4, ["+1", "+2", "+3", "-1"], FULL.format("2 entries are")),
    (3, ["+1", "+2", "+3"], FULL.format("3 entries are")),
    (1, ["+1"], FULL.format("5 entries are")),
]


@pytest.mark.parametrize(("most", "titles", "said"), FITTING)
async def test_feed_of_many_events_loses_the_far_past_first_and_then_the_far_future(
    seed: Seed, dsn: str, most: int, titles: list[str], said: str
) -> None:
    await seed.write(*map(on, DAYS))
    async with running_service(dsn, max_events=most) as service:
        link = await subscribe(service, seed.anna, seed.own)
        octets = await link.read()
        preview = await previewed(service, seed)
    left = len(DAYS) - len(titles)
    uids = [part["UID"] for part in parts(octets)]
    assert uids == sorted(uids)  # the order in which they are kept is not that in which they are written
    assert sorted(part["SUMMARY"] for part in parts(octets)) == sorted(titles)
    assert described(octets) == {WHOLE + said}
    assert preview["description"] == (WHOLE + said).replace("\\", "")
    assert preview["leftOutCounts"] == ([{"reason": "OVER_CAP", "count": left}] if left else [])
    assert (preview["eventCount"], preview["activityCount"]) == (len(titles), len(titles))


async def test_feed_of_many_bytes_loses_the_far_past_first(seed: Seed, dsn: str) -> None:
    await seed.write(*(on(day, description="ü" * 8_000) for day in range(-10, 11)))
    async with running_service(dsn, max_bytes=100_000) as service:
        link = await subscribe(service, seed.anna, seed.own)
        octets = await link.read()
        preview = await previewed(service, seed)
    size = (len(octets) - 1_000) // len(parts(octets))  # of an event, about
    kept = [int(part["SUMMARY"]) for part in parts(octets)]
    assert 89_000 - size < len(octets) <= 100_000
    assert sorted(kept) == list(range(len(kept)))
    assert described(octets) == {WHOLE + FULL.format(f"{21 - len(kept)} entries are")}
    assert preview["byteCount"] == len(octets)
    assert preview["leftOutCounts"] == [{"reason": "OVER_CAP", "count": 21 - len(kept)}]


@pytest.mark.parametrize("ahead", [{}, {"description": "ü" * 8_000}])
async def test_feed_takes_nothing_less_important_than_the_event_that_finds_no_room(
    seed: Seed, dsn: str, ahead: dict[str, Any]
) -> None:
    """Or programs would show days as free that are not."""
    await seed.write(*(on(day, description="ü" * 8_000) for day in range(1, 6)), on(6, **ahead), on(7), on(-1))
    async with running_service(dsn, max_bytes=100_000) as service:
        link = await subscribe(service, seed.anna, seed.own)
        titles, said = await link.titles(), described(await link.read())
        preview = await previewed(service, seed)
    taken = 5 if ahead else 8
    assert titles == sorted(f"{day:+}" for day in [1, 2, 3, 4, 5, 6, 7, -1][:taken])
    assert said == {WHOLE + (FULL.format("3 entries are") if ahead else "")}
    assert preview["leftOutCounts"] == ([{"reason": "OVER_CAP", "count": 3}] if ahead else [])


def dates(octets: bytes, title: str) -> list[int]:
    """The days, counted from today, on which something so titled begins."""
    found = [part["DTSTART"] for part in parts(octets) if part["SUMMARY"] == title]
    return sorted((datetime.strptime(text[:8], "%Y%m%d").date() - NOW.date()).days for text in found)  # noqa: DTZ007


EXPANDED = [  # the most events, the days of the series' occurrences that are shown, the single ones
    (30, range(-3, 10), {"-2", "+1", "+20"}),
    (14, range(-1, 10), {"-2", "+1", "+20"}),
    (12, range(10), {"+1", "+20"}),
    (11, range(10), {"+1"}),
    (9, range(8), {"+1"}),
    (2, range(2), set[str]()),
    (1, range(1), set[str]()),
]


@pytest.mark.parametrize(("most", "days", "others"), EXPANDED)
async def test_series_without_a_rule_counts_each_of_its_occurrences_in_its_time(
    seed: Seed, dsn: str, most: int, days: range, others: set[str]
) -> None:
    recurrence = {**deadlines(), "ends": (NOW - 3 * DAY).isoformat(), "rules": ["FREQ=DAILY;COUNT=13"]}
    later = HOUR + NOW  # than the occurrence of the day
    await seed.write(
        task(title="Each", due_at=NOW, recurrence=recurrence),
        *(on(day, starts_at=later + day * DAY, ends_at=None) for day in (-2, 1, 20)),
    )
    async with running_service(dsn, max_events=most) as service:
        link = await subscribe(service, seed.anna, seed.own)
        octets = await link.read()
        preview = await previewed(service, seed)
    assert dates(octets, "☐ Each") == [*days]
    assert {part["SUMMARY"] for part in parts(octets)} == {"☐ Each"} | others
    left = 16 - len(days) - len(others)
    entries = f"{left} {'entry is' if left == 1 else 'entries are'}"
    assert described(octets) == {WHOLE + (FULL.format(entries) if left else "")}
    assert (preview["eventCount"], preview["activityCount"]) == (len(days) + len(others), 1 + len(others))
    hidden = 3 - len(others)  # of the series something is shown, so it is not left out
    assert preview["leftOutCounts"] == ([{"reason": "OVER_CAP", "count": hidden}] if hidden else [])


IN_THE_DAY = [("Etc/GMT+11", 12), ("America/New_York", 23), ("UTC", 0), ("Asia/Tokyo", 1), ("Etc/GMT-14", 12)]


@pytest.mark.parametrize(("zone", "hour"), IN_THE_DAY)
async def test_what_is_today_by_the_users_clock_is_to_come(
    seed: Seed, service: Service, dsn: str, zone: str, hour: int
) -> None:
    day = date(2026, 3, 4)
    now = datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo(zone))
    times = {"zone": zone, "ends": now.isoformat()}
    no_time = {"starts_at": None, "ends_at": None}
    await seed.write(
        task("series", title="Each", due_at=now, recurrence={**NOTHING, **times, "rules": ["FREQ=DAILY;COUNT=1"]}),
        meeting("day", title="Day", **no_time | {"starts_on": day}),
        meeting("moment", title="Moment", starts_at=now.astimezone(UTC), ends_at=None),
        meeting("later", title="Later", starts_at=(now + 3 * DAY).astimezone(UTC), ends_at=None),
    )
    link = await subscribe(service, seed.anna, seed.own)
    await seed.conn.execute("UPDATE users SET time_zone = $1", zone)
    octets = await octets_at(dsn, link.url, now, FeedLimits(most_events=3))
    assert sorted(part["SUMMARY"] for part in parts(octets)) == ["Day", "Moment", "☐ Each"]


def ruled_with_many_changes() -> dict[str, Any]:
    """A rule of every day from today on, whose first five occurrences are changed."""
    starts = NOW.astimezone(BERLIN)
    zone = {"zone": "Europe/Berlin"}
    changed = [
        {**zone, "recurrence_id": (starts + n * DAY).isoformat(), "status": "CONFIRMED", "title": "Changed"}
        for n in range(5)
    ]
    times = {"starts": starts.isoformat(), "ends": (starts + HOUR).isoformat()}
    return {**NOTHING, **zone, **times, "rules": ["FREQ=DAILY"], "overrides": changed}


@pytest.mark.parametrize(("most", "rules"), [(8, 1), (6, 1), (5, 0), (2, 0)])
async def test_series_with_a_rule_is_taken_as_a_whole_or_skipped(seed: Seed, dsn: str, most: int, rules: int) -> None:
    await seed.write(meeting("s", title="Ruled", recurrence=ruled_with_many_changes()), on(1), on(2))
    async with running_service(dsn, max_events=most) as service:
        link = await subscribe(service, seed.anna, seed.own)
        octets = await link.read()
        preview = await previewed(service, seed)
    singles = min(2, most - 6 * rules)
    titles = ["+1", "+2"][:singles] + ["Changed"] * 5 * rules + ["Ruled"] * rules
    assert sorted(part["SUMMARY"] for part in parts(octets)) == titles
    left = 3 - singles - rules
    said = {0: "", 1: FULL.format("1 entry is"), 2: FULL.format("2 entries are")}[left]
    assert described(octets) == {WHOLE + said}
    assert preview["eventCount"] == len(titles)
    assert preview["leftOutCounts"] == ([{"reason": "OVER_CAP", "count": left}] if left else [])


@pytest.mark.parametrize("kind", ["ruled", "expanded"])
async def test_series_that_alone_is_too_large_empties_no_feed(seed: Seed, dsn: str, kind: str) -> None:
    series = {
        "ruled": meeting("s", title="Each", description="ü" * 8_000, recurrence=ruled_with_large_changes()),
        "expanded": task("s", title="Each", description="ü" * 8_000, due_at=NOW, recurrence=deadlines()),
    }
    await seed.write(series[kind], on(1), on(-1))
    async with running_service(dsn, max_bytes=100_000) as service:
        link = await subscribe(service, seed.anna, seed.own)
        octets = await link.read()
    titles = {part["SUMMARY"] for part in parts(octets)}
    assert titles == ({"+1", "-1"} if kind == "ruled" else {"☐ Each", "+1"})
    assert len(octets) <= 100_000


def ruled_with_large_changes() -> dict[str, Any]:
    recurrence = ruled_with_many_changes()
    return {**recurrence, "overrides": [{**one, "description": "ü" * 8_000} for one in recurrence["overrides"]]}


PLACELESS: dict[str, tuple[dict[str, Any], str]] = {
    "ended": ({**weekly(), "rules": ["FREQ=WEEKLY;COUNT=2"]}, "OUTSIDE_WINDOW"),
    "bad": ({"rules": 7}, "CANNOT_BE_RENDERED"),
}


@pytest.mark.parametrize("kind", PLACELESS)
async def test_what_has_nothing_to_show_takes_no_place_of_what_has(seed: Seed, dsn: str, kind: str) -> None:
    recurrence, reason = PLACELESS[kind]
    await seed.write(*(on(n, recurrence=recurrence) for n in (-9, -8)), on(1), on(2))
    async with running_service(dsn, max_events=2) as service:
        link = await subscribe(service, seed.anna, seed.own, options={"daysBack": 1})
        assert await link.titles() == ["+1", "+2"]
        preview = await previewed(service, seed)
        assert described(await link.read()) == {WHOLE.replace("90 days", "1 day")}
    assert preview["leftOutCounts"] == [{"reason": reason, "count": 2}]


async def test_bad_activity_is_left_out_counted_and_logged_without_its_content(
    seed: Seed, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    await seed.write(on(1), on(2, title="Secret title", location="Secret place", recurrence={"rules": "Secret rule"}))
    link = await subscribe(service, seed.anna, seed.own)
    assert await link.titles() == ["+1"]
    preview = await previewed(service, seed)
    assert preview["leftOutCounts"] == [{"reason": "CANNOT_BE_RENDERED", "count": 1}]
    said = "".join(capsys.readouterr())
    bad = await seed.conn.fetchval("SELECT id FROM activities WHERE external_id = '+2'")
    assert f"activity_id={bad}" in said
    assert "Secret" not in said


BAD: dict[str, Any] = {"rules": 7}
MEMORY = """
    SELECT f.revision, f.day, f.ics IS NULL AS is_memory FROM fragments f JOIN activities a ON a.id = f.activity_id
     WHERE a.external_id = 'x'"""


async def memory(seed: Seed) -> list[tuple[int, date | None, bool]]:
    """The fragments of the activity "x": of what revision, held for what day, whether only as one without octets."""
    return [tuple(row) for row in await seed.conn.fetch(MEMORY)]


async def test_what_cannot_be_rendered_is_logged_once_a_day_and_revision(
    seed: Seed, service: Service, dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await seed.write(on(1), meeting("x", recurrence=BAD))
    link, now = await subscribe(service, seed.anna, seed.own), datetime.now(UTC)
    other = await subscribe(service, seed.anna, seed.own, name="other")

    async def logged(moment: datetime) -> int:
        for url in (link.url, link.url, other.url):
            assert [part["SUMMARY"] for part in parts(await octets_at(dsn, url, moment))] == ["+1"]
        return "".join(capsys.readouterr()).count("activity left out")

    assert (await logged(now), await memory(seed)) == (1, [(0, NOW.date(), True)])
    assert (await logged(now), await memory(seed)) == (0, [(0, NOW.date(), True)])
    await seed.conn.execute("UPDATE activities SET recurrence = '{\"rules\": 8}' WHERE external_id = 'x'")
    assert (await logged(now), await memory(seed)) == (1, [(1, NOW.date(), True)])
    assert (await logged(now + DAY), await memory(seed)) == (1, [(1, NOW.date() + DAY, True)])
    assert (await logged(now + DAY), await memory(seed)) == (0, [(1, NOW.date() + DAY, True)])


async def test_what_could_not_be_rendered_is_shown_once_it_is_mended(seed: Seed, service: Service) -> None:
    await seed.write(on(1), meeting("x", recurrence=BAD))
    link = await subscribe(service, seed.anna, seed.own)
    assert await link.titles() == ["+1"]
    tag = (await link.poll()).headers["ETag"]
    await seed.conn.execute("UPDATE activities SET recurrence = NULL WHERE external_id = 'x'")
    assert (await link.poll(If_None_Match=tag)).status == 200
    assert await link.titles() == ["+1", "Viewing"]
    assert await memory(seed) == [(1, None, False)]


@pytest.mark.parametrize(("recurrence", "day"), [(None, None), (weekly(), DAY)])
async def test_memory_of_a_failure_lasts_a_day_and_is_replaced_by_what_is_rendered_then(
    seed: Seed, service: Service, dsn: str, recurrence: dict[str, Any] | None, day: timedelta | None
) -> None:
    """As after a release that renders what the one before could not."""
    await seed.write(on(1), meeting("x", recurrence=recurrence))
    link, now = await subscribe(service, seed.anna, seed.own), datetime.now(UTC)

    async def titles(moment: datetime) -> set[str]:
        return {part["SUMMARY"] for part in parts(await octets_at(dsn, link.url, moment))}

    assert await titles(now) == {"+1", "Viewing"}
    sql = (
        "UPDATE fragments f SET ics = NULL, day = $1 FROM activities a WHERE a.id = f.activity_id AND external_id = 'x'"
    )
    await seed.conn.execute(sql, NOW.date())
    assert (await titles(now), await memory(seed)) == ({"+1"}, [(0, NOW.date(), True)])
    rendered = [(0, NOW.date() + day if day else None, False)]
    assert (await titles(now + DAY), await memory(seed)) == ({"+1", "Viewing"}, rendered)
    assert (await titles(now), await memory(seed)) == ({"+1", "Viewing"}, rendered)


async def test_feed_asks_to_be_polled_again_as_often_as_the_setting_says(seed: Seed, dsn: str) -> None:
    await seed.write(on(1))
    tags = []
    for minutes, written in ((15, b"PT15M"), (1_440, b"P1D")):
        async with running_service(dsn, refresh_minutes=minutes) as service:
            link = await subscribe(service, seed.anna, seed.own)
            octets = await link.read()
            tags.append((await link.poll()).headers["ETag"])
        assert b"X-PUBLISHED-TTL:%b\r\n" % written in octets
        assert b"REFRESH-INTERVAL;VALUE=DURATION:%b\r\n" % written in octets
    assert tags[0] != tags[1]


# ---- the same rows, the same bytes


async def write_variety(seed: Seed) -> None:
    third = await add_calendar(seed.conn, seed.account_id, NOW, name="Żoo, north")
    await grant_access(seed.conn, seed.account_id, third, [seed.anna.id], NOW)
    private = {"private": True, "owner_id": seed.ben.id}
    changed = weekly(title="Changed", participants=[{"name": "Ana"}], priority="LOW")
    await seed.write(*map(on, range(-20, 20)), calendars=(seed.own, seed.team, third))
    await seed.write(*(on(day, **private) for day in range(20, 30)), calendars=(third, seed.team))
    await seed.write(meeting("s", recurrence=changed, owner_id=seed.anna.id), calendars=(seed.team,))
    await seed.write(
        task("t", title="Each", due_at=NOW, recurrence=deadlines()), task("o", due_on=(NOW - 9 * DAY).date())
    )


async def rewrite(seed: Seed) -> None:
    """Take all rows out and put them in again as they were, but in another order."""
    await seed.conn.execute("SET session_replication_role = replica; DELETE FROM fragments")
    for table in ("users", "calendars", "calendar_versions", "calendar_access", "activities", "calendar_entries"):
        await seed.conn.execute(f"CREATE TEMPORARY TABLE kept AS TABLE {table}; DELETE FROM {table}")
        await seed.conn.execute(f"INSERT INTO {table} SELECT * FROM kept ORDER BY md5(kept::text); DROP TABLE kept")
    await seed.conn.execute("RESET session_replication_role")


async def in_another_process(dsn: str, url: str, now: datetime, hash_seed: str) -> str:
    """The SHA-256 of the feed there."""
    script = (
        "import asyncio, hashlib, sys; from datetime import datetime; from tests.feed.subscription import octets_at;"
        "octets = asyncio.run(octets_at(sys.argv[1], sys.argv[2], datetime.fromisoformat(sys.argv[3])));"
        "print(hashlib.sha256(octets).hexdigest())"
    )
    arguments = ("-c", script, dsn, url, now.isoformat())
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "TZ": "Asia/Tokyo"}
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environment, cwd=root, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode().strip()


@pytest.mark.parametrize(
    "options", [{"titleWith": "CALENDAR"}, {"detail": "BUSY"}, {"tasksAs": "TODO", "timeStyle": "ZONED"}]
)
async def test_same_rows_are_the_same_bytes_whatever_was_there_before(
    seed: Seed, dsn: str, service: Service, options: dict[str, Any]
) -> None:
    await write_variety(seed)
    link, now = await subscribe(service, seed.anna, options=options), datetime.now(UTC)
    cold = await octets_at(dsn, link.url, now)
    assert len(parts(cold)) > 400
    assert await octets_at(dsn, link.url, now) == cold
    await seed.conn.execute("DELETE FROM fragments WHERE activity_id::text ~ '[02468ace]$'")
    assert await octets_at(dsn, link.url, now) == cold
    await rewrite(seed)
    assert await octets_at(dsn, link.url, now) == cold
    for hash_seed in ("1", "2"):
        await seed.conn.execute("DELETE FROM fragments")
        assert await in_another_process(dsn, link.url, now, hash_seed) == hashlib.sha256(cold).hexdigest()


# ---- what the user may see


async def test_activity_of_three_calendars_is_there_once_with_the_names_of_those_the_user_may_see(
    seed: Seed, service: Service
) -> None:
    third, hidden = [await add_calendar(seed.conn, seed.account_id, NOW, name=name) for name in ("Zoo; a,b", "Hidden")]
    await grant_access(seed.conn, seed.account_id, third, [seed.anna.id], NOW)
    await seed.write(on(1), calendars=(seed.own, seed.team, third, hidden))
    found = [await (await subscribe(service, user)).read() for user in (seed.anna, seed.ben)]
    single = await (await subscribe(service, seed.anna, third)).read()
    assert [titled(octets, "+1")["CATEGORIES"] for octets in (*found, single)] == [
        "Meeting,Anna Müller,Sales team,Zoo a b",
        "Meeting,Sales team",
        "Meeting",
    ]


PRIVATE: dict[str, tuple[dict[str, Any], int, int]] = {  # what is said, how many are shown, how many as busy
    "one": ({"private": True}, 1, 1),
    "series": ({"private": True, "recurrence": weekly(title="Divorce", location="Notary")}, 2, 2),
    "each of a series": ({"private": True, "recurrence": deadlines() | {"starts": NOW.isoformat()}}, 366, 366),
    "occurrence": ({"recurrence": weekly(title="Divorce", location="Notary", private=True), "title": "Open"}, 2, 1),
}


@pytest.mark.parametrize("kind", PRIVATE)
async def test_private_is_busy_for_everyone_but_its_owner(seed: Seed, service: Service, kind: str) -> None:
    said, shown, busy = PRIVATE[kind]
    told = {"title": "Divorce", "owner_id": seed.anna.id, **said}
    await seed.write(meeting(**told), calendars=(seed.team,))
    anna, ben = await subscribe(service, seed.anna, seed.team), await subscribe(service, seed.ben, seed.team)
    for _ in range(2):  # rendered, then as stored
        assert (await anna.titles()).count("Divorce") == busy
        octets = await ben.read()
        assert (len(parts(octets)), [part["SUMMARY"] for part in parts(octets)].count("Busy")) == (shown, busy)
        assert b"Divorce" not in octets
        assert b"Notary" not in octets


# ---- fragments


async def test_fragments_of_options_that_nobody_has_any_more_are_forgotten(seed: Seed, service: Service) -> None:
    """When another one of the same activity is kept, a month after they were rendered."""
    await seed.write(meeting())
    link = await subscribe(service, seed.anna, seed.own)
    for n in range(5):
        await link.update(reminderMinutes=n)
        await link.read()
    assert await seed.conn.fetchval("SELECT count(*) FROM fragments") == 5
    await seed.conn.execute("UPDATE fragments SET rendered_on = rendered_on - 31")
    await link.update(reminderMinutes=None)
    await link.read()
    assert await seed.conn.fetchval("SELECT count(*) FROM fragments") == 1


async def test_stale_fragments_are_forgotten_whatever_link_they_were_for(seed: Seed, service: Service) -> None:
    await seed.write(on(1), on(2))
    links = [
        await subscribe(service, seed.anna, seed.own, name=name, options=options)
        for name, options in (("", {}), ("busy", {"detail": "BUSY"}), ("zoned", {"timeStyle": "ZONED"}))
    ]
    for link in links:
        await link.read()
    sql = "SELECT a.external_id, f.revision FROM fragments f JOIN activities a ON a.id = f.activity_id ORDER BY 1, 2"
    assert [tuple(row) for row in await seed.conn.fetch(sql)] == [("+1", 0)] * 3 + [("+2", 0)] * 3
    await seed.conn.execute("UPDATE activities SET location = 'Room 4' WHERE external_id = '+1'")
    await links[0].read()
    assert [tuple(row) for row in await seed.conn.fetch(sql)] == [("+1", 1)] + [("+2", 0)] * 3


async def test_fragment_of_a_series_holds_for_one_day(seed: Seed, service: Service, dsn: str) -> None:
    await seed.write(task("series", title="Each", due_at=NOW, recurrence=deadlines()), on(1))
    link, now = await subscribe(service, seed.anna, seed.own, options={"daysAhead": 5}), datetime.now(UTC)
    sql = "SELECT a.external_id, f.day, f.xmin FROM fragments f JOIN activities a ON a.id = f.activity_id ORDER BY 1"
    days = []
    for moment in (now, now, now + DAY, now):
        octets = await octets_at(dsn, link.url, moment)
        stored = [tuple(row) for row in await seed.conn.fetch(sql)]
        days.append((sorted(part.get("DTSTART", "") for part in parts(octets)), *stored))
    today = NOW.date()
    assert days[0] == days[1]
    assert [day[1][1] for day in days] == [None] * 4
    assert [day[2][1] for day in days] == [today, today, today + DAY, today + DAY]
    assert days[0][0] == days[3][0] != days[2][0]

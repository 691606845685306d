"""How much a feed holds, and what a full one leaves out."""

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from feed.room import FeedLimits
from tests.feed.subscription import (
    BERLIN,
    DAY,
    NOTHING_ELSE,
    deadlines,
    octets_at,
    on,
    parts,
    previewed,
    stay_in_today,
    subscribe,
    weekly,
)
from tests.seed import HOUR, NOW, Seed, Service, meeting, running_service, task

WHOLE = r"Meetings\, calls and tasks from the CRM. Read-only. Shows 90 days back and 365 days ahead."


@pytest.fixture(autouse=True)
async def today_is_the_day_of_now(seed: Seed) -> None:
    await stay_in_today(seed)


def described(octets: bytes) -> set[str]:
    lines = octets.decode().replace("\r\n ", "").split("\r\nBEGIN:", maxsplit=1)[0].split("\r\n")
    return {line.partition(":")[2] for line in lines if line.startswith(("DESCRIPTION:", "X-WR-CALDESC:"))}


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
        task("series", title="Each", due_at=now, recurrence={**NOTHING_ELSE, **times, "rules": ["FREQ=DAILY;COUNT=1"]}),
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
    return {**NOTHING_ELSE, **zone, **times, "rules": ["FREQ=DAILY"], "overrides": changed}


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

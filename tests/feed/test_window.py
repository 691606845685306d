"""The days that a feed shows: by the user's clock, moving on at their midnight, and alike in Python and in SQL."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import count, product
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.activities import Activity
from db.fragments import select_activities
from feed.feeds import gate_feed
from feed.room import FeedLimits
from feed.standing import version_tag
from feed.window import FIRST_DAY, LAST_DAY, When, Window, zone_of
from tests.feed.subscription import BERLIN, DAY, gate_of, octets_at, parts, state, subscribe, titled
from tests.seed import HOUR, Seed, Service, meeting, task

SECOND = timedelta(seconds=1)
ZONES = [
    "UTC",
    "Europe/Berlin",
    "Asia/Beirut",  # whose clocks change at midnight: 00:00 is skipped in spring, the hour before comes twice in autumn
    "America/Santiago",  # likewise, at 24:00 of a Saturday
    "Atlantic/Azores",  # where 00:00 comes twice in autumn
    "Africa/Cairo",
    "America/Havana",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "Etc/GMT+12",
]


def at(zone: str, text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


# ---- Window


AROUND: list[tuple[str, str, str, str]] = [  # zone, now in UTC, when today began and tomorrow begins
    ("UTC", "2026-03-02T00:00", "2026-03-02T00:00", "2026-03-03T00:00"),
    ("UTC", "2026-03-01T23:59:59.999999", "2026-03-01T00:00", "2026-03-02T00:00"),
    ("Europe/Berlin", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"),  # a day of 23 hours
    ("Europe/Berlin", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00"),  # of 25
    ("Asia/Beirut", "2026-03-28T21:59:59", "2026-03-27T22:00", "2026-03-28T22:00"),
    ("Asia/Beirut", "2026-03-28T22:00", "2026-03-28T22:00", "2026-03-29T21:00"),  # begins at 01:00
    ("Asia/Beirut", "2026-10-24T21:30", "2026-10-23T21:00", "2026-10-24T22:00"),  # 23:30 for the second time
    ("America/Santiago", "2026-09-06T03:59:59", "2026-09-05T04:00", "2026-09-06T04:00"),
    ("America/Santiago", "2026-09-06T04:00", "2026-09-06T04:00", "2026-09-07T03:00"),  # begins at 01:00
    ("America/Santiago", "2026-04-05T03:30", "2026-04-04T03:00", "2026-04-05T04:00"),  # 23:30 for the second time
    ("Atlantic/Azores", "2026-10-25T00:30", "2026-10-25T00:00", "2026-10-26T01:00"),  # 00:30 for the first time
    ("Atlantic/Azores", "2026-10-25T01:30", "2026-10-25T00:00", "2026-10-26T01:00"),
    ("Pacific/Kiritimati", "2026-03-01T10:00", "2026-03-01T10:00", "2026-03-02T10:00"),
]


@pytest.mark.parametrize(("zone", "now", "begins", "ends"), AROUND)
def test_window_of_no_other_days_is_today_by_the_clock_of_its_zone(zone: str, now: str, begins: str, ends: str) -> None:
    window = Window.around(at("UTC", now), ZoneInfo(zone), 0, 0)
    assert (window.starts_at, window.ends_at) == (at("UTC", begins), at("UTC", ends))
    assert (window.first, window.end) == (window.today, window.today + DAY)


@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime(2012, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  # bounds
    st.integers(0, 3650),
    st.integers(0, 3650),
)
def test_window_is_so_many_whole_days_with_now_in_today(zone: str, now: datetime, back: int, ahead: int) -> None:
    window = Window.around(now, ZoneInfo(zone), back, ahead)
    assert window.midnight(window.today) <= now < window.midnight(window.today + DAY)
    assert ((window.today - window.first).days, (window.end - window.today).days) == (back, ahead + 1)
    for day, begins in ((window.first, window.starts_at), (window.end, window.ends_at)):
        assert begins.astimezone(window.zone).date() == day
        assert (begins - SECOND).astimezone(window.zone).date() == day - DAY
    assert window.years == range(window.first.year, window.end.year + 1)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("now", ["0002-01-03T12:00", "0011-01-01T12:00", "9990-01-01T12:00", "9999-12-28T12:00"])
def test_window_ends_with_the_calendar(zone: str, now: str) -> None:
    window = Window.around(at("UTC", now), ZoneInfo(zone), 3650, 3650)
    assert FIRST_DAY <= window.first <= window.today < window.end <= LAST_DAY
    assert window.starts_at < at("UTC", now) < window.ends_at
    assert window.first == FIRST_DAY or window.end == LAST_DAY


@pytest.mark.parametrize("name", ["Nowhere/Land", "", "/etc/passwd", "Europe", "../UTC", "x" * 64])
def test_zone_that_there_is_not_is_utc(name: str) -> None:
    assert zone_of(name).key == "UTC"


# ---- what the window shows


EDGE = Window(date(2026, 3, 2), date(2026, 3, 1), date(2026, 3, 4), ZoneInfo("Asia/Beirut"))
FROM, TO = EDGE.starts_at, EDGE.ends_at
EDGES: list[tuple[When, When, bool]] = [
    (FROM - HOUR, FROM, False),
    (FROM - HOUR, FROM + SECOND, True),
    (FROM, FROM, True),
    (FROM - SECOND, FROM - SECOND, False),
    (TO - SECOND, TO + HOUR, True),
    (TO - SECOND, TO - SECOND, True),
    (TO, TO, False),
    (TO, TO + HOUR, False),
    (FROM - DAY, TO + DAY, True),
    (date(2026, 2, 27), date(2026, 3, 1), False),
    (date(2026, 2, 27), date(2026, 3, 2), True),
    (date(2026, 3, 1), date(2026, 3, 1), True),
    (date(2026, 3, 3), date(2026, 3, 9), True),
    (date(2026, 3, 4), date(2026, 3, 5), False),
    (date(2026, 1, 1), date(2027, 1, 1), True),
]


@pytest.mark.parametrize(("starts", "ends", "shown"), EDGES)
def test_what_overlaps_the_edge_of_a_window_is_shown(starts: When, ends: When, shown: bool) -> None:
    assert EDGE.shows(starts, ends) is shown


@given(st.integers(-5, 5), st.integers(1, 5), st.integers(-8, 12), st.integers(0, 8), st.booleans())
def test_window_shows_what_has_one_of_its_moments(first: int, days: int, starts: int, length: int, whole: bool) -> None:
    """By counting: in a zone without changes of its clock, by quarters of a day, of which no one is divided."""
    day = date(2026, 3, 1)
    window = Window(day, day + first * DAY, day + (first + days) * DAY, ZoneInfo("UTC"))
    unit = DAY if whole else DAY / 4
    shown = set(range(first, first + days) if whole else range(first * 4, (first + days) * 4))
    zero: When = day if whole else datetime.combine(day, time(), UTC)
    taken = set(range(starts, starts + length)) or {starts}
    assert window.shows(zero + starts * unit, zero + (starts + length) * unit) is bool(shown & taken)


TICK = timedelta(microseconds=1)
MOMENTS = [edge + shift for edge in (FROM, TO) for shift in (-DAY, -TICK, TICK - TICK, TICK, HOUR)]
DATES = [day + n * DAY for day in (EDGE.first, EDGE.end) for n in (-2, -1, 0, 1)]


def timed() -> Iterator[Activity]:
    """An activity for each way in which times can lie at the edges of the window."""
    names = map(str, count())
    for times, kind in ((MOMENTS, "at"), (DATES, "on")):
        for starts, ends in product(times, [None, *times]):
            if ends is None or ends > starts or (ends == starts and kind == "at"):
                span: dict[str, Any] = {"starts_at": None, "ends_at": None} | {
                    f"starts_{kind}": starts,
                    f"ends_{kind}": ends,
                }
                yield meeting(next(names), **span)
                yield task(next(names), **span)
                for due in ({"due_at": MOMENTS[2]}, {"due_at": MOMENTS[7]}, {"due_on": DATES[2]}, {"due_on": DATES[6]}):
                    yield task(next(names), **span, **due)
        for due_ in times:
            yield task(next(names), **{f"due_{kind}": due_})


def shows(window: Window, made: Activity) -> bool:
    """By the words: a task takes place at its deadline, everything else from its start to its end."""
    if made.due_at:
        return window.shows(made.due_at, made.due_at)
    if made.due_on:
        return window.shows(made.due_on, made.due_on + DAY)
    if made.starts_at:
        return window.shows(made.starts_at, made.ends_at or made.starts_at)
    assert made.starts_on
    return window.shows(made.starts_on, made.ends_on or made.starts_on + DAY)


@pytest.mark.parametrize("zone", ["Asia/Beirut", "UTC", "America/Santiago"])
async def test_database_and_window_agree_on_what_is_shown(seed: Seed, zone: str) -> None:
    written = list(timed())
    await seed.write(*written)
    window = replace(EDGE, zone=ZoneInfo(zone))
    times: dict[str, Any] = {
        "starts_at": window.starts_at,
        "ends_at": window.ends_at,
        "first": window.first,
        "end": window.end,
    }
    rows = await select_activities(seed.conn, replace(seed.selection(seed.own), **times), left_out=True)
    names = {row["id"]: row["external_id"] for row in await seed.conn.fetch("SELECT id, external_id FROM activities")}
    expected = {made.external_id: None if shows(window, made) else "OUTSIDE_WINDOW" for made in written}
    assert {names[row.activity_id]: row.reason for row in rows} == expected
    assert set(expected.values()) == {None, "OUTSIDE_WINDOW"}


# ---- the feed of a day


async def user_in(seed: Seed, zone: str) -> None:
    """Anna lives there, and nothing was changed this year: what moves does so by the clock."""
    await seed.conn.execute("SET session_replication_role = replica")
    await seed.conn.execute("UPDATE users SET time_zone = $1", zone)
    for table in ("feed_links", "users", "calendar_versions", "activities"):
        await seed.conn.execute(f"UPDATE {table} SET changed_at = '2026-01-01Z'")
    await seed.conn.execute("RESET session_replication_role")


MIDNIGHTS = [(zone, begins) for zone, _, begins, _ in AROUND]


@pytest.mark.parametrize(("zone", "begins"), MIDNIGHTS)
async def test_validators_move_with_the_users_midnight_and_at_no_other_time(
    seed: Seed, service: Service, zone: str, begins: str
) -> None:
    link = await subscribe(service, seed.anna)
    await user_in(seed, zone)
    gate, midnight = await gate_of(seed.conn, link), at("UTC", begins)
    hours = [midnight - TICK, *(midnight + n * HOUR / 2 for n in range(46)), midnight + 30 * HOUR]
    feeds = [gate_feed(gate, now) for now in hours]
    tags = [version_tag(gate, feed, FeedLimits()) for feed in feeds]
    assert len({tags[0], tags[1], tags[-1]}) == 3
    assert set(tags[1:-1]) == {tags[1]}
    assert {feed.changed_at for feed in feeds[1:-1]} == {midnight}


async def test_feed_is_the_same_bytes_all_day_and_others_the_next(seed: Seed, service: Service, dsn: str) -> None:
    await seed.write(
        meeting("s1", recurrence=series_of_days("2026-01-01")),
        *(task(f"t{n}", due_on=date(2026, 3, n)) for n in (1, 2, 3)),
        meeting("edge", starts_at=at("Asia/Beirut", "2025-12-28T12:00"), ends_at=None),
    )
    link = await subscribe(service, seed.anna, seed.own)
    await user_in(seed, "Asia/Beirut")
    midnight = at("Asia/Beirut", "2026-03-28T00:00")
    days = [
        {await octets_at(dsn, link.url, midnight + n * DAY + hours * HOUR) for hours in (0, 1, 12, 22)} for n in (0, 1)
    ]
    assert [len(same) for same in days] == [1, 1]
    assert [b"SUMMARY:Viewing\r\n" in octets for (octets,) in days] == [True, True]
    assert [len(parts(octets)) for (octets,) in days] == [5, 4]


def series_of_days(starts: str) -> dict[str, Any]:
    nothing: dict[str, Any] = {"exclusion_rules": [], "dates": [], "excluded_dates": [], "overrides": []}
    return {**nothing, "zone": None, "starts": starts, "rules": ["FREQ=WEEKLY"]}


DEADLINES: list[tuple[str, dict[str, Any], str]] = [  # zone, deadline, the midnight after it
    ("Europe/Berlin", {"due_on": date(2026, 3, 2)}, "2026-03-02T23:00"),
    ("Europe/Berlin", {"due_at": at("UTC", "2026-03-02T08:00")}, "2026-03-02T23:00"),
    ("Europe/Berlin", {"due_at": at("UTC", "2026-03-02T22:59:59")}, "2026-03-02T23:00"),
    ("Europe/Berlin", {"due_at": at("UTC", "2026-03-02T23:00")}, "2026-03-03T23:00"),
    ("Asia/Beirut", {"due_on": date(2026, 3, 28)}, "2026-03-28T22:00"),  # 00:00 is skipped
    ("Asia/Beirut", {"due_at": at("UTC", "2026-10-24T21:30")}, "2026-10-24T22:00"),  # 23:30 for the second time
    ("America/Santiago", {"due_on": date(2026, 9, 5)}, "2026-09-06T04:00"),
    ("Pacific/Kiritimati", {"due_on": date(2026, 3, 2)}, "2026-03-02T10:00"),
]


@pytest.mark.parametrize(("zone", "deadline", "midnight"), DEADLINES)
async def test_task_is_overdue_from_the_midnight_after_its_deadline(
    seed: Seed, service: Service, dsn: str, zone: str, deadline: dict[str, Any], midnight: str
) -> None:
    await seed.write(task(title="Open", **deadline), task("t2", title="Done", status="COMPLETED", **deadline))
    link, now = await subscribe(service, seed.anna, seed.own), at("UTC", midnight)
    await user_in(seed, zone)
    before, after, later = [await octets_at(dsn, link.url, moment) for moment in (now - TICK, now, now + 9 * DAY)]
    assert [titled(octets, "Open")["SUMMARY"] for octets in (before, after, later)] == ["☐ Open", "! Open", "! Open"]
    assert state(titled(before, "Open")) == (0, "20260101T000000Z")
    assert state(titled(after, "Open")) == state(titled(later, "Open")) == (1, f"{now:%Y%m%dT%H%M%SZ}")
    assert titled(before, "Done") == titled(after, "Done") == titled(later, "Done")


async def test_feed_shows_what_overlaps_its_edges(seed: Seed, service: Service, dsn: str) -> None:
    now = datetime.now(UTC)
    window = Window.around(now, BERLIN, 1, 2)
    first, end, starts_at, ends_at = window.first, window.end, window.starts_at, window.ends_at
    spans: dict[str, dict[str, Any]] = {
        "ends at the start": {"starts_at": starts_at - HOUR, "ends_at": starts_at},
        "- ends after the start": {"starts_at": starts_at - HOUR, "ends_at": starts_at + SECOND},
        "- of no time at the start": {"starts_at": starts_at, "ends_at": None},
        "- begins in the last second": {"starts_at": ends_at - SECOND, "ends_at": ends_at + HOUR},
        "begins at the end": {"starts_at": ends_at, "ends_at": ends_at + HOUR},
        "- lasts all the time": {"starts_at": starts_at - DAY, "ends_at": ends_at + DAY},
        "day before": {"starts_on": first - DAY},
        "- weekend before": {"starts_on": first - DAY, "ends_on": first + DAY},
        "- last day": {"starts_on": end - DAY},
        "day after": {"starts_on": end},
    }
    no_time = {"starts_at": None, "ends_at": None}
    await seed.write(*(meeting(title, title=title, **no_time | span) for title, span in spans.items()))
    link = await subscribe(service, seed.anna, seed.own, options={"daysBack": 1, "daysAhead": 2})
    shown = [part["SUMMARY"] for part in parts(await octets_at(dsn, link.url, now))]
    assert sorted(shown) == sorted(title for title in spans if title.startswith("- "))

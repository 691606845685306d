"""Series expanded, with recurring-ical-events as the judge, and written as a rule, with two programs as its readers."""

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import pytest
import recurring_ical_events
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ical.calendar_stream import IcsCalendarStream

from feed.recurring.series import Occurrence, RuledSeries, SeriesError, occurrences, ruled
from feed.vtimezone import one_rule
from feed.window import When, Window
from tests.feed.importing import test_corpus as corpus
from tests.feed.importing.calendars import (
    AT_NINE,
    BERLIN,
    DAY,
    OFFICE,
    UNTIL_TEN,
    calendar,
    override,
    series,
    utc,
    vevent,
)

Found = tuple[str, str, str]  # start, end and title

EACH = timedelta(days=1)
ZONE = ZoneInfo("Europe/Berlin")


def window(first: str, end: str, zone: str = "UTC") -> Window:
    return Window(date.fromisoformat(first), date.fromisoformat(first), date.fromisoformat(end), ZoneInfo(zone))


SPRING = window("2026-03-01", "2026-05-01")
WINDOWS = (
    SPRING,
    window("2026-03-30", "2026-03-31", "Europe/Berlin"),
    window("2026-10-20", "2026-11-10", "America/New_York"),
    window("2027-12-20", "2028-04-10", "Australia/Sydney"),
    window("2035-01-01", "2035-03-01"),
    window("2019-01-01", "2020-01-01"),
)


def found(recurrence: dict[str, Any], shown: Window) -> list[Found]:
    return sorted(
        (text(one.starts or one.ends), text(one.ends or one.starts), (one.override or {}).get("title", ""))
        for one in occurrences(recurrence, shown)
    )


def judged(data: bytes, shown: Window) -> list[Found]:
    """What recurring-ical-events finds; it knows neither EXRULE nor STATUS, and takes all lengths for nominal ones."""
    read = icalendar.Calendar.from_ical(data)
    days = all(not isinstance(part.start, datetime) for part in read.events)
    edges = (shown.first, shown.end) if days else (shown.starts_at, shown.ends_at)
    events = recurring_ical_events.of(read).between(*edges)
    return sorted((text(event.start), text(exact_end(event)), str(event.get("SUMMARY", ""))) for event in events)


def exact_end(event: icalendar.Event) -> When:
    start: When = event.start
    return start.astimezone(UTC) + (event.end - event.start) if isinstance(start, datetime) else event.end


def text(when: When | None) -> str:
    assert when is not None
    return when.astimezone(UTC).isoformat() if isinstance(when, datetime) else when.isoformat()


def agreed(*lines: str, windows: tuple[Window, ...] = WINDOWS) -> None:
    """A file's series has the occurrences that the judge finds, at least one among all windows."""
    kept = series(*lines)
    icalendar.timezone.tzp.use_zoneinfo()  # forget the time zones of other files
    expected = [judged(calendar(*lines), shown) for shown in windows]
    assert [found(kept, shown) for shown in windows] == expected
    assert any(expected)


def starting(starts: str, *lines: str) -> str:
    return vevent(f"DTSTART{starts}", "DURATION:PT1H", *lines)


# Expanding, as recurring-ical-events does


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Sydney", "Africa/Casablanca"])
@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY",
        "FREQ=DAILY;INTERVAL=3;COUNT=20",
        "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR",
        "FREQ=WEEKLY",
        "FREQ=WEEKLY;BYDAY=MO,FR",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=MO",
        "FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=-1",
        "FREQ=WEEKLY;UNTIL=20260420T120000Z",
        "FREQ=MONTHLY",
        "FREQ=MONTHLY;BYMONTHDAY=31",
        "FREQ=MONTHLY;BYMONTHDAY=-1",
        "FREQ=MONTHLY;BYMONTHDAY=13;BYDAY=FR",
        "FREQ=MONTHLY;BYDAY=2TU",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        "FREQ=YEARLY",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=YEARLY;BYDAY=20MO",
        "FREQ=YEARLY;BYWEEKNO=10,53;BYDAY=MO",
        "FREQ=YEARLY;BYYEARDAY=1,100,-1",
        "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
        "FREQ=HOURLY;INTERVAL=5",
        "FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10;COUNT=300",
        "FREQ=SECONDLY;INTERVAL=4000;COUNT=100",
    ],
)
def test_a_rule_gives_the_same_occurrences_by_every_clock(rule: str, zone: str) -> None:
    agreed(starting(f";TZID={zone}:20260309T093000", f"RRULE:{rule}"))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Gaza"])
def test_an_occurrence_in_the_night_of_a_change_is_where_the_clock_has_it(zone: str) -> None:
    for hour in range(4):
        agreed(starting(f";TZID={zone}:20250101T{hour:02}3000", "RRULE:FREQ=DAILY"))


@pytest.mark.parametrize(
    "starts",
    [":20240229T100000Z", ":20240131T100000Z", ":20251231T233000Z", ";TZID=Europe/Berlin:19700101T000000"],
)
@pytest.mark.parametrize("rule", ["FREQ=DAILY;INTERVAL=11", "FREQ=WEEKLY;INTERVAL=3", "FREQ=MONTHLY", "FREQ=YEARLY"])
def test_a_series_that_starts_on_a_rare_day_has_that_day(starts: str, rule: str) -> None:
    agreed(starting(starts, f"RRULE:{rule}"))


@pytest.mark.parametrize("rule", ["FREQ=DAILY", "FREQ=WEEKLY;COUNT=9", "FREQ=MONTHLY;UNTIL=20280101", "FREQ=YEARLY"])
def test_a_series_of_days_runs_by_days(rule: str) -> None:
    agreed(vevent(DAY, f"RRULE:{rule}"), windows=tuple(window(str(w.first), str(w.end)) for w in WINDOWS))
    agreed(vevent(DAY, "DURATION:P3D", f"RRULE:{rule}", "EXDATE;VALUE=DATE:20260311"))


def test_the_start_is_an_occurrence_whatever_the_rule_gives() -> None:
    agreed(starting(":20260310T100000Z", "RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=3"))
    agreed(starting(":20260310T100000Z", "RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=3", "EXDATE:20260310T100000Z"))
    agreed(starting(":20260310T100000Z", "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"))


def test_rules_and_dates_are_united_and_exceptions_taken_away() -> None:
    agreed(
        vevent(
            AT_NINE,
            UNTIL_TEN,
            "RRULE:FREQ=WEEKLY;BYDAY=MO",
            "RRULE:FREQ=DAILY;INTERVAL=4;COUNT=9",
            "RDATE;TZID=America/New_York:20260311T100000,20260312T100000",
            "RDATE;VALUE=PERIOD:20260401T080000Z/20260401T110000Z,20260402T080000Z/PT3H",
            "RDATE;VALUE=PERIOD:20260323T083000Z/PT5H",
            "RDATE;VALUE=DATE:20260403",
            "EXDATE;TZID=Europe/Berlin:20260413T093000",
            "EXDATE;VALUE=DATE:20260317",
            "EXDATE:20260312T140000Z,20260315T083000Z",
        )
    )


def test_a_file_is_expanded_by_its_own_definition_of_a_zone() -> None:
    agreed(OFFICE, starting(";TZID=Customized Time Zone:20260309T233000", "RRULE:FREQ=WEEKLY;BYDAY=MO,SU"))


MOVED = "DTSTART;TZID=Asia/Tokyo:20260331T210000"


@pytest.mark.parametrize(
    "changes",
    [
        [override(MOVED, "DURATION:PT2H", "SUMMARY:Moved")],
        [override(MOVED, "SUMMARY:Of no length")],
        [override("DTSTART:20261021T090000Z", "SUMMARY:Into another window")],
        [override("DTSTART:20260331T090000Z", "SUMMARY:Into it", replaced=":20280103T083000Z")],
        [override("DTSTART:20260331T090000Z", "SUMMARY:Of none", replaced=":20260331T080000Z")],
        [override(MOVED, "SUMMARY:Of one excluded", replaced=":20260413T073000Z")],
        [override("DTSTART;VALUE=DATE:20260401", "SUMMARY:All day")],
        [override(MOVED, "DURATION:PT2H", "SUMMARY:From now on", replaced=";RANGE=THISANDFUTURE:20260330T073000Z")],
        [
            override("DTSTART:20260330T103000Z", "SUMMARY:Later", replaced=";RANGE=THISANDFUTURE:20260330T073000Z"),
            override("DTSTART:20260420T043000Z", "SUMMARY:Early", replaced=";RANGE=THISANDFUTURE:20260420T073000Z"),
            override("DTSTART:20260428T043000Z", "SUMMARY:Once", replaced=":20260427T073000Z"),
        ],
    ],
)
def test_overrides_replace_occurrences(changes: list[str]) -> None:
    agreed(vevent(AT_NINE, UNTIL_TEN, "RRULE:FREQ=WEEKLY", "EXDATE:20260413T073000Z"), *changes)


def test_a_one_off_may_have_been_moved_or_excluded() -> None:
    agreed(vevent(AT_NINE, UNTIL_TEN), override("DTSTART:20260310T083000Z", replaced=":20260309T083000Z"))
    assert found(series(vevent(AT_NINE, "EXDATE:20260309T083000Z")), SPRING) == []


@pytest.mark.skipif(not corpus.FILES, reason="the corpus is not there")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", corpus.FILES)
def test_series_of_the_corpus_have_the_occurrences_of_their_file(name: str) -> None:
    calendars = corpus.parsed(name)
    for activity in corpus.read(name).activities:
        if activity.recurrence is not None:
            first = activity.starts_at or activity.starts_on
            assert first is not None
            shown = window(f"{first.year - 2}-01-01", f"{first.year + 4}-01-01")
            expected = corpus.occurrences([corpus.only(calendar, activity) for calendar in calendars], first)
            expected = sorted({*expected, *MORE.get(name, ())} - LESS.get(name, set()))
            title = activity.title
            assert [
                (starts, ends, changed or title) for starts, ends, changed in found(activity.recurrence, shown)
            ] == expected


# An override of a day replaces the occurrence of that day, and a local UNTIL is on the clock of the series.
LESS = {
    "Kozea__Radicale/event_mixed_recurrence_id_dt_type.ics": {
        ("2006-01-03T12:00:00+00:00", "2006-01-03T13:00:00+00:00", "Recurring event")
    }
}
MORE = {
    "sabre-io__vobject/UntilRespectsTimezoneTest.ics": [
        ("2013-11-18T23:30:00+00:00", "2013-11-19T01:30:00+00:00", "Test")
    ]
}


# Expanding what that judge does not know, or reads otherwise


def kept(rule: str | None = "FREQ=DAILY", **more: Any) -> dict[str, Any]:
    """A series of half an hour in the mornings from 9 March 2026 on, with what is said of it."""
    return {
        "zone": "Europe/Berlin",
        "starts": "2026-03-09T09:30:00+01:00",
        "ends": "2026-03-09T10:00:00+01:00",
        "rules": [rule] if rule else [],
        "exclusion_rules": [],
        "dates": [],
        "excluded_dates": [],
        "overrides": [],
        **more,
    }


HALF_PAST_NINE = ("2026-03-10T09:30:00+01:00", "2026-03-10T10:00:00+01:00")


def changed(recurrence_id: str, starts: str, ends: str, **more: Any) -> dict[str, Any]:
    return {"recurrence_id": recurrence_id, "zone": "Europe/Berlin", "starts": starts, "ends": ends, **more}


def days(recurrence: dict[str, Any], shown: Window = SPRING) -> list[str]:
    """The days in UTC on which its occurrences start, or are due."""
    return [start[:10] for start, _, _ in found(recurrence, shown)]


def spans(recurrence: dict[str, Any], first: str, end: str) -> list[tuple[str, str]]:
    return [(start, end) for start, end, _ in found(recurrence, window(first, end))]


def test_exclusion_rules_take_away_what_they_give_the_start_too() -> None:
    recurrence = kept("FREQ=DAILY;COUNT=9", exclusion_rules=["FREQ=WEEKLY;BYDAY=MO,TU", "FREQ=MONTHLY;BYMONTHDAY=14"])
    assert days(recurrence) == ["2026-03-11", "2026-03-12", "2026-03-13", "2026-03-15"]


@pytest.mark.parametrize(
    ("until", "last"),
    [
        ("20260311T083000Z", "2026-03-11"),
        ("20260311T082959Z", "2026-03-10"),
        ("20260311T093000", "2026-03-11"),  # by the clock of the series
        ("20260311T092959", "2026-03-10"),
        ("20260311", "2026-03-11"),  # with all of the day
        ("20200101", "2026-03-09"),  # before the start, which is one always
        ("20260401;COUNT=3", "2026-03-11"),
        ("20260310;COUNT=3", "2026-03-10"),
    ],
)
def test_a_rule_ends_with_until_or_count_whichever_comes_first(until: str, last: str) -> None:
    assert days(kept(f"FREQ=DAILY;UNTIL={until}"))[-1] == last


def test_until_is_an_instant_where_the_clock_shows_an_hour_twice() -> None:
    """At 00:30 and 01:30 in UTC it is 02:30 in Berlin; a start at that time is the first of them."""
    autumn = window("2026-10-24", "2026-10-27")
    for until, expected in (("T003000Z", 2), ("T002959Z", 1), ("T013000Z", 2), ("T023000", 2), ("T022959", 1)):
        recurrence = kept(f"FREQ=DAILY;UNTIL=20261025{until}", starts="2026-10-24T02:30:00+02:00", ends=None)
        assert len(days(recurrence, autumn)) == expected


def test_a_duration_is_nominal_and_an_end_exact() -> None:
    """The night before 29 March 2026 has 23 hours in Berlin."""
    night = kept(starts="2026-03-27T12:00:00+01:00", ends="2026-03-28T12:00:00+01:00")
    assert spans(night, "2026-03-28", "2026-03-29")[-1] == ("2026-03-28T11:00:00+00:00", "2026-03-29T11:00:00+00:00")
    night["duration"] = "P1D"
    assert spans(night, "2026-03-28", "2026-03-29")[-1] == ("2026-03-28T11:00:00+00:00", "2026-03-29T10:00:00+00:00")
    night["duration"] = "PT24H"
    assert spans(night, "2026-03-28", "2026-03-29")[-1] == ("2026-03-28T11:00:00+00:00", "2026-03-29T11:00:00+00:00")


def test_a_day_stands_for_all_occurrences_of_that_day() -> None:
    twice = kept(
        "FREQ=DAILY;BYHOUR=9,23;COUNT=10",
        excluded_dates=["2026-03-10"],
        overrides=[changed("2026-03-11", "2026-03-20T10:00:00+01:00", "2026-03-20T11:00:00+01:00")],
    )
    assert days(twice) == ["2026-03-09"] * 2 + ["2026-03-12"] * 2 + ["2026-03-13"] * 2 + ["2026-03-20"]
    (moved,) = (one for one in occurrences(twice, SPRING) if one.override)
    assert moved.original == utc(2026, 3, 11, 8, 30)


def test_a_cancelled_occurrence_can_be_asked_for() -> None:
    """One that ends the series cannot: it is cancelled for ever."""
    cancelled = changed("2026-03-10T09:30:00+01:00", *HALF_PAST_NINE, status="CANCELLED")
    daily = kept("FREQ=DAILY;COUNT=3", overrides=[cancelled])
    shown = occurrences(daily, SPRING, with_cancelled=True)
    assert [one.override and one.override["status"] for one in shown] == [None, "CANCELLED", None]
    series = ruled(daily, SPRING, with_cancelled=True)
    assert series is not None
    assert (series.excluded, [one.override for one in series.overrides]) == ((), [cancelled])
    ended = kept("FREQ=DAILY;COUNT=3", overrides=[cancelled | {"this_and_future": True}])
    assert len(occurrences(ended, SPRING, with_cancelled=True)) == 1


def test_a_cancelled_occurrence_is_left_out() -> None:
    cancelled = changed("2026-03-10T09:30:00+01:00", *HALF_PAST_NINE, status="CANCELLED")
    assert days(kept("FREQ=DAILY;COUNT=3", overrides=[cancelled])) == ["2026-03-09", "2026-03-11"]
    assert days(kept("FREQ=DAILY;COUNT=3", overrides=[cancelled | {"this_and_future": True}])) == ["2026-03-09"]


def test_a_change_of_all_that_follow_may_make_days_of_moments_and_moments_of_days() -> None:
    day = {"recurrence_id": "2026-03-10T09:30:00+01:00", "zone": None, "starts": "2026-03-11", "ends": "2026-03-13"}
    assert spans(
        kept("FREQ=DAILY;COUNT=3", overrides=[day | {"this_and_future": True}]), "2026-03-01", "2026-04-01"
    ) == [
        ("2026-03-09T08:30:00+00:00", "2026-03-09T09:00:00+00:00"),
        ("2026-03-11", "2026-03-13"),
        ("2026-03-12", "2026-03-14"),
    ]
    moment = changed("2026-03-10", "2026-03-10T12:00:00+01:00", "2026-03-10T13:00:00+01:00", this_and_future=True)
    by_days = kept("FREQ=DAILY;COUNT=3", zone=None, starts="2026-03-09", ends="2026-03-10", overrides=[moment])
    assert spans(by_days, "2026-03-01", "2026-04-01") == [
        ("2026-03-09", "2026-03-10"),
        ("2026-03-10T11:00:00+00:00", "2026-03-10T12:00:00+00:00"),
        ("2026-03-11T11:00:00+00:00", "2026-03-11T12:00:00+00:00"),
    ]


def test_a_series_counts_on_the_clock_that_it_defines() -> None:
    """This one has summer time until November."""
    definition = BERLIN.replace("BYMONTH=10", "BYMONTH=11").replace("1025T", "1129T")
    recurrence = kept("FREQ=DAILY", definition=definition)
    assert spans(recurrence, "2026-11-09", "2026-11-10") == [("2026-11-09T07:30:00+00:00", "2026-11-09T08:00:00+00:00")]


def test_a_series_keeps_its_clock_time_when_the_law_has_changed_since() -> None:
    written = kept("FREQ=DAILY", starts="2026-03-09T09:30:00+02:00", ends="2026-03-09T10:00:00+02:00")
    assert spans(written, "2026-03-09", "2026-03-10") == [("2026-03-09T08:30:00+00:00", "2026-03-09T09:00:00+00:00")]


def test_a_series_of_moments_without_a_zone_runs_by_the_offset_of_its_start() -> None:
    recurrence = kept("FREQ=DAILY", zone=None, excluded_dates=["2026-04-01T08:30:00+00:00"])
    assert spans(recurrence, "2026-04-01", "2026-04-03") == [("2026-04-02T08:30:00+00:00", "2026-04-02T09:00:00+00:00")]


def test_a_series_of_deadlines_runs_by_its_ends() -> None:
    recurrence = {name: value for name, value in kept("FREQ=DAILY;COUNT=2").items() if name != "starts"}
    assert occurrences(recurrence, SPRING) == [
        Occurrence(utc(2026, 3, 9, 9), None, utc(2026, 3, 9, 9), None),
        Occurrence(utc(2026, 3, 10, 9), None, utc(2026, 3, 10, 9), None),
    ]
    assert ruled(recurrence, SPRING) is None


def test_a_series_of_tasks_is_shown_when_they_are_due() -> None:
    """A task may start on a day and be due at a moment, before its start too."""
    task = kept("FREQ=WEEKLY", zone=None, starts="2026-02-23", ends="2026-03-09T10:00:00+00:00")
    assert occurrences(task, window("2026-03-09", "2026-03-10")) == [
        Occurrence(date(2026, 2, 23), date(2026, 2, 23), utc(2026, 3, 9, 10), None)
    ]
    task = kept("FREQ=WEEKLY", zone="UTC", starts="2026-02-23T10:00:00+00:00", ends="2026-03-09")
    assert occurrences(task, window("2026-03-16", "2026-03-17")) == [
        Occurrence(utc(2026, 3, 2, 10), utc(2026, 3, 2, 10), date(2026, 3, 16), None)
    ]
    early = kept("FREQ=WEEKLY", ends="2026-03-02T09:30:00+01:00")
    assert [one.ends for one in occurrences(early, window("2026-03-02", "2026-03-03"))] == [utc(2026, 3, 2, 8, 30)]


def test_changed_occurrences_of_a_task_without_times_take_place() -> None:
    change = {"recurrence_id": "2026-03-04T10:00:00+00:00", "zone": "UTC", "ends": "2026-03-05T10:00:00+00:00"}
    nothing = {"recurrence_id": "2026-03-07T10:00:00+00:00", "zone": None}
    recurrence: dict[str, Any] = {name: [] for name in kept() if name not in ("starts", "ends")} | {"zone": None}
    assert occurrences(recurrence | {"overrides": [change, nothing]}, SPRING) == [
        Occurrence(utc(2026, 3, 4, 10), None, utc(2026, 3, 5, 10), change)
    ]


def test_a_change_without_times_keeps_those_of_its_occurrence() -> None:
    done = {"recurrence_id": "2026-03-10T09:30:00+01:00", "zone": None, "status": "COMPLETED"}
    assert occurrences(kept(overrides=[done]), window("2026-03-10", "2026-03-11")) == [
        Occurrence(utc(2026, 3, 10, 8, 30), utc(2026, 3, 10, 8, 30), utc(2026, 3, 10, 9), done)
    ]


def test_an_occurrence_keeps_its_name_wherever_it_was_moved() -> None:
    moved = changed(
        "2026-03-30T09:30:00+02:00", "2026-04-20T12:00:00+02:00", "2026-04-20T13:00:00+02:00", title="Moved"
    )
    recurrence = kept("FREQ=WEEKLY", overrides=[moved])
    assert occurrences(recurrence, window("2026-03-30", "2026-03-31")) == []
    assert occurrences(recurrence, window("2026-04-20", "2026-04-21")) == [
        Occurrence(utc(2026, 3, 30, 7, 30), utc(2026, 4, 20, 10), utc(2026, 4, 20, 11), moved),
        Occurrence(utc(2026, 4, 20, 7, 30), utc(2026, 4, 20, 7, 30), utc(2026, 4, 20, 8), None),
    ]


def test_a_window_shows_what_it_cuts() -> None:
    """Midnight in Sydney is in the middle of the day in UTC."""
    long = kept("FREQ=WEEKLY;COUNT=2", zone="UTC", starts="2026-03-09T12:00:00+00:00", ends="2026-03-10T12:59:59+00:00")
    assert len(occurrences(long, window("2026-03-10", "2026-03-11", "Australia/Sydney"))) == 1
    assert len(occurrences(long, window("2026-03-11", "2026-03-16", "Australia/Sydney"))) == 0
    assert len(occurrences(long, window("2026-03-11", "2026-03-18", "Australia/Sydney"))) == 1


# A rule that all programs read alike


def test_a_series_is_written_as_a_rule() -> None:
    moved = changed("2026-03-30T09:30:00+02:00", "2026-03-31T14:00:00+02:00", "2026-03-31T14:30:00+02:00")
    cancelled = changed("2026-04-13", *HALF_PAST_NINE, status="CANCELLED")
    recurrence = kept(
        "FREQ=WEEKLY;INTERVAL=1;BYDAY=MO;UNTIL=20260427",
        excluded_dates=["2026-04-06T09:30:00+02:00", "2026-04-07", "2026-04-20"],
        overrides=[cancelled, moved],
    )

    def at(*parts: int) -> datetime:
        return datetime(*parts, tzinfo=ZONE)  # type: ignore[arg-type, misc]  # year to minute

    assert ruled(recurrence, SPRING) == RuledSeries(
        "Europe/Berlin",
        at(2026, 3, 9, 9, 30),
        at(2026, 3, 9, 10),
        "FREQ=WEEKLY;UNTIL=20260427T215959Z;BYDAY=MO",
        (at(2026, 4, 6, 9, 30), at(2026, 4, 13, 9, 30), at(2026, 4, 20, 9, 30)),
        (Occurrence(at(2026, 3, 30, 9, 30), at(2026, 3, 31, 14), at(2026, 3, 31, 14, 30), moved),),
    )


def test_a_series_of_days_is_written_as_a_rule() -> None:
    moved = {"recurrence_id": "2026-03-11", "zone": None, "starts": "2026-03-12", "ends": "2026-03-13"}
    recurrence = kept(
        "FREQ=DAILY;UNTIL=20260401T120000Z",
        zone=None,
        starts="2026-03-09",
        ends="2026-03-10",
        excluded_dates=["2026-03-10"],
        overrides=[moved],
    )
    assert ruled(recurrence, SPRING) == RuledSeries(
        None,
        date(2026, 3, 9),
        date(2026, 3, 10),
        "FREQ=DAILY;UNTIL=20260401",
        (date(2026, 3, 10),),
        (Occurrence(date(2026, 3, 11), date(2026, 3, 12), date(2026, 3, 13), moved),),
    )


COMMON = {
    "FREQ=DAILY": "FREQ=DAILY",
    "freq=daily;interval=02;count=+8": "FREQ=DAILY;COUNT=8;INTERVAL=2",
    "FREQ=WEEKLY;WKST=SU;INTERVAL=2;BYDAY=MO,FR,MO": "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR;WKST=SU",
    "FREQ=MONTHLY": "FREQ=MONTHLY",
    "FREQ=MONTHLY;BYMONTHDAY=9": "FREQ=MONTHLY;BYMONTHDAY=9",
    "FREQ=MONTHLY;BYDAY=+2MO": "FREQ=MONTHLY;BYDAY=2MO",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=+6": None,
    "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=+3": "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=3",
    "FREQ=YEARLY": "FREQ=YEARLY",
    "FREQ=YEARLY;BYMONTH=3": "FREQ=YEARLY;BYMONTH=3",
    "FREQ=YEARLY;BYMONTHDAY=9;BYMONTH=03": "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=9",
    "FREQ=YEARLY;BYMONTH=3;BYDAY=2MO": "FREQ=YEARLY;BYMONTH=3;BYDAY=2MO",
    # Not Outlook's
    "FREQ=HOURLY;INTERVAL=24": None,
    "FREQ=DAILY;INTERVAL=100": None,
    "FREQ=DAILY;COUNT=1000": None,
    "FREQ=DAILY;BYDAY=MO,TU": None,
    "FREQ=DAILY;BYHOUR=9": None,
    "FREQ=WEEKLY;BYDAY=1MO": None,
    "FREQ=WEEKLY;BYMONTH=3": None,
    "FREQ=MONTHLY;BYMONTHDAY=9,10": None,
    "FREQ=MONTHLY;BYMONTHDAY=-23": None,
    "FREQ=MONTHLY;BYDAY=MO": None,
    "FREQ=MONTHLY;BYDAY=2MO,3MO": None,
    "FREQ=MONTHLY;BYDAY=2MO;BYSETPOS=1": None,
    "FREQ=MONTHLY;BYDAY=MO;BYMONTHDAY=9": None,
    "FREQ=MONTHLY;BYMONTH=3": None,
    "FREQ=YEARLY;BYMONTHDAY=9": None,
    "FREQ=YEARLY;BYDAY=10MO": None,
    "FREQ=YEARLY;BYMONTH=3,4": None,
    "FREQ=YEARLY;BYYEARDAY=68": None,
    "FREQ=YEARLY;BYWEEKNO=11": None,
    # The start is not one of its own
    "FREQ=WEEKLY;BYDAY=TU": None,
    "FREQ=MONTHLY;BYDAY=1MO": None,
    "FREQ=DAILY;UNTIL=20260308": None,
    # Both ends, and none
    "FREQ=DAILY;COUNT=8;UNTIL=20260401": None,
    "FREQ=DAILY;COUNT=8": "FREQ=DAILY;COUNT=8",
}


@pytest.mark.parametrize(("rule", "written"), COMMON.items())
def test_a_rule_is_written_if_every_program_has_its_pattern(rule: str, written: str | None) -> None:
    found = ruled(kept(rule), SPRING)
    assert (found and found.rrule) == written


@pytest.mark.parametrize(
    ("rule", "starts", "is_written"),
    [
        ("FREQ=MONTHLY", "2026-03-28", True),
        ("FREQ=MONTHLY", "2026-03-29", False),
        ("FREQ=MONTHLY;BYMONTHDAY=31", "2026-03-31", False),
        ("FREQ=YEARLY", "2024-02-29", False),
        ("FREQ=YEARLY", "2025-03-31", True),
        ("FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=31", "2025-03-31", True),
        ("FREQ=MONTHLY;BYDAY=-1TU", "2026-03-31", True),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "2026-03-31", True),
    ],
)
def test_days_that_some_months_do_not_have_are_not_written_as_a_rule(rule: str, starts: str, is_written: bool) -> None:
    recurrence = kept(rule, zone=None, starts=starts, ends=None)
    assert (ruled(recurrence, window("2026-02-01", "2027-05-01")) is not None) == is_written


AT_NIGHT = {"starts": "2026-03-09T02:30:00+01:00", "ends": "2026-03-09T03:00:00+01:00"}
ONE = changed("2026-03-30T09:30:00+02:00", "2026-03-31T14:00:00+02:00", "2026-03-31T14:30:00+02:00")


@pytest.mark.parametrize(
    "recurrence",
    [
        kept(rules=["FREQ=DAILY", "FREQ=WEEKLY"]),
        kept(exclusion_rules=["FREQ=WEEKLY"]),
        kept(dates=[{"starts": "2026-03-10T12:00:00+01:00"}]),
        kept(None, overrides=[ONE]),
        kept(zone="UTC"),
        kept(zone="Etc/GMT-1"),
        kept(zone="CET"),
        kept(zone=None),
        kept(zone="Africa/Casablanca"),
        kept(definition=BERLIN),
        kept(starts="1970-03-09T09:30:00+01:00", ends=None),
        kept(**AT_NIGHT),  # skipped on 29 March
        kept(starts="2026-03-09T01:30:00+01:00", ends="2026-03-09T02:30:00+01:00"),
        kept(starts="2026-03-09T22:00:00+01:00", ends="2026-03-10T06:00:00+01:00"),  # an hour longer by some
        kept(starts="2026-03-09T09:30:00+01:00", ends="2026-03-02T10:00:00+01:00"),
        kept(starts="2026-03-09T09:30:00+01:00", ends="2026-03-10"),
        kept(overrides=[ONE | {"this_and_future": True}]),
        kept(overrides=[ONE | {"recurrence_id": "2026-03-30T09:31:00+02:00"}]),
        kept(overrides=[ONE | {"zone": None, "starts": "2026-03-31", "ends": "2026-04-01"}]),
        kept(overrides=[ONE | {"starts": "2026-10-25T02:30:00+01:00", "ends": "2026-10-25T03:30:00+01:00"}]),
        kept(overrides=[ONE | {"ends": "2026-03-31T13:30:00+02:00"}]),
        kept(overrides=[{name: value for name, value in ONE.items() if name != "starts"}]),
        kept("FREQ=WEEKLY", **AT_NIGHT | {"excluded_dates": ["2027-03-29"], "overrides": []}, zone="Africa/Cairo"),
        kept(excluded_dates=[f"{date(2026, 3, 10) + n * EACH}" for n in range(101)]),
        kept(excluded_dates=["8888-03-10"]),  # too far to look
    ],
)
def test_a_series_that_some_program_would_misread_is_not_written_as_a_rule(recurrence: dict[str, Any]) -> None:
    assert occurrences(recurrence, SPRING)
    assert ruled(recurrence, SPRING) is None


OVERNIGHT = {"starts": "2026-04-10T22:00:00+02:00", "ends": "2026-04-11T06:00:00+02:00"}


@pytest.mark.parametrize("times", [AT_NIGHT, OVERNIGHT, {"starts": OVERNIGHT["starts"], "duration": "P2D"}])
def test_a_series_in_the_hours_of_the_change_is_no_rule_in_any_window(times: dict[str, Any]) -> None:
    """Or its UIDs would change with the day on which the night of the change comes into sight, or leaves it."""
    for rule in ("FREQ=DAILY", "FREQ=WEEKLY;BYDAY=FR", "FREQ=DAILY;UNTIL=20260915T200000Z"):
        for days in (("2026-04-13", "2026-04-20"), ("2026-04-13", "2026-09-30"), ("2026-01-01", "2027-01-01")):
            assert ruled(kept(rule, **times), window(*days)) is None


def test_a_series_at_noon_is_a_rule_in_any_window() -> None:
    for days in (("2026-04-13", "2026-04-20"), ("2026-03-28", "2026-03-31"), ("2016-01-01", "2036-01-01")):
        assert ruled(kept("FREQ=DAILY"), window(*days)) is not None


def test_a_series_that_begins_while_the_clock_changes_is_no_rule() -> None:
    times = {"starts": "2026-03-08T01:00:00-05:00", "ends": "2026-03-08T03:00:00-04:00"}
    assert ruled(kept("FREQ=WEEKLY", **times, zone="America/New_York"), SPRING) is None


@pytest.mark.parametrize("until", ["99991231", "99991231T235959Z", "99991231T235959"])
def test_a_rule_until_the_last_year_of_all_has_no_end(until: str) -> None:
    assert ruled(kept(f"FREQ=DAILY;UNTIL={until}"), SPRING) == ruled(kept("FREQ=DAILY"), SPRING)


def test_a_series_out_of_sight_is_nothing_at_all() -> None:
    assert occurrences(kept("FREQ=DAILY;COUNT=3"), window("2026-04-01", "2026-10-01")) == []
    assert ruled(kept("FREQ=DAILY;COUNT=3"), window("2026-04-01", "2026-10-01")) is None


WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@st.composite
def common_series(draw: st.DrawFn) -> dict[str, Any]:
    """Series whose rules are mostly those that every program has, with exceptions that are mostly occurrences."""
    day = draw(st.dates(date(2024, 1, 1), date(2026, 12, 31)))
    zone = draw(st.sampled_from([None, "Europe/Berlin", "America/New_York", "Australia/Sydney", "Asia/Kolkata"]))
    nth, weekday = (day.day + 6) // 7, WEEKDAYS[day.weekday()]
    others = draw(st.sets(st.sampled_from(WEEKDAYS), max_size=3)) | {weekday}
    rule = draw(
        st.sampled_from(
            [
                "FREQ=DAILY",
                "FREQ=WEEKLY",
                f"FREQ=WEEKLY;BYDAY={','.join(sorted(others))}",
                f"FREQ=WEEKLY;BYDAY={','.join(sorted(others))};WKST=SU",
                "FREQ=MONTHLY",
                f"FREQ=MONTHLY;BYMONTHDAY={day.day}",
                f"FREQ=MONTHLY;BYDAY={nth}{weekday}",
                f"FREQ=MONTHLY;BYDAY=-1{weekday}",
                f"FREQ=MONTHLY;BYDAY={','.join(sorted(others))};BYSETPOS=1",
                "FREQ=YEARLY",
                f"FREQ=YEARLY;BYMONTH={day.month};BYDAY={nth}{weekday}",
            ]
        )
    )
    rule += draw(st.sampled_from(["", ";INTERVAL=2", ";INTERVAL=5"]))
    rule += draw(st.sampled_from(["", ";COUNT=30", ";UNTIL=20270401T120000Z", ";UNTIL=20270401"]))
    starts = str(day) if zone is None else at(day, draw(st.integers(0, 95)), zone)
    length = draw(st.integers(1, 60))
    ends = str(day + length * EACH) if zone is None else at(day, 96 + length, zone)
    exceptions = draw(st.lists(st.integers(0, 40), max_size=4, unique=True))
    found = occurrences(kept(rule, zone=zone, starts=starts, ends=ends), window("2024-01-01", "2028-01-01"))
    originals = [found[n].original for n in exceptions if n < len(found)]
    clock = ZoneInfo(zone or "UTC")
    names = [one.astimezone(clock).isoformat() if isinstance(one, datetime) else str(one) for one in originals]
    overrides = [
        changed(name, starts, ends, zone=zone, title=f"Changed {n}", **({"status": "CANCELLED"} if n % 3 == 2 else {}))
        for n, name in enumerate(names[1:])
    ]
    return kept(rule, zone=zone, starts=starts, ends=ends, excluded_dates=names[:1], overrides=overrides)


def at(day: date, quarters: int, zone: str) -> str:
    return (datetime.combine(day, datetime.min.time(), ZoneInfo(zone)) + quarters * timedelta(minutes=15)).isoformat()


def written(one: RuledSeries) -> bytes:
    """A calendar of that series as calendar programs get it."""
    head = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//test//EN"]
    if one.zone:
        definition = one_rule(one.zone, range(2024, 2033))
        assert definition
        head += definition.decode().splitlines()
    lines = [f"RRULE:{one.rrule}", *(stamp("EXDATE", excluded, one.zone) for excluded in one.excluded)]
    head += event(one.starts, one.ends, one.zone, *lines)
    for change in one.overrides:
        title = f"SUMMARY:{(change.override or {})['title']}"
        replaced = stamp("RECURRENCE-ID", change.original, one.zone)
        head += event(change.starts, change.ends, one.zone, title, replaced)
    return "\r\n".join([*head, "END:VCALENDAR", ""]).encode()


def event(starts: When | None, ends: When | None, zone: str | None, *lines: str) -> Iterator[str]:
    yield from ("BEGIN:VEVENT", "UID:1", "DTSTAMP:20260101T000000Z", *lines)
    yield from (stamp("DTSTART", starts, zone), stamp("DTEND", ends, zone), "END:VEVENT")


def stamp(name: str, when: When | None, zone: str | None) -> str:
    assert when is not None
    if not isinstance(when, datetime):
        return f"{name};VALUE=DATE:{when:%Y%m%d}"
    return f"{name};TZID={zone}:{when:%Y%m%dT%H%M%S}"


def read_by_ical(data: bytes, shown: Window) -> list[Found]:
    """What Home Assistant's library finds."""
    events = (
        IcsCalendarStream.calendar_from_ics(data.decode()).timeline_tz(UTC).overlapping(shown.starts_at, shown.ends_at)
    )
    return sorted((text(one.start), text(one.end), one.summary or "") for one in events)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(common_series(), st.dates(date(2026, 1, 1), date(2027, 6, 1)), st.integers(1, 300))
def test_a_written_rule_is_read_as_it_was_meant(recurrence: dict[str, Any], first: date, length: int) -> None:
    shown = window(str(first), str(first + length * EACH))
    expected = found(recurrence, shown)
    one = ruled(recurrence, shown)
    if one is not None:
        icalendar.timezone.tzp.use_zoneinfo()
        assert judged(written(one), shown) == expected
        assert read_by_ical(written(one), shown) == expected


# Whatever stands in a database


@pytest.mark.parametrize(
    ("rule", "starts"),
    [
        ("FREQ=SECONDLY", "2026-03-09T09:30:00+01:00"),
        ("FREQ=SECONDLY", "1602-03-09T09:30:00+01:00"),
        ("FREQ=MINUTELY;COUNT=999999999", "2026-03-09T09:30:00+01:00"),
        ("FREQ=SECONDLY;BYHOUR=3;BYMONTH=7", "2026-03-09T09:30:00+01:00"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=5", "0002-03-09T09:30:00+01:00"),
        ("FREQ=YEARLY;BYSETPOS=" + ",".join(map(str, range(1, 300))), "0002-03-09T09:30:00+01:00"),
        (
            "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9,20,21,22;BYMINUTE=" + ",".join(map(str, range(60))),
            "2016-03-09T09:30:00+01:00",
        ),
        (
            "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30;COUNT=9;BYMINUTE=0,1,2,3,4,5,6,7,8;BYSECOND=1,2,3,4,5,6,7,8,9",
            "1602-03-09T09:30:00+01:00",
        ),
    ],
)
def test_a_rule_that_would_keep_us_busy_is_refused_in_time(rule: str, starts: str) -> None:
    for read in (occurrences, ruled):
        began = time.process_time()
        with pytest.raises(SeriesError, match="too dense"):
            read(kept(rule, starts=starts, ends=None), SPRING)
        assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("rule", "starts", "count"),
    [
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "2026-03-09T09:30:00+01:00", 1),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "0002-03-09T09:30:00+01:00", 0),
        ("FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30", "0002-03-09T09:30:00+01:00", 0),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=3", "0002-03-09T09:30:00+01:00", 0),
        ("FREQ=DAILY", "0002-03-09T09:30:00+01:00", 61),
        ("FREQ=DAILY;COUNT=999999999", "1926-03-09T09:30:00+01:00", 61),
        ("FREQ=DAILY;INTERVAL=999999999", "2026-03-09T09:30:00+01:00", 1),
        ("FREQ=YEARLY;INTERVAL=999999999", "2026-03-09T09:30:00+01:00", 1),
        ("FREQ=HOURLY;BYMONTH=4;BYMONTHDAY=1", "1602-03-09T09:30:00+01:00", 24),
        ("FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10", "1997-03-09T09:30:00+01:00", 366),
    ],
)
def test_a_walk_ends_with_the_window_whether_it_finds_anything(rule: str, starts: str, count: int) -> None:
    began = time.process_time()
    assert len(occurrences(kept(rule, starts=starts, ends=None), SPRING)) == count
    assert time.process_time() - began < 2


def test_a_series_with_more_parts_than_anybody_writes_is_refused() -> None:
    with pytest.raises(SeriesError, match="too dense"):
        occurrences(kept(excluded_dates=["2026-03-10"] * 10_001), SPRING)
    with pytest.raises(SeriesError, match="too dense"):
        occurrences(kept(rules=["FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"] * 9_999), SPRING)
    with pytest.raises(SeriesError, match="too dense"):
        occurrences(kept(definition=BERLIN.replace("RRULE:FREQ", "\n".join(["RRULE:FREQ=YEARLY"] * 11))), SPRING)


@pytest.mark.parametrize(
    "recurrence",
    [
        {},
        [],
        None,
        kept(zone="Mars/Olympus"),
        kept(zone="../../etc/passwd"),
        kept(zone="Europe"),
        kept(zone=""),
        kept(zone=5),
        kept(starts="2026-02-30T09:30:00+01:00"),
        kept(starts="2026-03-09T09:30:00"),
        kept(starts="9999-12-31T23:59:59-12:00"),
        kept(starts=5),
        kept(starts=None, ends=None),
        kept(ends=["2026-03-09"]),
        kept(duration="1 hour"),
        kept(duration="P999999999W"),
        kept(definition="BEGIN:VTIMEZONE"),
        kept(definition=5),
        kept("FREQ=OFTEN"),
        kept("FREQ=MONTHLY;BYDAY=40MO", starts="2026-12-07T09:30:00+01:00"),
        kept("FREQ=HOURLY;INTERVAL=2;BYHOUR=8"),
        kept("FREQ=DAILY;BYSECOND=60"),
        kept("FREQ=DAILY" + ";BYMONTH=3" * 1_000),
        kept(rules="FREQ=DAILY"),
        kept(rules=[None]),
        kept(dates=[{}]),
        kept(excluded_dates=[None]),
        kept(overrides=["2026-03-09"]),
        kept(overrides=[{"recurrence_id": "2026-03-09"}]),
        kept(overrides={}),
        {name: value for name, value in kept().items() if name != "overrides"},
    ],
)
def test_json_of_another_shape_is_refused(recurrence: Any) -> None:
    for read in (occurrences, ruled):
        with pytest.raises(SeriesError):
            read(recurrence, window("2026-03-01", "2027-01-01"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*kept(), *ONE]), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(list(kept())), JSON, max_size=3), st.dictionaries(st.sampled_from(list(ONE)), JSON)
)
def test_json_of_any_shape_is_read_or_refused(more: dict[str, Any], change: dict[str, Any]) -> None:
    for recurrence in (kept(**more), kept(**{**more, "overrides": [ONE | change]})):
        for read in (occurrences, ruled):
            with suppress(SeriesError):
                read(recurrence, SPRING)

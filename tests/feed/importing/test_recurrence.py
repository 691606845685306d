"""What is kept of a series: everything, on one clock, and the same whatever the order of its lines."""

import json
from dataclasses import replace
from typing import Any

from db.activities import Activity
from feed.importing.activities import ReadCalendar, Refusal
from tests.feed.importing.calendars import (
    AT_NINE,
    BERLIN,
    DAILY,
    DAY,
    MEETING,
    OFFICE,
    TASK,
    UNTIL_TEN,
    component,
    only,
    override,
    read,
    refusals,
    series,
    utc,
    vevent,
)

KEPT: dict[str, Any] = {
    "zone": "Europe/Berlin",
    "starts": "2026-03-09T09:30:00+01:00",
    "ends": "2026-03-09T10:00:00+01:00",
    "rules": ["FREQ=DAILY"],
    "exclusion_rules": [],
    "dates": [],
    "excluded_dates": [],
    "overrides": [],
}


def test_a_series_is_kept_whole() -> None:
    """Nothing is lost, whatever zone the dates are in; all of it stands on the clock of the series."""
    event = vevent(
        AT_NINE,
        UNTIL_TEN,
        "SUMMARY:Weekly",
        "RRULE:freq=weekly;byday=MO,TH;until=20261231T235959Z;",
        "RRULE:FREQ=MONTHLY;BYMONTHDAY=-1",
        "EXRULE:FREQ=YEARLY",
        "RDATE;TZID=America/New_York:20260501T100000,20260502T100000",
        "RDATE;VALUE=PERIOD:20260601T080000Z/20260601T100000Z,20260602T080000Z/PT3H",
        "RDATE;VALUE=DATE:20260701",
        "EXDATE;TZID=Europe/Berlin:20260406T093000",
        "EXDATE:20260316T083000Z",
        "EXDATE:20260319T093000",
        "EXDATE;VALUE=DATE:20260323",
        "EXDATE:",
    )
    assert only(event) == Activity(
        type="MEETING",
        status="CONFIRMED",
        external_id="1",
        title="Weekly",
        starts_at=utc(2026, 3, 9, 8, 30),
        ends_at=utc(2026, 3, 9, 9),
        time_zone="Europe/Berlin",
        recurrence={
            "zone": "Europe/Berlin",
            "starts": "2026-03-09T09:30:00+01:00",
            "ends": "2026-03-09T10:00:00+01:00",
            "rules": ["FREQ=MONTHLY;BYMONTHDAY=-1", "FREQ=WEEKLY;BYDAY=MO,TH;UNTIL=20261231T235959Z"],
            "exclusion_rules": ["FREQ=YEARLY"],
            "dates": [
                {"starts": "2026-05-01T16:00:00+02:00"},
                {"starts": "2026-05-02T16:00:00+02:00"},
                {"starts": "2026-06-01T10:00:00+02:00", "ends": "2026-06-01T12:00:00+02:00"},
                {"starts": "2026-06-02T10:00:00+02:00", "ends": "2026-06-02T13:00:00+02:00", "duration": "PT3H"},
                {"starts": "2026-07-01"},
            ],
            "excluded_dates": [
                "2026-03-16T09:30:00+01:00",
                "2026-03-19T09:30:00+01:00",
                "2026-03-23",
                "2026-04-06T09:30:00+02:00",
            ],
            "overrides": [],
        },
    )


def test_a_rule_is_kept_without_the_defaults_that_other_programs_refuse() -> None:
    event = vevent(AT_NINE, UNTIL_TEN, "RRULE:RSCALE=GREGORIAN;FREQ=MONTHLY;BYMONTHDAY=31;SKIP=OMIT")
    assert series(event) == KEPT | {"rules": ["FREQ=MONTHLY;BYMONTHDAY=31"]}


def test_a_rule_may_have_both_count_and_until() -> None:
    rule = "FREQ=DAILY;COUNT=30;UNTIL=20260320T000000Z"
    assert series(vevent(AT_NINE, UNTIL_TEN, f"RRULE:{rule}")) == KEPT | {"rules": [rule]}


def test_an_override_is_kept_with_all_it_says() -> None:
    moved = override(
        "DTSTART;TZID=Asia/Tokyo:20260331T210000",
        "DURATION:PT1H",
        "SUMMARY:Moved",
        "DESCRIPTION:To Tuesday",
        "LOCATION:Room 4",
        "URL:https://crm.example.com/m/1",
        "STATUS:TENTATIVE",
        "PRIORITY:9",
        "CLASS:PRIVATE",
        "ATTENDEE;CN=Ben;PARTSTAT=ACCEPTED:mailto:ben@example.com",
    )
    assert series(moved, vevent(AT_NINE, UNTIL_TEN, DAILY)) == KEPT | {
        "overrides": [
            {
                "recurrence_id": "2026-03-30T09:30:00+02:00",
                "zone": "Asia/Tokyo",
                "starts": "2026-03-31T21:00:00+09:00",
                "ends": "2026-03-31T22:00:00+09:00",
                "duration": "PT1H",
                "status": "TENTATIVE",
                "title": "Moved",
                "description": "To Tuesday",
                "location": "Room 4",
                "url": "https://crm.example.com/m/1",
                "priority": "LOW",
                "private": True,
                "participants": [{"name": "Ben", "email": "ben@example.com", "response": "ACCEPTED"}],
            }
        ]
    }


def test_an_occurrence_may_be_cancelled_or_changed_with_all_that_follow() -> None:
    found = series(
        vevent(AT_NINE, UNTIL_TEN, DAILY),
        override("DTSTART;VALUE=DATE:20260401", replaced=";RANGE=THISANDFUTURE:20260401T073000Z"),
        override("DTSTART:20260330T093000Z", "STATUS:CANCELLED"),
    )
    assert found == KEPT | {
        "overrides": [
            {
                "recurrence_id": "2026-03-30T09:30:00+02:00",
                "zone": "UTC",
                "starts": "2026-03-30T09:30:00+00:00",
                "status": "CANCELLED",
            },
            {
                "recurrence_id": "2026-04-01T09:30:00+02:00",
                "this_and_future": True,
                "zone": None,
                "starts": "2026-04-01",
                "ends": "2026-04-02",
                "status": "CONFIRMED",
            },
        ]
    }


def test_a_cancelled_occurrence_may_say_no_more() -> None:
    (kept,) = series(vevent(AT_NINE, UNTIL_TEN, DAILY), override("STATUS:CANCELLED"))["overrides"]
    assert kept == {
        "recurrence_id": "2026-03-30T09:30:00+02:00",
        "zone": "Europe/Berlin",
        "starts": "2026-03-30T09:30:00+02:00",
        "status": "CANCELLED",
    }


def test_a_series_of_days_is_kept_in_days() -> None:
    """Google wrote moments for its occurrences."""
    found = series(
        vevent(DAY, "DURATION:P2D", "RRULE:FREQ=YEARLY", "EXDATE:20280304T000000Z"),
        override("DTSTART;VALUE=DATE:20270305", replaced=":20270304T000000Z"),
    )
    assert found == {
        "zone": None,
        "starts": "2026-03-04",
        "ends": "2026-03-06",
        "duration": "P2D",
        "rules": ["FREQ=YEARLY"],
        "exclusion_rules": [],
        "dates": [],
        "excluded_dates": ["2028-03-04"],
        "overrides": [
            {
                "recurrence_id": "2027-03-04",
                "zone": None,
                "starts": "2027-03-05",
                "ends": "2027-03-06",
                "status": "CONFIRMED",
            }
        ],
    }


def test_a_day_may_stand_for_the_occurrences_of_a_day() -> None:
    moved = override("DTSTART:20260330T120000Z", replaced=";VALUE=DATE:20260330")
    (kept,) = series(vevent(AT_NINE, UNTIL_TEN, DAILY), moved)["overrides"]
    assert kept["recurrence_id"] == "2026-03-30"


def test_a_series_of_tasks_may_have_deadlines_only() -> None:
    activity = only(component("VTODO", "DUE;TZID=Europe/Berlin:20260309T093000", DAILY))
    kept = {name: value for name, value in KEPT.items() if name != "starts"}
    assert activity == replace(
        TASK,
        due_at=utc(2026, 3, 9, 8, 30),
        time_zone="Europe/Berlin",
        recurrence=kept | {"ends": "2026-03-09T09:30:00+01:00"},
    )


def test_a_rule_without_a_start_is_refused() -> None:
    assert refusals(component("VTODO", DAILY)) == ["5 VTODO: RRULE has no DTSTART to start from"]
    assert refusals(component("VJOURNAL", DAILY)) == ["5 VJOURNAL: RRULE has no DTSTART to start from"]


def test_a_task_without_times_may_have_changed_occurrences() -> None:
    changed = component("VTODO", "RECURRENCE-ID:20260304T100000Z", "DUE:20260305T100000Z")
    assert series(component("VTODO"), changed) == {
        "zone": None,
        "rules": [],
        "exclusion_rules": [],
        "dates": [],
        "excluded_dates": [],
        "overrides": [
            {
                "recurrence_id": "2026-03-04T10:00:00+00:00",
                "zone": "UTC",
                "ends": "2026-03-05T10:00:00+00:00",
                "status": "NEEDS_ACTION",
            }
        ],
    }


def test_a_one_off_with_a_changed_occurrence_is_a_series() -> None:
    moved = override("DTSTART:20260310T083000Z", replaced=";TZID=Europe/Berlin:20260309T093000")
    (kept,) = series(vevent(AT_NINE, UNTIL_TEN), moved)["overrides"]
    assert (kept["recurrence_id"], kept["starts"]) == ("2026-03-09T09:30:00+01:00", "2026-03-10T08:30:00+00:00")


def test_a_one_off_that_is_excluded_is_a_series_of_nothing() -> None:
    found = series(vevent(AT_NINE, UNTIL_TEN, "EXDATE;TZID=Europe/Berlin:20260309T093000"))
    assert found == KEPT | {"rules": [], "excluded_dates": ["2026-03-09T09:30:00+01:00"]}
    assert only(vevent(AT_NINE, "EXDATE;TZID=Europe/Berlin:20260310T093000")).recurrence is None


def test_a_series_in_a_zone_without_a_name_keeps_its_definition() -> None:
    event = vevent("DTSTART;TZID=Customized Time Zone:20260309T093000", DAILY)
    activity = only(OFFICE, event)
    assert activity.time_zone is None
    assert activity.recurrence == {
        **{name: value for name, value in KEPT.items() if name != "ends"},
        "zone": None,
        "definition": OFFICE,
        "starts": "2026-03-09T09:30:00-04:00",
    }


def test_a_series_keeps_the_definition_that_its_name_does_not_stand_for() -> None:
    """The definition has summer time from 1970 on, Germany from 1980, and the series starts in between."""
    assert series(BERLIN, vevent(AT_NINE, UNTIL_TEN, DAILY)) == KEPT
    old = series(BERLIN, vevent("DTSTART;TZID=Europe/Berlin:19790709T093000", DAILY))
    assert (old["zone"], old["definition"], old["starts"]) == (
        "Europe/Berlin",
        BERLIN,
        "1979-07-09T09:30:00+02:00",
    )
    ended = series(BERLIN, vevent("DTSTART;TZID=Europe/Berlin:19690709T093000", f"{DAILY};UNTIL=19690801"))
    assert "definition" not in ended


def test_the_second_of_two_equal_clock_times_is_kept_apart() -> None:
    """At 00:30 and 01:30 in UTC it is 02:30 in Berlin on that night."""
    event = vevent("DTSTART;TZID=Europe/Berlin:20261024T023000", DAILY, "EXDATE:20261025T013000Z,20261025T003000Z")
    for definition in ((), (BERLIN,)):
        assert series(*definition, event)["excluded_dates"] == [
            "2026-10-25T02:30:00+01:00",
            "2026-10-25T02:30:00+02:00",
        ]


def test_the_order_of_lines_makes_no_difference() -> None:
    def kept(*numbers: int) -> dict[str, Any]:
        dates = [f"RDATE:202604{n:02}T100000Z" for n in numbers] + [f"EXDATE:202605{n:02}T100000Z" for n in numbers]
        rules = [f"RRULE:FREQ=DAILY;INTERVAL={n}" for n in numbers]
        overrides = [override(DAY, replaced=f":202606{n:02}T100000Z") for n in numbers]
        return series(*overrides, vevent(AT_NINE, *dates, *rules))

    assert json.dumps(kept(11, 12, 13)) == json.dumps(kept(13, 11, 12))


def test_the_newest_of_two_changes_is_taken() -> None:
    found = read(
        vevent(AT_NINE, UNTIL_TEN, DAILY),
        override(DAY, "SUMMARY:Old"),
        override(DAY, "SUMMARY:New", "SEQUENCE:1", replaced=":20260330T073000Z"),
    )
    (activity,) = found.activities
    assert activity.recurrence is not None
    assert [kept["title"] for kept in activity.recurrence["overrides"]] == ["New"]
    assert found.refusals == (Refusal(9, "VEVENT", "line 15 has the same UID and a newer SEQUENCE"),)


def test_a_change_without_its_series_is_a_one_off() -> None:
    found = read(
        override(DAY, "SUMMARY:Old"),
        override(DAY, "SUMMARY:New", replaced=":20260330T073000Z"),
        override(DAY, replaced=";VALUE=DATE:20260331"),
    )
    assert found == ReadCalendar(
        (
            replace(MEETING, external_id="1#20260330T073000Z", title="New"),
            replace(MEETING, external_id="1#20260331"),
        ),
        (Refusal(3, "VEVENT", "line 9 has the same UID and comes later: if it is another one, give it another UID"),),
    )


def test_a_uid_that_is_the_id_of_a_change_without_its_series_is_taken_once() -> None:
    event, change = vevent(DAY, uid="1#20260330T073000Z"), override(DAY, replaced=":20260330T073000Z")
    reason = "its id 1#20260330T073000Z is that of line 3 too: give it another UID"
    taken = (replace(MEETING, external_id="1#20260330T073000Z"),)
    assert read(event, change) == ReadCalendar(taken, (Refusal(7, "VEVENT", reason),))
    assert read(change, event) == ReadCalendar(taken, (Refusal(8, "VEVENT", reason),))


def test_a_series_stands_or_falls_with_its_changes() -> None:
    assert refusals(
        vevent(AT_NINE, DAILY), override("DTSTART:20150230", replaced=":20260330T073000Z"), override(DAY)
    ) == [
        "3 VEVENT: its changed occurrence on line 11 was refused",
        "11 VEVENT: DTSTART 20150230 is not a date",
        "13 VEVENT: its changed occurrence on line 11 was refused",
    ]


def test_changes_fall_with_their_series() -> None:
    assert refusals(vevent(DAY, "RRULE:FREQ=X"), override(DAY)) == [
        '6 VEVENT: RRULE part "FREQ=X" is not one of a recurrence rule',
        "8 VEVENT: its series on line 6 was refused",
    ]

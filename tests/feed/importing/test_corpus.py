"""Every file of a corpus of public calendars, compared with what icalendar and recurring-ical-events read there.

The corpus lies beside the project for developers and is not part of it: where it is missing, these tests are skipped.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import pytest
import recurring_ical_events

from db.activities import Activity
from feed.importing.activities import ReadCalendar, read_calendar

CORPUS = Path(__file__).parents[4] / "shared" / "corpus"
FILES = sorted(str(path.relative_to(CORPUS)) for path in CORPUS.glob("*/*.ics"))
ZONE = "Europe/Berlin"
NOT_A_LINE = "not a content line (NAME:value)"
NO_UID = "UID is missing: give it one, or another import could not find it again"

# Every refusal, looked at by eye: "line: reason".
REFUSED = {
    "PyconUK__2015.pyconuk.org/schedule.ics": [
        "973: line 1289 has the same UID and comes later: if it is another one, give it another UID"
    ],
    "allenporter__ical/missing_colon.ics": [f'2: "DESCRIPTION;This is a description" is {NOT_A_LINE}'],
    "allenporter__ical/office_365_invalid_timezone.ics": [
        "38: DTSTART: time zone Customized Time Zone is unknown: give its definition (VTIMEZONE) or an IANA name"
    ],
    "collective__icalendar/big_bad_calendar.ics": [f"{line}: {NO_UID}" for line in range(2, 42, 2)],
    "collective__icalendar/broken_dtstart.ics": ["6: DTSTART INVALID-DATE is not a date or time"],
    "collective__icalendar/fuzz_testcase_invalid_month.ics": [
        "1: this is not an iCalendar file: BEGIN:VCALENDAR is missing"
    ],
    "collective__icalendar/invalid_duration.ics": ["8: DURATION P999999999999999999W is longer than any calendar"],
    "collective__icalendar/issue_1050_multiple_calendars.ics": ["4: DTSTART is missing", "12: DTSTART is missing"],
    "collective__icalendar/rfc_5545_RDATE_example.ics": [
        f"{line}: DTSTART is missing" for line in (2, 6, 10, 14, 19, 24)
    ],
    "collective__icalendar/timezone_rdate.ics": [f'53: "SUMMARY=testevent" is {NOT_A_LINE}'],
    "ical4j__ical4j/0.ics": [f"2: {NO_UID}"],
    "ical4j__ical4j/overlaps.ics": [f"{line}: {NO_UID}" for line in (1, 8, 14, 20, 26)],
    "ical4j__ical4j/smallcluster.ics": [f"5: {NO_UID}"],
    "jens-maus__node-ical/badRRULE.ics": ['50: RRULE part "RRULE:AnythingRandom" is not one of a recurrence rule'],
    "jens-maus__node-ical/duplicate-uid-sequence.ics": [
        "12: line 4 has the same UID and a newer SEQUENCE",
        "20: line 28 has the same UID and a newer SEQUENCE",
    ],
    "libical__libical/calendar.ics": ["57: DTEND 19970701T1100000Z is not a date or time"],
    "libical__libical/issue252.ics": [
        f'47: "URL;//" is {NOT_A_LINE}',
        "100: END:VTODO without BEGIN:VTODO",
        "138: END:VTODO without BEGIN:VTODO",
        "159: END:VJOURNAL without BEGIN:VJOURNAL",
        f'164: "CÒEATED:18640510T132519Z" is {NOT_A_LINE}',
        "190: free/busy time is not an activity",
    ],
    "libical__libical/overlaps.ics": [f"{line}: {NO_UID}" for line in (1, 8, 14, 20, 26)],
    "libical__libical/stresstest.ics": [
        f'28: "Sorry, I cannot change this meeting time" is {NOT_A_LINE}, and no event, task or note was found'
    ],
    "npatarino__tech-conferences-spain/conferences.ics": [
        f'1: "---" is {NOT_A_LINE}, and no event, task or note was found'
    ],
}
# Files that icalendar cannot read either; nothing is imported from them.
UNREADABLE = {
    "collective__icalendar/fuzz_testcase_invalid_month.ics",
    "kewisch__ical.js/RDATE_utc_test.ics",
    "libical__libical/issue252.ics",
    "libical__libical/stresstest.ics",
    "npatarino__tech-conferences-spain/conferences.ics",
}
# The offset that this file defines for Moscow in 2018, +02:30:17, is not believed.
NOT_CREDIBLE = "Kozea__Radicale/event_timezone_seconds.ics"
DAY_WITH_ZONE = re.compile(rb";TZID=[^:;]*((?:;VALUE=DATE)?:[0-9]{8}\r?\n)")

pytestmark = [
    pytest.mark.skipif(not FILES, reason="the corpus is not there"),
    pytest.mark.filterwarnings("ignore"),
]
each_file = pytest.mark.parametrize("name", FILES)


def read(name: str) -> ReadCalendar:
    return read_calendar((CORPUS / name).read_bytes(), ZONE)


def parsed(name: str) -> list[Any]:
    """The file as icalendar reads it, but for days that have a TZID: it takes them for moments, against RFC 5545."""
    if name in UNREADABLE:
        return []
    icalendar.timezone.tzp.use_zoneinfo()  # forget the time zones of other files
    data = DAY_WITH_ZONE.sub(rb"\1", (CORPUS / name).read_bytes())
    return list(icalendar.Calendar.from_ical(data, multiple=True))


def expected_one_offs(name: str) -> Iterator[tuple[str, str, date | None, date | None, date | None]]:
    """UID, title, start, end and due time of each component that takes place once."""
    for calendar in parsed(name):
        for component in calendar.walk(select=lambda c: c.name in ("VEVENT", "VTODO", "VJOURNAL")):
            if is_readable_one_off(component):
                starts, ends, due = (
                    expected_time(name, calendar, component, key) for key in ("DTSTART", "DTEND", "DUE")
                )
                if ends is None and "DURATION" in component and isinstance(starts, datetime):
                    ends = starts + component["DURATION"].dt
                if ends is None and starts and not isinstance(starts, datetime):
                    ends = starts + timedelta(days=1)
                yield str(component["UID"]), str(component.get("SUMMARY", "")), starts, ends, due


def is_readable_one_off(component: Any) -> bool:
    repeats = {"RRULE", "RDATE", "RECURRENCE-ID"} & set(component)
    broken = {"DTSTART", "DTEND", "DUE", "DURATION"} & {name for name, _ in component.errors}
    return "UID" in component and not repeats and not broken


def expected_time(name: str, calendar: Any, component: Any, key: str) -> date | None:
    """A day, or a moment in UTC by the calendar's own definition of the zone, in the reading of dateutil."""
    if key not in component:
        return None
    when: date = component[key].dt
    if not isinstance(when, datetime):
        return when
    tzid = component[key].params.get("TZID", "").strip()
    for zone in calendar.walk("VTIMEZONE"):
        if zone["TZID"].strip() == tzid and name != NOT_CREDIBLE:
            when = when.replace(tzinfo=zone.to_tz(lookup_tzid=False))
    floating = ZoneInfo(calendar.get("X-WR-TIMEZONE", ZONE))
    return when.replace(tzinfo=when.tzinfo or floating).astimezone(UTC)


def imported(activity: Activity) -> tuple[str | None, str, date | None, date | None, date | None]:
    return (
        activity.external_id,
        activity.title,
        activity.starts_at or activity.starts_on,
        activity.ends_at or activity.ends_on,
        activity.due_at or activity.due_on,
    )


def test_refusals_are_those_that_were_looked_at() -> None:
    refused = {name: [f"{refusal.line}: {refusal.reason}" for refusal in read(name).refusals] for name in FILES}
    assert {name: refusals for name, refusals in refused.items() if refusals} == REFUSED


@each_file
def test_a_file_reads_the_same_again(name: str) -> None:
    assert read(name) == read(name)


@each_file
def test_one_offs_have_the_title_and_the_instants_that_icalendar_reads(name: str) -> None:
    expected = list(expected_one_offs(name))
    found = [imported(activity) for activity in read(name).activities if activity.recurrence is None]
    assert [one for one in found if one not in expected] == []
    assert len(expected) - len(found) <= len(REFUSED.get(name, []))


@each_file
def test_series_have_the_occurrences_that_the_file_gives_them(name: str) -> None:
    """What is kept of a series is made into a calendar again, and both calendars are expanded."""
    calendars = parsed(name)
    for activity in read(name).activities:
        if activity.recurrence is not None:
            first = activity.starts_at or activity.starts_on
            assert first is not None
            remade = icalendar.Calendar.from_ical(calendar_of(activity, activity.recurrence))
            expected = occurrences([only(calendar, activity) for calendar in calendars], first)
            assert occurrences([remade], first) == expected
            assert expected


def only(calendar: Any, activity: Activity) -> Any:
    """The calendar without the components of other activities."""
    kept = calendar.copy()
    kept.subcomponents = [part for part in calendar.subcomponents if part.get("UID") in (None, activity.external_id)]
    return kept


def occurrences(calendars: list[Any], first: date) -> list[tuple[str, str, str]]:
    """Start, end and title of each occurrence in six years around the first."""
    span = date(first.year - 2, 1, 1), date(first.year + 4, 1, 1)
    found = [event for calendar in calendars for event in recurring_ical_events.of(calendar).between(*span)]
    return sorted((in_utc(event.start), in_utc(event.end), str(event.get("SUMMARY", ""))) for event in found)


def in_utc(when: date) -> str:
    return when.astimezone(UTC).isoformat() if isinstance(when, datetime) else when.isoformat()


def calendar_of(activity: Activity, kept: dict[str, Any]) -> str:
    """A calendar with nothing but what is kept of the series."""
    spans = [kept, *kept["overrides"]]
    definitions = {span["definition"] for span in spans if "definition" in span}
    lines = ["BEGIN:VCALENDAR", *definitions, *component(activity, kept, activity.title)]
    for override in kept["overrides"]:
        range_ = ";RANGE=THISANDFUTURE" if override.get("this_and_future") else ""
        replaced = line(f"RECURRENCE-ID{range_}", override["recurrence_id"], kept)
        lines += component(activity, override | {"rules": []}, override.get("title", ""), replaced)
    return "\r\n".join([*lines, "END:VCALENDAR", ""])


def component(activity: Activity, span: dict[str, Any], title: str, *more: str) -> Iterator[str]:
    yield "BEGIN:VEVENT"
    yield f"UID:{activity.external_id}"
    yield "SUMMARY:" + icalendar.vText(title).to_ical().decode()
    yield line("DTSTART", span["starts"], span)
    if "duration" in span:
        yield f"DURATION:{span['duration']}"
    elif "ends" in span:
        yield line("DTEND", span["ends"], span)
    yield from (f"RRULE:{rule}" for rule in span["rules"])
    yield from (line("RDATE", extra["starts"], span) for extra in span.get("dates", []))
    yield from (line("EXDATE", excluded, span) for excluded in span.get("excluded_dates", []))
    yield from more
    yield "END:VEVENT"


def line(name: str, text: str, span: dict[str, Any]) -> str:
    """A content line with a day, or with a moment on the clock of the series."""
    value = text[:19].replace("-", "").replace(":", "")
    if "T" not in text:
        return f"{name};VALUE=DATE:{value}"
    defined = re.search("^TZID:(.*)$", span.get("definition", ""), re.MULTILINE)
    return f"{name};TZID={defined[1] if defined else span['zone']}:{value}"

"""Small calendar files for tests of the import, and what is read from them."""

from datetime import UTC, date, datetime
from typing import Any

from db.activities import Activity
from feed.importing.activities import ReadCalendar, read_calendar

BERLIN = """BEGIN:VTIMEZONE
TZID:Europe/Berlin
X-LIC-LOCATION:Europe/Berlin
BEGIN:DAYLIGHT
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
TZNAME:CEST
DTSTART:19700329T020000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
BEGIN:STANDARD
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
TZNAME:CET
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
END:VTIMEZONE"""
OFFICE = """BEGIN:VTIMEZONE
TZID:Customized Time Zone
BEGIN:STANDARD
DTSTART:16010101T020000
TZOFFSETFROM:-0400
TZOFFSETTO:-0500
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=1SU;BYMONTH=11
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:-0500
TZOFFSETTO:-0400
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=2SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE"""
DAY = "DTSTART;VALUE=DATE:20260304"
AT_NINE = "DTSTART;TZID=Europe/Berlin:20260309T093000"
UNTIL_TEN = "DTEND;TZID=Europe/Berlin:20260309T100000"
DAILY = "RRULE:FREQ=DAILY"
MEETING = Activity(
    type="MEETING", status="CONFIRMED", external_id="1", starts_on=date(2026, 3, 4), ends_on=date(2026, 3, 5)
)
TASK = Activity(type="TASK", status="NEEDS_ACTION", external_id="1")
NOTE = Activity(type="NOTE", status="CONFIRMED", external_id="1")


def calendar(*lines: str) -> bytes:
    return "\r\n".join(("BEGIN:VCALENDAR", "VERSION:2.0", *lines, "END:VCALENDAR", "")).replace("\n\r", "\n").encode()


def component(name: str, *lines: str, uid: str = "1") -> str:
    return "\r\n".join((f"BEGIN:{name}", f"UID:{uid}", *lines, f"END:{name}"))


def vevent(*lines: str, uid: str = "1") -> str:
    return component("VEVENT", *lines, uid=uid)


def read(*lines: str) -> ReadCalendar:
    return read_calendar(calendar(*lines), "America/New_York")


def only(*lines: str) -> Activity:
    """The one activity of a file that has nothing to refuse."""
    found = read(*lines)
    assert found.refusals == ()
    (activity,) = found.activities
    return activity


def refusals(*lines: str) -> list[str]:
    """The refusals of a file in which nothing can be taken."""
    found = read(*lines)
    assert found.activities == ()
    return [f"{refusal.line} {refusal.component}: {refusal.reason}" for refusal in found.refusals]


def refusal(*lines: str) -> str:
    """The reason why an event with these lines is refused."""
    (said,) = refusals(vevent(*lines))
    return said.partition(": ")[2]


def series(*lines: str) -> dict[str, Any]:
    activity = only(*lines)
    assert activity.recurrence is not None
    return activity.recurrence


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]  # year to second


def override(*lines: str, replaced: str = ";TZID=Europe/Berlin:20260330T093000") -> str:
    return vevent(f"RECURRENCE-ID{replaced}", *lines)

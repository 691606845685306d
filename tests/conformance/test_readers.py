"""The readers themselves: each reads small calendars rightly, and all agree on the golden files."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conformance.readers import ICAL_JS, READERS, Program, assert_alike
from tests.conformance.reading import Component, OccurrenceRead, Reading

GOLDEN = sorted((Path(__file__).parent.parent / "feed" / "golden").iterdir())
SPRING = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
BERLIN = """\
BEGIN:VTIMEZONE
TZID:Europe/Berlin
BEGIN:STANDARD
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
TZNAME:CET
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19700329T020000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
TZNAME:CEST
END:DAYLIGHT
END:VTIMEZONE
"""


def calendar(body: str, name: str = "Sales") -> bytes:
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//tests//EN\nX-WR-CALNAME:{name}\n{body}END:VCALENDAR\n"
    return text.replace("\n", "\r\n").encode()


def event(uid: str, lines: str, component: str = "VEVENT") -> str:
    return f"BEGIN:{component}\nUID:{uid}\nDTSTAMP:20260301T081500Z\n{lines}\nEND:{component}\n"


SERIES = BERLIN + event(
    "pipeline",
    """\
SEQUENCE:2
DTSTART;TZID=Europe/Berlin:20260309T093000
DTEND;TZID=Europe/Berlin:20260309T100000
RRULE:FREQ=WEEKLY;INTERVAL=1;BYDAY=MO;WKST=MO;UNTIL=20260427T073000Z
EXDATE;TZID=Europe/Berlin:20260406T093000
SUMMARY:Pipeline call""",
)
MOVED = event(
    "pipeline",
    """\
SEQUENCE:2
RECURRENCE-ID;TZID=Europe/Berlin:20260330T093000
DTSTART;TZID=Europe/Berlin:20260331T140000
DTEND;TZID=Europe/Berlin:20260331T143000
SUMMARY:Pipeline call (moved)""",
)
SERIES_READ = Component(
    uid="pipeline",
    sequence=2,
    summary="Pipeline call",
    starts="2026-03-09T08:30:00Z",
    ends="2026-03-09T09:00:00Z",
)
MOVED_READ = Component(
    uid="pipeline",
    sequence=2,
    summary="Pipeline call (moved)",
    starts="2026-03-31T12:00:00Z",
    ends="2026-03-31T12:30:00Z",
    recurrence_id="2026-03-30T07:30:00Z",
)
# What it is called, the calendar, and what it says from 1 March to 1 June 2026.
CALENDARS = [
    (
        "a series of Berlin over the start of summer time, with a day left out, one moved and an end",
        calendar(SERIES + MOVED),
        Reading(
            "Sales",
            (SERIES_READ, MOVED_READ),
            (
                OccurrenceRead("pipeline", "2026-03-09T08:30:00Z", "2026-03-09T09:00:00Z", "Pipeline call"),
                OccurrenceRead("pipeline", "2026-03-16T08:30:00Z", "2026-03-16T09:00:00Z", "Pipeline call"),
                OccurrenceRead("pipeline", "2026-03-23T08:30:00Z", "2026-03-23T09:00:00Z", "Pipeline call"),
                OccurrenceRead("pipeline", "2026-03-31T12:00:00Z", "2026-03-31T12:30:00Z", "Pipeline call (moved)"),
                OccurrenceRead("pipeline", "2026-04-13T07:30:00Z", "2026-04-13T08:00:00Z", "Pipeline call"),
                OccurrenceRead("pipeline", "2026-04-20T07:30:00Z", "2026-04-20T08:00:00Z", "Pipeline call"),
                OccurrenceRead("pipeline", "2026-04-27T07:30:00Z", "2026-04-27T08:00:00Z", "Pipeline call"),
            ),
        ),
    ),
    (
        "a time zone that only its VTIMEZONE knows",
        calendar(
            BERLIN.replace("Europe/Berlin", "Office")
            + event(
                "1",
                "DTSTART;TZID=Office:20260327T090000\nDTEND;TZID=Office:20260327T100000\n"
                "RRULE:FREQ=DAILY;COUNT=4\nEXDATE;TZID=Office:20260328T090000",
            )
        ),
        Reading(
            "Sales",
            (Component(uid="1", starts="2026-03-27T08:00:00Z", ends="2026-03-27T09:00:00Z"),),
            (
                OccurrenceRead("1", "2026-03-27T08:00:00Z", "2026-03-27T09:00:00Z", ""),
                OccurrenceRead("1", "2026-03-29T07:00:00Z", "2026-03-29T08:00:00Z", ""),
                OccurrenceRead("1", "2026-03-30T07:00:00Z", "2026-03-30T08:00:00Z", ""),
            ),
        ),
    ),
    (
        "days: one, one without an end, several, and a series of them",
        calendar(
            event("1", "DTSTART;VALUE=DATE:20260328\nDTEND;VALUE=DATE:20260329")
            + event("2", "DTSTART;VALUE=DATE:20260329")
            + event("3", "DTSTART;VALUE=DATE:20260328\nDTEND;VALUE=DATE:20260331")
            + event(
                "4",
                "DTSTART;VALUE=DATE:20260508\nDTEND;VALUE=DATE:20260509\n"
                "RRULE:FREQ=DAILY;UNTIL=20260511\nEXDATE;VALUE=DATE:20260509",
            )
            + event("4", "RECURRENCE-ID;VALUE=DATE:20260510\nDTSTART;VALUE=DATE:20260520\nDTEND;VALUE=DATE:20260521")
        ),
        Reading(
            "Sales",
            (
                Component(uid="1", starts="2026-03-28", ends="2026-03-29"),
                Component(uid="2", starts="2026-03-29", ends="2026-03-30"),
                Component(uid="3", starts="2026-03-28", ends="2026-03-31"),
                Component(uid="4", starts="2026-05-08", ends="2026-05-09"),
                Component(uid="4", starts="2026-05-20", ends="2026-05-21", recurrence_id="2026-05-10"),
            ),
            (
                OccurrenceRead("1", "2026-03-28", "2026-03-29", ""),
                OccurrenceRead("3", "2026-03-28", "2026-03-31", ""),
                OccurrenceRead("2", "2026-03-29", "2026-03-30", ""),
                OccurrenceRead("4", "2026-05-08", "2026-05-09", ""),
                OccurrenceRead("4", "2026-05-11", "2026-05-12", ""),
                OccurrenceRead("4", "2026-05-20", "2026-05-21", ""),
            ),
        ),
    ),
    (
        "moments with an end, a length, or neither",
        calendar(
            event(
                "1", "DTSTART:20260302T100000Z\nDTEND:20260302T110000Z\nSTATUS:TENTATIVE\nCATEGORIES:Call\nSEQUENCE:7"
            )
            + event(
                "2",
                "DTSTART:20260302T100000Z\nDURATION:PT15M\nCATEGORIES:A,Sales\\, Berlin\nCATEGORIES:Task",
            )
            + event("3", "DTSTART:20260302T100000Z")
        ),
        Reading(
            "Sales",
            (
                Component(
                    uid="1",
                    sequence=7,
                    status="TENTATIVE",
                    categories=("Call",),
                    starts="2026-03-02T10:00:00Z",
                    ends="2026-03-02T11:00:00Z",
                ),
                Component(
                    uid="2",
                    categories=("A", "Sales, Berlin", "Task"),
                    starts="2026-03-02T10:00:00Z",
                    ends="2026-03-02T10:15:00Z",
                ),
                Component(uid="3", starts="2026-03-02T10:00:00Z", ends="2026-03-02T10:00:00Z"),
            ),
            (
                OccurrenceRead("3", "2026-03-02T10:00:00Z", "2026-03-02T10:00:00Z", ""),
                OccurrenceRead("2", "2026-03-02T10:00:00Z", "2026-03-02T10:15:00Z", ""),
                OccurrenceRead("1", "2026-03-02T10:00:00Z", "2026-03-02T11:00:00Z", ""),
            ),
        ),
    ),
    (
        "texts with escapes and folds, also inside an emoji",
        calendar(
            event(
                "1",
                "DTSTART:20260302T100000Z\n"
                "SUMMARY:Contoso\\, Q1\\; 👩‍👩‍👧\n ‍👦 Fam\n ília \n 🏠\n"
                'DESCRIPTION:Bring:\\n- C:\\\\New\\\\new\\N- "plans"\\n\\n\\\\\\, \\\\\\; \\\\\\n ^n\n'
                "LOCATION:Room 4\\, Berlin",
            ),
            name="Sales\\, C:\\\\New\\; 🏠",
        ),
        Reading(
            "Sales, C:\\New; 🏠",
            (
                Component(
                    uid="1",
                    summary="Contoso, Q1; 👩‍👩‍👧‍👦 Família 🏠",
                    description='Bring:\n- C:\\New\\new\n- "plans"\n\n\\, \\; \\\n ^n',
                    location="Room 4, Berlin",
                    starts="2026-03-02T10:00:00Z",
                    ends="2026-03-02T10:00:00Z",
                ),
            ),
            (OccurrenceRead("1", "2026-03-02T10:00:00Z", "2026-03-02T10:00:00Z", "Contoso, Q1; 👩‍👩‍👧‍👦 Família 🏠"),),
        ),
    ),
    (
        "tasks due at a moment, on a day, after a while, or never",
        calendar(
            BERLIN
            + event("1", "DUE;TZID=Europe/Berlin:20260304T170000\nSTATUS:NEEDS-ACTION\nSUMMARY:Send offer", "VTODO")
            + event("2", "DUE;VALUE=DATE:20260304\nSTATUS:COMPLETED\nCATEGORIES:Task", "VTODO")
            + event("3", "DTSTART:20260304T100000Z\nDURATION:PT1H", "VTODO")
            + event("4", "DTSTART;VALUE=DATE:20260304", "VTODO")
            + event("5", "SEQUENCE:1", "VTODO")
        ),
        Reading(
            "Sales",
            (
                Component(
                    uid="1",
                    component="VTODO",
                    summary="Send offer",
                    status="NEEDS-ACTION",
                    starts=None,
                    ends="2026-03-04T16:00:00Z",
                ),
                Component(
                    uid="2", component="VTODO", status="COMPLETED", categories=("Task",), starts=None, ends="2026-03-04"
                ),
                Component(uid="3", component="VTODO", starts="2026-03-04T10:00:00Z", ends="2026-03-04T11:00:00Z"),
                Component(uid="4", component="VTODO", starts="2026-03-04", ends=None),
                Component(uid="5", component="VTODO", sequence=1, starts=None, ends=None),
            ),
            (),
        ),
    ),
    (
        "events at both edges of the window, and one that was moved into it",
        calendar(
            event("1", "DTSTART:20260228T230000Z\nDTEND:20260301T000000Z")
            + event("2", "DTSTART:20260228T230000Z\nDTEND:20260301T000001Z")
            + event("3", "DTSTART:20260531T235959Z\nDTEND:20260601T010000Z")
            + event("4", "DTSTART:20260601T000000Z\nDTEND:20260601T010000Z")
            + event("5", "DTSTART;VALUE=DATE:20260228\nDTEND;VALUE=DATE:20260301")
            + event("6", "DTSTART;VALUE=DATE:20260601\nDTEND;VALUE=DATE:20260602")
            + event("7", "DTSTART;VALUE=DATE:20250401\nDTEND;VALUE=DATE:20250402\nRRULE:FREQ=YEARLY")
            + event("7", "RECURRENCE-ID;VALUE=DATE:20280401\nDTSTART;VALUE=DATE:20260402\nDTEND;VALUE=DATE:20260403")
        ),
        Reading(
            "Sales",
            (
                Component(uid="1", starts="2026-02-28T23:00:00Z", ends="2026-03-01T00:00:00Z"),
                Component(uid="2", starts="2026-02-28T23:00:00Z", ends="2026-03-01T00:00:01Z"),
                Component(uid="3", starts="2026-05-31T23:59:59Z", ends="2026-06-01T01:00:00Z"),
                Component(uid="4", starts="2026-06-01T00:00:00Z", ends="2026-06-01T01:00:00Z"),
                Component(uid="5", starts="2026-02-28", ends="2026-03-01"),
                Component(uid="6", starts="2026-06-01", ends="2026-06-02"),
                Component(uid="7", starts="2025-04-01", ends="2025-04-02"),
                Component(uid="7", starts="2026-04-02", ends="2026-04-03", recurrence_id="2028-04-01"),
            ),
            (
                OccurrenceRead("2", "2026-02-28T23:00:00Z", "2026-03-01T00:00:01Z", ""),
                OccurrenceRead("7", "2026-04-01", "2026-04-02", ""),
                OccurrenceRead("7", "2026-04-02", "2026-04-03", ""),
                OccurrenceRead("3", "2026-05-31T23:59:59Z", "2026-06-01T01:00:00Z", ""),
            ),
        ),
    ),
    ("nothing", calendar(""), Reading("Sales", (), ())),
]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("ics", "expected"), [case[1:] for case in CALENDARS], ids=[case[0] for case in CALENDARS])
def test_reader_reads(reader: str, ics: bytes, expected: Reading) -> None:
    assert READERS[reader](ics, *SPRING) == expected


@pytest.mark.parametrize("reader", READERS)
def test_reader_refuses_what_is_no_calendar_and_reads_on(reader: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        READERS[reader](b"<html><body>Sign in</body></html>\r\n", *SPRING)
    assert READERS[reader](calendar(""), *SPRING) == Reading("Sales", (), ())


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_readers_agree_on_golden_file(path: Path) -> None:
    read = assert_alike(path.read_bytes(), datetime(2026, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC))
    assert {c.uid for c in read.components if c.component == "VEVENT"} == {o.uid for o in read.occurrences}
    assert read.components


def test_disagreement_of_readers_is_found() -> None:
    # A weekly night of 8 hours: when summer time starts, libical keeps its length, the others its end on the clock.
    night = "DTSTART;TZID=Europe/Berlin:20260321T220000\nDTEND;TZID=Europe/Berlin:20260322T060000\n"
    with pytest.raises(AssertionError, match="libical"):
        assert_alike(calendar(BERLIN + event("1", night + "RRULE:FREQ=WEEKLY;COUNT=2")), *SPRING)


def test_reader_that_refuses_is_named() -> None:
    # Home Assistant takes a wrong STATUS for a reason to refuse the whole feed.
    with pytest.raises(ValueError, match=r"(?i)status") as refused:
        assert_alike(calendar(event("1", "DTSTART:20260302T100000Z\nSTATUS:NEEDS-ACTION")), *SPRING)
    assert refused.value.__notes__ == ["The reader is ical."]


def test_program_ends_when_told() -> None:
    program = Program(*ICAL_JS.command)
    program.ask({"ics": calendar("").decode(), "to": "2026-06-01T00:00:00Z"})
    process = program.process
    assert process
    assert process.poll() is None
    program.end()
    assert process.poll() is not None

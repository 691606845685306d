"""Rendering, compared as bytes with the files in golden/, and those read by an independent strict parser."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ical.calendar import Calendar
from ical.calendar_stream import IcsCalendarStream

from db.activities import ActivityRecord, Participant
from feed.document import document, nothing_planned, notice
from feed.render import BUSY, FULL, ascii_url, fragment, person

GOLDEN = Path(__file__).parent / "golden"
ID = UUID("01890000-0000-7000-8000-000000000001")
AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


def activity(kind: str, **said: Any) -> ActivityRecord:
    values: dict[str, Any] = {
        "id": ID,
        "revision": 3,
        "created_at": datetime(2026, 2, 10, 9, tzinfo=UTC),
        "changed_at": datetime(2026, 3, 1, 8, 15, tzinfo=UTC),
        "status": "NEEDS_ACTION" if kind == "TASK" else "CONFIRMED",
        **said,
    }
    return ActivityRecord(type=kind, **values)


MEETING = activity(
    "MEETING",
    title="Contoso, Q1 review",
    description="Quarterly review with Contoso.\r\nBring the plans.",
    location="Room 4, Berlin; C:\\New wing",
    url="https://crm.example.com/m/01J9Z3",
    starts_at=AT,
    ends_at=AT + HOUR,
    priority="HIGH",
    participants=(
        Participant("Ana Pérez", "ana@contoso.example", "ACCEPTED"),
        Participant("Jörg Groß", None, None),
        Participant(None, "pat@example.net", "DECLINED"),
    ),
)
FRAGMENTS = {
    "meeting": fragment(MEETING, FULL),
    "meeting-tentative": fragment(
        activity("MEETING", title="Photo session", starts_at=AT, ends_at=AT + HOUR, status="TENTATIVE"), FULL
    ),
    "meeting-without-length": fragment(activity("MEETING", title="Start", starts_at=AT, ends_at=AT), FULL),
    "meeting-of-a-blink": fragment(
        activity("MEETING", title="Blink", starts_at=AT, ends_at=AT + timedelta(milliseconds=900)), FULL
    ),
    "meeting-all-day": fragment(
        activity("MEETING", title="Trade fair", starts_on=date(2026, 2, 28), ends_on=date(2026, 3, 3)), FULL
    ),
    "meeting-private": fragment(MEETING, BUSY),
    "meeting-without-words": fragment(activity("MEETING", starts_at=AT, ends_at=AT + HOUR), FULL),
    "call": fragment(activity("CALL", title="Ana Pérez", starts_at=AT), FULL),
    "task-of-a-day": fragment(activity("TASK", title="Send offer", due_on=date(2028, 2, 29), priority="NORMAL"), FULL),
    "task-of-a-moment": fragment(activity("TASK", title="File report", due_at=AT, priority="LOW"), FULL),
    "task-completed": fragment(activity("TASK", title="Send offer", due_on=date(2026, 3, 4), status="COMPLETED"), FULL),
    "task-with-a-start-only": fragment(activity("TASK", title="Prepare", starts_at=AT, ends_at=AT + HOUR), FULL),
    "emoji-at-the-fold": fragment(
        activity("MEETING", title="x" * 66 + "👩‍👩‍👧‍👦 Família 🏠", starts_at=AT, ends_at=AT + HOUR), FULL
    ),
}
FILES = {f"{name}.ics": document("Sales team", "Europe/Berlin", "#4682B4", [f]) for name, f in FRAGMENTS.items()}
FILES["nothing-planned.ics"] = document("All my calendars", "UTC", None, [nothing_planned(ID, AT)])
FILES["notice.ics"] = notice(ID, AT)


def read(octets: bytes) -> Calendar:
    return IcsCalendarStream.calendar_from_ics(octets.decode())


def test_golden_files_are_all_compared() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_bytes_are_those_of_the_golden_file(name: str) -> None:
    assert FILES[name] == (GOLDEN / name).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_strict_parser_reads_one_event_of_some_length(name: str) -> None:
    (event,) = read(FILES[name]).events
    assert event.end > event.start


def test_strict_parser_reads_what_the_activity_says() -> None:
    (event,) = read(FILES["meeting.ics"]).events
    assert (event.uid, event.sequence, event.summary) == (str(ID), 3, "Contoso, Q1 review")
    assert (event.start, event.end) == (AT, AT + HOUR)
    assert event.location == "Room 4, Berlin; C:\\New wing"
    assert event.description == (
        "Quarterly review with Contoso.\nBring the plans.\n"
        "Participants: Ana Pérez (ana@contoso.example), Jörg Groß, pat@example.net\n"
        "Open in CRM: https://crm.example.com/m/01J9Z3"
    )


def test_private_meeting_tells_nothing_but_when() -> None:
    octets = FRAGMENTS["meeting-private"]
    for said in (b"Contoso", b"Ana", b"Room", b"crm.example.com", b"PRIORITY", b"CATEGORIES"):
        assert said not in octets
    assert b"SUMMARY:Busy\r\n" in octets


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://crm.example.com/a?b=c#d", "https://crm.example.com/a?b=c#d"),
        ("https://exämple.de/ü ö", "https://xn--exmple-cua.de/%C3%BC%20%C3%B6"),
        ("https://crm.example.com/a\r\nX-EVIL:1", "https://crm.example.com/aX-EVIL:1"),
        ("http://[bad", None),
        ("https://[fe80::1%25é]/", None),
        ("http://a b.com/", None),
        ("https://xn--a.example/", None),
        ("https://anna:hunter2@crm.example.com/a", "https://crm.example.com/a"),
        ("https://", None),
        ("javascript:alert(1)", None),
        ("crm.example.com/a", None),
        ("", None),
        (None, None),
    ],
)
def test_url_is_ascii_or_left_out(url: str | None, expected: str | None) -> None:
    assert ascii_url(url) == expected


def test_person_is_written_without_angle_brackets() -> None:
    assert person(Participant("Ana", "ana@example.com")) == "Ana (ana@example.com)"
    assert person(Participant("Ana", None)) == "Ana"
    assert person(Participant(None, "ana@example.com")) == "ana@example.com"


texts = st.none() | st.text(st.characters(codec="utf-8"), max_size=200)
moments = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # bounds
activities = st.builds(
    lambda kind, title, starts_at, length, **said: activity(
        kind, title=title or "", starts_at=starts_at, ends_at=starts_at + length, **said
    ),
    st.sampled_from(["MEETING", "CALL", "TASK"]),
    texts,
    moments,
    st.timedeltas(timedelta(0), timedelta(days=3)),
    description=texts,
    location=texts,
    url=texts,
    priority=st.none() | st.sampled_from(["HIGH", "NORMAL", "LOW"]),
    participants=st.lists(st.builds(Participant, texts, texts)).map(tuple),
)


@given(activities)
def test_any_activity_is_one_event_of_a_strict_parser(made: ActivityRecord) -> None:
    assert made.starts_at
    (event,) = read(document("Feed", "UTC", None, [fragment(made, FULL)])).events
    assert event.start == made.starts_at.replace(microsecond=0)
    assert event.end > event.start

"""Rendering, compared as bytes with the files in golden/, and those read by an independent strict parser."""

from dataclasses import replace
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
from feed.document import Head, Stamp, document, nothing_planned, notice, pause_notice, stamp_lines, with_lines
from feed.options import FeedOptions
from feed.render import fragment
from feed.style import Shown, Style
from feed.window import Window, zone_of
from feed.wording import ascii_url, person
from feed.words import words

GOLDEN = Path(__file__).parent / "golden"
ID = UUID("01890000-0000-7000-8000-000000000001")
AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FAIR = date(2026, 2, 28)
SHOWN = Shown()
NOTHING_ELSE: dict[str, Any] = {"exclusion_rules": [], "dates": [], "excluded_dates": [], "overrides": []}
# Weekly in Berlin across the change to summer time, without Easter Monday, and once moved to a Tuesday.
WEEKLY_RULE: dict[str, Any] = {
    **NOTHING_ELSE,
    "zone": "Europe/Berlin",
    "starts": "2026-03-02T11:00:00+01:00",
    "ends": "2026-03-02T12:00:00+01:00",
    "rules": ["FREQ=WEEKLY;BYDAY=MO;UNTIL=20260427T090000Z"],
    "excluded_dates": ["2026-04-06T11:00:00+02:00"],
    "overrides": [
        {
            "recurrence_id": "2026-03-30T11:00:00+02:00",
            "zone": "Europe/Berlin",
            "starts": "2026-03-31T14:00:00+02:00",
            "ends": "2026-03-31T15:00:00+02:00",
            "status": "CONFIRMED",
            "title": "Weekly pipeline (moved)",
        }
    ],
}
CANCELLED = {
    "recurrence_id": "2026-03-30T11:00:00+02:00",
    "zone": "Europe/Berlin",
    "starts": "2026-03-30T11:00:00+02:00",
    "ends": "2026-03-30T12:00:00+02:00",
    "status": "CANCELLED",
}
MONTHS_END: dict[str, Any] = {
    **NOTHING_ELSE,
    "zone": None,
    "starts": "2026-01-31",
    "ends": "2026-02-01",
    "rules": ["FREQ=MONTHLY;BYMONTHDAY=31"],
}
DEADLINES: dict[str, Any] = {
    **NOTHING_ELSE,
    "zone": "Europe/Berlin",
    "ends": "2026-03-02T11:00:00+01:00",
    "rules": ["FREQ=DAILY;INTERVAL=5"],
}


def series_of_days(rule: str) -> dict[str, Any]:
    return {**NOTHING_ELSE, "zone": None, "starts": "2026-02-28", "ends": "2026-03-01", "rules": [rule]}


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


def style(locale: str = "en", **options: Any) -> Style:
    chosen = FeedOptions(**options)
    window = Window.around(AT, zone_of("Europe/Berlin"), chosen.days_back, chosen.days_ahead)
    return Style(chosen, words(locale), window)


def rendered(made: ActivityRecord, shown: Shown = SHOWN, locale: str = "en", **options: Any) -> bytes:
    """The activity as a feed with these options holds it."""
    return with_lines(
        fragment(made, style(locale, **options), shown), stamp_lines(Stamp(made.revision, made.changed_at))
    )


def feed(*components: bytes, **said: Any) -> bytes:
    head = Head(**{"name": "Sales team", "description": "Read-only.", "time_zone": "Europe/Berlin", **said})
    return document(head, style().window.years, components)


def at(title: str, **said: Any) -> ActivityRecord:
    """A meeting of an hour."""
    return activity("MEETING", title=title, starts_at=AT, ends_at=AT + HOUR, **said)


OFFER = activity("TASK", title="Send offer", due_on=date(2026, 3, 4), priority="NORMAL")
REPORT = activity("TASK", title="File report", due_at=AT, priority="LOW")
WEEKLY = activity("MEETING", title="Weekly pipeline", starts_at=AT, ends_at=AT + HOUR, recurrence=WEEKLY_RULE)
FRAGMENTS = {
    "meeting": rendered(MEETING),
    "meeting-with-attendees": rendered(MEETING, participants="ATTENDEE"),
    "meeting-zoned": rendered(MEETING, time_style="ZONED"),
    "meeting-with-a-reminder": rendered(MEETING, reminder_minutes=15),
    "meeting-in-german": rendered(MEETING, locale="de"),
    "meeting-tentative": rendered(at("Photo session", status="TENTATIVE")),
    "meeting-cancelled": rendered(at("Lunch with the bank", status="CANCELLED"), cancelled="MARK"),
    "meeting-of-a-team": rendered(
        at("Viewing"),
        Shown(calendars=("Anna", "Sales, team"), color="#B22223", owner="Anna Müller"),
        title_with="OWNER",
    ),
    "meeting-of-a-calendar": rendered(at("Viewing"), Shown(calendars=("Sales, team",)), title_with="CALENDAR"),
    "meeting-without-length": rendered(activity("MEETING", title="Start", starts_at=AT, ends_at=AT)),
    "meeting-of-a-blink": rendered(
        activity("MEETING", title="Blink", starts_at=AT, ends_at=AT + timedelta(milliseconds=900))
    ),
    "meeting-all-day": rendered(activity("MEETING", title="Trade fair", starts_on=FAIR, ends_on=FAIR + 3 * DAY)),
    "meeting-private": rendered(MEETING, Shown(busy=True)),
    "meeting-private-in-french": rendered(MEETING, Shown(busy=True), "fr"),
    "meeting-without-words": rendered(at("")),
    "call": rendered(activity("CALL", title="Ana Pérez", starts_at=AT)),
    "call-in-spanish": rendered(activity("CALL", title="Ana Pérez", starts_at=AT), locale="es"),
    "task-of-a-day": rendered(OFFER),
    "task-of-a-moment": rendered(REPORT),
    "task-completed": rendered(replace(OFFER, status="COMPLETED")),
    "task-overdue": rendered(OFFER, Shown(overdue=True)),
    "task-with-a-start-only": rendered(activity("TASK", title="Prepare", starts_at=AT, ends_at=AT + HOUR)),
    "todo-of-a-day": rendered(OFFER, tasks_as="TODO"),
    "todo-of-a-moment": rendered(REPORT, tasks_as="TODO", reminder_minutes=30),
    "todo-completed": rendered(replace(REPORT, status="COMPLETED"), tasks_as="TODO"),
    "todo-with-a-start-only": rendered(
        activity("TASK", title="Prepare", starts_at=AT, ends_at=AT + HOUR, status="IN_PROCESS"), tasks_as="TODO"
    ),
    "emoji-at-the-fold": rendered(at("x" * 66 + "👩‍👩‍👧‍👦 Família 🏠")),
    "series": rendered(WEEKLY),
    "series-with-a-cancelled-occurrence": rendered(
        replace(WEEKLY, recurrence=WEEKLY_RULE | {"overrides": [CANCELLED]}), cancelled="MARK"
    ),
    "series-of-days": rendered(
        activity("MEETING", title="Stand-in", starts_on=FAIR, recurrence=series_of_days("FREQ=WEEKLY;COUNT=3"))
    ),
    "series-of-somebody-else": rendered(WEEKLY, Shown(busy=True)),
    "series-expanded": rendered(
        activity("MEETING", title="Month's end", starts_on=date(2026, 1, 31), recurrence=MONTHS_END), days_ahead=95
    ),
    "series-of-tasks": rendered(
        activity("TASK", title="Call Ana", due_at=AT, recurrence=DEADLINES), days_ahead=10, tasks_as="TODO"
    ),
}
HEADS: dict[str, dict[str, Any]] = {
    "meeting-with-attendees": {"publishes": False},
    "meeting-of-a-calendar": {"name": "All; my, calendars", "color": "#FF8C00", "refresh": timedelta(minutes=15)},
}
FILES = {f"{name}.ics": feed(ics, **HEADS.get(name, {})) for name, ics in FRAGMENTS.items()}
FILES["nothing-planned.ics"] = feed(nothing_planned(ID, AT.date(), AT, words("nl")))
FILES["notice.ics"] = notice(ID, AT, words("en"), "https://crm.example.com/feeds")
FILES["notice-in-german.ics"] = notice(ID, AT, words("de-CH"), None)
FILES["notice-of-a-pause.ics"] = pause_notice(ID, AT, words("en"), "https://crm.example.com/feeds")


def read(octets: bytes) -> Calendar:
    return IcsCalendarStream.calendar_from_ics(octets.decode())


def test_golden_files_are_all_compared() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_bytes_are_those_of_the_golden_file(name: str) -> None:
    assert FILES[name] == (GOLDEN / name).read_bytes()


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
    (event,) = read(feed(rendered(made))).events
    assert event.start == made.starts_at.replace(microsecond=0)
    assert event.end > event.start


def test_cancelled_occurrence_that_is_somebody_elses_private_one_is_left_out() -> None:
    """It keeps nobody busy, and whose feed it is has nothing to be told of it."""
    made = replace(WEEKLY, recurrence=WEEKLY_RULE | {"overrides": [CANCELLED | {"private": True}]})
    others, own = (rendered(made, shown, cancelled="MARK") for shown in (SHOWN, Shown(own=True)))
    assert (others.count(b"BEGIN:VEVENT"), own.count(b"BEGIN:VEVENT")) == (1, 2)
    assert b"EXDATE;TZID=Europe/Berlin:20260330T110000\r\n" in others
    assert b"STATUS:CANCELLED" not in others

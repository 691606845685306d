"""What the readers find in the golden files is what their activities say, written down by hand."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conformance.readers import assert_alike
from tests.conformance.test_readers import GOLDEN

TEN, ELEVEN = "2026-03-02T10:00:00Z", "2026-03-02T11:00:00Z"
QUARTER_PAST = "2026-03-02T10:15:00Z"
SECOND, THIRD, FOURTH, FIFTH = (f"2026-03-0{day}" for day in (2, 3, 4, 5))
REVIEW, OFFER, REPORT = "Contoso, Q1 review", "Send offer", "File report"
FREE, BUSY = "NEEDS-ACTION", "CONFIRMED"
MONDAYS = (
    *("2026-03-02T10:00:00Z", "2026-03-09T10:00:00Z", "2026-03-16T10:00:00Z", "2026-03-23T10:00:00Z"),
    *("2026-04-13T09:00:00Z", "2026-04-20T09:00:00Z", "2026-04-27T09:00:00Z"),  # not Easter Monday
)
# Title, status, start and end of each component.
COMPONENTS: dict[str, list[tuple[str, str, str | None, str | None]]] = {
    "call": [("Call: Ana Pérez", BUSY, TEN, QUARTER_PAST)],
    "call-in-spanish": [("Llamada: Ana Pérez", BUSY, TEN, QUARTER_PAST)],
    "emoji-at-the-fold": [("x" * 66 + "👩‍👩‍👧‍👦 Família 🏠", BUSY, TEN, ELEVEN)],
    "meeting": [(REVIEW, BUSY, TEN, ELEVEN)],
    "meeting-all-day": [("Trade fair", BUSY, "2026-02-28", THIRD)],
    "meeting-cancelled": [("Cancelled: Lunch with the bank", "CANCELLED", TEN, ELEVEN)],
    "meeting-in-german": [(REVIEW, BUSY, TEN, ELEVEN)],
    "meeting-of-a-blink": [("Blink", BUSY, TEN, QUARTER_PAST)],
    "meeting-of-a-calendar": [("Sales, team: Viewing", BUSY, TEN, ELEVEN)],
    "meeting-of-a-team": [("Anna Müller: Viewing", BUSY, TEN, ELEVEN)],
    "meeting-private": [("Busy", BUSY, TEN, ELEVEN)],
    "meeting-private-in-french": [("Occupé", BUSY, TEN, ELEVEN)],
    "meeting-tentative": [("Photo session", "TENTATIVE", TEN, ELEVEN)],
    "meeting-with-a-reminder": [(REVIEW, BUSY, TEN, ELEVEN)],
    "meeting-with-attendees": [(REVIEW, BUSY, TEN, ELEVEN)],
    "meeting-without-length": [("Start", BUSY, TEN, QUARTER_PAST)],
    "meeting-without-words": [("Meeting", BUSY, TEN, ELEVEN)],
    "meeting-zoned": [(REVIEW, BUSY, TEN, ELEVEN)],
    "nothing-planned": [("Niets gepland", BUSY, SECOND, THIRD)],
    "notice": [("This calendar link no longer works: subscribe again", BUSY, SECOND, THIRD)],
    "notice-of-a-pause": [("This calendar link is paused", BUSY, SECOND, THIRD)],
    "notice-in-german": [
        ("Dieser Kalenderlink funktioniert nicht mehr: Bitte neu abonnieren", BUSY, SECOND, THIRD),
    ],
    "series": [
        ("Weekly pipeline", BUSY, TEN, ELEVEN),
        ("Weekly pipeline (moved)", BUSY, "2026-03-31T12:00:00Z", "2026-03-31T13:00:00Z"),
    ],
    "series-with-a-cancelled-occurrence": [
        ("Weekly pipeline", BUSY, TEN, ELEVEN),
        ("Cancelled: Weekly pipeline", "CANCELLED", "2026-03-30T09:00:00Z", "2026-03-30T10:00:00Z"),
    ],
    "series-expanded": [
        ("Month's end", BUSY, "2026-01-31", "2026-02-01"),
        ("Month's end", BUSY, "2026-03-31", "2026-04-01"),
        ("Month's end", BUSY, "2026-05-31", "2026-06-01"),
    ],
    "series-of-days": [("Stand-in", BUSY, "2026-02-28", "2026-03-01")],
    "series-of-somebody-else": [
        ("Busy", BUSY, TEN, ELEVEN),
        ("Busy", BUSY, "2026-03-31T12:00:00Z", "2026-03-31T13:00:00Z"),
    ],
    "series-of-tasks": [
        ("Call Ana", FREE, None, TEN),
        ("Call Ana", FREE, None, "2026-03-07T10:00:00Z"),
        ("Call Ana", FREE, None, "2026-03-12T10:00:00Z"),
    ],
    "task-completed": [("☑ Send offer", BUSY, FOURTH, FIFTH)],
    "task-of-a-day": [("☐ Send offer", BUSY, FOURTH, FIFTH)],
    "task-of-a-moment": [("☐ File report", BUSY, TEN, QUARTER_PAST)],
    "task-overdue": [("! Send offer", BUSY, FOURTH, FIFTH)],
    "task-with-a-start-only": [("☐ Prepare", BUSY, TEN, ELEVEN)],
    "todo-completed": [(REPORT, "COMPLETED", None, TEN)],
    "todo-of-a-day": [(OFFER, FREE, None, FOURTH)],
    "todo-of-a-moment": [(REPORT, FREE, None, TEN)],
    "todo-with-a-start-only": [("Prepare", "IN-PROCESS", TEN, ELEVEN)],
}
# Start and title of each occurrence, where a rule gives them.
RULED = {
    "series": [
        *((monday, "Weekly pipeline") for monday in MONDAYS),
        ("2026-03-31T12:00:00Z", "Weekly pipeline (moved)"),
    ],
    "series-with-a-cancelled-occurrence": [
        *((start, "Weekly pipeline") for start in MONDAYS),
        ("2026-03-30T09:00:00Z", "Cancelled: Weekly pipeline"),
    ],
    "series-of-somebody-else": [(start, "Busy") for start in (*MONDAYS, "2026-03-31T12:00:00Z")],
    "series-of-days": [(day, "Stand-in") for day in ("2026-02-28", "2026-03-07", "2026-03-14")],
}
IN_BERLIN = {
    "meeting-zoned",
    "series",
    "series-of-somebody-else",
    "series-with-a-cancelled-occurrence",
}  # the others are days, or in UTC
TODOS = {"series-of-tasks", "todo-completed", "todo-of-a-day", "todo-of-a-moment", "todo-with-a-start-only"}
TIME = re.compile(rb"^(?:DTSTART|DTEND|DUE|RECURRENCE-ID|EXDATE)(?:;TZID=([^:\r]+))?:\d{8}T\d{6}Z?\r$", re.MULTILINE)
VTIMEZONE = re.compile(rb"BEGIN:VTIMEZONE\r\n.*END:VTIMEZONE\r\n", re.DOTALL)


def test_golden_files_are_all_written_down() -> None:
    assert set(COMPONENTS) == {path.stem for path in GOLDEN}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_file_says_what_its_activity_says(path: Path) -> None:
    name, ics = path.stem, path.read_bytes()
    read = assert_alike(ics, datetime(2026, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC))
    assert sorted((c.summary, c.status, c.starts, c.ends) for c in read.components) == sorted(COMPONENTS[name])
    assert {c.component for c in read.components} == {"VTODO" if name in TODOS else "VEVENT"}
    expected = [] if name in TODOS else [(starts, title) for title, _, starts, _ in COMPONENTS[name]]
    assert sorted((o.starts, o.summary) for o in read.occurrences) == sorted(RULED.get(name, expected))
    zones = set(TIME.findall(VTIMEZONE.sub(b"", ics)))
    assert zones <= ({b"Europe/Berlin"} if name in IN_BERLIN else {b""})

"""Independent iCalendar parsers of different languages, which read a feed and say what is in it."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import icalendar
import recurring_ical_events
from ical.calendar_stream import IcsCalendarStream
from ical.component import ComponentModel
from ical.event import Event
from ical.exceptions import CalendarParseError
from ical.todo import Todo
from ical.types.recur import RecurrenceId

from tests.conformance import libical
from tests.conformance.reading import Component, OccurrenceRead, Reading, moment, moment_or_none, reading, unescaped

MARGIN = timedelta(days=2)  # asked for before and after the window, which `reading` then cuts for all readers alike


def read_with_icalendar(ics: bytes, starts: datetime, ends: datetime) -> Reading:
    """icalendar and recurring-ical-events: those of khal and Open Web Calendar."""
    calendar = icalendar.Calendar.from_ical(ics)
    return reading(
        unescaped(str(calendar.get("X-WR-CALNAME", ""))),
        [_of_icalendar(read) for read in calendar.walk() if isinstance(read, icalendar.Event | icalendar.Todo)],
        [
            OccurrenceRead(str(event["UID"]), moment(event.start), moment(event.end), str(event.get("SUMMARY", "")))
            for event in recurring_ical_events.of(calendar).between(starts - MARGIN, ends + MARGIN)
        ],
        starts,
        ends,
    )


def _of_icalendar(read: icalendar.Event | icalendar.Todo) -> Component:
    start = read.DTSTART
    end = read.end if isinstance(read, icalendar.Event) else read.DUE or _later(start, read.DURATION)
    return Component(
        uid=str(read["UID"]),
        component=str(read.name),
        sequence=int(read.get("SEQUENCE", 0)),
        summary=str(read.get("SUMMARY", "")),
        description=str(read.get("DESCRIPTION", "")),
        location=str(read.get("LOCATION", "")),
        status=str(read.get("STATUS", "")),
        categories=tuple(map(str, read.categories)),
        starts=moment_or_none(start),
        ends=moment_or_none(end),
        recurrence_id=moment_or_none(read.decoded("RECURRENCE-ID", None)),
    )


def read_with_ical(ics: bytes, starts: datetime, ends: datetime) -> Reading:
    """ical, which is Home Assistant's and the strictest."""
    try:
        calendar = IcsCalendarStream.calendar_from_ics(ics.decode())
    except CalendarParseError as error:
        raise ValueError(error.detailed_error) from error
    return reading(
        unescaped("".join(extra.value for extra in calendar.extras if extra.name == "x-wr-calname")),
        [_of_ical(read) for read in (*calendar.events, *calendar.todos)],
        [
            OccurrenceRead(event.uid, moment(event.start), moment(event.end), event.summary or "")
            for event in calendar.timeline_tz(UTC).overlapping(starts - MARGIN, ends + MARGIN)
        ],
        starts,
        ends,
    )


def _of_ical(read: ComponentModel) -> Component:
    assert isinstance(read, Event | Todo)
    start = read.dtstart
    # Todo.end would end a VTODO that says no end like an event.
    end = read.end if isinstance(read, Event) else read.due or _later(start, read.duration)
    return Component(
        uid=read.uid,
        component=f"V{type(read).__name__.upper()}",
        sequence=read.sequence or 0,
        summary=read.summary or "",
        description=read.description or "",
        location=read.location or "",
        status=read.status or "",
        categories=_categories(read.categories),
        starts=moment_or_none(start),
        ends=moment_or_none(end),
        recurrence_id=read.recurrence_id and _recurrence_id(read.recurrence_id),
    )


def _categories(pieces: list[str]) -> tuple[str, ...]:
    """ical takes escaped commas for separators too, and leaves their backslashes where it cut."""
    joined = re.split(r"(?<!\\),", ",".join(pieces))
    return tuple(category.replace("\\,", ",") for category in joined) if pieces else ()


def _recurrence_id(said: RecurrenceId) -> str:
    value = RecurrenceId.to_value(said)  # without its time zone, which stands beside it
    return moment(value.replace(tzinfo=said.tzinfo) if isinstance(value, datetime) and said.tzinfo else value)


def _later(start: date | None, duration: timedelta | None) -> date | None:
    return start + duration if start is not None and duration is not None else None


class Program:
    """Answers lines of JSON with lines of JSON, from the first question until `end`, or the end of its input."""

    def __init__(self, *command: str) -> None:
        self.command = command
        self.process: Popen[bytes] | None = None

    def ask(self, question: dict[str, str]) -> dict[str, Any]:
        self.process = self.process or Popen(self.command, stdin=PIPE, stdout=PIPE)
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(question).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.command} ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def end(self) -> None:
        if self.process:
            with self.process:  # which waits, and closes its pipes
                self.process.kill()
            self.process = None


ICAL_JS = Program("node", str(Path(__file__).with_name("icaljs.mjs")))


def read_with_ical_js(ics: bytes, starts: datetime, ends: datetime) -> Reading:
    """ical.js, which is Thunderbird's."""
    answer = ICAL_JS.ask({"ics": ics.decode(), "to": moment(ends)})
    return reading(
        unescaped(answer["name"]),
        [Component(**{**read, "categories": tuple(read["categories"])}) for read in answer["components"]],
        [OccurrenceRead(**occurrence) for occurrence in answer["occurrences"]],
        starts,
        ends,
    )


# Each raises ValueError for what it takes for no calendar.
READERS: dict[str, Callable[[bytes, datetime, datetime], Reading]] = {
    "icalendar": read_with_icalendar,
    "ical": read_with_ical,
    "ical.js": read_with_ical_js,
    "libical": libical.read,
}


def assert_alike(ics: bytes, starts: datetime, ends: datetime) -> Reading:
    """What every reader says of the feed, and of its events' occurrences in [starts, ends)."""
    readings = {name: _read(name, ics, starts, ends) for name in READERS}
    expected = readings["icalendar"]
    assert readings == dict.fromkeys(READERS, expected)
    return expected


def _read(name: str, ics: bytes, starts: datetime, ends: datetime) -> Reading:
    try:
        return READERS[name](ics, starts, ends)
    except Exception as error:
        error.add_note(f"The reader is {name}.")
        raise

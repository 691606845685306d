"""Every calendar of a corpus, imported and shown as a feed: the readers find in it what icalendar finds in the file.

The corpus lies beside the project for developers and is not part of it: where it is missing, these tests are skipped.
"""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from uuid import UUID

import recurring_ical_events

from db.activities import Activity, ActivityRecord
from feed.options import DEFAULTS
from feed.style import Style
from feed.window import Window, zone_of
from feed.words import words
from tests.conformance.feeds import AT, QUARTER, as_read, assert_lines, event_times, rendered, shortened
from tests.conformance.madeseries import Found, within
from tests.conformance.readers import assert_alike
from tests.conformance.reading import moment
from tests.feed.importing import test_corpus as corpus
from tests.feed.recurring.test_series import LESS, MORE

pytestmark = corpus.pytestmark
MOST = 300
BOXES = {"NEEDS_ACTION": "☐ ", "COMPLETED": "☑ "}
REACH, LATER = timedelta(days=300), timedelta(days=1_000)


@cache
def records(name: str) -> list[ActivityRecord]:
    """What a feed can show of the file; of a very long one, some of all its parts."""
    found = [one for one in corpus.read(name).activities if one.type != "NOTE" and begins(one)]
    return [record(number, one) for number, one in enumerate(found[:: len(found) // MOST + 1], 1)]


def record(number: int, one: Activity) -> ActivityRecord:
    values = {name: getattr(one, name) for name in one.__slots__}
    return ActivityRecord(**values, id=UUID(int=number), revision=0, created_at=AT, changed_at=AT)


def begins(one: Activity) -> date | None:
    return one.due_at or one.due_on or one.starts_at or one.starts_on


def windows(name: str) -> list[Window]:
    """Around the middle of the file's activities, and some years later, when only series go on."""
    days = sorted(day_of(first) for one in records(name) if (first := begins(one)))
    middles = [days[len(days) // 2], days[-1] + LATER] if days else []
    return [Window(day, day - REACH, day + REACH, zone_of("UTC")) for day in middles]


def day_of(when: date) -> date:
    return when.astimezone(UTC).date() if isinstance(when, datetime) else when


def is_shown(one: ActivityRecord, window: Window) -> bool:
    return one.recurrence is not None or window.shows(*event_times(one))


def one_offs(name: str, shown: list[ActivityRecord]) -> Iterator[Found]:
    """Those of the file that icalendar reads as well, by the times that it reads."""
    expected = list(corpus.expected_one_offs(name))
    for one in shown:
        if one.recurrence is None:
            assert corpus.imported(one) in expected
            starts, ends = event_times(one)
            yield moment(starts), moment(ends), as_read(BOXES.get(one.status, "") + titled(one.title))


def titled(title: str) -> str:
    """What has no title is shown as what it is; the corpus has no such task."""
    return shortened(title, 1_000) if title.strip() else "Meeting"


def repeated(name: str, shown: list[ActivityRecord], window: Window) -> Iterator[Found]:
    """The occurrences that recurring-ical-events finds in the file of its series, each once."""
    uids = {one.external_id for one in shown if one.recurrence is not None}
    found = set()
    for calendar in corpus.parsed(name) if uids else ():
        for event in recurring_ical_events.of(calendar).between(window.starts_at, window.ends_at):
            if event.get("UID") in uids:
                ends = event.end if event.end > event.start else event.start + QUARTER
                title = as_read(titled(str(event.get("SUMMARY", ""))))
                found.add((str(event["UID"]), (moment(event.start), moment(ends), title)))
    yield from (occurrence for _, occurrence in found if occurrence not in said_of(LESS, name))
    yield from said_of(MORE, name)


def said_of(differences: Mapping[str, Collection[Found]], name: str) -> set[Found]:
    """Where the judge is wrong about the file."""
    return {(in_utc(starts), in_utc(ends), title) for starts, ends, title in differences.get(name, ())}


def in_utc(text: str) -> str:
    return text.replace("+00:00", "Z")


@corpus.each_file
def test_readers_find_in_the_feed_of_a_file_what_the_file_says(name: str) -> None:
    for window in windows(name):
        shown = [one for one in records(name) if is_shown(one, window)]
        ics = rendered(shown, Style(DEFAULTS, words("en"), window))
        assert_lines(ics)
        read = assert_alike(ics, window.starts_at, window.ends_at)
        expected = [*one_offs(name, shown), *repeated(name, shown, window)]
        found = [(one.starts, one.ends, one.summary) for one in read.occurrences]
        assert sorted(found) == sorted(within(expected, window.starts_at, window.ends_at))

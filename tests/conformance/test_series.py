"""The occurrences that the readers find in the feed of a series are those that it has."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from feed.options import FeedOptions
from feed.style import Style
from feed.window import Window
from feed.words import words
from tests.conformance.feeds import activity, assert_lines, rendered
from tests.conformance.madeseries import TITLE, Kept, judged, series, windows, within
from tests.conformance.readers import assert_alike


def edges(kept: Kept, window: Window) -> tuple[datetime, datetime]:
    """Days are the same everywhere: readers take them for days of UTC."""
    if kept["zone"]:
        return window.starts_at, window.ends_at
    first, end = (datetime.combine(day, time(), UTC) for day in (window.first, window.end))
    return first, end


def feed(kept: Kept, window: Window, kind: str = "MEETING", **options: Any) -> bytes:
    made = activity(kind, title=TITLE, recurrence=kept)
    return rendered([made], Style(FeedOptions(**options), words("en"), window))


def kept(zone: str, starts: str, ends: str, duration: str, rule: str) -> Kept:
    nothing: Kept = {"exclusion_rules": [], "dates": [], "excluded_dates": [], "overrides": []}
    return {**nothing, "zone": zone, "starts": starts, "ends": ends, "duration": duration, "rules": [rule]}


def spring(zone: str) -> Window:
    return Window(date(2026, 3, 7), date(2026, 3, 7), date(2026, 4, 7), ZoneInfo(zone))


# Two days by the clock, which are 47 hours in the week of the change: libical gives them 48.
TWO_DAYS = kept("Europe/Berlin", "2026-03-13T22:00:00+01:00", "2026-03-15T22:00:00+01:00", "P2D", "FREQ=WEEKLY")
# An hour in which the clock goes on by two: ical.js ends it at the skipped time.
IN_THE_CHANGE = kept(
    "America/New_York", "2026-03-08T01:00:00-05:00", "2026-03-08T03:00:00-04:00", "PT1H", "FREQ=YEARLY"
)


@example(TWO_DAYS, spring("Europe/Berlin"), "UTC")
@example(IN_THE_CHANGE, spring("America/New_York"), "UTC")
@given(series(), windows(), st.sampled_from(["UTC", "ZONED"]))
def test_readers_find_the_occurrences_of_a_series(kept: Kept, window: Window, time_style: str) -> None:
    ics = feed(kept, window, time_style=time_style)
    assert_lines(ics)
    first, end = edges(kept, window)
    read = assert_alike(ics, first, end)
    expected = sorted(within(judged(kept, first, end), first, end))
    assert sorted((one.starts, one.ends, one.summary) for one in read.occurrences) == expected
    assert bool(read.components) == bool(expected)
    names = Counter((one.uid, one.recurrence_id) for one in read.components)
    assert set(names.values()) <= {1}


@given(series(), windows())
def test_readers_find_the_deadlines_of_a_series_of_tasks(kept: Kept, window: Window) -> None:
    """Each to-do is due when an occurrence ends; one that lasts beyond the window is in it as well."""
    ics = feed(kept, window, "TASK", tasks_as="TODO")
    assert_lines(ics)
    first, end = edges(kept, window)
    read = assert_alike(ics, first, end)
    expected = within(judged(kept, first, end, shortest=timedelta(0)), first, end)
    assert sorted((one.ends, one.summary) for one in read.components) == sorted(one[1:] for one in expected)
    assert len({one.uid for one in read.components}) == len(read.components)

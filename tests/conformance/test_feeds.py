"""What the readers find in a feed is what the activities say."""

import re
from datetime import UTC, datetime, timedelta

import icalendar
from hypothesis import given
from hypothesis import strategies as st

from db.activities import ActivityRecord, Participant
from feed.style import Shown, Style
from tests.conformance.attendees import ATTENDEE_READERS, invited
from tests.conformance.feeds import AT, SHOWN, activity, assert_lines, rendered, said, style
from tests.conformance.made import activities, people, styles, ways_shown
from tests.conformance.readers import assert_alike
from tests.conformance.reading import Component, OccurrenceRead

LONG = timedelta(days=20_000)
TZIDS = re.compile(rb"^(?:DTSTART|DTEND|DUE);TZID=([^:]+):", re.MULTILINE)
Feed = tuple[Style, Shown, list[ActivityRecord]]


@st.composite
def feeds(draw: st.DrawFn) -> Feed:
    style = draw(styles())
    count = draw(st.integers(1, 3))
    return style, draw(ways_shown(style)), [draw(activities(style, number)) for number in range(1, count + 1)]


def assert_says(ics: bytes, made: list[ActivityRecord], style: Style, shown: Shown = SHOWN) -> None:
    """Its lines are well formed, and all readers find these activities in it and nothing else."""
    assert_lines(ics)
    read = assert_alike(ics, style.window.starts_at - LONG, style.window.ends_at + LONG)
    urls = {str(part["UID"]): part.get("URL") for part in icalendar.Calendar.from_ical(ics).walk() if "UID" in part}
    expected = [said(one, style, shown, urls) for one in made]
    assert {one.uid: one for one in read.components} == {one.uid: one for one in expected}
    assert len(read.components) == len(made)
    events = [one for one in expected if one.component == "VEVENT"]
    assert sorted(read.occurrences, key=str) == sorted(map(taking_place, events), key=str)


def taking_place(one: Component) -> OccurrenceRead:
    assert one.starts
    assert one.ends
    return OccurrenceRead(one.uid, one.starts, one.ends, one.summary)


@given(feeds())
def test_readers_find_in_a_feed_what_its_activities_say(feed: Feed) -> None:
    style, shown, made = feed
    ics = rendered(made, style, shown)
    assert_says(ics, made, style, shown)
    zones = {name.decode() for name in TZIDS.findall(ics)}
    assert zones <= ({style.window.zone.key} if style.options.time_style == "ZONED" else set())
    defined = {str(zone["TZID"]) for zone in icalendar.Calendar.from_ical(ics).walk("VTIMEZONE")}
    assert defined == zones


@given(st.lists(people, max_size=5))
def test_readers_find_the_participants_of_a_meeting(participants: list[Participant]) -> None:
    made = activity("MEETING", starts_at=AT, participants=tuple(participants))
    ics = rendered([made], style(participants="ATTENDEE"))
    assert_lines(ics)
    for reader, read in ATTENDEE_READERS.items():
        assert read(ics) == invited(made), reader


def test_readers_find_a_participant_whose_name_ends_with_a_backslash() -> None:
    made = activity("MEETING", starts_at=AT, participants=(Participant("Ana\\", "ana@contoso.example", "ACCEPTED"),))
    ics = rendered([made], style(participants="ATTENDEE"))
    for reader, read in ATTENDEE_READERS.items():
        assert read(ics) == invited(made), reader


def test_readers_find_calendars_whose_names_have_quotes() -> None:
    made = activity("MEETING", starts_at=AT)
    shown = Shown(calendars=('Team "North', "Team\x07", "Team, South"))
    assert_says(rendered([made], style(), shown), [made], style(), shown)


def test_readers_find_a_description_of_a_megabyte_cut_short() -> None:
    made = activity("MEETING", starts_at=AT, title="🏠" * 250_000, description="Straße, 🏠;\r\n\\N" * 80_000)
    ics = rendered([made], style())
    assert_says(ics, [made], style())
    assert len(ics) < 60_000


def test_readers_find_when_something_began_under_an_earlier_law() -> None:
    # Summer time in New York ended in October until 2006: the one rule of the definition is that of later years.
    began, ends = datetime(2006, 10, 30, 15, tzinfo=UTC), AT + timedelta(days=1)
    made = activity("MEETING", starts_at=began, ends_at=ends)
    zoned = style("America/New_York", time_style="ZONED")
    assert_says(rendered([made], zoned), [made], zoned)

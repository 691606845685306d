"""Head + fragments + tail → the octets of a feed, and the two calendars that are not made of activities."""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from icalendar import Calendar, Event, vDuration

from feed.colors import css_name
from feed.text import Text
from feed.vtimezone import one_rule
from feed.words import Words

PRODID = "-//calendar-feeds//calendar-feeds 0.1//EN"
DEFAULT_COLOR = "#4682B4"  # of a feed of several calendars, and of a calendar without one
REFRESH = timedelta(hours=1)
END = b"END:VCALENDAR\r\n"
# The start of a component, and the zone of a time: whole lines, so that no text can look like either of them.
BEGIN = re.compile(rb"^BEGIN:(?:VEVENT|VTODO)\r\n", re.MULTILINE)
TZID = re.compile(rb"^(?:DTSTART|DTEND|DUE);TZID=([^:]+):", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a feed says of itself; `time_zone` is a name of the IANA database."""

    name: str
    description: str
    time_zone: str = "UTC"
    color: str | None = None
    refresh: timedelta = REFRESH
    publishes: bool = True  # METHOD:PUBLISH, which forbids ATTENDEE (RFC 5546, section 3.2.1)


class Stamp(NamedTuple):
    """Which state of an activity a feed shows: what calendar programs compare, and nothing else."""

    sequence: int
    modified_at: datetime


def document(head: Head, years: range, components: Sequence[bytes]) -> bytes:
    """A feed of these components. RFC 5545 wants at least one (section 3.6): see `nothing_planned`."""
    zones = frozenset[str]().union(*map(zones_in, components))
    return b"".join((beginning(head, years, zones), *components, END))


def beginning(head: Head, years: range, zones: Set[str]) -> bytes:
    """What stands before the components, with a definition of each zone that a time is written by (section 3.6.5)."""
    defined = filter(None, (one_rule(name, years) for name in sorted(zones)))
    return b"".join((_head(head), *defined))


def zones_in(components: bytes) -> Set[str]:
    """The zones that their times are written by."""
    return {name.decode() for name in TZID.findall(components)} if b";TZID=" in components else frozenset()


def stamp_lines(stamp: Stamp) -> bytes:
    """Which state of an activity a feed shows, as lines of its components."""
    moment = f"{stamp.modified_at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return f"DTSTAMP:{moment}\r\nLAST-MODIFIED:{moment}\r\nSEQUENCE:{stamp.sequence}\r\n".encode()


def with_lines(fragment: bytes, lines: bytes, *, several: bool = True) -> bytes:
    """The fragment with these lines at the start of each of its components, of which only a series has `several`."""
    if several:
        return BEGIN.sub(lambda begin: begin[0] + lines, fragment)
    first = fragment.index(b"\n") + 1
    return b"".join((fragment[:first], lines, fragment[first:]))


def nothing_planned(feed_id: UUID, day: date, since: datetime, say: Words) -> bytes:
    """What a feed without activities holds: Evolution keeps stale ones if a calendar has no component at all."""
    text = say("This calendar has no entries at the moment.")
    return _all_day(f"nothing-planned-{feed_id}", day, since, say("Nothing planned"), text)


def notice(link_id: UUID, ended_at: datetime, say: Words, page: str | None) -> bytes:
    """The whole calendar that a dead link serves: it empties calendar programs, says what to do, and tells nothing.

    `page` is the address at which users manage their links.
    """
    summary = say("This calendar link no longer works: subscribe again")
    text = say(
        "Open the calendar feeds in your CRM, copy your new link and subscribe to it; then remove this calendar."
    )
    return _notice(f"notice-{link_id}", say("Calendar link ended"), ended_at, summary, text, page)


def pause_notice(link_id: UUID, paused_at: datetime, say: Words, page: str | None) -> bytes:
    """The whole calendar that a paused link serves until it is resumed: likewise, but there is nothing to remove."""
    summary = say("This calendar link is paused")
    text = say("It shows nothing until it is resumed: open the calendar feeds in your CRM.")
    return _notice(f"pause-{link_id}", say("Calendar link paused"), paused_at, summary, text, page)


def _notice(uid: str, name: str, at: datetime, summary: str, text: str, page: str | None) -> bytes:
    text = f"{text}\n{page}" if page else text
    event = _all_day(uid, at.astimezone(UTC).date(), at, summary, text, page)
    return document(Head(name=name, description=summary), range(0), [event])


def _head(head: Head) -> bytes:
    """The properties of the VCALENDAR, up to its first component."""
    calendar = Calendar()
    calendar.add("VERSION", "2.0")
    calendar.add("PRODID", PRODID)
    calendar.add("CALSCALE", "GREGORIAN")
    if head.publishes:
        calendar.add("METHOD", "PUBLISH")
    for name, text in (
        ("X-WR-CALNAME", head.name),
        ("NAME", head.name),
        ("X-WR-CALDESC", head.description),
        ("DESCRIPTION", head.description),
    ):
        calendar.add(name, Text(text))
    calendar.add("X-WR-TIMEZONE", head.time_zone)
    calendar.add("X-PUBLISHED-TTL", vDuration(head.refresh))
    calendar.add("REFRESH-INTERVAL", vDuration(head.refresh), {"VALUE": "DURATION"})
    color = head.color or DEFAULT_COLOR
    calendar.add("COLOR", css_name(color))
    calendar.add("X-APPLE-CALENDAR-COLOR", color)
    octets: bytes = calendar.to_ical()
    return octets.removesuffix(END)


def _all_day(uid: str, day: date, at: datetime, summary: str, description: str, url: str | None = None) -> bytes:
    event = Event()
    event.add("UID", uid)
    event.add("DTSTAMP", at)
    event.add("LAST-MODIFIED", at)
    event.add("SEQUENCE", 0)
    event.add("DTSTART", day)
    event.add("DTEND", day + timedelta(days=1))
    event.add("SUMMARY", Text(summary))
    event.add("DESCRIPTION", Text(description))
    if url:
        event.add("URL", url)
    event.add("STATUS", "CONFIRMED")
    event.add("TRANSP", "TRANSPARENT")
    event.add("X-MICROSOFT-CDO-BUSYSTATUS", "FREE")
    event.add("X-MICROSOFT-CDO-ALLDAYEVENT", "TRUE")
    event.add("CLASS", "PUBLIC")
    octets: bytes = event.to_ical()
    return octets

"""Head + fragments + tail → the octets of a feed, and the two calendars that are not made of activities."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import available_timezones

from icalendar import Calendar, Event, vDuration

from feed.text import Text

PRODID = "-//calendar-feeds//calendar-feeds 0.1//EN"
DESCRIPTION = "Meetings, calls and tasks from the CRM. Read-only."
REFRESH = timedelta(hours=1)
END = b"END:VCALENDAR\r\n"
ZONES = available_timezones()


def document(name: str, time_zone: str, color: str | None, fragments: Iterable[bytes]) -> bytes:
    """A feed of these fragments. RFC 5545 wants at least one component (section 3.6): see `nothing_planned`."""
    return b"".join((head(name, time_zone, color), *fragments, END))


def head(name: str, time_zone: str = "UTC", color: str | None = None) -> bytes:
    """The properties of the VCALENDAR, up to its first component; `color` like "#4682B4"."""
    calendar = Calendar()
    calendar.add("VERSION", "2.0")
    calendar.add("PRODID", PRODID)
    calendar.add("CALSCALE", "GREGORIAN")
    calendar.add("METHOD", "PUBLISH")
    for property_name in ("X-WR-CALNAME", "NAME"):
        calendar.add(property_name, Text(name))
    for property_name in ("X-WR-CALDESC", "DESCRIPTION"):
        calendar.add(property_name, Text(DESCRIPTION))
    calendar.add("X-WR-TIMEZONE", time_zone if time_zone in ZONES else "UTC")
    refresh = vDuration(REFRESH)
    refresh.params["VALUE"] = "DURATION"
    calendar.add("REFRESH-INTERVAL", refresh)
    calendar.add("X-PUBLISHED-TTL", "PT1H")
    if color:
        calendar.add("X-APPLE-CALENDAR-COLOR", color)
    octets: bytes = calendar.to_ical()
    return octets.removesuffix(END)


def nothing_planned(link_id: UUID, since: datetime) -> bytes:
    """What a feed without activities holds: Evolution keeps stale ones if a calendar has no component at all."""
    return _all_day(
        f"nothing-planned-{link_id}", since, "Nothing planned", "This calendar has no entries at the moment."
    )


def notice(link_id: UUID, ended_at: datetime) -> bytes:
    """The whole calendar that a dead link serves: it empties calendar programs, says what to do, and tells nothing."""
    summary = "This calendar link no longer works: subscribe again"
    text = "Open the calendar feeds in your CRM, copy your new link and subscribe to it; then remove this calendar."
    return document("Calendar link ended", "UTC", None, [_all_day(f"notice-{link_id}", ended_at, summary, text)])


def _all_day(uid: str, at: datetime, summary: str, description: str) -> bytes:
    day: date = at.astimezone(UTC).date()
    event = Event()
    event.add("UID", uid)
    event.add("DTSTAMP", at)
    event.add("LAST-MODIFIED", at)
    event.add("SEQUENCE", 0)
    event.add("DTSTART", day)
    event.add("DTEND", day + timedelta(days=1))
    event.add("SUMMARY", Text(summary))
    event.add("DESCRIPTION", Text(description))
    event.add("STATUS", "CONFIRMED")
    event.add("TRANSP", "TRANSPARENT")
    event.add("X-MICROSOFT-CDO-BUSYSTATUS", "FREE")
    event.add("X-MICROSOFT-CDO-ALLDAYEVENT", "TRUE")
    event.add("CLASS", "PUBLIC")
    octets: bytes = event.to_ical()
    return octets

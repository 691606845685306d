"""Activity → fragment: the octets of one VEVENT. Pure, with no clock and no database: the same row, the same octets."""

from datetime import date, datetime, timedelta
from typing import NamedTuple

from icalendar import Event, vUri
from yarl import URL

from db.activities import ActivityRecord, Participant
from feed.text import Text, clean

# How an activity is rendered; a fragment is kept for each variant that was asked for. Raise the number with every
# change of what `fragment` writes, and all is rendered anew.
FULL = "full/1"
BUSY = "busy/1"

MOMENT = timedelta(minutes=15)  # what has no length of its own is shown as so long: DTEND must lie after DTSTART
DAY = timedelta(days=1)
TITLE_PREFIXES = {"CALL": "Call: ", "TASK": "☐ "}
COMPLETED_PREFIX = "☑ "
PRIORITIES = {"HIGH": (1, 2), "NORMAL": (5, 1), "LOW": (9, 0)}  # PRIORITY and Microsoft's importance


class Span(NamedTuple):
    """DTSTART and DTEND: two moments in UTC, or two days of which the second is exclusive."""

    dtstart: datetime | date
    dtend: datetime | date


def fragment(activity: ActivityRecord, variant: str) -> bytes:
    """The activity's component in that variant, lines folded at 75 octets and ended by CRLF (RFC 5545, section 3.1)."""
    octets: bytes = (busy_vevent if variant == BUSY else vevent)(activity).to_ical()
    return octets


def vevent(activity: ActivityRecord) -> Event:
    """Everything that a subscriber may know of a meeting, call or task (RFC 5545, section 3.6.1)."""
    event = _bare_vevent(activity)
    for name, text in (
        ("SUMMARY", title(activity)),
        ("DESCRIPTION", description(activity)),
        ("LOCATION", clean(activity.location or "")),
    ):
        if text:
            event.add(name, Text(text))
    if url := ascii_url(activity.url):
        event.add("URL", vUri(url))
    event.add("CATEGORIES", [activity.type.capitalize()])
    if activity.priority:
        priority, importance = PRIORITIES[activity.priority]
        event.add("PRIORITY", priority)
        event.add("X-MICROSOFT-CDO-IMPORTANCE", str(importance))
    return event


def busy_vevent(activity: ActivityRecord) -> Event:
    """Somebody else's private activity: that they are busy, and nothing more."""
    event = _bare_vevent(activity)
    event.add("SUMMARY", Text("Busy"))
    return event


def _bare_vevent(activity: ActivityRecord) -> Event:
    event = Event()
    span = time_span(activity)
    event.add("UID", str(activity.id))
    event.add("DTSTAMP", activity.changed_at)
    event.add("CREATED", activity.created_at)
    event.add("LAST-MODIFIED", activity.changed_at)
    event.add("SEQUENCE", activity.revision)
    event.add("DTSTART", span.dtstart)
    event.add("DTEND", span.dtend)
    if not isinstance(span.dtstart, datetime):
        event.add("X-MICROSOFT-CDO-ALLDAYEVENT", "TRUE")
    busy = "FREE" if activity.type == "TASK" else "TENTATIVE" if activity.status == "TENTATIVE" else "BUSY"
    event.add("STATUS", "TENTATIVE" if busy == "TENTATIVE" else "CONFIRMED")
    event.add("TRANSP", "TRANSPARENT" if busy == "FREE" else "OPAQUE")
    event.add("X-MICROSOFT-CDO-BUSYSTATUS", busy)
    event.add("CLASS", "PUBLIC")
    return event


def time_span(activity: ActivityRecord) -> Span:
    """When the activity is shown: a task at its deadline, everything else from its start to its end."""
    if activity.due_at:
        return Span(activity.due_at, activity.due_at + MOMENT)
    if activity.due_on:
        return Span(activity.due_on, activity.due_on + DAY)
    if activity.starts_on:
        return Span(activity.starts_on, activity.ends_on or activity.starts_on + DAY)
    if activity.starts_at is None:
        raise ValueError("an activity without a time has no place in a feed")
    starts_at, ends_at = _whole_second(activity.starts_at), _whole_second(activity.ends_at or activity.starts_at)
    return Span(starts_at, ends_at if ends_at > starts_at else starts_at + MOMENT)


def _whole_second(moment: datetime) -> datetime:
    """What DATE-TIME can say (RFC 5545, section 3.3.5)."""
    return moment.replace(microsecond=0)


def title(activity: ActivityRecord) -> str:
    prefix = COMPLETED_PREFIX if activity.status == "COMPLETED" else TITLE_PREFIXES.get(activity.type, "")
    return prefix + clean(activity.title)


def description(activity: ActivityRecord) -> str:
    """The description, who takes part, and on the last line the way back to the CRM."""
    people = ", ".join(filter(None, map(person, activity.participants)))
    url = ascii_url(activity.url)
    lines = (
        clean(activity.description or ""),
        people and f"Participants: {people}",
        url and f"Open in CRM: {url}",
    )
    return "\n".join(line for line in lines if line)


def person(participant: Participant) -> str:
    """ "Ana Pérez (ana@contoso.example)": angle brackets would make the address vanish where HTML is read."""
    name, email = clean(participant.name or ""), clean(participant.email or "")
    return f"{name} ({email})" if name and email else name or email


def ascii_url(url: str | None) -> str | None:
    """The web address in ASCII, without name and password; None if it is not one.

    One bad URL makes some programs refuse the whole feed.
    """
    try:
        parsed = URL(url or "")
        written = str(parsed.with_user(None)) if parsed.scheme in ("http", "https") and parsed.host else ""
    except ValueError:
        return None
    return written if written.isascii() and " " not in written and written else None

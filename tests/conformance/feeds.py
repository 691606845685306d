"""Activities → the document of their feed, and what a person who knows them would look for in it."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from db.activities import ActivityRecord, Participant
from feed.document import Head, Stamp, document, stamp_lines, with_lines
from feed.options import FeedOptions
from feed.render import fragment, uid
from feed.style import Shown, Style
from feed.window import Window, zone_of
from feed.words import words
from tests.conformance.reading import BLANKS, Component, moment_or_none

AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
DAY, QUARTER = timedelta(days=1), timedelta(minutes=15)
SHOWN = Shown()
BREAKS = re.compile("\r\n|\r|\x85|\u2028|\u2029")
STATUSES = {"NEEDS_ACTION": "NEEDS-ACTION", "IN_PROCESS": "IN-PROCESS"}
EVENT_STATUSES = ("TENTATIVE", "CANCELLED")
NOT_IN_CATEGORIES = re.compile(r'[,;\\"]')  # which some reader takes for the end of one
CATEGORIES = {"MEETING": "Meeting", "CALL": "Call", "TASK": "Task"}


def activity(kind: str, number: int = 1, **said: Any) -> ActivityRecord:
    status = "NEEDS_ACTION" if kind == "TASK" else "CONFIRMED"
    made = {"id": UUID(int=number), "revision": 3, "created_at": AT, "changed_at": AT, "status": status}
    return ActivityRecord(type=kind, **{**made, **said})


def style(zone: str = "Europe/Berlin", around: datetime = AT, **options: Any) -> Style:
    chosen = FeedOptions(**options)
    window = Window.around(around, zone_of(zone), chosen.days_back, chosen.days_ahead)
    return Style(chosen, words("en"), window)


def rendered(activities: Iterable[ActivityRecord], style: Style, shown: Shown = SHOWN) -> bytes:
    # X-WR-TIMEZONE is UTC: recurring-ical-events moves what stands in UTC to that zone, and then gives a night in which
    # the clock changes its length by the clock.
    head = Head(name="Sales", description="Read-only.", publishes=style.options.participants == "DESCRIPTION")
    fragments = [
        with_lines(fragment(one, style, shown), stamp_lines(Stamp(one.revision, one.changed_at))) for one in activities
    ]
    return document(head, style.window.years, fragments)


def assert_lines(ics: bytes) -> None:
    """Content lines as RFC 5545, section 3.1, wants them, and each for itself readable as UTF-8."""
    assert ics.endswith(b"\r\n")
    for line in ics.removesuffix(b"\r\n").split(b"\r\n"):
        assert len(line) <= 75
        assert not set(line.decode()) & {"\r", "\n"}
        assert line.strip(b" ") or line.startswith(b"  ")


# What is said of an activity, worked out apart from what renders it


def said(one: ActivityRecord, style: Style, shown: Shown, urls: Mapping[str, str | None]) -> Component:
    """What takes place once, as a reader should find it, with the web address that the feed gives it."""
    is_todo = one.type == "TASK" and style.options.tasks_as == "TODO" and not shown.busy
    starts, ends = todo_times(one) if is_todo else event_times(one)
    status = STATUSES.get(one.status, one.status)
    tells = not shown.busy
    return Component(
        uid=uid(one, shown),
        component="VTODO" if is_todo else "VEVENT",
        sequence=one.revision,
        summary=as_read(title(one, style, shown)) if tells else "Busy",
        description=as_read(description(one, style, urls[uid(one, shown)])) if tells else "",
        location=as_read(shortened(one.location or "", 1_000)) if tells else "",
        status=status if is_todo or status in EVENT_STATUSES else "CONFIRMED",
        categories=(CATEGORIES[one.type], *map(category, shown.calendars)) if tells else (),
        starts=moment_or_none(starts),
        ends=moment_or_none(ends),
    )


def event_times(one: ActivityRecord) -> tuple[date, date]:
    due = one.due_at or one.due_on
    starts = due or one.starts_at or one.starts_on
    ends = None if due else one.ends_at or one.ends_on
    assert starts
    if not isinstance(starts, datetime):
        return starts, ends or starts + DAY
    starts = starts.replace(microsecond=0)
    whole = ends.replace(microsecond=0) if isinstance(ends, datetime) else starts
    return starts, max(whole, starts) if whole > starts else starts + QUARTER


def todo_times(one: ActivityRecord) -> tuple[date | None, date | None]:
    """DTSTART and DUE; a deadline alone has no start."""
    if due := one.due_at or one.due_on:
        return None, whole_second(due)
    starts, ends = one.starts_at or one.starts_on, one.ends_at or one.ends_on
    assert starts
    return whole_second(starts), whole_second(ends) if ends and ends > starts else None


def whole_second(when: date) -> date:
    return when.replace(microsecond=0) if isinstance(when, datetime) else when


def title(one: ActivityRecord, style: Style, shown: Shown) -> str:
    text = shortened(one.title, 1_000)
    if not text.strip():
        text = CATEGORIES[one.type]
    elif one.type == "CALL":
        text = f"Call: {text}"
    if one.type == "TASK" and style.options.tasks_as == "EVENT":
        text = ("☑ " if one.status == "COMPLETED" else "! " if shown.overdue else "☐ ") + text
    if one.status == "CANCELLED":
        text = f"Cancelled: {text}"
    names = {"NOTHING": "", "OWNER": shown.owner or "", "CALENDAR": ", ".join(shown.calendars)}
    name = plain(names[style.options.title_with])
    return f"{name}: {text}" if name else text


def description(one: ActivityRecord, style: Style, url: str | None) -> str:
    as_attendees = style.options.participants == "ATTENDEE"
    people = [person(one) for one in one.participants if not (as_attendees and has_address(one)) and person(one)]
    more = f" and {len(people) - 100} more" if len(people) > 100 else ""
    lines = [
        shortened(one.description or "", 8_000),
        f"Participants: {', '.join(people[:100])}{more}" if people else "",
        f"Open in CRM: {url}" if url else "",
    ]
    return "\n".join(filter(None, lines))


def person(participant: Participant) -> str:
    name, email = one_line(participant.name), one_line(participant.email)
    return shortened(f"{name} ({email})" if name and email else name or email, 1_000)


def has_address(participant: Participant) -> bool:
    """Whether their address can stand in ATTENDEE."""
    return re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+", participant.email or "") is not None


def one_line(text: str | None) -> str:
    return " ".join(plain(text or "").split())


def category(name: str) -> str:
    return " ".join(NOT_IN_CATEGORIES.sub(" ", plain(name)).split())


def plain(text: str) -> str:
    """Without what no calendar program can take: control characters, half surrogates, byte order marks."""
    return "".join(letter for letter in BREAKS.sub("\n", text) if letter in "\t\n" or not is_unreadable(ord(letter)))


def is_unreadable(point: int) -> bool:
    return point < 0x20 or 0x7F <= point < 0xA0 or 0xD800 <= point < 0xE000 or point in (0xFEFF, 0xFFFE, 0xFFFF)


def shortened(text: str, longest: int) -> str:
    text = plain(text)
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def as_read(text: str) -> str:
    """A text of nothing but blanks is left out, and readers take blanks from both ends."""
    return text.strip(BLANKS) if text.strip() else ""

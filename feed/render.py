"""Activity → fragment: the octets of its components. Pure: no clock, no database; the same row, the same octets.

A fragment says what an activity is. Which state of it a feed shows (SEQUENCE, LAST-MODIFIED, DTSTAMP) depends on the
feed as well, and is put in by `feed.document`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from icalendar import Alarm, Component, Event, Todo, vCategory, vRecur, vUri

from db.activities import Activity, ActivityRecord, Participant
from feed.colors import css_name
from feed.recurring.series import Occurrence, RuledSeries, occurrences, ruled
from feed.style import Shown, Style
from feed.text import Text, shortened
from feed.window import When
from feed.wording import LONGEST_LINE, LONGEST_NAME, ascii_url, category, description, participants, title

MOMENT = timedelta(minutes=15)  # what has no length of its own is shown as so long: DTEND must lie after DTSTART
DAY = timedelta(days=1)
PRIORITIES = {"HIGH": (1, 2), "NORMAL": (5, 1), "LOW": (9, 0)}  # PRIORITY and Microsoft's importance
TODO_STATUS = {"NEEDS_ACTION": ("NEEDS-ACTION", 0), "IN_PROCESS": ("IN-PROCESS", 50), "COMPLETED": ("COMPLETED", 100)}
NO_TIMES: dict[str, Any] = dict.fromkeys(("starts_at", "ends_at", "starts_on", "ends_on", "due_at", "due_on"))
NOT_IN_CATEGORIES = re.compile(r'[,;"\\]')
BUSY_UID = UUID("6f1f3d1c-6d55-4c7e-9b1a-2f8f5f0f7a11")  # the namespace of the UIDs that tell nothing


class Span(NamedTuple):
    """DTSTART and DTEND: two moments, or two days of which the second is exclusive."""

    dtstart: When
    dtend: When


def fragment(activity: ActivityRecord, style: Style, shown: Shown) -> bytes:
    """The activity's components, lines folded at 75 octets and ended by CRLF (RFC 5545, section 3.1).

    Of a series nothing, if the window shows none of its occurrences.
    """
    if activity.recurrence is None:
        return _octets(component(activity, style, shown, uid(activity, shown)))
    return b"".join(map(_octets, _series(activity, activity.recurrence, style, shown)))


def uid(activity: ActivityRecord, shown: Shown) -> str:
    """The activity's id; of what is shown as busy one from which nobody gets back to it (RFC 7986, section 5.3)."""
    return str(uuid5(BUSY_UID, str(activity.id)) if shown.busy else activity.id)


def component(activity: ActivityRecord, style: Style, shown: Shown, uid: str) -> Component:
    """The VEVENT or VTODO of what takes place once."""
    is_todo = activity.type == "TASK" and style.options.tasks_as == "TODO" and not shown.busy
    part: Component = _vtodo(activity, style) if is_todo else _vevent(activity, style)
    part.add("UID", uid)
    if shown.busy:
        part.add("SUMMARY", Text(style.say("Busy")))
    else:
        part.add("CREATED", activity.created_at)
        _describe(part, activity, style, shown)
    return part


def _vevent(activity: ActivityRecord, style: Style) -> Event:
    """When it takes place and whether that keeps anybody busy (RFC 5545, section 3.6.1)."""
    event, span = Event(), time_span(activity)
    _add_times(event, style, DTSTART=span.dtstart, DTEND=span.dtend)
    if not isinstance(span.dtstart, datetime):
        event.add("X-MICROSOFT-CDO-ALLDAYEVENT", "TRUE")
    is_free = activity.type == "TASK" or activity.status == "CANCELLED"
    busy = "FREE" if is_free else "TENTATIVE" if activity.status == "TENTATIVE" else "BUSY"
    event.add("STATUS", activity.status if activity.status in ("TENTATIVE", "CANCELLED") else "CONFIRMED")
    event.add("TRANSP", "TRANSPARENT" if is_free else "OPAQUE")
    event.add("X-MICROSOFT-CDO-BUSYSTATUS", busy)
    event.add("CLASS", "PUBLIC")
    return event


def _vtodo(activity: ActivityRecord, style: Style) -> Todo:
    """When a task is due and how far it is (RFC 5545, section 3.6.2)."""
    todo = Todo()
    due = activity.due_at or activity.due_on
    starts, ends = activity.starts_at or activity.starts_on, activity.ends_at or activity.ends_on
    if due:
        _add_times(todo, style, DUE=due)
    elif starts and ends and ends > starts:
        _add_times(todo, style, DTSTART=starts, DUE=ends)
    elif starts:
        _add_times(todo, style, DTSTART=starts)
    status, percent = TODO_STATUS.get(activity.status, (activity.status, 0))
    todo.add("STATUS", status)
    todo.add("PERCENT-COMPLETE", percent)
    todo.add("CLASS", "PUBLIC")
    return todo


def _add_times(part: Component, style: Style, **times: When) -> None:
    for name, time in zip(times, _written([_whole_second(time) for time in times.values()], style), strict=True):
        part.add(name, time)


def _written(times: list[When], style: Style) -> list[When]:
    """Moments in UTC by the user's clock if the style says so.

    Not if that clock shows one of them twice, nor where its rule was another one: outside the years of the window.
    """
    moments = [time for time in times if isinstance(time, datetime) and time.tzinfo is UTC]
    if style.zone is None or len(moments) < len(times) or any(time.year not in style.window.years for time in moments):
        return times
    local = [moment.astimezone(style.zone) for moment in moments]
    return times if any(map(_is_twice, local)) else [*local]


def _is_twice(local: datetime) -> bool:
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


def _whole_second(time: When) -> When:
    """What DATE-TIME can say (RFC 5545, section 3.3.5)."""
    return time.replace(microsecond=0) if isinstance(time, datetime) else time


def has_time(activity: Activity) -> bool:
    """Whether the activity says when it takes place; a series may do so only in what repeats it."""
    return any(getattr(activity, name) for name in NO_TIMES)


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


def _describe(part: Component, activity: ActivityRecord, style: Style, shown: Shown) -> None:
    """Everything else that a subscriber may know of a meeting, call or task."""
    attendees, people = participants(activity, style)
    for name, text in (
        ("SUMMARY", title(activity, style, shown)),
        ("DESCRIPTION", description(activity, people, style.say)),
        ("LOCATION", shortened(activity.location or "", LONGEST_LINE)),
    ):
        if text.strip():
            part.add(name, Text(text))
    if url := ascii_url(activity.url):
        part.add("URL", vUri(url))
    for attendee in attendees:
        part.add("ATTENDEE", attendee)
    part.add("CATEGORIES", _categories(category(activity.type, style.say), *shown.calendars))
    if shown.color:
        part.add("COLOR", css_name(shown.color))
    if activity.priority:
        priority, importance = PRIORITIES[activity.priority]
        part.add("PRIORITY", priority)
        part.add("X-MICROSOFT-CDO-IMPORTANCE", str(importance))
    if alarm := _alarm(part, activity, style):
        part.add_component(alarm)


def _categories(*names: str) -> vCategory:
    """Without what some programs take for the end of a category, escaped or not."""
    categories = vCategory([])
    categories.cats = [
        Text(" ".join(NOT_IN_CATEGORIES.sub(" ", shortened(name, LONGEST_NAME)).split())) for name in names
    ]
    return categories


def _alarm(part: Component, activity: ActivityRecord, style: Style) -> Alarm | None:
    """The reminder that a link asks for, of what has a time of day and is still to come about."""
    starts = part.get("DTSTART") or part.get("DUE")
    minutes = style.options.reminder_minutes
    if minutes is None or not isinstance(starts.dt, datetime) or activity.status in ("COMPLETED", "CANCELLED"):
        return None
    alarm = Alarm()
    alarm.add("ACTION", "DISPLAY")
    alarm.add("TRIGGER", -timedelta(minutes=minutes), {"RELATED": "START" if "DTSTART" in part else "END"})
    alarm.add("DESCRIPTION", Text(str(part.get("SUMMARY", category(activity.type, style.say)))))
    return alarm


def _series(activity: ActivityRecord, recurrence: Mapping[str, Any], style: Style, shown: Shown) -> Iterator[Component]:
    """A series as a rule where every program reads that alike, else each occurrence that the window shows."""
    with_cancelled = style.options.cancelled == "MARK" and not shown.busy
    # A rule counts from the start of a task, which is shown when it is due.
    is_task = activity.type == "TASK"
    series = None if is_task else ruled(recurrence, style.window, with_cancelled=with_cancelled)
    if series is not None:
        yield from _ruled(activity, series, style, shown)
        return
    for occurrence in occurrences(recurrence, style.window, with_cancelled=with_cancelled):
        single, as_shown = _single(activity, occurrence, shown)
        if not _is_nothing(single, as_shown):
            yield component(single, style, as_shown, f"{uid(activity, shown)}-{_stamp(occurrence.original)}")


def _ruled(activity: ActivityRecord, series: RuledSeries, style: Style, shown: Shown) -> Iterator[Component]:
    """The master with its rule, and after it each changed occurrence, under one UID (RFC 5545, section 3.8.4.4)."""
    first = Occurrence(series.starts, series.starts, series.ends, None)
    master = component(_single(activity, first, shown)[0], style, shown, uid(activity, shown))
    master.add("RRULE", vRecur.from_ical(series.rrule))
    changes = [(occurrence.original, *_single(activity, occurrence, shown)) for occurrence in series.overrides]
    nothing = [original for original, single, as_shown in changes if _is_nothing(single, as_shown)]
    for excluded in (*series.excluded, *nothing):
        master.add("EXDATE", [excluded])
    yield master
    for original, single, as_shown in changes:
        if original in nothing:
            continue
        changed = component(single, style, as_shown, uid(activity, shown))
        changed.add("RECURRENCE-ID", original)
        yield changed


def _is_nothing(single: ActivityRecord, shown: Shown) -> bool:
    """Whether somebody else's private occurrence is cancelled: it keeps nobody busy."""
    return shown.busy and single.status == "CANCELLED"


def _single(activity: ActivityRecord, occurrence: Occurrence, shown: Shown) -> tuple[ActivityRecord, Shown]:
    """One occurrence as an activity that takes place once, with all that an override says in place of the series."""
    said = {} if occurrence.override is None else _content(activity, occurrence.override)
    single = replace(activity, recurrence=None, **NO_TIMES | _times(activity, occurrence) | said)
    return single, replace(shown, busy=shown.busy or (single.private and not shown.own))


def _times(activity: ActivityRecord, occurrence: Occurrence) -> dict[str, Any]:
    ends_at, ends_on = ("due_at", "due_on") if activity.type == "TASK" else ("ends_at", "ends_on")
    times = (("starts_at", "starts_on", occurrence.starts), (ends_at, ends_on, occurrence.ends))
    return {moment if isinstance(time, datetime) else day: time for moment, day, time in times if time}


def _content(activity: ActivityRecord, override: Mapping[str, Any]) -> dict[str, Any]:
    """What a changed occurrence says; what it does not say it does not have (`feed.importing.recurrence`).

    Only a cancelled one, which often says no more than that, keeps the title of its series.
    """
    texts = {name: override.get(name) for name in ("description", "location", "url", "priority")}
    participants = tuple(Participant(**participant) for participant in override.get("participants", ()))
    private = activity.private or bool(override.get("private"))
    status = override.get("status", activity.status)
    said = override.get("title") or (activity.title if status == "CANCELLED" else "")
    return {**texts, "title": said, "status": status, "participants": participants, "private": private}


def _stamp(original: When) -> str:
    if isinstance(original, datetime):
        return f"{original.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return f"{original:%Y%m%d}"


def _octets(part: Component) -> bytes:
    octets: bytes = part.to_ical()
    return octets

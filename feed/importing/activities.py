"""A calendar file → activities: octets in, values out. Pure: no clock, no database.

VEVENTs become meetings, VTODOs tasks, VJOURNALs notes (RFC 5545, section 3.6). A component is taken whole or refused
with its line and the reason. What is wrong with one never touches another; only a series stands or falls with its
overrides. Reminders, time zones and unknown components are not activities and are passed over.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from db.activities import Activity, Participant
from feed.importing.contentlines import ACTIVITY_COMPONENTS, Component, ContentLine, read_components, shown
from feed.importing.recurrence import Override, occurrence, recurrence
from feed.importing.schedules import RefusedError, Schedule, instant, read_schedule
from feed.importing.values import BadValueError, When, parse_integer, parse_when
from feed.importing.zones import UnknownZoneError, Zones, zone_name

TYPES = {"VEVENT": "MEETING", "VTODO": "TASK", "VJOURNAL": "NOTE"}
STATUSES = {
    "VEVENT": {"CONFIRMED": "CONFIRMED", "TENTATIVE": "TENTATIVE", "CANCELLED": "CANCELLED"},
    "VTODO": {
        "NEEDS-ACTION": "NEEDS_ACTION",
        "IN-PROCESS": "IN_PROCESS",
        "COMPLETED": "COMPLETED",
        "CANCELLED": "CANCELLED",
    },
    "VJOURNAL": {"FINAL": "CONFIRMED", "DRAFT": "TENTATIVE", "CANCELLED": "CANCELLED"},
}
PRIORITIES = {"HIGH": range(1, 5), "NORMAL": range(5, 6), "LOW": range(6, 10)}
RESPONSES = ("ACCEPTED", "DECLINED", "TENTATIVE")
LONGEST_UID = 2_000  # octets; PostgreSQL cannot index much more


@dataclass(frozen=True, slots=True)
class Refusal:
    line: int
    component: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReadCalendar:
    """Activities in the order of the file, each with its own external id for its type, and refusals by line."""

    activities: tuple[Activity, ...]
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class _Draft:
    """A component that has been read but may still be an older copy of another or part of a series."""

    component: Component
    activity: Activity
    schedule: Schedule
    version: tuple[int, str, int]  # SEQUENCE, LAST-MODIFIED, line

    def refusal(self, reason: str) -> Refusal:
        return Refusal(self.component.number, self.component.name, reason)


class _Group:
    """The components of one type with the same UID: a one-off, or a series with its overrides."""

    def __init__(self) -> None:
        self.masters: list[_Draft] = []
        self.overrides: list[_Draft] = []
        self.refused_master: Refusal | None = None
        self.refused_override: Refusal | None = None


def read_calendar(data: bytes, default_time_zone: str) -> ReadCalendar:
    """Read a calendar file; times that name no zone are in its X-WR-TIMEZONE, or else in the default time zone.

    Raises `UnknownZoneError` if the default is not a time zone, and nothing else whatever the octets are.
    """
    file = read_components(data)
    groups: dict[tuple[str, str], _Group] = defaultdict(_Group)
    refusals: list[Refusal] = []
    for component, zones in _components(file, default_time_zone):
        _read(component, zones, groups, refusals)
    found: list[tuple[Component, Activity]] = []
    for group in groups.values():
        found += _activities(group, refusals)
    activities = tuple(_distinct(found, refusals))
    if not activities and not refusals:
        refusals += _nothing_found(file, data)
    return ReadCalendar(activities, tuple(sorted(refusals, key=lambda refusal: refusal.line)))


def _components(file: Component, default_time_zone: str) -> Iterator[tuple[Component, Zones]]:
    """What could be an activity, each with the time zones of its calendar; calendars may stand in each other."""
    calendars = [file]
    for calendar in calendars:
        calendars.extend(component for component in calendar.components if component.name == "VCALENDAR")
        zones = _zones(calendar, default_time_zone)
        for component in calendar.components:
            if component.name in (*ACTIVITY_COMPONENTS, "VFREEBUSY"):
                yield component, zones


def _zones(calendar: Component, default_time_zone: str) -> Zones:
    vtimezones = [component for component in calendar.components if component.name == "VTIMEZONE"]
    with suppress(UnknownZoneError):
        return Zones(vtimezones, calendar.text("X-WR-TIMEZONE").strip())
    return Zones(vtimezones, default_time_zone)


def _nothing_found(file: Component, data: bytes) -> Iterator[Refusal]:
    """Why a file without activities is none, if it is not just empty of them."""
    if not any(component.name == "VCALENDAR" for component in file.components):
        reason = "this is not an iCalendar file: BEGIN:VCALENDAR is missing" if data.strip() else "the file is empty"
        yield Refusal(1, "VCALENDAR", reason)
        return
    faults = [component.fault for component in (file, *file.components) if component.fault]
    if faults:
        fault = min(faults)
        yield Refusal(fault.line, "VCALENDAR", f"{fault.reason}, and no event, task or note was found")


def _read(component: Component, zones: Zones, groups: dict[tuple[str, str], _Group], refusals: list[Refusal]) -> None:
    """Read one component into the group of its UID, or refuse it and tell the group."""
    group = groups[component.name, component.text("UID")]
    try:
        draft = _draft(component, zones)
    except RefusedError as exc:
        refusal = Refusal(exc.line, component.name, exc.reason)
        refusals.append(refusal)
        if component.first("RECURRENCE-ID"):
            group.refused_override = group.refused_override or refusal
        else:
            group.refused_master = group.refused_master or refusal
    else:
        (group.masters if draft.schedule.recurrence_id is None else group.overrides).append(draft)


def _draft(component: Component, zones: Zones) -> _Draft:
    if component.name == "VFREEBUSY":
        raise RefusedError(component.number, "free/busy time is not an activity")
    if component.fault:
        raise RefusedError(*component.fault)
    uid = component.text("UID")
    if not uid.strip():
        raise RefusedError(component.number, "UID is missing: give it one, or another import could not find it again")
    if len(uid.encode()) > LONGEST_UID:
        raise RefusedError(component.number, f"UID {shown(uid)} is longer than {LONGEST_UID} octets")
    schedule = read_schedule(component, zones)
    return _Draft(component, _activity(component, uid, schedule), schedule, _version(component))


def _version(component: Component) -> tuple[int, str, int]:
    sequence, modified = component.first("SEQUENCE"), component.first("LAST-MODIFIED")
    return (parse_integer(sequence.plain) or 0) if sequence else 0, _sortable(modified), component.number


def _sortable(modified: ContentLine | None) -> str:
    try:
        return parse_when(modified.plain).isoformat() if modified else ""
    except BadValueError:
        return ""


def _activities(group: _Group, refusals: list[Refusal]) -> Iterator[tuple[Component, Activity]]:
    """The activities of one UID, with the components they are of: one, or each override without its series."""
    master = _newest(group.masters, refusals)
    if master is None:
        yield from _orphans(group, refusals)
        return
    if group.refused_override:
        reason = f"its changed occurrence on line {group.refused_override.line} was refused"
        refusals += (draft.refusal(reason) for draft in (master, *group.overrides))
        return
    overrides = _newest_of_each(group.overrides, master.schedule, refusals)
    activity = master.activity
    if overrides or master.schedule.repeats:
        changed = [Override(draft.schedule, draft.activity) for draft in overrides]
        activity = replace(activity, recurrence=recurrence(master.schedule, changed))
    yield master.component, activity


def _orphans(group: _Group, refusals: list[Refusal]) -> Iterator[tuple[Component, Activity]]:
    """Changed occurrences whose series is not in the file: each a one-off of its own."""
    if group.refused_master:
        reason = f"its series on line {group.refused_master.line} was refused"
        refusals += (draft.refusal(reason) for draft in group.overrides)
        return
    by_id: dict[str, list[_Draft]] = defaultdict(list)
    for draft in group.overrides:
        assert draft.schedule.recurrence_id is not None
        by_id[_id_text(draft.schedule.recurrence_id)].append(draft)
    for text, drafts in by_id.items():
        if newest := _newest(drafts, refusals):
            external_id = f"{newest.activity.external_id}#{text}"
            yield newest.component, replace(newest.activity, external_id=external_id)


def _distinct(found: list[tuple[Component, Activity]], refusals: list[Refusal]) -> Iterator[Activity]:
    """The activities in the order of the file; of a UID and an orphan's id that are the same, the second is refused."""
    lines: dict[tuple[str, str | None], int] = {}
    for component, activity in sorted(found, key=lambda pair: pair[0].number):
        first = lines.setdefault((activity.type, activity.external_id), component.number)
        if first == component.number:
            yield activity
        else:
            reason = f"its id {shown(activity.external_id or '')} is that of line {first} too: give it another UID"
            refusals.append(Refusal(component.number, component.name, reason))


def _id_text(recurrence_id: When) -> str:
    """A DATE, or a DATE-TIME in UTC (RFC 5545, section 3.3.5)."""
    if isinstance(recurrence_id, datetime):
        recurrence_id = instant(recurrence_id).replace(tzinfo=None)
        return f"{recurrence_id.isoformat()}Z".replace("-", "").replace(":", "")
    return recurrence_id.isoformat().replace("-", "")


def _newest_of_each(overrides: Iterable[_Draft], series: Schedule, refusals: list[Refusal]) -> list[_Draft]:
    by_id: dict[When, list[_Draft]] = defaultdict(list)
    for draft in overrides:
        assert draft.schedule.recurrence_id is not None
        by_id[occurrence(series, draft.schedule.recurrence_id)].append(draft)
    return [newest for drafts in by_id.values() if (newest := _newest(drafts, refusals))]


def _newest(drafts: list[_Draft], refusals: list[Refusal]) -> _Draft | None:
    """The last revision of a component (RFC 5546, section 2.1.5); the older ones are refused."""
    if not drafts:
        return None
    newest = max(drafts, key=lambda draft: draft.version)
    refusals.extend(draft.refusal(_why_older(draft, newest)) for draft in drafts if draft is not newest)
    return newest


def _why_older(older: _Draft, newer: _Draft) -> str:
    same = f"line {newer.component.number} has the same UID"
    if older.version[0] < newer.version[0]:
        return f"{same} and a newer SEQUENCE"
    if older.version[1] < newer.version[1]:
        return f"{same} and a newer LAST-MODIFIED"
    return f"{same} and comes later: if it is another one, give it another UID"


def _activity(component: Component, uid: str, schedule: Schedule) -> Activity:
    url, priority = component.first("URL"), component.first("PRIORITY")
    return Activity(
        type=TYPES[component.name],
        status=_status(component),
        external_id=uid,
        title=component.text("SUMMARY"),
        description=component.text("DESCRIPTION") or None,
        location=component.text("LOCATION") or None,
        url=(url.plain if url else None) or None,
        priority=_priority(priority),
        participants=_participants(component),
        private=component.token("CLASS") not in ("", "PUBLIC"),  # section 3.8.1.3: what is unknown is private
        **_times(component, schedule),
    )


def _times(component: Component, schedule: Schedule) -> dict[str, Any]:
    """The columns for when it is: moments in UTC and the zone of their clock, or days."""
    starts, ends, _ = schedule.span
    clock = next((when.tzinfo for when in (starts, ends) if isinstance(when, datetime)), None)
    until = "due" if component.name == "VTODO" else "ends"
    return {
        **_column("starts", starts),
        **_column(until, ends),
        "time_zone": None if clock is UTC else zone_name(clock),
    }


def _column(name: str, when: When | None) -> dict[str, When | None]:
    return {f"{name}_at": instant(when)} if isinstance(when, datetime) else {f"{name}_on": when}


def _status(component: Component) -> str:
    """The status; of a task that names none, COMPLETED if anything says that it is done."""
    statuses = STATUSES[component.name]
    if status := statuses.get(component.token("STATUS")):
        return status
    if component.name != "VTODO":
        return "CONFIRMED"
    done = component.first("COMPLETED") or component.token("PERCENT-COMPLETE") == "100"
    return "COMPLETED" if done else "NEEDS_ACTION"


def _priority(line: ContentLine | None) -> str | None:
    """1 to 4 are high, 6 to 9 low, 0 is undefined (RFC 5545, section 3.8.1.9)."""
    number = parse_integer(line.plain) if line else None
    return next((name for name, numbers in PRIORITIES.items() if number in numbers), None)


def _participants(component: Component) -> tuple[Participant, ...]:
    """Who is invited, and the organizer unless invited too."""
    invited = [_participant(line) for line in component.all("ATTENDEE")]
    people = [person for person in invited if person.name or person.email]
    for line in component.all("ORGANIZER")[:1]:
        organizer = replace(_participant(line), response=None)
        known = any(organizer.email and organizer.email == person.email for person in people)
        if not known and (organizer.name or organizer.email):
            people.append(organizer)
    return tuple(people)


def _participant(line: ContentLine) -> Participant:
    address = line.plain
    email = address[len("mailto:") :] if address.lower().startswith("mailto:") else address
    response = line.params.get("PARTSTAT", "").upper()
    return Participant(
        name=line.params.get("CN", "").strip() or None,
        email=email if "@" in email and ":" not in email else None,
        response=response if response in RESPONSES else "NEEDS_ACTION",
    )

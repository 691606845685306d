"""What an iCalendar parser says is in a feed, in one shape for all parsers.

Moments are text in UTC ("2026-03-02T10:00:00Z"), days are "2026-03-02". A floating time has no Z, so that it equals no
moment. Text that is not there is "".
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TypeVar

BLANKS = " \t"  # what libical cuts off both ends of a text, so it is cut for all readers
TEXTS = ("summary", "description", "location")


@dataclass(frozen=True, kw_only=True)
class Component:
    """A VEVENT or VTODO of the file. `ends` is what the reader makes of DTEND, DUE, DURATION or none of them."""

    uid: str
    component: str = "VEVENT"
    sequence: int = 0
    summary: str = ""
    description: str = ""
    location: str = ""
    status: str = ""
    categories: tuple[str, ...] = ()
    starts: str | None
    ends: str | None
    recurrence_id: str | None = None

    @property
    def all_day(self) -> bool:
        return "T" not in (self.starts or self.ends or "T")


@dataclass(frozen=True)
class OccurrenceRead:
    """One time that an event happens, after its rule, exceptions and overrides are worked out."""

    uid: str
    starts: str
    ends: str
    summary: str


Read = TypeVar("Read", Component, OccurrenceRead)


@dataclass(frozen=True)
class Reading:
    name: str
    components: tuple[Component, ...]
    occurrences: tuple[OccurrenceRead, ...]


def reading(
    name: str, components: Iterable[Component], occurrences: Iterable[OccurrenceRead], starts: datetime, ends: datetime
) -> Reading:
    """Sorted, and with the occurrences that lie at least partly in [starts, ends): readers differ at the edges."""
    seen = [o for o in occurrences if _overlaps(instant(o.starts), instant(o.ends), starts, ends)]
    return Reading(
        name.strip(BLANKS),
        tuple(
            sorted(map(_trimmed, components), key=lambda c: (c.uid, c.recurrence_id or "", c.starts or "", c.summary))
        ),
        tuple(sorted(map(_trimmed, seen), key=lambda o: (o.starts, o.ends, o.uid, o.summary))),
    )


def _trimmed(read: Read) -> Read:
    return replace(read, **{name: getattr(read, name).strip(BLANKS) for name in TEXTS if hasattr(read, name)})


def moment(value: date | datetime) -> str:
    if not isinstance(value, datetime) or value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def moment_or_none(value: date | datetime | None) -> str | None:
    return None if value is None else moment(value)


def instant(said: str) -> datetime:
    """The other way round; a day is its midnight in UTC."""
    return datetime.fromisoformat(said).replace(tzinfo=UTC)


def unescaped(raw: str) -> str:
    """The TEXT (RFC 5545, section 3.3.11) of an X- property, whose value several parsers hand over as it is written."""
    return re.sub(r"\\(.)", lambda escape: "\n" if escape[1] in "nN" else escape[1], raw)


def _overlaps(starts: datetime, ends: datetime, window_starts: datetime, window_ends: datetime) -> bool:
    return starts < window_ends and (ends > window_starts or starts >= window_starts)

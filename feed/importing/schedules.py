"""When a component takes place and what repeats it: its dates and times as values (RFC 5545, 3.8.2 and 3.8.5)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import NamedTuple

from feed.importing.contentlines import Component, ContentLine, shown
from feed.importing.values import (
    BadValueError,
    When,
    is_moment,
    later,
    parse_duration,
    parse_rule,
    parse_when,
    rule_text,
)
from feed.importing.zones import UnknownZoneError, Zones

DAY = timedelta(days=1)


class RefusedError(Exception):
    """A component cannot be taken, because of what stands on `line`."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


class Span(NamedTuple):
    """From a start to an end, which follows from `duration`, a DURATION as the file has it, where that is given."""

    starts: When | None
    ends: When | None = None
    duration: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Every moment is on the clock that the file gives it in: its `tzinfo` is that zone."""

    span: Span  # DTSTART with DTEND, or with DUE of a task
    rules: tuple[str, ...] = ()  # RRULE
    exclusion_rules: tuple[str, ...] = ()  # EXRULE, of RFC 2445
    dates: tuple[Span, ...] = ()  # RDATE
    excluded_dates: tuple[When, ...] = ()  # EXDATE
    recurrence_id: When | None = None
    this_and_future: bool = False

    @property
    def repeats(self) -> bool:
        """Whether there is more, or less, to it than one occurrence."""
        return bool(self.rules or self.dates or self.span.starts in self.excluded_dates)


def instant(when: datetime) -> datetime:
    """The moment in UTC: of two with the same zone Python compares the clock times, wrongly where the clocks change."""
    return when.astimezone(UTC)


def read_schedule(component: Component, zones: Zones) -> Schedule:
    """The schedule of a component; `RefusedError` if any of its dates and times, or of its rules, cannot be read."""
    clock = _Clock(zones)
    starts = clock.first(component, "DTSTART")
    if isinstance(starts, datetime):
        # A time without a zone beside one that has it is meant like it: by RFC 5545 they are of one kind.
        clock.floating = starts.tzinfo or UTC
    recurrence_id = clock.first(component, "RECURRENCE-ID")
    if starts is None and component.name == "VEVENT":
        starts = recurrence_id  # a cancelled occurrence may say no more (RFC 5546, section 3.2.5)
    span = _span(component, clock, starts)
    if (rule := component.first("RRULE")) and span == Span(None):
        raise RefusedError(rule.number, "RRULE has no DTSTART to start from")
    return Schedule(
        span=span,
        rules=_rules(component, "RRULE"),
        exclusion_rules=_rules(component, "EXRULE"),
        dates=tuple(clock.spans(component, "RDATE")),
        excluded_dates=tuple(span.starts for span in clock.spans(component, "EXDATE") if span.starts),
        recurrence_id=recurrence_id,
        this_and_future=_is_range(component.first("RECURRENCE-ID")),
    )


@contextmanager
def _blaming(line: ContentLine) -> Iterator[None]:
    """What is wrong with a value is said with its property's name and line."""
    try:
        yield
    except UnknownZoneError as exc:
        raise RefusedError(line.number, f"{line.name}: {exc}") from None
    except BadValueError as exc:
        raise RefusedError(line.number, f"{line.name} {exc}") from None


def _span(component: Component, clock: "_Clock", starts: When | None) -> Span:
    match component.name:
        case "VTODO":
            return _until(component, clock, starts, "DUE")
        case "VJOURNAL":
            return Span(starts)
    if starts is None:
        raise RefusedError(component.number, "DTSTART is missing")
    span = _until(component, clock, starts, "DTEND")
    return _whole_days(starts, span) if not is_moment(starts) else span


def _until(component: Component, clock: "_Clock", starts: When | None, name: str) -> Span:
    """The span up to DTEND or DUE, or for DURATION, if either is given."""
    if line := component.first(name):
        ends = clock.when(line)
        if name == "DTEND":
            _check_order(starts, line, ends)
        return Span(starts, ends)
    if starts and (line := component.first("DURATION")):
        with _blaming(line):
            ends = later(starts, parse_duration(line.plain))
        _check_order(starts, line, ends)
        return Span(starts, ends, line.plain.upper())
    return Span(starts)


def _check_order(starts: When | None, line: ContentLine, ends: When) -> None:
    if is_moment(starts) != is_moment(ends):
        kinds = ("a day", "a moment") if is_moment(starts) else ("a moment", "a day")
        raise RefusedError(line.number, f"{line.name} is {kinds[0]}, but DTSTART is {kinds[1]}")
    if isinstance(starts, datetime) and isinstance(ends, datetime) and instant(ends) < instant(starts):
        raise RefusedError(line.number, f"{line.name} {shown(line.plain)} leads to before DTSTART")


def _whole_days(starts: date, span: Span) -> Span:
    """An event of days has one at least (RFC 5545, section 3.6.1)."""
    return span if span.ends and span.ends > starts else Span(starts, starts + DAY)


def _rules(component: Component, name: str) -> tuple[str, ...]:
    rules = []
    for line in component.all(name):
        with _blaming(line):
            rules.append(rule_text(parse_rule(line.plain)))
    return tuple(rules)


def _is_range(line: ContentLine | None) -> bool:
    """Whether a RECURRENCE-ID stands for its occurrence and all after it (RFC 5545, section 3.2.13)."""
    value = line.params.get("RANGE", "").upper() if line else ""
    if line and value not in ("", "THISANDFUTURE"):
        raise RefusedError(line.number, f"RECURRENCE-ID has RANGE={shown(value)}, which RFC 5545 does not know")
    return value != ""


class _Clock:
    """Reads dates and times; `floating` is the zone of those that name none."""

    def __init__(self, zones: Zones) -> None:
        self._zones = zones
        self.floating: tzinfo = zones.floating

    def first(self, component: Component, name: str) -> When | None:
        line = component.first(name)
        return self.when(line) if line else None

    def when(self, line: ContentLine) -> When:
        with _blaming(line):
            return self._when(line, line.plain)

    def spans(self, component: Component, name: str) -> Iterator[Span]:
        """The values of a property that may come often and hold several each."""
        for line in component.all(name):
            for text in filter(None, map(str.strip, line.value.split(","))):
                with _blaming(line):
                    span = self._period(line, text)
                yield span

    def _when(self, line: ContentLine, text: str) -> When:
        when = parse_when(text)
        if not isinstance(when, datetime):
            return when
        if line.params.get("VALUE", "").upper() == "DATE":
            if (when.hour, when.minute, when.second) != (0, 0, 0):
                raise BadValueError(f"{text} is not a date")
            return when.date()
        return when if when.tzinfo else when.replace(tzinfo=self._zone(line))

    def _period(self, line: ContentLine, text: str) -> Span:
        """A start, or as PERIOD a start with an end or a duration (RFC 5545, section 3.3.9)."""
        first, _, second = text.partition("/")
        starts = self._when(line, first)
        if not second:
            return Span(starts)
        duration = second.upper() if second.upper().lstrip("+-").startswith("P") else None
        ends = later(starts, parse_duration(second)) if duration else self._when(line, second)
        if not isinstance(starts, datetime) or not isinstance(ends, datetime) or instant(ends) < instant(starts):
            raise BadValueError(f"{shown(text)} is not a period of time")
        return Span(starts, ends, duration)

    def _zone(self, line: ContentLine) -> tzinfo:
        tzid = line.params.get("TZID", "")
        return self._zones.zone(tzid) if tzid else self.floating

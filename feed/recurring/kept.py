"""The JSON of a series (`feed.importing.recurrence`) → values. It may come from anywhere: nothing of it is believed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import cached_property, lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from feed.importing.contentlines import read_components
from feed.importing.schedules import instant
from feed.importing.values import YEARS, Duration, later, parse_duration
from feed.importing.vtimezones import DefinedZone
from feed.recurring.rules import TooDenseError
from feed.window import When

MOST_PARTS = 10_000  # rules, dates, exclusions and overrides of a series
MOST_LETTERS = 2_000  # of a rule
MOST_DEFINITION = 20_000  # letters of a VTIMEZONE
MOST_ZONE_RULES = 20  # of which each may cost the onsets of two thousand years


@dataclass(frozen=True)
class Span:
    """When something takes place, on the clock of `zone`; None if it runs by days."""

    zone: tzinfo | None
    starts: When | None
    ends: When | None
    duration: Duration | None = None

    @property
    def basis(self) -> When | None:
        """What rules count from."""
        return self.starts if self.starts is not None else self.ends

    @property
    def length(self) -> timedelta:
        """By the clock."""
        return timedelta(0) if self.starts is None or self.ends is None else local(self.ends) - local(self.starts)

    @cached_property
    def exact_length(self) -> timedelta:
        """Of a span of moments."""
        assert isinstance(self.starts, datetime)
        assert isinstance(self.ends, datetime)
        return instant(self.ends) - instant(self.starts)

    def on_clock(self, clock_time: datetime) -> When:
        """That time on its clock; one that is skipped is read with the offset before (RFC 5545, section 3.3.5)."""
        return clock_time.date() if self.zone is None else clock_time.replace(tzinfo=self.zone)

    def at(self, clock_time: datetime) -> tuple[When | None, When | None]:
        """Start and end, as instants or days, of the same at another time of its clock."""
        basis = self.on_clock(clock_time)
        return (None, utc(basis)) if self.starts is None else (utc(basis), self._end(basis))

    def _end(self, starts: When) -> When | None:
        """DURATION is nominal, DTEND exact (RFC 5545, section 3.8.5.3)."""
        if self.duration:
            return utc(later(starts, self.duration))
        if self.ends is None or self.starts is None:
            return None
        if isinstance(starts, datetime) and isinstance(self.ends, datetime):
            return instant(starts) + self.exact_length
        return utc(self.ends + (day_of(starts) - day_of(self.starts)))

    def on(self, zone: tzinfo | None) -> "Span":
        """The same on another clock; days are the same on all."""
        if self.zone is None or zone is None:
            return self
        return replace(self, zone=zone, starts=_moved(self.starts, zone), ends=_moved(self.ends, zone))


@dataclass(frozen=True, slots=True)
class Override:
    replaces: When  # on the clock of the series
    span: Span
    and_future: bool
    is_cancelled: bool
    content: Mapping[str, Any]

    @property
    def shift(self) -> timedelta:
        """How far it moves the occurrences that follow."""
        return timedelta(0) if self.span.basis is None else local(self.span.basis) - local(self.replaces)


@dataclass(frozen=True, slots=True)
class Series:
    zone_name: str | None  # None if it runs by days, or on a clock of its own
    span: Span
    rules: tuple[str, ...]
    exclusion_rules: tuple[str, ...]
    dates: tuple[Span, ...]
    excluded: frozenset[When]  # instants, and days for all that starts on them
    overrides: Mapping[When, Override]  # by instants and days like them

    def is_excluded(self, start: When) -> bool:
        return bool(self.excluded) and not self.excluded.isdisjoint((utc(start), day_of(start)))

    def override_of(self, start: When) -> Override | None:
        return (self.overrides.get(utc(start)) or self.overrides.get(day_of(start))) if self.overrides else None

    def on_clock(self, when: When) -> When:
        """The same on its clock, a day as its midnight; a series without any time of its own has no clock."""
        if isinstance(when, datetime):
            return when if self.span.zone is None else when.astimezone(self.span.zone)
        return self.span.on_clock(local(when))


def local(when: When) -> datetime:
    """The time that its clock shows."""
    return when.replace(tzinfo=None) if isinstance(when, datetime) else datetime.combine(when, time())


def day_of(when: When) -> date:
    return when.date() if isinstance(when, datetime) else when


def utc(when: When) -> When:
    """The instant, or the day: what two times have in common that are the same."""
    return instant(when) if isinstance(when, datetime) else when


def _moved(when: When | None, zone: tzinfo) -> When | None:
    return when.astimezone(zone) if isinstance(when, datetime) else when


def read_series(kept: Mapping[str, Any], *, with_cancelled: bool = False) -> Series:
    """Any error of Python's may come from JSON that is not of that shape.

    `with_cancelled`: a cancelled occurrence is one like others, which says of itself that it is cancelled.
    """
    lists = [_list(kept[name]) for name in ("rules", "exclusion_rules", "dates", "excluded_dates", "overrides")]
    if sum(map(len, lists)) > MOST_PARTS:
        raise TooDenseError("too dense")
    rules, exclusion_rules, dates, excluded_dates, overrides = lists
    span = _span(kept)
    if span.basis is None and any(lists[:4]):
        raise ValueError("it repeats, but has no start")
    series = Series(
        zone_name=kept["zone"] if span.zone and not kept.get("definition") else None,
        span=span,
        rules=tuple(map(_rule, rules)),
        exclusion_rules=tuple(map(_rule, exclusion_rules)),
        dates=tuple(_date(date, span) for date in dates),
        excluded=frozenset(utc(_replaced(text, span)) for text in excluded_dates),
        overrides={},
    )
    return replace(series, overrides=dict(_override(override, series, with_cancelled) for override in overrides))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _rule(text: Any) -> str:
    if not isinstance(text, str) or len(text) > MOST_LETTERS:
        raise ValueError("not a rule")
    return text


def _override(kept: Mapping[str, Any], series: Series, with_cancelled: bool) -> tuple[When, Override]:
    replaced, and_future = _replaced(kept["recurrence_id"], series.span), bool(kept.get("this_and_future"))
    override = Override(
        replaces=series.on_clock(replaced),
        span=_span(kept).on(series.span.zone),
        and_future=and_future,
        is_cancelled=kept.get("status") == "CANCELLED" and (and_future or not with_cancelled),
        content=kept,
    )
    return utc(replaced), override


def _replaced(text: str, series: Span) -> When:
    """An occurrence by its start, or a day for all of its occurrences."""
    when = _when(text, series.zone)
    return day_of(when) if series.zone is None and series.basis is not None else when


def _date(kept: Mapping[str, Any], series: Span) -> Span:
    """A date of its own, which has the length of the series unless it is a period."""
    starts = series.on_clock(local(_when(kept["starts"], series.zone)))
    ends = _when(kept["ends"], series.zone) if kept.get("ends") else None
    return _with_end(Span(series.zone, starts, ends, _duration(kept)))


def _span(kept: Mapping[str, Any]) -> Span:
    texts = [kept.get("starts"), kept.get("ends")]
    zone = _zone(kept)
    starts, ends = (None if text is None else _when(text, zone) for text in texts)
    basis = starts if starts is not None else ends
    clock = basis.tzinfo if isinstance(basis, datetime) else None
    return _with_end(Span(clock, starts, ends, _duration(kept) if starts is not None else None))


def _duration(kept: Mapping[str, Any]) -> Duration | None:
    return parse_duration(kept["duration"]) if kept.get("duration") else None


def _with_end(span: Span) -> Span:
    if span.duration is None or span.starts is None:
        return span
    return replace(span, ends=later(span.starts, span.duration))


def _when(text: str, zone: tzinfo | None) -> When:
    """A day, or a moment on the clock of the zone, without one on that of its own offset.

    What stands before the offset counts, and the offset says which one if the clock shows that time twice: the law may
    have changed since it was written.
    """
    if len(text) == len("2026-03-09"):
        return _checked(date.fromisoformat(text))
    when = datetime.fromisoformat(text).replace(microsecond=0)
    if when.tzinfo is None:
        raise ValueError("a moment without its offset from UTC")
    _checked(when)
    if zone is None or isinstance(zone, timezone):
        return when.astimezone(zone) if zone else when
    first, second = (when.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    return second if second.utcoffset() == when.utcoffset() != first.utcoffset() else first


def _checked(when: When) -> When:
    if when.year not in YEARS:
        raise ValueError("out of the calendar")
    return when


def _zone(kept: Mapping[str, Any]) -> tzinfo | None:
    name, definition = kept["zone"], kept.get("definition")
    if definition:
        return _defined_zone(definition, name)
    return UTC if name == "UTC" else ZoneInfo(name) if name is not None else None


@lru_cache(100)
def _defined_zone(definition: str, name: str | None) -> DefinedZone:
    if len(definition) > MOST_DEFINITION or definition.upper().count("RRULE") > MOST_ZONE_RULES:
        raise TooDenseError("too dense")
    (vtimezone,) = read_components(definition.encode()).components
    return DefinedZone(vtimezone, name)

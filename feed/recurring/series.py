"""A series → what of it a window shows: each occurrence, or one rule for them all. Pure, without clock and database."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import Any

from feed.importing.values import BadValueError
from feed.recurring.kept import Override, Series, Span, local, read_series, utc
from feed.recurring.rules import Budget, TooDenseError, common_rule, is_light, walk
from feed.vtimezone import FIRST_YEAR, one_rule
from feed.window import FIRST_DAY, LAST_DAY, When, Window

MOST_EXCEPTIONS = 100  # of a series that is written with its rule
YEARS_AHEAD = 5  # in which calendar programs show more of a rule than the window does
DAY = timedelta(days=1)


class SeriesError(ValueError):
    """The series cannot be rendered: its JSON cannot be read, or it has more occurrences than anybody could attend."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One of a series. Its moments are in UTC, but those in a `RuledSeries`."""

    original: When  # the start that the rule gives it, which names it for ever (RECURRENCE-ID)
    starts: When | None  # None only of a task that has deadlines only
    ends: When | None
    override: Mapping[str, Any] | None  # the one of the series' overrides whose content replaces that of the series


@dataclass(frozen=True, slots=True)
class RuledSeries:
    """A series as one rule that all calendar programs read alike. Moments are on the clock of its zone."""

    zone: str | None  # TZID; None if it runs by days
    starts: When
    ends: When | None
    rrule: str  # UNTIL is a moment in UTC, or of a series of days a day
    excluded: tuple[When, ...]  # also what is cancelled
    overrides: tuple[Occurrence, ...]


def occurrences(recurrence: Mapping[str, Any], window: Window, *, with_cancelled: bool = False) -> list[Occurrence]:
    """Those that the window shows, sorted by their original start, without cancelled ones unless they are asked for."""
    with _readable():
        return _occurrences(read_series(recurrence, with_cancelled=with_cancelled), window)


def ruled(recurrence: Mapping[str, Any], window: Window, *, with_cancelled: bool = False) -> RuledSeries | None:
    """The series as a rule; None where programs would read it differently, or if the window shows none of it."""
    with _readable():
        series = read_series(recurrence, with_cancelled=with_cancelled)
        return _ruled(series, window) if _occurrences(series, window) else None


def check_series(recurrence: Mapping[str, Any], window: Window) -> None:
    """Raise `SeriesError` unless the window can show the series. It is walked only if it might be too much work."""
    with _readable():
        series = read_series(recurrence)
        if not _is_light(series, window):
            _occurrences(series, window)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (ArithmeticError, AttributeError, BadValueError, LookupError, OSError, TypeError, ValueError) as exc:
        raise SeriesError(str(exc)) from exc


def _is_light(series: Series, window: Window) -> bool:
    basis = series.span.basis
    if basis is None or len(series.rules) != 1 or series.exclusion_rules:
        return False
    return is_light(series.rules[0], local(basis), *_bounds(series, window))


def _occurrences(series: Series, window: Window) -> list[Occurrence]:
    starts = _starts(series, *_bounds(series, window))
    found = [*_regular(series, starts), *_overridden(series, starts)]
    return sorted((one for one in found if _is_shown(one, window)), key=lambda one: _instant(one.original))


def _starts(series: Series, first: datetime, last: datetime) -> dict[When, When]:
    """The starts on its clock, by their instants: all that its rules give between those times, and some others."""
    if series.span.basis is None:
        return {}
    budget, basis = Budget(), local(series.span.basis)

    def times(rules: tuple[str, ...]) -> Iterator[datetime]:
        for rule in rules:
            yield from walk(rule, basis, series.span.zone, first, last, budget)

    starts = [series.span.basis, *(date.starts for date in series.dates if date.starts is not None)]
    starts += [series.span.on_clock(time) for time in times(series.rules)]
    excluded = set(times(series.exclusion_rules))
    return {utc(start): start for start in starts if local(start) not in excluded}


def _bounds(series: Series, window: Window) -> tuple[datetime, datetime]:
    """The times of its clock between which a start can lead to what the window shows, or be one replaced by its day."""
    zone = series.span.zone
    edges = (window.midnight(day).astimezone(zone) if zone else day for day in (window.first, window.end))
    first, last = map(local, edges)
    shifts = [timedelta(0), series.span.length, *(date.length for date in series.dates)]
    for override in series.overrides.values():
        if override.and_future:
            shifts += [override.shift, override.shift + override.span.length]
    days = [local(day) for day in series.overrides if zone and not isinstance(day, datetime)]
    first, last = _later(first, -max(shifts) - 2 * DAY), _later(last, 2 * DAY - min(shifts))
    return min([first, *days]), max([last, *(_later(day, DAY) for day in days)])


def _later(time: datetime, delta: timedelta) -> datetime:
    try:
        return time + delta
    except OverflowError:
        return local(LAST_DAY if delta > timedelta(0) else FIRST_DAY)


def _regular(series: Series, starts: Mapping[When, When]) -> Iterator[Occurrence]:
    """Those that have no override of their own."""
    followed = sorted((o for o in series.overrides.values() if o.and_future), key=lambda o: _instant(o.replaces))
    since = [_instant(override.replaces) for override in followed]
    periods = {utc(date.starts): date for date in series.dates if date.starts is not None and date.ends is not None}
    for original, start in starts.items():
        if series.is_excluded(start) or series.override_of(start):
            continue
        index = bisect_left(since, _instant(original))
        override = followed[index - 1] if index else None
        if override is None or not override.is_cancelled:
            times = _regular_times(series, local(start), override, periods.get(original))
            yield Occurrence(original, *times, override.content if override else None)


def _regular_times(
    series: Series, start: datetime, override: Override | None, period: Span | None
) -> tuple[When | None, When | None]:
    """Where that start leads: `override` may move all from some start on, and `period` has an end of its own."""
    span = series.span
    if override and override.span.basis is not None:
        span, start = override.span, start + override.shift
    if period and span.starts is not None and (span.zone is None) == (period.zone is None):
        span = period
    return span.at(start)


def _overridden(series: Series, starts: Mapping[When, When]) -> Iterator[Occurrence]:
    """Overrides that replace no occurrence take place as well, but not those of excluded ones."""
    originals: dict[int, When] = {}
    for original, start in starts.items():
        if override := series.override_of(start):
            originals.setdefault(id(override), original)
    for override in series.overrides.values():
        if not override.is_cancelled and not series.is_excluded(override.replaces):
            yield from _overriding(series, override, originals.get(id(override), utc(override.replaces)))


def _overriding(series: Series, override: Override, original: When) -> Iterator[Occurrence]:
    """It takes place at its own time or, if it has none, at that of what it replaces."""
    if override.span.basis is not None:
        starts, ends = (None if when is None else utc(when) for when in (override.span.starts, override.span.ends))
        yield Occurrence(original, starts, ends, override.content)
    elif series.span.basis is not None:
        yield Occurrence(original, *series.span.at(local(series.on_clock(original))), override.content)


def _is_shown(one: Occurrence, window: Window) -> bool:
    times = [when for when in (one.starts, one.ends) if when is not None]
    if len({isinstance(when, datetime) for when in times}) > 1:
        del times[0]  # a task from a day to a moment, or the other way round, is shown when it is due
    return window.shows(min(times), max(times))


def _instant(when: When) -> datetime:
    """To sort by: of a day its midnight in UTC."""
    return when.astimezone(UTC) if isinstance(when, datetime) else local(when).replace(tzinfo=UTC)


def _ruled(series: Series, window: Window) -> RuledSeries | None:
    starts = series.span.starts
    if starts is None or len(series.rules) != 1 or series.exclusion_rules or series.dates:
        return None
    rule = common_rule(series.rules[0], starts, series.span.zone)
    if rule is None or not _is_common_zone(series, starts, window) or not _gives_its_start(series, starts):
        return None
    exceptions = _exceptions(series, window)
    if exceptions is None:
        return None
    excluded, overrides = exceptions
    written = RuledSeries(series.zone_name, starts, series.span.ends, rule, excluded, overrides)
    return written if _is_read_alike(written) and not _meets_changes(series, starts, window) else None


def _is_common_zone(series: Series, starts: When, window: Window) -> bool:
    """Days are the same in all zones. In place of UTC some programs put another zone where a rule is."""
    if series.span.zone is None:
        return True
    name, years = series.zone_name, range(window.first.year, window.end.year + YEARS_AHEAD + 1)
    if name is None or "/" not in name or name.startswith("Etc/") or starts.year <= FIRST_YEAR:
        return False
    return one_rule(name, years) is not None


def _gives_its_start(series: Series, starts: When) -> bool:
    start = local(starts)
    return list(walk(series.rules[0], start, series.span.zone, start, start, Budget())) == [start]


def _exceptions(series: Series, window: Window) -> tuple[tuple[When, ...], tuple[Occurrence, ...]] | None:
    """Which starts are excluded or cancelled, and which ones changed; None if not all of them can be written so."""
    if not series.excluded and not series.overrides:
        return (), ()
    if len(series.excluded) + len(series.overrides) > MOST_EXCEPTIONS:
        return None
    days = [local(series.on_clock(when)) for when in (*series.excluded, *series.overrides)]
    first, last = _bounds(series, window)
    try:
        starts = _starts(series, min([first, *days]), max([last, *(_later(day, DAY) for day in days)]))
    except TooDenseError:  # on the way to one of them
        return None
    found = [(start, override) for start in starts.values() if (override := series.override_of(start))]
    if len(found) != len(series.overrides) or any(override.and_future for _, override in found):
        return None
    excluded = {start for start in starts.values() if series.is_excluded(start)}
    excluded |= {start for start, override in found if override.is_cancelled}
    overrides = [_overriding(series, override, start) for start, override in found if start not in excluded]
    return tuple(sorted(excluded)), tuple(_on_clock(one, series) for ones in overrides for one in ones)


def _on_clock(one: Occurrence, series: Series) -> Occurrence:
    original, starts, ends = (
        when.astimezone(series.span.zone) if isinstance(when, datetime) and series.span.zone else when
        for when in (one.original, one.starts, one.ends)
    )
    return Occurrence(original or one.original, starts, ends, one.override)


def _is_read_alike(written: RuledSeries) -> bool:
    """Whether all times that are written are of one kind, none is skipped or shown twice, and none ends too early."""
    spans = [(one.starts, one.ends) for one in written.overrides] + [(written.starts, written.ends)]
    starts = [*written.excluded, *(one.original for one in written.overrides), *(start for start, _ in spans)]
    ends = [end for _, end in spans if end is not None]
    is_moment = isinstance(written.starts, datetime)
    if any(when is None or isinstance(when, datetime) != is_moment or not _is_plain(when) for when in starts + ends):
        return False
    return all(end is None or start is None or local(end) >= local(start) for start, end in spans)


def _meets_changes(series: Series, starts: When, window: Window) -> bool:
    """Whether any occurrence could begin, last or end while its clock changes, on whatever day that is.

    There programs differ: some keep the length by the clock, some the exact one, some shift all that follow. It is
    asked of the time of day, not of the days shown, so that the answer does not depend on the window.
    """
    zone = series.span.zone
    if zone is None or not isinstance(starts, datetime):
        return False
    length = series.span.length
    if _length(starts, starts + length) != length:  # the first one does
        return True
    days = length // DAY + 2
    changes = (change for year in window.years for change in _changes(zone, year))
    firsts = (datetime.combine(change, starts.time(), zone) - n * DAY for change in changes for n in range(-1, days))
    return any(not _is_plain(at) or not _is_plain(at + length) or _length(at, at + length) != length for at in firsts)


def _length(first: datetime, last: datetime) -> timedelta:
    """From one time of a clock to another: exact, where their difference is that of what the clock shows."""
    return last.astimezone(UTC) - first.astimezone(UTC)


@lru_cache(1_000)
def _changes(zone: tzinfo, year: int) -> tuple[date, ...]:
    """The days of the year on which the clock changes, between its noon and the noon before."""
    noons = [datetime(year, 1, 1, 12, tzinfo=zone) + n * DAY for n in range(-1, 366)]
    return tuple(noon.date() for before, noon in pairwise(noons) if before.utcoffset() != noon.utcoffset())


def _is_plain(when: When) -> bool:
    return not isinstance(when, datetime) or when.utcoffset() == when.replace(fold=1 - when.fold).utcoffset()

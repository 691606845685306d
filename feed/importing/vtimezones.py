"""A time zone as a VTIMEZONE defines it (RFC 5545, section 3.6.5).

Not icalendar's `Timezone.to_tz`, which hangs in dateutil on a rule that never ends (FREQ=SECONDLY), refuses
`RDATE;VALUE=DATE`, keeps the first definition of a TZID for every later file of the process, and reads times before
the first onset with the standard offset. Else the two agree, but for a handful of times in two files of the corpus.
"""

import calendar
import zoneinfo
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import islice

from feed.importing.contentlines import Component, shown
from feed.importing.values import BadValueError, parse_rule, parse_utc_offset, parse_when, rule_text

SECOND = timedelta(seconds=1)
WEEK = timedelta(weeks=1)
MINUTE = 60
DAY = 24 * 60 * MINUTE
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
ONSET_RULE_PARTS = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYMONTH", "BYDAY", "BYMONTHDAY"}
HORIZON = 2040  # onsets are worked out up to this year, and further when somebody asks for a later one
LAST_YEAR = 9999
SOME_DAY = date(2000, 1, 1)
MOST_ONSETS = 4  # of one rule in one year


class DefinedZone(tzinfo):
    """The zone of a VTIMEZONE; `name` is its IANA name if it has one, and `text` the definition.

    A time that the clocks skip is read with the offset before the change, one that they show twice as the first of the
    two unless `fold` is set (section 3.3.5). Of times before its first onset a definition says nothing: they are read
    by the IANA zone, or with the offset before that onset.
    """

    def __init__(self, vtimezone: Component, name: str | None) -> None:
        if vtimezone.fault:
            raise BadValueError(vtimezone.fault.reason)
        self.name = name
        self.text = _text(vtimezone)
        self._parts = [_observance(part) for part in vtimezone.components if part.name in ("STANDARD", "DAYLIGHT")]
        if not self._parts:
            raise BadValueError("it has neither STANDARD nor DAYLIGHT")
        self._iana = zoneinfo.ZoneInfo(name) if name else None
        self._agreements: dict[range, bool] = {}
        self._expand(HORIZON)

    @property
    def is_credible(self) -> bool:
        """Whether the last offset is of whole minutes; Apple has written the local mean time of the 19th century."""
        return self._transitions[-1].after % MINUTE == 0

    def agrees(self, years: range) -> bool:
        """Whether the IANA zone of its name has the same offsets throughout these years."""
        if years not in self._agreements:
            probes = self._probes(years)
            self._agreements[years] = self._iana is not None and all(
                at.astimezone(self._iana).utcoffset() == at.astimezone(self).utcoffset() for at in probes
            )
        return self._agreements[years]

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        if dt is None:
            return None
        self._look_ahead(dt.year)
        return self._offset(bisect_right(self._ends[dt.fold], _seconds(dt)), dt)

    def dst(self, dt: datetime | None) -> None:
        return None

    def tzname(self, dt: datetime | None) -> str | None:
        return self.name

    def fromutc(self, dt: datetime) -> datetime:
        """The time on this zone's clock; `dt` is in UTC although its `tzinfo` is this zone, as Python wants it."""
        self._look_ahead(dt.year)
        offset = self._offset(bisect_right(self._instants, _seconds(dt)), dt.replace(tzinfo=UTC))
        local = dt + offset
        return local if local.utcoffset() == offset else local.replace(fold=1)

    def _offset(self, index: int, dt: datetime) -> timedelta:
        """The offset after so many transitions at that time, which is either in UTC or on the clock of this zone."""
        if index:
            return timedelta(seconds=self._transitions[index - 1].after)
        if self._iana:
            known = dt.astimezone(self._iana) if dt.tzinfo is UTC else dt.replace(tzinfo=self._iana)
            return known.utcoffset() or timedelta(0)
        return timedelta(seconds=self._transitions[0].before)

    def _look_ahead(self, year: int) -> None:
        if self._horizon <= year < LAST_YEAR:
            self._expand(min(year + 50, LAST_YEAR))

    def _expand(self, horizon: int) -> None:
        self._horizon = horizon
        self._transitions = sorted({transition for part in self._parts for transition in part.transitions(horizon)})
        self._instants = [transition.at for transition in self._transitions]
        offsets = [self._transitions[0].before, *(transition.after for transition in self._transitions)]
        changes = list(zip(self._instants, offsets, offsets[1:], strict=False))
        # Where each offset ends on the local clock, with times that it shows twice read as the first and as the second.
        self._ends = [at + max(a, b) for at, a, b in changes], [at + min(a, b) for at, a, b in changes]

    def _probes(self, years: range) -> Iterator[datetime]:
        """Both sides of each change by the definition, and once a week for a change that it leaves out."""
        self._look_ahead(years.stop)
        first, last = (datetime(year, 1, 1, tzinfo=UTC) for year in (years.start, years.stop))
        for transition in self._transitions:
            if _seconds(first) < transition.at < _seconds(last):
                at = first + timedelta(seconds=transition.at - _seconds(first))
                yield from (at - SECOND, at)
        yield from (first + n * WEEK for n in range((last - first) // WEEK))


@dataclass(frozen=True, slots=True, order=True)
class _Transition:
    at: int  # seconds since the year 1 began, in UTC
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class _Observance:
    """STANDARD or DAYLIGHT: from each of its onsets on, the offset is `after`."""

    before: int
    after: int
    starts: datetime
    dates: tuple[datetime, ...]
    rules: tuple[dict[str, list[str]], ...]

    def transitions(self, horizon: int) -> Iterator[_Transition]:
        onsets = {self._instant(self.starts), *map(self._instant, self.dates)}
        for rule in self.rules:
            onsets.update(self._rule_instants(rule, horizon))
        return (_Transition(at, self.before, self.after) for at in onsets)

    def _instant(self, onset: datetime) -> int:
        return _seconds(onset) - (0 if onset.tzinfo else self.before)

    def _rule_instants(self, rule: dict[str, list[str]], horizon: int) -> Iterator[int]:
        until = parse_when(rule["UNTIL"][0]) if "UNTIL" in rule else None
        count = int(rule["COUNT"][0]) if "COUNT" in rule else None
        onsets = islice(_yearly(rule, self.starts, horizon), count)
        return (self._instant(onset) for onset in onsets if until is None or self._is_until(onset, until))

    def _is_until(self, onset: datetime, until: date | datetime) -> bool:
        if not isinstance(until, datetime):
            return onset.date() <= until
        return (self._instant(onset) if until.tzinfo else _seconds(onset)) <= _seconds(until)


def _observance(part: Component) -> _Observance:
    starts, before, after = (_required(part, name) for name in ("DTSTART", "TZOFFSETFROM", "TZOFFSETTO"))
    rules = tuple(parse_rule(line.plain) for line in part.all("RRULE"))
    for rule in rules:
        if not _is_onset_rule(rule):
            raise BadValueError(f"{shown(rule_text(rule))} is not a rule of time zones")
    dates = tuple(_onset(text) for line in part.all("RDATE") for text in line.plain.split(",") if text)
    return _Observance(parse_utc_offset(before), parse_utc_offset(after), _onset(starts), dates, rules)


def _is_onset_rule(rule: dict[str, list[str]]) -> bool:
    """Whether it names few days of a year: any other rule would be a mistake, or meant to keep us busy."""
    if rule["FREQ"] != ["YEARLY"] or not rule.keys() <= ONSET_RULE_PARTS or ("BYDAY" in rule and "BYMONTH" not in rule):
        return False
    return len(list(_days(rule, datetime.combine(SOME_DAY, time()), SOME_DAY.year))) <= MOST_ONSETS


def _required(part: Component, name: str) -> str:
    line = part.first(name)
    if line is None:
        raise BadValueError(f"{part.name} has no {name}")
    return line.plain


def _onset(text: str) -> datetime:
    """A local time by rights; also a moment in UTC, a day for its midnight, and the year 1, .NET's word for ever."""
    when = date(1, 1, 1) if text.startswith("0001") else parse_when(text)
    return when if isinstance(when, datetime) else datetime.combine(when, time())


def _yearly(rule: dict[str, list[str]], starts: datetime, horizon: int) -> Iterator[datetime]:
    interval = int(rule.get("INTERVAL", ["1"])[0])
    for year in range(starts.year, horizon, interval):
        for day in _days(rule, starts, year):
            onset = starts.replace(year=year, month=day.month, day=day.day)
            if onset >= starts:
                yield onset


def _days(rule: dict[str, list[str]], starts: datetime, year: int) -> Iterator[date]:
    """The days of the year that BYMONTH, BYDAY and BYMONTHDAY name; the day of DTSTART where they do not."""
    for month in sorted(map(int, rule.get("BYMONTH", [str(starts.month)]))):
        length = calendar.monthrange(year, month)[1]
        days = set(range(1, length + 1)) if "BYDAY" in rule or "BYMONTHDAY" in rule else {starts.day}
        if "BYDAY" in rule:
            days &= {day for weekday in rule["BYDAY"] for day in _weekday(weekday, year, month, length)}
        if "BYMONTHDAY" in rule:
            days &= {n if n > 0 else length + 1 + n for n in map(int, rule["BYMONTHDAY"])}
        yield from (date(year, month, day) for day in sorted(days) if day <= length)


def _weekday(weekday: str, year: int, month: int, length: int) -> range:
    """SU is every Sunday of the month, 2SU its second, -1SU its last."""
    first = 1 + (WEEKDAYS.index(weekday[-2:]) - date(year, month, 1).weekday()) % 7
    days = range(first, length + 1, 7)
    nth = int(weekday[:-2] or 0)
    return days if nth == 0 else days[nth - 1 : nth] if nth > 0 else days[nth : nth + 1 or None]


def _seconds(moment: datetime) -> int:
    """Seconds on the moment's clock since the year 1 began."""
    return (moment.toordinal() - 1) * DAY + moment.hour * 3600 + moment.minute * MINUTE + moment.second


def _text(vtimezone: Component) -> str:
    """The definition as content lines, not folded."""
    lines = ["BEGIN:VTIMEZONE", *(line.text for line in vtimezone.lines)]
    for part in vtimezone.components:
        lines += [f"BEGIN:{part.name}", *(line.text for line in part.lines), f"END:{part.name}"]
    return "\n".join([*lines, "END:VTIMEZONE"])

"""Recurrence rules (RFC 5545, section 3.3.10): the starts that one gives, and if all calendar programs agree on it.

dateutil walks, on the times of a clock that no zone changes. It would walk to the year 9999 to find that no February
has a 30th, and give every second of a century: so each walk is measured, and ends with the time that is asked for.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from math import prod
from typing import Any

from dateutil import rrule

from feed.importing.values import parse_rule, parse_when, rule_text
from feed.window import When

Rule = dict[str, list[str]]

DAY = timedelta(days=1)
MOST_STARTS = 50_000
MOST_WORK = 250_000  # about as many microseconds

# Seconds that a step leads on at least. The even ones are all of that length and keep what a rule takes from its start.
EVEN_STEPS = {"WEEKLY": 604_800, "DAILY": 86_400, "HOURLY": 3_600, "MINUTELY": 60, "SECONDLY": 1}
STEPS = {"YEARLY": 365 * 86_400, "MONTHLY": 28 * 86_400} | EVEN_STEPS
DAYS = {"YEARLY": 366, "MONTHLY": 31, "WEEKLY": 7}  # that a step looks at, else one

NUMBERS = ("BYSETPOS", "BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYHOUR", "BYMINUTE", "BYSECOND")
TIMES = ("BYHOUR", "BYMINUTE", "BYSECOND")

# What every program has: Outlook's patterns (MS-OXCICAL, section 2.1.3.2.2), in the order of its own rules.
COMMON_PARTS = ("FREQ", "COUNT", "UNTIL", "INTERVAL", "BYMONTH", "BYMONTHDAY", "BYDAY", "BYSETPOS", "WKST")
COMMON_NTH = ("1", "2", "3", "4", "-1")
LAST_COMMON_DAY = 28  # of a month: what has no 31st is left out by some, and some take its last day
MOST_INTERVAL = 99
MOST_COUNT = 999


class TooDenseError(ValueError):
    """More starts, or more work to find them, than any series of appointments has."""


class Budget:
    """What the rules of one series may cost."""

    def __init__(self) -> None:
        self._starts = MOST_STARTS
        self._work = MOST_WORK

    def spend(self, *, starts: int = 0, work: int = 0) -> None:
        self._starts -= starts
        self._work -= work
        if self._starts < 0 or self._work < 0:
            raise TooDenseError("too dense")


class _PastTheEndError(Exception):
    pass


class _Interval(int):
    """INTERVAL, which dateutil adds in each step of a walk, of weeks multiplies: here the steps can be counted.

    After `steps` of them the walk is past the time that is asked for, whether it has found anything or not.
    """

    steps: int
    cost: int
    budget: Budget

    def __radd__(self, other: int) -> int:
        self._step()
        return other + int(self)

    def __mul__(self, other: int) -> int:
        self._step()
        return int(self) * other

    def _step(self) -> None:
        self.budget.spend(work=self.cost)
        self.steps -= 1
        if self.steps < 0:
            raise _PastTheEndError


def walk(
    text: str, starts: datetime, zone: tzinfo | None, first: datetime, last: datetime, budget: Budget
) -> Iterator[datetime]:
    """The starts from `first` to `last` that the rule of a series gives, in order, on the series' clock, without zone.

    That clock is `zone`'s, or None for a series of days, which start at midnight.
    """
    rule = parse_rule(text)
    until = until_of(rule, zone)
    if until is not None:
        last = min(last, _latest(until, zone))
    try:
        for found in _walker(rule, starts, first, last, budget) if starts <= last else ():
            budget.spend(starts=1)
            if found > last or (until is not None and _is_after(found, until, zone)):
                return
            if found >= first:
                yield found
    except _PastTheEndError:
        return


def is_light(text: str, starts: datetime, first: datetime, last: datetime) -> bool:
    """Whether a walk costs no more than it may, whatever starts it finds; `ValueError` if there is nothing to find."""
    rule = parse_rule(text)
    _walker(rule, starts, first, last, Budget())
    starts, steps = _way(rule, starts, first, last)
    most_starts = steps * DAYS.get(rule["FREQ"][0], 1) * _times(rule, TIMES)
    return steps * _cost(rule) + 5 + _times(rule, TIMES) <= MOST_WORK and most_starts <= MOST_STARTS


def until_of(rule: Rule, zone: tzinfo | None) -> When | None:
    """Where the rule ends: of moments the last instant in UTC, of days the last day.

    What has no Z is on the clock of the series; there a day includes its moments.
    """
    if "UNTIL" not in rule:
        return None
    when = parse_when(rule["UNTIL"][0])
    if zone is None:
        return when.date() if isinstance(when, datetime) else when
    if not isinstance(when, datetime):
        when = datetime.combine(when, time(23, 59, 59))
    return when if when.tzinfo else when.replace(tzinfo=zone).astimezone(UTC)


def _latest(until: When, zone: tzinfo | None) -> datetime:
    """No time on the series' clock after this one is before that end."""
    if isinstance(until, datetime):
        return until.astimezone(zone).replace(tzinfo=None) + DAY
    return datetime.combine(until, time())


def _is_after(found: datetime, until: When, zone: tzinfo | None) -> bool:
    if not isinstance(until, datetime) or found.replace(tzinfo=UTC) < until - 2 * DAY:
        return False
    return found.replace(tzinfo=zone).astimezone(UTC) > until


def _walker(rule: Rule, starts: datetime, first: datetime, last: datetime, budget: Budget) -> rrule.rrule:
    interval = _Interval(rule.get("INTERVAL", ["1"])[0])
    starts, interval.steps = _way(rule, starts, first, last)
    interval.cost, interval.budget = _cost(rule), budget
    budget.spend(work=5 + _times(rule, TIMES))
    return rrule.rrule(getattr(rrule, rule["FREQ"][0]), starts, interval=interval, **_arguments(rule))


def _way(rule: Rule, starts: datetime, first: datetime, last: datetime) -> tuple[datetime, int]:
    """Where a walk begins, and after how many steps it is past the last time that is asked for."""
    frequency, interval = rule["FREQ"][0], int(rule.get("INTERVAL", ["1"])[0])
    if "COUNT" not in rule and frequency in EVEN_STEPS:
        starts = _nearer(starts, first, EVEN_STEPS[frequency] * interval)
    return starts, int((last - starts).total_seconds()) // (STEPS[frequency] * interval) + 2


def _nearer(starts: datetime, first: datetime, seconds: int) -> datetime:
    """As many steps of that length later as lead safely to before `first`: there the rule gives the same starts."""
    steps = int((first - starts).total_seconds()) // seconds - 2
    return starts + timedelta(seconds=steps * seconds) if steps > 0 else starts


def _cost(rule: Rule) -> int:
    """Of a step of dateutil's, in microseconds, about."""
    frequency = rule["FREQ"][0]
    if frequency in ("MINUTELY", "SECONDLY"):
        return 1 + _times(rule, ("BYSECOND",)) // 2
    days = DAYS.get(frequency, 1)
    looks = days * (4 + len(rule.get("BYSETPOS", ()))) // 40
    weekdays = len(rule.get("BYDAY", ())) * len(rule.get("BYMONTH", "1")) // 2 + len(rule.get("BYWEEKNO", ()))
    times = _times(rule, ("BYMINUTE", "BYSECOND")) // 2 if frequency == "HOURLY" else 0
    return 4 + looks + weekdays + times


def _times(rule: Rule, names: tuple[str, ...]) -> int:
    return prod(len(set(rule.get(name, "1"))) for name in names)


def _arguments(rule: Rule) -> dict[str, Any]:
    arguments: dict[str, Any] = {name.lower(): set(map(int, rule[name])) for name in NUMBERS if name in rule}
    if "COUNT" in rule:
        arguments["count"] = int(rule["COUNT"][0])
    if "BYDAY" in rule:
        arguments["byweekday"] = {_weekday(text) for text in rule["BYDAY"]}
    return arguments | {"wkst": _weekday(rule.get("WKST", ["MO"])[0])}


def _weekday(text: str) -> rrule.weekday:
    weekday: rrule.weekday = getattr(rrule, text[-2:])
    return weekday(int(text[:-2])) if text[:-2] else weekday


def common_rule(text: str, starts: date, zone: tzinfo | None) -> str | None:
    """The rule in the form that all calendar programs read alike, if there is one: with COUNT, or UNTIL in UTC."""
    rule = parse_rule(text)
    if not rule.keys() <= set(COMMON_PARTS) or rule.keys() >= {"COUNT", "UNTIL"} or not _is_pattern(rule, starts):
        return None
    for name in ("INTERVAL", "COUNT", "BYMONTH", "BYMONTHDAY", "BYSETPOS"):
        if name in rule:
            rule[name] = [str(int(number)) for number in rule[name]]
    if rule.get("INTERVAL") == ["1"]:
        del rule["INTERVAL"]
    if "BYDAY" in rule:
        rule["BYDAY"] = [weekday.lstrip("+") for weekday in dict.fromkeys(rule["BYDAY"])]
    if (until := until_of(rule, zone)) is not None:
        rule["UNTIL"] = [f"{until:%Y%m%dT%H%M%SZ}" if isinstance(until, datetime) else f"{until:%Y%m%d}"]
    return rule_text({name: rule[name] for name in COMMON_PARTS if name in rule})


def _is_pattern(rule: Rule, starts: date) -> bool:
    by = {name: values for name, values in rule.items() if name.startswith("BY")}
    if int(rule.get("INTERVAL", ["1"])[0]) > MOST_INTERVAL or int(rule.get("COUNT", ["1"])[0]) > MOST_COUNT:
        return False
    match rule["FREQ"][0]:
        case "DAILY":
            return not by
        case "WEEKLY":
            return by.keys() <= {"BYDAY"} and _are_weekdays(by.get("BYDAY", ()))
        case "MONTHLY":
            return _is_day_of_month(by, starts.day, range(1, LAST_COMMON_DAY + 1))
        case "YEARLY" if (starts.month, starts.day) != (2, 29):
            months = by.pop("BYMONTH", None)
            return not by if months is None else len(months) == 1 and _is_day_of_month(by, starts.day, range(1, 32))
    return False


def _is_day_of_month(by: Rule, day: int, days: range) -> bool:
    """One day by its number, or one by its weekday, as nth of that weekday or of several."""
    match by:
        case {"BYMONTHDAY": [number], **others}:
            return int(number) in days and not others
        case {"BYDAY": weekdays, "BYSETPOS": [nth], **others}:
            return str(int(nth)) in COMMON_NTH and _are_weekdays(weekdays) and not others
        case {"BYDAY": [weekday], **others}:
            return weekday[:-2].lstrip("+") in COMMON_NTH and not others
    return day in days and not by


def _are_weekdays(texts: list[str] | tuple[()]) -> bool:
    return all(len(text) == len("MO") for text in texts)

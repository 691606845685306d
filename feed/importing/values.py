"""Values of properties: DATE, DATE-TIME, DURATION, RECUR and UTC-OFFSET (RFC 5545, section 3.3)."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from feed.importing.contentlines import shown

When = date | datetime  # a day, or a moment

# One off either end of what Python can hold: there days have no neighbours, and asyncpg means infinity by them.
YEARS = range(2, 9999)
DAY = timedelta(days=1)
MOST_DIGITS = 9

DATE_TIME = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T([0-9]{2})([0-9]{2})([0-9]{2})(Z?))?", re.IGNORECASE)
DURATION = re.compile(
    r"([+-]?)P(?:([0-9]+)W)?(?:([0-9]+)D)?(?:T(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)S)?)?", re.IGNORECASE
)
UTC_OFFSET = re.compile(r"([+-]?)([01][0-9]|2[0-3])([0-5][0-9])([0-5][0-9])?")
INTEGER = re.compile(r"[+-]?[0-9]{1,9}")
WEEKDAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")

FREQUENCIES = ("SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")
# The numbers that a part of a rule may hold, and whether they may be counted from the end.
RULE_NUMBERS = {
    "COUNT": (range(1, 10**9), False),
    "INTERVAL": (range(1, 10**9), False),
    "BYSECOND": (range(61), False),
    "BYMINUTE": (range(60), False),
    "BYHOUR": (range(24), False),
    "BYMONTHDAY": (range(1, 32), True),
    "BYYEARDAY": (range(1, 367), True),
    "BYWEEKNO": (range(1, 54), True),
    "BYMONTH": (range(1, 13), False),
    "BYSETPOS": (range(1, 367), True),
}
RULE_WORDS = {
    "FREQ": FREQUENCIES,
    "WKST": ("MO", "TU", "WE", "TH", "FR", "SA", "SU"),
    "RSCALE": ("GREGORIAN",),
    "SKIP": ("OMIT",),
}
FOR_EVER = "9999"  # as a rule's last year: beyond what a calendar can hold, and meant so
RULE_DEFAULTS = ("RSCALE", "SKIP")  # RFC 7529: many programs refuse a rule that names them
SINGLE_PARTS = ("FREQ", "UNTIL", "COUNT", "INTERVAL", "WKST", *RULE_DEFAULTS)


class BadValueError(Exception):
    """The value is not what its property needs; the message says why, to be read after its name."""


@dataclass(frozen=True, slots=True)
class Duration:
    """Days are nominal, seconds exact: when the clocks change a day is not 24 hours (RFC 5545, section 3.3.6)."""

    days: int
    seconds: int


def is_moment(when: When | None) -> bool:
    return isinstance(when, datetime)


def parse_when(text: str) -> When:
    """A DATE or DATE-TIME: a day, a moment in UTC, or, without `tzinfo`, the time of a clock that is not named."""
    match = DATE_TIME.fullmatch(text)
    if match is None:
        raise BadValueError(f"{shown(text)} is not a date or time")
    year, month, day = map(int, match.groups()[:3])
    try:
        when: When = date(year, month, day)
        if match[4]:
            # Second 60 is a leap second, to be read as 59 (RFC 5545, section 3.3.12).
            time = (int(match[4]), int(match[5]), 59 if match[6] == "60" else int(match[6]))
            when = datetime(year, month, day, *time, tzinfo=UTC if match[7] else None)
    except ValueError:
        raise BadValueError(f"{shown(text)} is not a date{' and time' if match[4] else ''}") from None
    if year not in YEARS:
        raise BadValueError(f"{shown(text)} is outside the years {YEARS[0]} to {YEARS[-1]}")
    return when


def parse_duration(text: str) -> Duration:
    match = DURATION.fullmatch(text)
    if match is None or not any(match.groups()[1:]):
        raise BadValueError(f"{shown(text)} is not a duration")
    if any(len(digits or "") > MOST_DIGITS for digits in match.groups()[1:]):
        raise BadValueError(f"{shown(text)} is longer than any calendar")
    weeks, days, hours, minutes, seconds = (int(digits or 0) for digits in match.groups()[1:])
    sign = -1 if match[1] == "-" else 1
    return Duration(sign * (7 * weeks + days), sign * (3600 * hours + 60 * minutes + seconds))


def later(start: When, duration: Duration) -> When:
    """The end of what starts then and lasts so long; of a day the next midnight."""
    try:
        if not isinstance(start, datetime):
            end: When = start + timedelta(days=duration.days) - timedelta(seconds=-duration.seconds) // DAY * DAY
        else:
            if duration.days:
                start = start + timedelta(days=duration.days)
            end = (start.astimezone(UTC) + timedelta(seconds=duration.seconds)).astimezone(start.tzinfo)
    except OverflowError:
        raise BadValueError("leads out of the calendar") from None
    if end.year not in YEARS:
        raise BadValueError("leads out of the calendar")
    return end


def parse_utc_offset(text: str) -> int:
    """Seconds east of UTC (RFC 5545, section 3.3.14)."""
    match = UTC_OFFSET.fullmatch(text)
    if match is None:
        raise BadValueError(f"{shown(text)} is not an offset from UTC")
    seconds = 3600 * int(match[2]) + 60 * int(match[3]) + int(match[4] or 0)
    return -seconds if match[1] == "-" else seconds


def parse_integer(text: str) -> int | None:
    return int(text) if INTEGER.fullmatch(text) else None


def parse_rule(text: str) -> dict[str, list[str]]:
    """The parts of a RECUR, checked and in upper case (RFC 5545, section 3.3.10), without the defaults of RFC 7529."""
    rule: dict[str, list[str]] = {}
    for part in filter(None, text.replace(" ", "").split(";")):
        name, _, values = part.upper().partition("=")
        if name in rule:
            raise BadValueError(f"has {shown(name)} twice")
        if name == "UNTIL" and values.startswith(FOR_EVER):
            continue
        rule[name] = values.split(",")
        if name == "SKIP" and values in ("BACKWARD", "FORWARD"):
            raise BadValueError(f"has SKIP={values}, which few programs know: only OMIT, the default, can be kept")
        if not _is_part(name, rule[name]):
            raise BadValueError(f'part "{shown(part)}" is not one of a recurrence rule')
    if "FREQ" not in rule:
        raise BadValueError("has no FREQ")
    return {name: values for name, values in rule.items() if name not in RULE_DEFAULTS}


def rule_text(rule: dict[str, list[str]]) -> str:
    return ";".join(f"{name}={','.join(values)}" for name, values in rule.items())


def _is_part(name: str, values: list[str]) -> bool:
    if name in SINGLE_PARTS and len(values) != 1:
        return False
    match name:
        case "UNTIL":
            parse_when(values[0])
            return True
        case "BYDAY":
            return all(map(_is_weekday, values))
        case _ if name in RULE_WORDS:
            return values[0] in RULE_WORDS[name]
        case _ if name in RULE_NUMBERS:
            return all(_is_number(value, *RULE_NUMBERS[name]) for value in values)
    return False


def _is_weekday(text: str) -> bool:
    match = WEEKDAY.fullmatch(text)
    return match is not None and (match[1] is None or abs(int(match[1])) in range(1, 54))


def _is_number(text: str, allowed: range, from_the_end: bool) -> bool:
    number = parse_integer(text)
    return number is not None and (abs(number) if from_the_end else number) in allowed

"""IANA name → VTIMEZONE in the one form that every calendar program reads: the present rule, and nothing of the past.

Microsoft's readers take a definition with more than one STANDARD wrongly or not at all, so there is one, and at most
one DAYLIGHT, both from 1970 on. Zones that have no such rule in the years asked for have no such definition.
"""

import re
from datetime import datetime, timedelta
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

from dateutil.relativedelta import FR, MO, SA, SU, TH, TU, WE, relativedelta
from icalendar import Timezone, TimezoneDaylight, TimezoneStandard, vRecur

from feed.importing.contentlines import read_components
from feed.importing.vtimezones import DefinedZone
from feed.importing.zones import iana_name

FIRST_YEAR = 1970
YEARS = range(FIRST_YEAR + 1, 9999)  # in which a definition from 1970 on says all
WEEKDAYS = (SU, MO, TU, WE, TH, FR, SA)  # POSIX counts from Sunday
LAST_WEEK = 5  # POSIX's word for the last one of a month
DAY = timedelta(days=1)

NAME = r"([A-Za-z]{3,}|<[A-Za-z0-9+-]+>)"
OFFSET = r"([+-]?\d+(?::\d+){0,2})"
ONSET = rf",M(\d+)\.(\d)\.(\d)(?:/{OFFSET})?"
# The last line of a TZif file (RFC 8536, section 3.3), with the changes as weekdays of months.
FOOTER = re.compile(rf"{NAME}{OFFSET}(?:{NAME}{OFFSET}?{ONSET}{ONSET})?")


class _Observance(NamedTuple):
    """What the clocks show after a change, which comes when they show `time` on the nth weekday of the month."""

    name: str
    offset: timedelta
    month: int = 1
    week: int = 1
    weekday: int = 4  # 1970 began on a Thursday
    time: timedelta = timedelta(0)


class _Rule(vRecur):
    """Written in the order of Outlook's own definitions."""

    canonical_order = ("FREQ", "BYMONTH", "BYDAY")  # type: ignore[assignment]  # a tuple of that many


@lru_cache(1_000)
def one_rule(zone_name: str, years: range) -> bytes | None:
    """The VTIMEZONE, lines ended by CRLF; None if the zone has other offsets than one rule gives in those years."""
    if iana_name(zone_name) != zone_name or years.start not in YEARS or years.stop not in YEARS:
        return None
    observances = _observances(_footer(zone_name))
    if observances is None or not all(timedelta(0) <= observance.time < DAY for observance in observances):
        return None
    octets = _vtimezone(zone_name, observances)
    return octets if _defined(zone_name, octets).agrees(years) else None


def _footer(zone_name: str) -> str:
    """The POSIX rule that the zone follows after its last change on record, empty if there is none."""
    try:
        octets = resources.files("tzdata").joinpath("zoneinfo", *zone_name.split("/")).read_bytes()
    except OSError:
        return ""
    return octets.rstrip(b"\n").rpartition(b"\n")[2].decode("ascii", "replace")


def _observances(footer: str) -> list[_Observance] | None:
    """Standard time, then summer time if there is one; None if there is no rule of this form."""
    match = FOOTER.fullmatch(footer)
    if match is None:
        return None
    name, offset, other_name, other_offset, *onsets = match.groups()
    standard = _Observance(name.strip("<>"), -_time(offset))
    if other_name is None:
        return [standard]
    ahead = -_time(other_offset) if other_offset else standard.offset + timedelta(hours=1)
    summer = _Observance(other_name.strip("<>"), ahead, *_onset(*onsets[:4]))
    standard = _Observance(standard.name, standard.offset, *_onset(*onsets[4:]))
    # Ireland's standard time is that of its summer; to calendar programs it must be the other one.
    return sorted((standard, summer), key=lambda observance: observance.offset)


def _onset(month: str, week: str, weekday: str, time: str | None) -> tuple[int, int, int, timedelta]:
    return int(month), int(week), int(weekday), _time(time or "2")


def _time(text: str) -> timedelta:
    hours, minutes, seconds = (*map(int, text.lstrip("+-").split(":")), 0, 0)[:3]
    return timedelta(hours=hours, minutes=minutes, seconds=seconds) * (-1 if text.startswith("-") else 1)


def _vtimezone(zone_name: str, observances: list[_Observance]) -> bytes:
    timezone = Timezone()
    timezone.add("TZID", zone_name)
    for component, observance, before in zip(
        (TimezoneStandard(), TimezoneDaylight()), observances, reversed(observances), strict=False
    ):
        component.add("DTSTART", _first_onset(observance))
        if len(observances) > 1:
            component.add("RRULE", _rule(observance))
        component.add("TZOFFSETFROM", before.offset)
        component.add("TZOFFSETTO", observance.offset)
        component.add("TZNAME", observance.name)
        timezone.add_component(component)
    octets: bytes = timezone.to_ical(sorted=False)
    return octets


def _first_onset(observance: _Observance) -> datetime:
    weekday, nth = WEEKDAYS[observance.weekday], _nth(observance)
    start = datetime(FIRST_YEAR, observance.month, 1)  # noqa: DTZ001  # on the zone's own clock
    return start + relativedelta(day=31 if nth < 0 else 1, weekday=weekday(nth)) + observance.time


def _rule(observance: _Observance) -> _Rule:
    weekday = f"{_nth(observance)}{WEEKDAYS[observance.weekday]}"
    return _Rule({"FREQ": "YEARLY", "BYMONTH": observance.month, "BYDAY": weekday})


def _nth(observance: _Observance) -> int:
    return -1 if observance.week == LAST_WEEK else observance.week


def _defined(zone_name: str, octets: bytes) -> DefinedZone:
    (vtimezone,) = read_components(octets).components
    return DefinedZone(vtimezone, zone_name)

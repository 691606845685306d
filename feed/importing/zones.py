"""Time zones of a calendar file: TZID → `tzinfo` (RFC 5545, section 3.2.19).

The file's own VTIMEZONE says what its clock times mean: they were written by it, even where the law has changed since.
The IANA database answers where the file is silent, and names the zone.
"""

import zoneinfo
from collections.abc import Iterable, Iterator
from datetime import UTC, tzinfo
from functools import cache, lru_cache

from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from feed.importing.contentlines import Component, shown
from feed.importing.values import BadValueError
from feed.importing.vtimezones import DefinedZone

MOST_PARTS = 5  # of a TZID that are looked at for a name; no IANA name has more than three
NO_ZONES = ("Factory", "localtime")  # in the database, but of no place: the machine's own zone, or none


class UnknownZoneError(Exception):
    """Nothing says what the clock times of this TZID mean; the message says what to do."""


class Zones:
    """The time zones of one calendar object, and `floating`: the zone of times that name none."""

    def __init__(self, vtimezones: Iterable[Component], floating: str) -> None:
        self._vtimezones: dict[str, Component] = {}
        for vtimezone in vtimezones:
            if tzid := vtimezone.text("TZID").strip():
                self._vtimezones.setdefault(tzid, vtimezone)
        self._zones: dict[str, tzinfo] = {}
        self.floating = self.zone(floating)

    def zone(self, tzid: str) -> tzinfo:
        if tzid not in self._zones:
            self._zones[tzid] = self._resolved(tzid)
        return self._zones[tzid]

    def _resolved(self, tzid: str) -> tzinfo:
        vtimezone = self._vtimezones.get(tzid)
        name = iana_name(tzid) or (iana_name(vtimezone.text("X-LIC-LOCATION").strip()) if vtimezone else None)
        why = "give its definition (VTIMEZONE) or an IANA name"
        if vtimezone:
            try:
                defined = DefinedZone(vtimezone, name)
            except BadValueError as exc:
                why = f"its definition on line {vtimezone.number} cannot be used, as {exc}"
            else:
                if name is None or defined.is_credible:
                    return defined
        if name is None:
            raise UnknownZoneError(f"time zone {shown(tzid)} is unknown: {why}")
        return zoneinfo.ZoneInfo(name)


@lru_cache(1_000)
def iana_name(tzid: str) -> str | None:
    """The IANA name that a TZID stands for: itself, a Windows name's, or what follows a prefix like /mozilla.org/1/."""
    for candidate in (tzid, WINDOWS_TO_OLSON.get(tzid, ""), *_suffixes(tzid)):
        if name := _iana_names().get(candidate.strip("/").casefold()):
            return name
    return None


def zone_name(zone: tzinfo | None) -> str | None:
    """The zone's IANA name, if it has one."""
    match zone:
        case zoneinfo.ZoneInfo(key=str(key)):
            return key
        case DefinedZone():
            return zone.name
    return "UTC" if zone is UTC else None


@cache
def _iana_names() -> dict[str, str]:
    return {name.casefold(): name for name in zoneinfo.available_timezones().difference(NO_ZONES)}


def _suffixes(tzid: str) -> Iterator[str]:
    """What follows each slash, longest first."""
    parts = tzid.strip("/").split("/")
    return ("/".join(parts[start:]) for start in range(max(1, len(parts) - MOST_PARTS), len(parts)))

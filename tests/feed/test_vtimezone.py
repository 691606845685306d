"""The definition of a zone that every calendar program reads: the present rule, or none at all."""

import zoneinfo

import pytest

from feed.importing.contentlines import read_components
from feed.importing.vtimezones import DefinedZone
from feed.vtimezone import one_rule

YEARS = range(2024, 2032)
BERLIN = """BEGIN:VTIMEZONE
TZID:Europe/Berlin
BEGIN:STANDARD
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
TZNAME:CET
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19700329T020000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
TZNAME:CEST
END:DAYLIGHT
END:VTIMEZONE
"""
LORD_HOWE = """BEGIN:VTIMEZONE
TZID:Australia/Lord_Howe
BEGIN:STANDARD
DTSTART:19700405T020000
RRULE:FREQ=YEARLY;BYMONTH=4;BYDAY=1SU
TZOFFSETFROM:+1100
TZOFFSETTO:+1030
TZNAME:+1030
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19701004T020000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=1SU
TZOFFSETFROM:+1030
TZOFFSETTO:+1100
TZNAME:+11
END:DAYLIGHT
END:VTIMEZONE
"""
DUBLIN = """BEGIN:VTIMEZONE
TZID:Europe/Dublin
BEGIN:STANDARD
DTSTART:19701025T020000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
TZOFFSETFROM:+0100
TZOFFSETTO:+0000
TZNAME:GMT
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19700329T010000
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
TZOFFSETFROM:+0000
TZOFFSETTO:+0100
TZNAME:IST
END:DAYLIGHT
END:VTIMEZONE
"""
KOLKATA = """BEGIN:VTIMEZONE
TZID:Asia/Kolkata
BEGIN:STANDARD
DTSTART:19700101T000000
TZOFFSETFROM:+0530
TZOFFSETTO:+0530
TZNAME:IST
END:STANDARD
END:VTIMEZONE
"""


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("Europe/Berlin", BERLIN),
        ("Australia/Lord_Howe", LORD_HOWE),  # half an hour, and summer begins in October
        ("Europe/Dublin", DUBLIN),  # where the law calls summer time standard
        ("Asia/Kolkata", KOLKATA),
    ],
)
def test_a_zone_with_one_rule_is_defined_by_it(zone: str, text: str) -> None:
    assert one_rule(zone, YEARS) == text.replace("\n", "\r\n").encode()


@pytest.mark.parametrize(
    "zone",
    [
        "Africa/Casablanca",  # changes with Ramadan
        "Africa/El_Aaiun",
        "Asia/Gaza",
        "Africa/Cairo",  # at 24:00
        "America/Santiago",
        "America/Nuuk",  # at -1:00, on the day before
        "Asia/Jerusalem",  # on the Friday before the last Sunday
        "Asia/Almaty",  # whose law changed in 2024
        "Europe/berlin",
        "W. Europe Standard Time",
        "../tzdata/zoneinfo/Europe/Berlin",
        "Europe",
        "",
    ],
)
def test_a_zone_without_one_rule_has_no_definition(zone: str) -> None:
    assert one_rule(zone, YEARS) is None


def test_a_rule_is_given_for_the_years_that_it_holds_in() -> None:
    assert one_rule("America/New_York", range(2000, 2010)) is None
    assert one_rule("America/New_York", range(2008, 2010)) is not None
    assert one_rule("Europe/Moscow", range(2010, 2020)) is None
    assert one_rule("Europe/Moscow", range(2015, 2020)) is not None


@pytest.mark.parametrize("years", [range(1970, 1980), range(2, 4), range(9995, 10_003)])
def test_years_that_a_definition_from_1970_on_cannot_hold_for_have_none(years: range) -> None:
    assert one_rule("Asia/Tokyo", years) is None


def test_every_definition_has_the_offsets_of_its_zone() -> None:
    """Each has one STANDARD, as Outlook wants it, and at most one DAYLIGHT, which is ahead of it."""
    zones = zoneinfo.available_timezones()
    defined = {zone: octets for zone in zones if (octets := one_rule(zone, YEARS))}
    for zone, octets in defined.items():
        (vtimezone,) = read_components(octets).components
        assert DefinedZone(vtimezone, zone).agrees(YEARS), zone
        names = [part.name for part in vtimezone.components]
        assert names in (["STANDARD"], ["STANDARD", "DAYLIGHT"]), zone
        offsets = [int(part.text("TZOFFSETTO")) for part in vtimezone.components]
        assert offsets == sorted(offsets), zone
    assert len(zones) - len(defined) < 40

"""Time zones of calendar files: names, definitions, and what happens when the clocks change."""

from datetime import UTC, date, datetime, timedelta

import pytest

from db.activities import Activity
from feed.importing.activities import read_calendar
from feed.importing.zones import UnknownZoneError
from tests.feed.importing.calendars import OFFICE, calendar, only, refusal, refusals, utc, vevent


def defined(*lines: str, tzid: str = "Here") -> str:
    return "\r\n".join(("BEGIN:VTIMEZONE", f"TZID:{tzid}", *lines, "END:VTIMEZONE"))


def observance(name: str, dtstart: str, before: str, after: str, *lines: str) -> str:
    offsets = f"TZOFFSETFROM:{before}", f"TZOFFSETTO:{after}"
    return "\r\n".join((f"BEGIN:{name}", f"DTSTART{dtstart}", *offsets, *lines, f"END:{name}"))


def moment(tzid: str, text: str, *lines: str) -> tuple[datetime | None, str | None]:
    """The instant of a time in that zone, and the name that is known of it."""
    activity = only(*lines, vevent(f'DTSTART;TZID="{tzid}":{text}'))
    return activity.starts_at, activity.time_zone


@pytest.mark.parametrize(
    ("tzid", "name"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("/mozilla.org/20070129_1/Europe/Berlin", "Europe/Berlin"),
        ("/freeassociation.sourceforge.net/Tzfile/America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        ("posix/Europe/Vaduz", "Europe/Vaduz"),
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("US/Pacific", "US/Pacific"),
        ("UTC", "UTC"),
    ],
)
def test_a_zone_is_found_by_its_name(tzid: str, name: str) -> None:
    assert moment(tzid, "20260302T100000") == moment(name, "20260302T100000")
    assert moment(tzid, "20260302T100000")[1] == name


@pytest.mark.parametrize("tzid", ["Customized Time Zone", "localtime", "Factory"])
def test_a_zone_without_definition_or_name_is_refused(tzid: str) -> None:
    assert refusal(f"DTSTART;TZID={tzid}:20240426T140000") == (
        f"DTSTART: time zone {tzid} is unknown: give its definition (VTIMEZONE) or an IANA name"
    )


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("20260115T100000", utc(2026, 1, 15, 15)),
        ("20260308T013000", utc(2026, 3, 8, 6, 30)),
        ("20260308T023000", utc(2026, 3, 8, 7, 30)),  # skipped: by the offset before
        ("20260308T033000", utc(2026, 3, 8, 7, 30)),
        ("20261101T013000", utc(2026, 11, 1, 5, 30)),  # twice: the first
        ("20261101T020000", utc(2026, 11, 1, 7)),
        ("20700701T100000", utc(2070, 7, 1, 14)),
        ("15000701T100000", utc(1500, 7, 1, 14)),  # before the first onset
    ],
)
def test_a_zone_of_its_own_is_as_the_file_defines_it(text: str, instant: datetime) -> None:
    assert moment("Customized Time Zone", text, OFFICE) == (instant, None)


def test_a_definition_may_come_after_its_use() -> None:
    assert only(vevent("DTSTART;TZID= 1:20260701T100000"), OFFICE.replace("TZID:Customized Time Zone", "TZID: 1")) == (
        Activity(type="MEETING", status="CONFIRMED", external_id="1", starts_at=utc(2026, 7, 1, 14))
    )


def test_the_definition_prevails_over_the_name() -> None:
    """As with a file from before a law: by its definition 12:00 is 11:00 in UTC, in summer too."""
    zone = defined(observance("STANDARD", ":19700101T000000", "+0100", "+0100"), tzid="Europe/Berlin")
    assert moment("Europe/Berlin", "20260701T120000", zone) == (utc(2026, 7, 1, 11), "Europe/Berlin")


def test_the_name_answers_for_times_before_the_definition() -> None:
    zone = defined(observance("STANDARD", ":20261025T030000", "+0200", "+0100"), tzid="Europe/Berlin")
    assert moment("Europe/Berlin", "20260115T120000", zone) == (utc(2026, 1, 15, 11), "Europe/Berlin")
    assert moment("Europe/Berlin", "20270715T120000", zone) == (utc(2027, 7, 15, 11), "Europe/Berlin")


def test_an_offset_with_seconds_in_our_days_is_not_believed() -> None:
    zone = defined(observance("STANDARD", ":20010101T000000", "+023017", "+023017"), tzid="Europe/Moscow")
    assert moment("Europe/Moscow", "20180420T120000", zone) == (utc(2018, 4, 20, 9), "Europe/Moscow")
    assert moment("Here", "20180420T120000", zone.replace("Europe/Moscow", "Here")) == (
        utc(2018, 4, 20, 9, 29, 43),
        None,
    )


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", date(2026, 3, 29)),
        ("RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=4SU", date(2026, 3, 22)),
        ("RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=SU;BYMONTHDAY=8,9,10,11,12,13,14", date(2026, 3, 8)),
        ("RRULE:FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=-1", date(2026, 3, 31)),
        ("RRULE:FREQ=YEARLY", date(2026, 3, 1)),
        ("RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;UNTIL=20260329T010000Z", date(2026, 3, 29)),
        ("RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;UNTIL=20260329T020000", date(2026, 3, 29)),
        ("RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;UNTIL=20260329", date(2026, 3, 29)),
        ("RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU;COUNT=7", date(2026, 3, 29)),
        ("RRULE:FREQ=YEARLY;INTERVAL=2", date(2026, 3, 1)),
        ("RDATE:20260405T020000,20270405T020000", date(2026, 4, 5)),
        ("RDATE;VALUE=DATE:20260405", date(2026, 4, 5)),
    ],
)
def test_a_zone_changes_when_its_rules_say(rule: str, changed: date) -> None:
    """Summer begins in 2026."""
    summer = observance("DAYLIGHT", ":20200301T020000", "+0100", "+0200", rule)
    winter = observance("STANDARD", ":20191101T020000", "+0200", "+0100", "RRULE:FREQ=YEARLY")
    zone = defined(summer, winter)

    def offset(day: date) -> timedelta:
        starts, _ = moment("Here", f"{day:%Y%m%d}T230000", zone)
        assert starts
        return datetime(day.year, day.month, day.day, 23, tzinfo=UTC) - starts

    assert offset(changed - timedelta(days=1)) == timedelta(hours=1)
    assert offset(changed) == timedelta(hours=2)


@pytest.mark.parametrize(
    "dtstart", [":20170101T000000", ";VALUE=DATE:20170101", ":20161231T130000Z", ":00010101T000000"]
)
def test_a_zone_may_start_in_odd_ways(dtstart: str) -> None:
    zone = defined(observance("STANDARD", dtstart, "+1100", "+1100"), tzid="UTC+11")
    assert moment("UTC+11", "20170228T230000", zone) == (utc(2017, 2, 28, 12), None)


STANDARD = observance("STANDARD", ":20170101T000000", "+0100", "+0200")


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        (defined(), "it has neither STANDARD nor DAYLIGHT"),
        (defined(STANDARD.replace("DTSTART", "X")), "STANDARD has no DTSTART"),
        (defined(STANDARD.replace("TZOFFSETTO", "X")), "STANDARD has no TZOFFSETTO"),
        (defined(STANDARD.replace("+0100", "4.56")), "4.56 is not an offset from UTC"),
        (defined(STANDARD.replace("20170101T000000", "soon")), "soon is not a date or time"),
        (defined(STANDARD, "bad"), '"bad" is not a content line (NAME:value)'),
        (defined(STANDARD.replace("END:STANDARD", "")), "END:STANDARD is missing"),
        *(
            (defined(STANDARD.replace("END", f"RRULE:{rule}\r\nEND")), f"{rule} is not a rule of time zones")
            for rule in (
                "FREQ=SECONDLY",
                "FREQ=YEARLY;BYHOUR=1,2,3",
                "FREQ=YEARLY;BYDAY=1SU",
                "FREQ=YEARLY;BYMONTH=1,2,3,4,5",
                "FREQ=YEARLY;BYMONTH=1;BYDAY=MO,TU",
            )
        ),
        (defined(STANDARD.replace("END", "RRULE:INTERVAL=1\r\nEND")), "has no FREQ"),
    ],
)
def test_a_definition_that_cannot_be_used_is_named(definition: str, why: str) -> None:
    event = vevent("DTSTART;TZID=Here:20260101T000000")
    last = len(definition.split("\r\n")) + 6
    assert refusals(definition, event) == [
        f"{last - 1} VEVENT: DTSTART: time zone Here is unknown: its definition on line 3 cannot be used, as {why}"
    ]


def test_a_name_helps_where_the_definition_cannot_be_used() -> None:
    assert moment("Europe/Berlin", "20260302T100000", defined(tzid="Europe/Berlin")) == (
        utc(2026, 3, 2, 9),
        "Europe/Berlin",
    )


@pytest.mark.parametrize(
    ("said", "starts", "time_zone"),
    [
        ("X-WR-TIMEZONE:Europe/Berlin", utc(2026, 3, 2, 9), "Europe/Berlin"),
        ("X-WR-TIMEZONE;VALUE=TEXT:Tokyo Standard Time", utc(2026, 3, 2, 1), "Asia/Tokyo"),
        (f"{OFFICE}\r\nX-WR-TIMEZONE:Customized Time Zone", utc(2026, 3, 2, 15), None),
        ("X-WR-TIMEZONE:Mars/Olympus", utc(2026, 3, 2, 15), "America/New_York"),
        ("X-WR-TIMEZONE:", utc(2026, 3, 2, 15), "America/New_York"),
    ],
)
def test_times_without_a_zone_are_in_that_of_the_file(said: str, starts: datetime, time_zone: str | None) -> None:
    activity = only(vevent("DTSTART:20260302T100000"), said)
    assert (activity.starts_at, activity.time_zone) == (starts, time_zone)


def test_each_calendar_of_a_file_has_its_own_zones() -> None:
    other = OFFICE.replace("-0500", "+0500").replace("-0400", "+0600")
    data = b"".join(
        calendar(zone, vevent("DTSTART;TZID=Customized Time Zone:20260101T120000", uid=uid))
        for zone, uid in ((OFFICE, "1"), (other, "2"))
    )
    found = read_calendar(data, "UTC")
    assert [activity.starts_at for activity in found.activities] == [utc(2026, 1, 1, 17), utc(2026, 1, 1, 7)]
    assert found.refusals == ()


def test_a_default_that_is_no_zone_is_an_error() -> None:
    with pytest.raises(UnknownZoneError, match="time zone Mars/Olympus is unknown"):
        read_calendar(calendar(), "Mars/Olympus")

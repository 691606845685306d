"""Calendar files in, activities and refusals out: small files for each construct, and broken ones without end."""

import gc
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from time import process_time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from db.activities import Activity, Participant
from feed.importing.activities import ReadCalendar, Refusal, read_calendar
from tests.feed.importing.calendars import (
    AT_NINE,
    BERLIN,
    DAY,
    MEETING,
    NOTE,
    OFFICE,
    TASK,
    UNTIL_TEN,
    calendar,
    component,
    only,
    override,
    read,
    refusal,
    refusals,
    utc,
    vevent,
)

# --- content


def test_an_event_is_a_meeting() -> None:
    event = vevent(
        "DTSTART:20260302T100000Z",
        "DTEND:20260302T110000Z",
        "SUMMARY:Viewing",
        "DESCRIPTION:Bring the plans",
        "LOCATION:Room 4",
        "URL:https://crm.example.com/m/1",
        "STATUS:tentative",
        "PRIORITY:2",
        "CLASS:CONFIDENTIAL",
        'ORGANIZER;CN="Müller, Anna":mailto:anna@example.com',
        "ATTENDEE;CN=Ben;PARTSTAT=ACCEPTED:MAILTO:ben@example.com",
        "ATTENDEE;PARTSTAT=DELEGATED:urn:uuid:1",
        "ATTENDEE;CN=Cleo ^'C^' Ray;PARTSTAT=declined:invalid:nomail",
        "ATTENDEE:anna@example.com",
        "CATEGORIES:BUSINESS",
    )
    assert only(event) == Activity(
        type="MEETING",
        status="TENTATIVE",
        external_id="1",
        title="Viewing",
        description="Bring the plans",
        location="Room 4",
        url="https://crm.example.com/m/1",
        starts_at=utc(2026, 3, 2, 10),
        ends_at=utc(2026, 3, 2, 11),
        priority="HIGH",
        participants=(
            Participant("Ben", "ben@example.com", "ACCEPTED"),
            Participant('Cleo "C" Ray', None, "DECLINED"),
            Participant(None, "anna@example.com", "NEEDS_ACTION"),
        ),
        private=True,
    )


def test_an_organizer_who_is_not_invited_takes_part() -> None:
    event = vevent(DAY, "ATTENDEE:mailto:ben@example.com", "ORGANIZER;CN=Anna:mailto:anna@example.com")
    assert only(event).participants == (
        Participant(None, "ben@example.com", "NEEDS_ACTION"),
        Participant("Anna", "anna@example.com", None),
    )


def test_a_task_has_its_deadline() -> None:
    task = component("VTODO", "SUMMARY:Send offer", DAY, "DUE;TZID=Europe/Berlin:20260305T170000", "STATUS:IN-PROCESS")
    assert only(task) == replace(
        TASK,
        title="Send offer",
        status="IN_PROCESS",
        starts_on=date(2026, 3, 4),
        due_at=utc(2026, 3, 5, 16),
        time_zone="Europe/Berlin",
    )


def test_a_task_is_due_when_its_duration_is_over() -> None:
    task = component("VTODO", "DTSTART:20260304T080000Z", "DURATION:P1DT2H")
    assert only(task) == replace(TASK, starts_at=utc(2026, 3, 4, 8), due_at=utc(2026, 3, 5, 10))


def test_a_task_without_times_is_kept() -> None:
    assert only(component("VTODO")) == TASK


def test_a_task_may_be_due_before_it_starts() -> None:
    assert only(component("VTODO", DAY, "DUE;VALUE=DATE:20260301")) == replace(
        TASK, starts_on=date(2026, 3, 4), due_on=date(2026, 3, 1)
    )


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("STATUS:COMPLETED", "COMPLETED"),
        ("COMPLETED:20260301T120000Z", "COMPLETED"),
        ("PERCENT-COMPLETE:100", "COMPLETED"),
        ("PERCENT-COMPLETE:99", "NEEDS_ACTION"),
        ("STATUS:NEEDS-ACTION\r\nPERCENT-COMPLETE:100", "NEEDS_ACTION"),
        ("STATUS:CANCELLED\r\nCOMPLETED:20260301T120000Z", "CANCELLED"),
        ("STATUS:Needs Action", "NEEDS_ACTION"),
    ],
)
def test_a_task_is_completed_if_it_says_so(said: str, status: str) -> None:
    assert only(component("VTODO", said)) == replace(TASK, status=status)


@pytest.mark.parametrize(
    ("said", "status"),
    [("FINAL", "CONFIRMED"), ("DRAFT", "TENTATIVE"), ("CANCELLED", "CANCELLED"), ("X", "CONFIRMED")],
)
def test_a_journal_is_a_note(said: str, status: str) -> None:
    journal = component("VJOURNAL", DAY, "SUMMARY:Minutes", "DTEND;VALUE=DATE:20260401", f"STATUS:{said}")
    assert only(journal) == replace(NOTE, title="Minutes", starts_on=date(2026, 3, 4), status=status)


@pytest.mark.parametrize(
    ("number", "priority"),
    [
        *(("0", None), ("1", "HIGH"), ("4", "HIGH"), ("5", "NORMAL"), ("6", "LOW"), ("9", "LOW"), ("10", None)),
        *(("x", None), ("134645983456666098345624598726459872445897345987", None)),
    ],
)
def test_priority_is_one_of_three(number: str, priority: str | None) -> None:
    assert only(vevent(DAY, f"PRIORITY:{number}")) == replace(MEETING, priority=priority)


@pytest.mark.parametrize(
    ("said", "private"), [("PUBLIC", False), ("private", True), ("CONFIDENTIAL", True), ("X-OWN", True)]
)
def test_what_is_not_public_is_private(said: str, private: bool) -> None:
    assert only(vevent(DAY, f"CLASS:{said}")) == replace(MEETING, private=private)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Contoso\\, Q1\\; review", "Contoso, Q1; review"),
        ("one\\ntwo\\Nthree", "one\ntwo\nthree"),
        ("C:\\\\New folder\\\\nets", "C:\\New folder\\nets"),
        ("\\\\\\n", "\\\n"),
        ("ends in \\", "ends in \\"),
        ('\\x \\: \\"', '\\x \\: \\"'),
        ("100%2C, a:b;c=d", "100%2C, a:b;c=d"),
        (" spaces ", " spaces "),
        ("nu\0ll", "null"),
        ("☐ Ø 🎉", "☐ Ø 🎉"),
    ],
)
def test_a_title_is_unescaped_in_one_pass(written: str, meant: str) -> None:
    assert only(vevent(DAY, f'SUMMARY;LANGUAGE=en;ALTREP="cid:a;b:c":{written}')) == replace(MEETING, title=meant)


def test_empty_texts_are_none() -> None:
    assert only(vevent(DAY, "DESCRIPTION:", "LOCATION:", "URL:", "SUMMARY:")) == MEETING


def test_reminders_and_unknown_components_are_passed_over() -> None:
    alarm = "BEGIN:VALARM\r\nUID:2\r\nSUMMARY:Alarm\r\nno line\r\nEND:VALARM"
    other = component("X-OTHER", "SUMMARY:Other", uid="3")
    availability = component("VAVAILABILITY", component("AVAILABLE", DAY), uid="4")
    assert only(other, availability, BERLIN, vevent(alarm, DAY)) == MEETING


# --- times


@pytest.mark.parametrize(
    ("lines", "starts", "ends", "time_zone"),
    [
        (["DTSTART:20260302T100000Z"], utc(2026, 3, 2, 10), None, None),
        (["DTSTART:20260302T100000Z", "DURATION:PT1H30M"], utc(2026, 3, 2, 10), utc(2026, 3, 2, 11, 30), None),
        (["DTSTART:20260302T100000Z", "DTEND:20260302T100000Z"], utc(2026, 3, 2, 10), utc(2026, 3, 2, 10), None),
        (["DTSTART:20261231T235960Z"], utc(2026, 12, 31, 23, 59, 59), None, None),
        (["DTSTART;TZID=Europe/Berlin:20260302T100000Z"], utc(2026, 3, 2, 10), None, None),
        (["DTSTART:20260302T100000"], utc(2026, 3, 2, 15), None, "America/New_York"),
        (["DTSTART;VALUE=DATE-TIME;TZID=Asia/Tokyo:20260302T100000"], utc(2026, 3, 2, 1), None, "Asia/Tokyo"),
        (
            ["DTSTART;TZID=Europe/Berlin:20260302T100000", "DTEND;TZID=Asia/Tokyo:20260302T190000"],
            utc(2026, 3, 2, 9),
            utc(2026, 3, 2, 10),
            "Europe/Berlin",
        ),
        # without a zone beside one that has it
        (
            ["DTSTART;TZID=Europe/Berlin:20260302T100000", "DTEND:20260302T110000"],
            utc(2026, 3, 2, 9),
            utc(2026, 3, 2, 10),
            "Europe/Berlin",
        ),
        # the clocks go forward at 02:00, and back at 03:00
        (["DTSTART;TZID=Europe/Berlin:20260329T023000"], utc(2026, 3, 29, 1, 30), None, "Europe/Berlin"),
        (["DTSTART;TZID=Europe/Berlin:20261025T023000"], utc(2026, 10, 25, 0, 30), None, "Europe/Berlin"),
        # a day is nominal, 24 hours are exact
        (
            ["DTSTART;TZID=Europe/Berlin:20260328T120000", "DURATION:P1D"],
            utc(2026, 3, 28, 11),
            utc(2026, 3, 29, 10),
            "Europe/Berlin",
        ),
        (
            ["DTSTART;TZID=Europe/Berlin:20260328T120000", "DURATION:PT24H"],
            utc(2026, 3, 28, 11),
            utc(2026, 3, 29, 11),
            "Europe/Berlin",
        ),
    ],
)
@pytest.mark.parametrize("definition", [(), (BERLIN,)], ids=["", "defined"])
def test_moments_are_exact(
    definition: tuple[str, ...], lines: list[str], starts: datetime, ends: datetime | None, time_zone: str | None
) -> None:
    assert only(*definition, vevent(*lines)) == Activity(
        type="MEETING", status="CONFIRMED", external_id="1", starts_at=starts, ends_at=ends, time_zone=time_zone
    )


@pytest.mark.parametrize(
    ("lines", "days"),
    [
        (["DTSTART;VALUE=DATE:20260304"], 1),
        (["DTSTART:20260304"], 1),
        (["DTSTART;VALUE=DATE:20260304T000000"], 1),
        (["DTSTART;TZID=Asia/Tokyo:20260304"], 1),
        ([DAY, "DTEND;VALUE=DATE:20260306"], 2),
        ([DAY, "DTEND;VALUE=DATE:20260304"], 1),
        ([DAY, "DTEND;VALUE=DATE:20260301"], 1),
        ([DAY, "DURATION:P1W"], 7),
        ([DAY, "DURATION:PT86400S"], 1),
        ([DAY, "DURATION:PT86401S"], 2),
        ([DAY, "DURATION:PT0S"], 1),
        ([DAY, "DTEND;VALUE=DATE:20260306", "DURATION:P9D"], 2),
    ],
)
def test_days_are_whole(lines: list[str], days: int) -> None:
    assert only(vevent(*lines)) == replace(MEETING, ends_on=date(2026, 3, 4) + timedelta(days=days))


# --- refusals


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["SUMMARY:When?"], "DTSTART is missing"),
        (["DTSTART:20150230"], "DTSTART 20150230 is not a date"),
        (["DTSTART:20150228T240000Z"], "DTSTART 20150228T240000Z is not a date and time"),
        (["DTSTART:soon"], "DTSTART soon is not a date or time"),
        (["DTSTART:"], "DTSTART  is not a date or time"),
        (["DTSTART:2015022\u0668"], "DTSTART 2015022\u0668 is not a date or time"),
        (["DTSTART;VALUE=DATE:20260304T100000"], "DTSTART 20260304T100000 is not a date"),
        (["DTSTART:00000101"], "DTSTART 00000101 is not a date"),
        (["DTSTART:00010101"], "DTSTART 00010101 is outside the years 2 to 9998"),
        (["DTSTART:99991231T235959"], "DTSTART 99991231T235959 is outside the years 2 to 9998"),
        ([DAY, "DTEND:20260304T100000Z"], "DTEND is a moment, but DTSTART is a day"),
        (["DTSTART:20260304T100000Z", "DTEND:20260305"], "DTEND is a day, but DTSTART is a moment"),
        (
            ["DTSTART:20260304T100000Z", "DTEND;TZID=Asia/Tokyo:20260304T180000"],
            "DTEND 20260304T180000 leads to before DTSTART",
        ),
        (["DTSTART:20260304T100000Z", "DURATION:-PT1S"], "DURATION -PT1S leads to before DTSTART"),
        (["DTSTART:20260304T100000Z", "DURATION:P"], "DURATION P is not a duration"),
        (["DTSTART:20260304T100000Z", "DURATION:P7W7W8w"], "DURATION P7W7W8w is not a duration"),
        (["DTSTART:20260304T100000Z", "DURATION:P1Y"], "DURATION P1Y is not a duration"),
        (["DTSTART:20260304T100000Z", "DURATION:P9999999999D"], "DURATION P9999999999D is longer than any calendar"),
        (["DTSTART:20260304T100000Z", "DURATION:P999999999W"], "DURATION leads out of the calendar"),
        (["DTSTART:20260304T100000Z", "DURATION:P8000000D"], "DURATION leads out of the calendar"),
        ([DAY, "DURATION:P3000000D"], "DURATION leads out of the calendar"),
        ([DAY, "RRULE:"], "RRULE has no FREQ"),
        ([DAY, "RRULE:FREQ=FORTNIGHTLY"], 'RRULE part "FREQ=FORTNIGHTLY" is not one of a recurrence rule'),
        ([DAY, "RRULE:FREQ=DAILY;FREQ=DAILY"], "RRULE has FREQ twice"),
        ([DAY, "RRULE:RSCALE=GREGORIAN;FREQ=MONTHLY;SKIP=FORWARD"],
         "RRULE has SKIP=FORWARD, which few programs know: only OMIT, the default, can be kept"),
        ([DAY, "RRULE:RRULE:X;FREQ=DAILY"], 'RRULE part "RRULE:X" is not one of a recurrence rule'),
        ([DAY, "RRULE:FREQ=YEARLY;UNTIL=20123456"], "RRULE 20123456 is not a date"),
        ([DAY, "EXRULE:FREQ=DAILY;BYEASTER=1"], 'EXRULE part "BYEASTER=1" is not one of a recurrence rule'),
        ([DAY, "RDATE;VALUE=PERIOD:20260301T100000Z/20260301T090000Z"],
         "RDATE 20260301T100000Z/20260301T090000Z is not a period of time"),
        ([DAY, "RDATE;VALUE=PERIOD:20260301/P1D"], "RDATE 20260301/P1D is not a period of time"),
        ([DAY, "EXDATE:20260301,x"], "EXDATE x is not a date or time"),
        ([DAY, "RECURRENCE-ID;RANGE=THISANDPRIOR:20260304"],
         "RECURRENCE-ID has RANGE=THISANDPRIOR, which RFC 5545 does not know"),
        ([DAY, "SUMMARY=Viewing"], '"SUMMARY=Viewing" is not a content line (NAME:value)'),
        ([DAY, "URL;//"], '"URL;//" is not a content line (NAME:value)'),
        ([DAY, "a \x1b[31mlong\x1b[0m " + 80 * "line "],
         '"a  [31mlong [0m line line line line line line line line lin…" is not a content line (NAME:value)'),
    ],
)  # fmt: skip
def test_an_event_that_cannot_be_read_is_refused(lines: list[str], reason: str) -> None:
    assert refusal(*lines) == reason


@pytest.mark.parametrize("part", [
    "COUNT=0", "COUNT=-1", "INTERVAL=0", "COUNT=1,2", "BYSECOND=61", "BYMINUTE=60", "BYHOUR=24", "BYHOUR=-1",
    "BYDAY=XX", "BYDAY=0MO", "BYDAY=54MO", "BYMONTHDAY=0", "BYMONTHDAY=32", "BYYEARDAY=-367", "BYWEEKNO=54",
    "BYMONTH=13", "BYMONTH=", "BYSETPOS=x", "WKST=1", "RSCALE=CHINESE", "SKIP=X", "COUNT", "COUNT=99999999999",
])  # fmt: skip
def test_a_rule_outside_its_limits_is_refused(part: str) -> None:
    assert refusal(DAY, f"RRULE:FREQ=DAILY;{part}") == f'RRULE part "{part}" is not one of a recurrence rule'


def test_a_refusal_names_the_line_and_leaves_the_others_alone() -> None:
    """Lines are counted as an editor shows them, folded ones too."""
    data = calendar(
        vevent(DAY, uid="1"),
        vevent("SUMMARY:Much\r\n  too\r\n  long", DAY, "DTEND:20150230", uid="2"),
        vevent(DAY, uid="3"),
    )
    assert read_calendar(data, "UTC") == ReadCalendar(
        (MEETING, replace(MEETING, external_id="3")),
        (Refusal(13, "VEVENT", "DTEND 20150230 is not a date"),),
    )


@pytest.mark.parametrize(
    ("data", "refused"),
    [
        (b"", Refusal(1, "VCALENDAR", "the file is empty")),
        (b"\r\n \n", Refusal(1, "VCALENDAR", "the file is empty")),
        (
            b"<!DOCTYPE html>\n<html><body>Please sign in</body></html>",
            Refusal(1, "VCALENDAR", "this is not an iCalendar file: BEGIN:VCALENDAR is missing"),
        ),
        (
            b"BEGIN:VCARD\nVERSION:4.0\nFN:Anna\nEND:VCARD\n",
            Refusal(1, "VCALENDAR", "this is not an iCalendar file: BEGIN:VCALENDAR is missing"),
        ),
        (
            bytes(range(256)) * 4,
            Refusal(1, "VCALENDAR", "this is not an iCalendar file: BEGIN:VCALENDAR is missing"),
        ),
        (
            b"---\nBEGIN:VCALENDAR\n{% if x %}BEGIN:VEVENT\nEND:VCALENDAR\n",
            Refusal(1, "VCALENDAR", '"---" is not a content line (NAME:value), and no event, task or note was found'),
        ),
        (
            b"BEGIN:VCALENDAR\nSorry, I cannot\nEND:VCALENDAR\n",
            Refusal(
                2,
                "VCALENDAR",
                '"Sorry, I cannot" is not a content line (NAME:value), and no event, task or note was found',
            ),
        ),
    ],
)
def test_what_is_no_calendar_is_refused(data: bytes, refused: Refusal) -> None:
    assert read_calendar(data, "UTC") == ReadCalendar((), (refused,))


def test_an_empty_calendar_has_nothing_to_refuse() -> None:
    assert read(BERLIN) == ReadCalendar((), ())


def test_free_busy_time_is_refused() -> None:
    assert refusals(component("VFREEBUSY", "FREEBUSY:20260301T100000Z/PT1H")) == [
        "3 VFREEBUSY: free/busy time is not an activity"
    ]


@pytest.mark.parametrize("uid", ["UID:\r\n", "UID: \r\n", ""])
def test_an_event_without_uid_is_refused(uid: str) -> None:
    event = vevent(DAY).replace("UID:1\r\n", uid)
    assert refusals(event) == ["3 VEVENT: UID is missing: give it one, or another import could not find it again"]


def test_a_uid_that_no_index_can_hold_is_refused() -> None:
    assert refusals(vevent(DAY, uid="é" * 1001)) == [f"3 VEVENT: UID {'é' * 59}… is longer than 2000 octets"]
    assert only(vevent(DAY, uid="é" * 1000)) == replace(MEETING, external_id="é" * 1000)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["BEGIN:VEVENT", "UID:2", vevent(DAY)], ["3 VEVENT: END:VEVENT is missing"]),
        (["BEGIN:VEVENT", "UID:2", DAY], ["3 VEVENT: END:VEVENT is missing"]),
        (["BEGIN:VEVENT", "UID:2", DAY, BERLIN, "END:VEVENT"],
         ["3 VEVENT: END:VEVENT is missing", "24 VEVENT: END:VEVENT without BEGIN:VEVENT"]),
        (["END:VTODO"], ["3 VTODO: END:VTODO without BEGIN:VTODO"]),
        (["BEGIN:VEVENT", "UID:2", DAY, "BEGIN:VALARM", "SUMMARY:Alarm?", "END:VEVENT"],
         ["6 VEVENT: END:VALARM is missing"]),
        (["BEGIN:VEVENT", "UID:2", DAY, "END:VALARM", "END:VEVENT"], []),
        (["BEGIN:X-Y", vevent(DAY)], []),
    ],
)  # fmt: skip
def test_components_that_do_not_end_where_they_should_are_refused(lines: list[str], said: list[str]) -> None:
    assert [f"{r.line} {r.component}: {r.reason}" for r in read(*lines).refusals] == said


def test_a_file_may_end_early() -> None:
    assert read_calendar(calendar(vevent(DAY)).removesuffix(b"END:VCALENDAR\r\n"), "UTC") == ReadCalendar(
        (MEETING,), ()
    )


def test_components_need_no_calendar_around_them() -> None:
    assert read_calendar(vevent(DAY).encode(), "UTC") == ReadCalendar((MEETING,), ())
    assert only("BEGIN:VCALENDAR", vevent(DAY), "END:VCALENDAR") == MEETING


# --- octets


@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n", "\r\r\n", "\n\n", "\r\n\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_line_end_will_do(line_end: str, encoding: str) -> None:
    text = calendar(vevent(DAY, "SUMMARY:Ein l\r\n änge\r\n\trer Titel")).decode()
    found = read_calendar(text.replace("\r\n", line_end).encode(encoding), "UTC")
    assert found == ReadCalendar((replace(MEETING, title="Ein längerer Titel"),), ())


def test_lines_folded_inside_a_character_are_joined() -> None:
    data = calendar(vevent(DAY, "SUMMARY:Grüße")).replace("ü".encode(), b"\xc3\r\n \xbc")
    assert read_calendar(data, "UTC") == ReadCalendar((replace(MEETING, title="Grüße"),), ())


def test_lines_that_are_not_utf_8_are_windows_1252() -> None:
    """Line by line, so that one of them does not spoil the others."""
    data = calendar(vevent(DAY, "SUMMARY:@", "LOCATION:Zürich")).replace(b"@", b"Caf\xe9 \x96 \x81")
    assert read_calendar(data, "UTC") == ReadCalendar((replace(MEETING, title="Café – \ufffd", location="Zürich"),), ())


def test_files_that_were_joined_are_read_as_one() -> None:
    data = b"".join(b"\xef\xbb\xbf" + calendar(vevent(DAY, uid=uid)) for uid in "12")
    assert read_calendar(data, "UTC") == ReadCalendar((MEETING, replace(MEETING, external_id="2")), ())


@pytest.mark.parametrize(
    "line",
    ['SUMMARY;X="a:b:Viewing', "summary:Viewing", "SUMMARY;LANGUAGE=de;:Viewing", "SUMMARY;X:Viewing"],
)
def test_sloppy_lines_are_read(line: str) -> None:
    assert only(vevent(DAY, line)).title in ("Viewing", "b:Viewing")


# --- revisions


def test_the_newest_of_a_uid_is_taken() -> None:
    found = read(
        vevent("SEQUENCE:2", DAY),
        vevent("SEQUENCE:10", "SUMMARY:Newest", DAY),
        vevent("SEQUENCE:x", DAY),
        component("VTODO", "SUMMARY:Another type"),
    )
    reason = "line 8 has the same UID and a newer SEQUENCE"
    assert found == ReadCalendar(
        (replace(MEETING, title="Newest"), replace(TASK, title="Another type")),
        (Refusal(3, "VEVENT", reason), Refusal(14, "VEVENT", reason)),
    )


def test_of_the_same_sequence_the_last_modified_is_taken() -> None:
    found = read(
        vevent("LAST-MODIFIED:20260302T100000Z", "SUMMARY:Newest", DAY),
        vevent("LAST-MODIFIED:20260301T100000Z", DAY),
        vevent("LAST-MODIFIED:never", DAY),
    )
    reason = "line 3 has the same UID and a newer LAST-MODIFIED"
    assert found == ReadCalendar(
        (replace(MEETING, title="Newest"),), (Refusal(9, "VEVENT", reason), Refusal(14, "VEVENT", reason))
    )


def test_of_two_alike_the_later_is_taken() -> None:
    reason = "line 7 has the same UID and comes later: if it is another one, give it another UID"
    assert read(vevent(DAY), vevent("SUMMARY:Later", DAY)) == ReadCalendar(
        (replace(MEETING, title="Later"),), (Refusal(3, "VEVENT", reason),)
    )


def test_an_older_copy_is_taken_if_the_newest_cannot_be() -> None:
    assert read(vevent(DAY), vevent("SEQUENCE:1", "DTSTART:never")) == ReadCalendar(
        (MEETING,), (Refusal(10, "VEVENT", "DTSTART never is not a date or time"),)
    )


# --- anything at all

EVERYTHING = calendar(
    "X-WR-TIMEZONE:Europe/Berlin",
    BERLIN,
    OFFICE,
    vevent(
        AT_NINE,
        UNTIL_TEN,
        "SUMMARY:Weekly\\, really",
        "RRULE:FREQ=WEEKLY;BYDAY=MO,-1TH;UNTIL=20261231T235959Z;WKST=SU",
        "RDATE;VALUE=PERIOD:20260601T080000Z/20260601T100000Z,20260602T080000Z/PT3H",
        "EXDATE;VALUE=DATE:20260323",
        "SEQUENCE:3",
        "LAST-MODIFIED:20260301T081500Z",
        "ATTENDEE;CN=Ben;PARTSTAT=ACCEPTED:mailto:ben@example.com",
    ),
    override("DTSTART;TZID=Customized Time Zone:20260331T210000", "DURATION:P1DT1H", "STATUS:CANCELLED"),
    override(DAY, replaced=";RANGE=THISANDFUTURE:20260401T073000Z"),
    vevent("DTSTART;TZID=Customized Time Zone:20260309T093000", "RRULE:FREQ=YEARLY;COUNT=3", uid="2"),
    component("VTODO", "DUE:20260305T170000", "PERCENT-COMPLETE:100", "PRIORITY:5", uid="3"),
    component("VJOURNAL", "DTSTART:20260304", "CLASS:PRIVATE", uid="4"),
    component("VFREEBUSY", "FREEBUSY:20260301T100000Z/PT1H", uid="5"),
)
LINES = EVERYTHING.splitlines(keepends=True)


def check(found: ReadCalendar) -> None:
    """What the database's constraints demand, and that it can be written."""
    assert len({(activity.type, activity.external_id) for activity in found.activities}) == len(found.activities)
    assert list(found.refusals) == sorted(found.refusals, key=lambda refusal: refusal.line)
    for activity in found.activities:
        statuses = ("NEEDS_ACTION", "IN_PROCESS", "COMPLETED", "CANCELLED")
        assert activity.status in (statuses if activity.type == "TASK" else ("CONFIRMED", "TENTATIVE", "CANCELLED"))
        assert activity.starts_at is None or activity.starts_on is None
        assert activity.due_at is None or activity.due_on is None
        assert activity.ends_at is None or (activity.starts_at is not None and activity.ends_at >= activity.starts_at)
        assert activity.ends_on is None or (activity.starts_on is not None and activity.ends_on > activity.starts_on)
        assert all(person.name or person.email for person in activity.participants)
        assert "\0" not in repr(activity)
        text = json.dumps(activity.recurrence, ensure_ascii=False)
        assert "\0" not in text
        text.encode()


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """The file above with lines removed, doubled, moved and run together, and octets changed."""
    lines = list(LINES)
    for _ in range(draw(st.integers(0, 6))):
        at, to = (draw(st.integers(0, len(lines) - 1)) for _ in "ab")
        match draw(st.sampled_from(["remove", "double", "swap", "join", "move"])):
            case "remove":
                del lines[at : at + draw(st.integers(1, 5))]
                lines = lines or [b"\n"]
            case "double":
                lines.insert(to, lines[at])
            case "swap":
                lines[at], lines[to] = lines[to], lines[at]
            case "join":
                lines[at] = lines[at].rstrip()
            case "move":
                lines.insert(to, lines.pop(at))
    data = bytearray(b"".join(lines))
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 2))] = draw(
            st.sampled_from([b"", b"\0", b"9", b"-", b";", b",", b"\xff", b"\n"])
        )
    return bytes(data)


@settings(max_examples=400, deadline=timedelta(seconds=2), suppress_health_check=[HealthCheck.too_slow])
@given(spoiled())
@example(EVERYTHING)
def test_a_spoiled_file_is_read_or_refused(data: bytes) -> None:
    check(read_calendar(data, "UTC"))


@given(st.binary(max_size=500))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    check(read_calendar(data, "UTC"))
    check(read_calendar(calendar(vevent(DAY, "SUMMARY:@")).replace(b"@", data), "UTC"))


@settings(deadline=timedelta(seconds=2))
@given(
    st.sampled_from(
        ["DTSTART", "DTEND", "DURATION", "RRULE", "EXRULE", "RDATE", "EXDATE", "RECURRENCE-ID", "SEQUENCE"]
    ),
    st.from_regex(r"[0-9TZP/,;=A-Z+-]{0,30}", fullmatch=True),
)
def test_any_value_is_read_or_refused(name: str, value: str) -> None:
    check(read(BERLIN, vevent(f"{name}:{value}", AT_NINE)))


def series_of(zone: str, dtstart: str, *lines: str, size: int) -> bytes:
    """A file with a hundredth as many series."""
    starts = (f"DTSTART;TZID={dtstart.format(year=2000 + number % 10)}" for number in range(size // 100))
    return calendar(zone, *(vevent(start, *lines, uid=str(number)) for number, start in enumerate(starts)))


def cpu_time(data: bytes) -> float:
    """Without the collector's walks over what the tests before have left: only a long reading would meet one."""
    gc.freeze()
    started = process_time()
    check(read_calendar(data, "UTC"))
    taken = process_time() - started
    gc.unfreeze()
    return taken


@pytest.mark.parametrize(
    "file",
    [
        lambda size: b"BEGIN:X\r\n" * size,
        lambda size: b"BEGIN:X\nEND:Y\n" * size,
        lambda size: b"BEGIN:VCALENDAR\n" * size,
        lambda size: b"BEGIN:VEVENT\nUID:1\nDTSTART:20260101\n" + b" \n" * 30 * size,
        lambda size: b"BEGIN:VCALENDAR\nA" + b';B="c"' * 10 * size + b":d",
        lambda size: b"A" + b';B="' * 20 * size,
        lambda size: b"A" + b";" * 40 * size,
        lambda size: b"BEGIN:VEVENT\nUID:1\nDTSTART:20260101\nSUMMARY:" + b"\\" * 60 * size + b"\nEND:VEVENT\n",
        lambda size: b"BEGIN:VCALENDAR\n" + b"BEGIN:VEVENT\nUID:1\nDTSTART:20260101\nEND:VEVENT\n" * (size // 5),
        lambda size: series_of(BERLIN, "Europe/Berlin:{year}0101T000000", "RRULE:FREQ=DAILY;UNTIL=99980101", size=size),
        lambda size: series_of(OFFICE, "Customized Time Zone:99970101T000000", "RRULE:FREQ=SECONDLY", size=size),
    ],
    ids=lambda file: repr(file(100)[:70]),
)
def test_a_file_four_times_as_long_takes_about_four_times_as_long(file: Callable[[int], bytes]) -> None:
    """Sixteen times would be quadratic. CPU time, the best of several: the machine may be busy."""
    short, long = (min(cpu_time(file(size)) for _ in range(3)) for size in (10_000, 40_000))
    assert long < 10 * short + 0.05

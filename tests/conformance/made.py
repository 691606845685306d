"""Activities that are made up, with the texts that have broken feeds somewhere."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from db.activities import ActivityRecord, Participant
from feed.style import Shown, Style
from tests.conformance.feeds import activity, style

ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Sydney",
    "Africa/Casablanca",
    "Asia/Gaza",
    "Asia/Kolkata",
    "America/Nuuk",
)
HOSTILE = (
    *("\r\n", "\r", "\n", "\x85", "\u2028", "\u2029", "\x00", "\x07", "\x0b", "\x1b", "\x7f", "\ufeff", "\uffff"),
    *("\ud800", "\udfff", "\ufdd0", "\U0001fffe", "\u202e", "\u2066", "\u200b", "\u3000", "\xa0", "\t", " ", "  "),
    *("\\N", "\\n", "\\", "\\\\", ";", ",", ":", '"', "^n", "^'", "^^", "%0D%0A", "<b>", "{title}", "🏠", "👩‍👩‍👧‍👦"),
    *(
        "BEGIN:VEVENT",
        "END:VEVENT\r\nEND:VCALENDAR\r\n",
        "\nDTSTART;TZID=X:19700101T000000\n",
        "\r\n X",
        "é",
        "e\u0301",
    ),
)
URLS = (
    "https://crm.example.com/m/1?a=b&c=d#e",
    "https://exämple.de/ü ö",
    "HTTPS://CRM.EXAMPLE.COM/%zz",
    "https://anna:pass@crm.example.com/",
    "https://crm.example.com/a\r\nATTACH:x",
    "https://crm.example.com/;,\\\"'^",
    "https://crm.example.com/" + "a" * 3_000,
    "http://[::1]:8080/",
    "http://[bad",
    "https://crm.example.com:99999/",
    "javascript:alert(1)",
    "//crm.example.com",
    "https://",
)
EMAILS = (
    "ana@contoso.example",
    "o'neil+x={y}|z~@x.example",
    'a"b@x.example',
    "a,b;c@x.example",
    "ü@x.example",
    "a@b\r\nX:1",
)
EPOCH, LAST = date(2015, 1, 1), date(2035, 1, 1)

texts = st.builds(
    lambda start, pieces: start * "x" + "".join(pieces),
    st.just(0) | st.integers(0, 80),
    st.lists(st.sampled_from(HOSTILE) | st.text(st.characters(), max_size=8), max_size=8),
)
people = st.builds(
    Participant,
    st.none() | texts,
    st.none() | st.sampled_from(EMAILS) | texts,
    st.none() | st.sampled_from(["ACCEPTED", "DECLINED", "TENTATIVE", "NEEDS_ACTION", "?"]),
)
lengths = st.none() | st.builds(
    timedelta,
    days=st.just(0) | st.sampled_from([1, 2, 40, 4_000]),
    minutes=st.integers(0, 1_440),
    microseconds=st.sampled_from([0, 1, 999_999]),
)
said = st.fixed_dictionaries(
    {"title": texts},
    optional={
        "description": texts,
        "location": texts,
        "url": st.sampled_from(URLS) | texts,
        "priority": st.sampled_from(["HIGH", "NORMAL", "LOW"]),
        "participants": st.lists(people, max_size=3).map(tuple),
    },
)


@st.composite
def styles(draw: st.DrawFn) -> Style:
    around = datetime.combine(draw(st.dates(EPOCH, LAST)), datetime.min.time(), UTC)
    return style(
        draw(st.sampled_from(ZONES)),
        around,
        days_back=draw(st.sampled_from([0, 90, 400])),
        days_ahead=draw(st.sampled_from([0, 1, 365])),
        tasks_as=draw(st.sampled_from(["EVENT", "TODO"])),
        detail=draw(st.sampled_from(["FULL", "FULL", "BUSY"])),
        time_style=draw(st.sampled_from(["UTC", "ZONED"])),
        participants=draw(st.sampled_from(["DESCRIPTION", "ATTENDEE"])),
        reminder_minutes=draw(st.sampled_from([None, 0, 15, 40_320])),
        title_with=draw(st.sampled_from(["NOTHING", "CALENDAR", "OWNER"])),
        cancelled="MARK",
    )


@st.composite
def ways_shown(draw: st.DrawFn, style: Style) -> Shown:
    return Shown(
        busy=style.options.detail == "BUSY" or draw(st.integers(0, 5)) == 0,
        overdue=draw(st.booleans()),
        calendars=tuple(draw(st.lists(texts.map(lambda name: f"c{name}"), max_size=2))),
        owner=draw(st.none() | texts),
    )


@st.composite
def activities(draw: st.DrawFn, style: Style, number: int) -> ActivityRecord:
    """One that the window shows."""
    kind = draw(st.sampled_from(["MEETING", "CALL", "TASK"]))
    statuses = ["NEEDS_ACTION", "IN_PROCESS", "COMPLETED"] if kind == "TASK" else ["CONFIRMED", "TENTATIVE"]
    status = draw(st.sampled_from([*statuses, "CANCELLED"]))
    return activity(kind, number, status=status, **draw(times(style, kind)), **draw(said))


@st.composite
def times(draw: st.DrawFn, style: Style, kind: str) -> dict[str, Any]:
    window, length = style.window, draw(lengths)
    hours = draw(st.integers(0, (window.ends_at - window.starts_at) // timedelta(hours=1) - 1))
    at = window.starts_at + timedelta(hours=hours, minutes=draw(st.integers(0, 59)))
    day = window.first + timedelta(days=hours // 25)
    long = length or timedelta(0)
    days = timedelta(days=max(long.days, 1))
    by_day: dict[str, Any] = (
        {"starts_on": day} if length is None else {"starts_on": day - days / 2, "ends_on": day + days}
    )
    by_moment: dict[str, Any] = {"starts_at": at - long / 2, "ends_at": None if length is None else at + long}
    deadlines: list[dict[str, Any]] = [{"due_on": day}, {"due_at": at}, {"starts_at": at - long, "due_at": at}]
    return draw(st.sampled_from([by_day, by_moment, *(deadlines if kind == "TASK" else ())]))

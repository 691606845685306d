"""Series that are made up, as `feed.importing.recurrence` keeps them, and their occurrences by an outside judge."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import recurring_ical_events
from hypothesis import assume
from hypothesis import strategies as st

from feed.window import Window
from tests.conformance.feeds import DAY, QUARTER, activity
from tests.conformance.reading import moment
from tests.feed.importing.test_corpus import calendar_of

Found = tuple[str, str, str]  # start, end and title
Kept = dict[str, Any]

TITLE, CANCELLED = "Series", "Cancelled"
MARGIN = timedelta(days=5)
ZONES = (
    None,
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Sydney",
    "Africa/Casablanca",
    "Asia/Gaza",
    "Asia/Kolkata",
)
# The last of a month, a day that few years have, and those at which summer time begins or ends somewhere.
RARE_DAYS = [
    date(*day)
    for day in (
        *((2024, 1, 31), (2024, 2, 29), (2025, 12, 31), (2025, 3, 29), (2025, 3, 30), (2026, 3, 28), (2025, 10, 25)),
        *((2025, 10, 26), (2026, 3, 7), (2026, 3, 8), (2025, 11, 1), (2025, 11, 2), (2026, 4, 4), (2025, 10, 4)),
        *((2025, 4, 12), (2025, 10, 24), (2026, 2, 14), (2026, 3, 21), (2026, 3, 22), (2026, 2, 15)),
    )
]
RARE_TIMES = [time(22), time(0), time(0, 30), time(1), time(1, 30), time(2), time(2, 30), time(3), time(23, 45)]
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
LENGTHS = ("PT0S", "PT15M", "PT1H", "PT2H", "PT8H", "PT12H", "PT24H", "P1D", "P2D")
SHIFTS = [timedelta(hours=hours) for hours in (0, 0, 1, -2, 12, 24, -48, 24 * 9)]


def length_of(duration: str) -> timedelta:
    length: timedelta = icalendar.vDuration.from_ical(duration)  # type: ignore[no-untyped-call]  # icalendar's
    return length


@st.composite
def windows(draw: st.DrawFn) -> Window:
    first, days = draw(st.dates(date(2025, 1, 1), date(2027, 6, 1)) | st.sampled_from(RARE_DAYS)), draw(DAYS)
    zone = ZoneInfo(draw(st.sampled_from([zone for zone in ZONES if zone])))
    return Window(first, first, first + timedelta(days=days), zone)


DAYS = st.integers(1, 60) | st.integers(1, 500)
NUMBERS = st.sampled_from(["", "", ";INTERVAL=2", ";INTERVAL=3", ";INTERVAL=13"])


@st.composite
def rules(draw: st.DrawFn, day: date) -> str:
    """Of all frequencies, about half of them with a pattern that the day is one of."""
    others = ",".join(sorted(draw(st.sets(st.sampled_from(WEEKDAYS), min_size=1, max_size=3))))
    weekday, nth = WEEKDAYS[day.weekday()], (day.day + 6) // 7
    with_own = ",".join(sorted({*others.split(","), weekday}))
    is_last = (day + 7 * DAY).month != day.month
    patterns = [
        *("FREQ=DAILY", f"FREQ=DAILY;BYDAY={others}", "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR", "FREQ=DAILY;BYMONTH=3,10"),
        *("FREQ=WEEKLY", f"FREQ=WEEKLY;BYDAY={with_own}", f"FREQ=WEEKLY;BYDAY={others}"),
        *(f"FREQ=WEEKLY;BYDAY={with_own};WKST=SU", f"FREQ=WEEKLY;BYDAY={with_own};BYSETPOS=-1"),
        *(
            "FREQ=MONTHLY",
            f"FREQ=MONTHLY;BYMONTHDAY={day.day}",
            "FREQ=MONTHLY;BYMONTHDAY=31",
            "FREQ=MONTHLY;BYMONTHDAY=-1",
        ),
        *(f"FREQ=MONTHLY;BYDAY={-1 if is_last else nth}{weekday}", f"FREQ=MONTHLY;BYDAY={nth}{weekday}"),
        *(
            "FREQ=MONTHLY;BYDAY=-1FR",
            "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
            f"FREQ=MONTHLY;BYDAY={with_own};BYSETPOS=1",
        ),
        *("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "FREQ=MONTHLY;BYDAY=SA,SU;BYSETPOS=2,-2"),
        *("FREQ=YEARLY", f"FREQ=YEARLY;BYMONTH={day.month}", f"FREQ=YEARLY;BYMONTH={day.month};BYMONTHDAY={day.day}"),
        *(f"FREQ=YEARLY;BYMONTH={day.month};BYDAY={nth}{weekday}", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29"),
        *("FREQ=YEARLY;BYMONTH=3,10;BYDAY=-1SU", "FREQ=YEARLY;BYYEARDAY=1,60,-1", "FREQ=YEARLY;BYWEEKNO=10;BYDAY=MO"),
    ]
    return draw(st.sampled_from(patterns)) + draw(NUMBERS)


@st.composite
def ends(draw: st.DrawFn, day: date, at: datetime | None) -> str:
    last = day + draw(st.integers(0, 800)) * DAY
    count = draw(st.sampled_from([1, 2, 5, 30, 200, 1_500]))
    until = (
        f";UNTIL={last:%Y%m%d}"
        if at is None
        else f";UNTIL={datetime.combine(last, at.timetz()).astimezone(UTC):%Y%m%dT%H%M%SZ}"
    )
    return draw(st.sampled_from(["", f";COUNT={count}", until]))


@st.composite
def series(draw: st.DrawFn) -> Kept:
    day = draw(st.dates(date(2024, 1, 1), date(2026, 12, 31)) | st.sampled_from(RARE_DAYS))
    zone = draw(st.sampled_from(ZONES))
    clock = draw(st.sampled_from(RARE_TIMES) | st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 45])))
    at = datetime.combine(day, clock, ZoneInfo(zone)) if zone else None
    rule = draw(rules(day)) + draw(ends(day, at))
    kept = {"zone": zone, **span(draw, at or day), "rules": [rule], "exclusion_rules": []}
    kept |= {"dates": [], "excluded_dates": [], "overrides": []}
    starts = first_starts(kept)
    picked = [starts[n] for n in draw(st.lists(st.integers(0, 40), max_size=5, unique=True)) if n < len(starts)]
    excluded = draw(st.integers(0, len(picked)))
    kept["excluded_dates"] = [said(start) for start in picked[:excluded]]
    kept["overrides"] = [draw(overrides(start, zone, n)) for n, start in enumerate(sorted(picked[excluded:], key=str))]
    return kept


def span(draw: st.DrawFn, starts: date) -> Kept:
    """Its start, and its end: by the clock, or after a length, which of hours is exact."""
    duration = draw(st.sampled_from(LENGTHS if isinstance(starts, datetime) else ("P1D", "P2D", "P9D")))
    ends: Any = starts + length_of(duration)
    if not isinstance(starts, datetime):
        return {"starts": said(starts), "ends": said(ends)}
    if draw(st.booleans()):
        ends = ends if "T" not in duration else (starts.astimezone(UTC) + length_of(duration)).astimezone(starts.tzinfo)
        return {"starts": said(starts), "ends": said(ends), "duration": duration}
    assume(ends.timestamp() >= starts.timestamp())
    return {"starts": said(starts), "ends": said(ends)}


@st.composite
def overrides(draw: st.DrawFn, start: date, zone: str | None, number: int) -> Kept:
    shift, change = draw(st.sampled_from(SHIFTS)), draw(st.integers(0, 5))
    moved = start + (shift if zone else timedelta(days=shift.days))
    override = {"recurrence_id": said(start), "zone": zone, **span(draw, moved), "title": f"Changed {number}"}
    if change == 0:
        return override | {"status": "CANCELLED", "title": CANCELLED}
    return override | ({"this_and_future": True} if change == 1 else {})


def said(when: date) -> str:
    return when.isoformat()


# What the judge finds


def first_starts(kept: Kept) -> list[date]:
    """By the clock of the series, within some two years."""
    first = date.fromisoformat(kept["starts"][:10])
    events = judge(kept).between(first - DAY, first + 700 * DAY)
    return sorted((event.start for event in events), key=moment)[:41]


def judge(kept: Kept) -> Any:
    icalendar.timezone.tzp.use_zoneinfo()  # forget the time zones of other files
    text = calendar_of(activity("MEETING", title=TITLE, external_id="1"), kept)
    return recurring_ical_events.of(icalendar.Calendar.from_ical(text))


def judged(kept: Kept, starts: datetime, ends: datetime, shortest: timedelta = QUARTER) -> list[Found]:
    """The occurrences between those times: the judge says where they start, and their span how long they are."""
    spans = {TITLE: kept, **{override["title"]: override for override in kept["overrides"]}}
    found = []
    for event in judge(kept).between(starts - MARGIN, ends + MARGIN):
        title = str(event["SUMMARY"])
        if title != CANCELLED:
            found.append((moment(event.start), moment(end_of(event.start, spans[title], shortest)), title))
    return sorted(found)


def end_of(start: date, span: Kept, shortest: timedelta) -> date:
    """DTEND and a DURATION of hours are exact, a DURATION of days is nominal (RFC 5545, section 3.8.5.3)."""
    if not isinstance(start, datetime):
        return start + (date.fromisoformat(span["ends"]) - date.fromisoformat(span["starts"]))
    if "T" not in span.get("duration", "T"):
        return start + length_of(span["duration"])
    exact = datetime.fromisoformat(span["ends"]) - datetime.fromisoformat(span["starts"])
    return start.astimezone(UTC) + (exact or shortest)


def within(found: list[Found], starts: datetime, ends: datetime) -> Iterator[Found]:
    for first, last, title in found:
        begins, finishes = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (first, last))
        if begins < ends and (finishes > starts or begins >= starts):
            yield first, last, title

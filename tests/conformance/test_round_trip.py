"""What stands in the database is what the readers find in the feed that the service answers with."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import pytest

from db.activities import Activity, ActivityRecord, Participant, list_activities
from feed.options import DEFAULTS, FeedOptions
from feed.style import Shown, Style
from feed.window import Window
from feed.words import words
from tests.conformance.feeds import DAY, assert_lines, said
from tests.conformance.madeseries import Kept, judged, within
from tests.conformance.readers import assert_alike
from tests.conformance.reading import Component
from tests.seed import HOUR, NOW, Seed, Service, meeting, task

BERLIN = ZoneInfo("Europe/Berlin")
TODAY = NOW.date()
NASTY = 'Contoso; "Q1", C:\\New\\\r\nEND:VEVENT\x07 \u2028👩‍👩‍👧‍👦^n 🏠' + "x" * 200 + "\\"
PEOPLE = (Participant("Ana, Pérez", "ana@contoso.example", "ACCEPTED"), Participant('Jörg "J" Groß', "at home"))
ONCE = [
    meeting("plain"),
    meeting("nasty", title=NASTY, description=NASTY, location=NASTY, url="https://exämple.de/ü", participants=PEOPLE),
    meeting("tentative", status="TENTATIVE", ends_at=None, priority="HIGH"),
    meeting("of a blink", ends_at=NOW + timedelta(milliseconds=900)),
    meeting("all day", starts_at=None, ends_at=None, starts_on=TODAY, title="Fair"),
    meeting("days", starts_at=None, ends_at=None, starts_on=TODAY - 3 * DAY, ends_on=TODAY + 4 * DAY, title=""),
    meeting("private", title="Divorce", private=True),
    Activity(type="CALL", status="CONFIRMED", external_id="call", title="Ana", starts_at=NOW + HOUR),
    task("of a day", title="Send offer", due_on=TODAY + DAY),
    task("of a moment", title="Call back", due_at=NOW + DAY, status="IN_PROCESS"),
    task("done", title="File report", due_at=NOW - DAY, status="COMPLETED"),
    task("overdue", title="File report", due_on=TODAY - 2 * DAY),
    task("from a start", title="Prepare", starts_at=NOW + DAY, ends_at=NOW + DAY + HOUR),
]
NOT_SHOWN = [
    meeting("cancelled", status="CANCELLED"),
    meeting("without a time", starts_at=None, ends_at=None),
    meeting("long ago", starts_at=NOW - 400 * DAY, ends_at=NOW - 400 * DAY + HOUR),
    Activity(type="NOTE", status="CONFIRMED", external_id="note", title="Note", starts_at=NOW),
]


def on(day: int, hour: int) -> str:
    return datetime.combine(TODAY + day * DAY, datetime.min.time(), BERLIN).replace(hour=hour).isoformat()


def series(rule: str, **more: Any) -> Kept:
    nothing: Kept = {"exclusion_rules": [], "dates": [], "excluded_dates": [], "overrides": []}
    times = {"zone": BERLIN.key, "starts": on(-21, 9), "ends": on(-21, 10)}
    return {**nothing, **times, "rules": [rule], **more}


def changed(day: int, to: int, **more: Any) -> Kept:
    times = {"zone": BERLIN.key, "starts": on(to, 14), "ends": on(to, 15)}
    return {"recurrence_id": on(day, 9), **times, "title": f"Changed {day}", **more}


REPEATED = {
    "ruled": series(
        "FREQ=WEEKLY",
        excluded_dates=[on(7, 9)],
        overrides=[changed(14, 15), changed(21, 21, status="CANCELLED", title="Cancelled")],
    ),
    "expanded": series("FREQ=DAILY;COUNT=40", overrides=[changed(0, 1, this_and_future=True)]),
    "by days": series("FREQ=MONTHLY", zone=None, starts=str(TODAY - 30 * DAY), ends=str(TODAY - 29 * DAY)),
}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"tasksAs": "TODO", "timeStyle": "ZONED"},
    {"participants": "ATTENDEE", "reminderMinutes": 15},
    {"detail": "BUSY", "tasksAs": "TODO"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
async def test_readers_find_in_an_answer_what_the_database_holds(
    seed: Seed, service: Service, options: dict[str, Any]
) -> None:
    repeated = [meeting(name, title="Series", recurrence=kept) for name, kept in REPEATED.items()]
    await seed.write(*ONCE, *NOT_SHOWN, *repeated)
    answer = await service.poll(await service.generate(seed.anna, seed.own, options=options))
    ics = await answer.read()
    assert_lines(ics)
    style = style_of(options)
    first, end = style.window.starts_at, style.window.ends_at
    read = assert_alike(ics, first, end)

    rows = await seed.conn.fetch("SELECT id FROM activities WHERE account_id = $1", seed.account_id)
    records = {
        one.external_id: one for one in await list_activities(seed.conn, seed.account_id, [r["id"] for r in rows])
    }
    once = [expected(records[one.external_id], style, urls(ics)) for one in ONCE]
    uids = {one.uid for one in once}
    assert [replace(one, sequence=0) for one in read.components if one.uid in uids] == sorted(once, key=lambda c: c.uid)

    is_busy = style.options.detail == "BUSY"
    found = [one for kept in REPEATED.values() for one in within(judged(kept, first, end), first, end)]
    titles = {one.uid: one.summary for one in read.occurrences if one.uid not in uids}
    assert sorted((o.starts, o.ends, o.summary) for o in read.occurrences if o.uid in titles) == sorted(
        (starts, ends, "Busy" if is_busy else title) for starts, ends, title in found
    )
    assert {one.uid for one in read.occurrences} - set(titles) == {one.uid for one in once if one.component == "VEVENT"}


def style_of(options: dict[str, Any]) -> Style:
    names = {"tasksAs": "tasks_as", "timeStyle": "time_style", "reminderMinutes": "reminder_minutes"}
    chosen = FeedOptions(**{names.get(name, name): value for name, value in options.items()})
    window = Window.around(datetime.now(UTC), BERLIN, DEFAULTS.days_back, DEFAULTS.days_ahead)
    return Style(chosen, words("en"), window)


def expected(one: ActivityRecord, style: Style, urls: dict[str, str | None]) -> Component:
    shown = Shown(busy=one.private or style.options.detail == "BUSY", overdue=one.external_id == "overdue")
    return replace(said(one, style, shown, urls), sequence=0)


def urls(ics: bytes) -> dict[str, str | None]:
    return {str(part["UID"]): part.get("URL") for part in icalendar.Calendar.from_ical(ics).walk() if "UID" in part}

"""The options of a link, from the mutation that sets them to the feed that a subscriber polls."""

import json
import re
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from db.activities import Activity, Participant
from tests.feed.subscription import BERLIN, DAY, DEFAULTS, parts, stay_in_today, subscribe, titled, weekly
from tests.seed import HOUR, NOW, Seed, Service, meeting, task

OPTION_NAMES = [re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name) for name in DEFAULTS]
TITLES = ["! Offer", "Call: Ana", "Viewing", "☐ Report", "☑ Done"]
CALLS, TASKS = ["Call: Ana"], ["! Offer", "☐ Report", "☑ Done"]


@pytest.fixture(autouse=True)
async def today_is_the_day_of_now(seed: Seed) -> None:
    await stay_in_today(seed)


def days(count: int) -> dict[str, Any]:
    return {"starts_at": NOW + count * DAY, "ends_at": NOW + count * DAY + HOUR}


async def write_some_of_each(seed: Seed) -> None:
    await seed.write(
        meeting(owner_id=seed.ben.id),
        Activity(type="CALL", status="CONFIRMED", external_id="c1", title="Ana", starts_at=NOW),
        task("t1", title="Offer", due_on=(NOW - 2 * DAY).date()),
        task("t2", title="Report", due_at=NOW + 2 * DAY),
        task("t3", title="Done", due_on=(NOW - DAY).date(), status="COMPLETED"),
        meeting("m2", title="Lunch", status="CANCELLED"),
        meeting("m3", title="Past", **days(-100)),
        meeting("m4", title="Far", **days(400)),
    )


CHOICES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, TITLES),
    ({"activityTypes": ["MEETING"]}, ["Viewing"]),
    ({"activityTypes": ["TASK", "CALL", "TASK"]}, CALLS + TASKS),
    ({"tasksAs": "TODO"}, ["Call: Ana", "Done", "Offer", "Report", "Viewing"]),
    ({"detail": "BUSY"}, ["Busy"] * 5),
    ({"daysBack": 99}, TITLES),
    ({"daysBack": 100}, [*TITLES, "Past"]),
    ({"daysBack": 3650}, [*TITLES, "Past"]),
    ({"daysBack": 0}, ["Call: Ana", "Viewing", "☐ Report"]),
    ({"daysAhead": 399}, TITLES),
    ({"daysAhead": 400}, [*TITLES, "Far"]),
    ({"daysAhead": 0}, ["! Offer", "Call: Ana", "Viewing", "☑ Done"]),
    ({"completedTasks": "OMIT"}, ["! Offer", "Call: Ana", "Viewing", "☐ Report"]),
    ({"cancelled": "MARK"}, [*TITLES, "Cancelled: Lunch"]),
    ({"cancelled": "MARK", "detail": "BUSY"}, ["Busy"] * 5),
    ({"titleWith": "CALENDAR"}, [f"Anna Müller: {title}" for title in TITLES]),
    ({"titleWith": "OWNER"}, [title.replace("Viewing", "Ben Okafor: Viewing") for title in TITLES]),
]


@pytest.mark.parametrize(("options", "titles"), CHOICES, ids=lambda value: json.dumps(value)[:40])
async def test_option_chooses_what_a_feed_shows_in_a_new_link_and_in_a_changed_one(
    seed: Seed, service: Service, options: dict[str, Any], titles: list[str]
) -> None:
    await write_some_of_each(seed)
    new = await subscribe(service, seed.anna, seed.own, options=options)
    changed = await subscribe(service, seed.anna, seed.own, name="changed")
    assert await changed.titles() == sorted(TITLES)
    assert (await changed.update(**options))["userErrors"] == []
    assert await new.titles() == await changed.titles() == sorted(titles)


PEOPLE = (Participant("Ana Pérez", "ana@contoso.example", "ACCEPTED"), Participant("Jörg", None))
ZONED = "TZID=Europe/Berlin:"
LOOKS: list[tuple[dict[str, Any], str, dict[str, str | None]]] = [
    ({}, "m1", {"DTSTART": f"{NOW:%Y%m%dT090000Z}", "ATTENDEE": None, "VALARM.TRIGGER": None}),
    ({}, "m1", {"DESCRIPTION": "Participants: Ana Pérez (ana@contoso.example)\\, Jörg"}),
    ({"participants": "ATTENDEE"}, "m1", {"DESCRIPTION": "Participants: Jörg"}),
    (
        {"participants": "ATTENDEE"},
        "m1",
        {"ATTENDEE": 'CN="Ana Pérez";PARTSTAT=ACCEPTED:mailto:ana@contoso.example', "ORGANIZER": None},
    ),
    ({"reminderMinutes": 15}, "m1", {"VALARM.TRIGGER": "RELATED=START:-PT15M", "VALARM.ACTION": "DISPLAY"}),
    ({"reminderMinutes": 0}, "m1", {"VALARM.TRIGGER": "RELATED=START:P0D"}),
    ({"reminderMinutes": 40_320}, "m1", {"VALARM.TRIGGER": "RELATED=START:-P28D"}),
    ({"reminderMinutes": 15}, "day", {"VALARM.TRIGGER": None}),
    ({"reminderMinutes": 15, "tasksAs": "TODO"}, "t1", {"BEGIN": "VTODO", "VALARM.TRIGGER": "RELATED=END:-PT15M"}),
    ({"tasksAs": "TODO"}, "t1", {"BEGIN": "VTODO", "DUE": f"{NOW:%Y%m%dT090000Z}", "DTSTART": None}),
    ({"tasksAs": "EVENT"}, "t1", {"BEGIN": "VEVENT", "DUE": None, "TRANSP": "TRANSPARENT"}),
]


async def write_a_meeting_a_day_and_a_task(seed: Seed) -> None:
    await seed.write(
        meeting("m1", title="m1", participants=PEOPLE),
        meeting("day", title="day", starts_at=None, ends_at=None, starts_on=NOW.date()),
        task("t1", title="t1", due_at=NOW),
    )


@pytest.mark.parametrize(("options", "title", "expected"), LOOKS)
async def test_option_changes_how_an_activity_looks(
    seed: Seed, service: Service, options: dict[str, Any], title: str, expected: dict[str, str | None]
) -> None:
    await write_a_meeting_a_day_and_a_task(seed)
    link = await subscribe(service, seed.anna, seed.own)
    before = titled(await link.read(), title)
    await link.update(**options)
    part = titled(await link.read(), title)
    assert {name: part.get(name) for name in expected} == expected
    assert part["UID"] == before["UID"]


async def test_times_of_the_style_zoned_are_in_the_users_zone_with_its_definition(seed: Seed, service: Service) -> None:
    await seed.conn.execute("UPDATE users SET time_zone = 'Europe/Berlin'")
    await write_a_meeting_a_day_and_a_task(seed)
    link = await subscribe(service, seed.anna, seed.own, options={"timeStyle": "ZONED"})
    octets = await link.read()
    local = NOW.astimezone(BERLIN)
    assert titled(octets, "m1")["DTSTART"] == f"{ZONED}{local:%Y%m%dT%H%M%S}"
    assert titled(octets, "m1")["DTEND"] == f"{ZONED}{local + HOUR:%Y%m%dT%H%M%S}"
    assert titled(octets, "day")["DTSTART"] == f"VALUE=DATE:{NOW:%Y%m%d}"
    assert octets.count(b"BEGIN:VTIMEZONE") == octets.count(b"TZID:Europe/Berlin") == 1
    await link.update(timeStyle="UTC")
    assert b"TZID" not in await link.read()


async def test_moment_in_a_year_that_the_window_does_not_show_is_in_utc(seed: Seed, service: Service) -> None:
    """The definition of the zone holds for the years of the window, and for no other."""
    await seed.conn.execute("UPDATE users SET time_zone = 'Europe/Berlin'")
    begun, ended = NOW - 1_000 * DAY, NOW + HOUR
    await seed.write(
        meeting("m1", title="m1"),
        meeting("long", title="long", starts_at=begun, ends_at=ended),
        meeting("endless", title="endless", ends_at=NOW + 4_000 * DAY),
    )
    link = await subscribe(service, seed.anna, seed.own, options={"timeStyle": "ZONED"})
    octets = await link.read()
    times = {name: [titled(octets, name)[key] for key in ("DTSTART", "DTEND")] for name in ("m1", "long", "endless")}
    assert times == {
        "m1": [f"{ZONED}{moment.astimezone(BERLIN):%Y%m%dT%H%M%S}" for moment in (NOW, ended)],
        "long": [f"{moment:%Y%m%dT%H%M%SZ}" for moment in (begun, ended)],
        "endless": [f"{moment:%Y%m%dT%H%M%SZ}" for moment in (NOW, NOW + 4_000 * DAY)],
    }


UNTITLED: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["Call", "Cancelled: Meeting", "Meeting", "☐ Task"]),
    ({"tasksAs": "TODO"}, ["Call", "Cancelled: Meeting", "Meeting", "Task"]),
    (
        {"titleWith": "CALENDAR"},
        [f"Anna Müller: {word}" for word in ("Call", "Cancelled: Meeting", "Meeting", "☐ Task")],
    ),
]


@pytest.mark.parametrize("title", ["", "   ", "\u00a0\t\u3000", "\x07\n"])
@pytest.mark.parametrize(("options", "titles"), UNTITLED)
async def test_title_of_no_word_is_that_of_the_type(
    seed: Seed, service: Service, options: dict[str, Any], titles: list[str], title: str
) -> None:
    """A component without a SUMMARY is none that RFC 5546 lets anybody publish (section 3.2.1)."""
    await seed.write(
        meeting(title=title),
        meeting("gone", title=title, status="CANCELLED"),
        Activity(type="CALL", status="CONFIRMED", external_id="c1", title=title, starts_at=NOW),
        task("t1", title=title, due_at=NOW),
    )
    link = await subscribe(service, seed.anna, seed.own, options={**options, "cancelled": "MARK"})
    assert await link.titles() == titles


async def test_occurrence_of_no_title_is_called_by_the_type_in_the_users_language(seed: Seed, service: Service) -> None:
    await seed.conn.execute("UPDATE users SET locale = 'de'")
    await seed.write(meeting("s1", title="Jour fixe", recurrence=weekly(location="Room 4")))
    link = await subscribe(service, seed.anna, seed.own)
    assert await link.titles() == ["Jour fixe", "Termin"]


# ---- detail BUSY


SECRETS: dict[str, Any] = {
    "title": "Divorce",
    "description": "Papers",
    "location": "Notary",
    "url": "https://crm.example.com/secret",
    "priority": "HIGH",
    "participants": (Participant("Ana Secret", "ana@secret.example", "ACCEPTED"),),
}
TELLING_NOTHING = {
    "BEGIN", "DTSTAMP", "LAST-MODIFIED", "SEQUENCE", "UID", "SUMMARY", "DTSTART", "DTEND", "STATUS", "TRANSP", "CLASS",
    "X-MICROSOFT-CDO-BUSYSTATUS", "X-MICROSOFT-CDO-ALLDAYEVENT", "RRULE", "RECURRENCE-ID",
}  # fmt: skip
MORE_OPTIONS: list[dict[str, Any]] = [
    {},
    {"tasksAs": "TODO", "titleWith": "OWNER", "participants": "ATTENDEE", "reminderMinutes": 5, "cancelled": "MARK"},
    {"titleWith": "CALENDAR", "timeStyle": "ZONED"},
]


async def write_secrets(seed: Seed) -> None:
    secrets = {**SECRETS, "owner_id": seed.ben.id}
    call = Activity(type="CALL", status="TENTATIVE", external_id="c1", starts_at=NOW, **secrets)
    moved = weekly(title="Divorce", location="Notary", description="Papers", url=SECRETS["url"])
    await seed.write(
        meeting(**secrets),
        call,
        task(due_on=NOW.date(), **secrets),
        task("t2", due_at=NOW - 3 * DAY, **secrets),
        meeting("s1", **secrets, recurrence=moved),
        meeting("gone", **secrets, status="CANCELLED"),
        calendars=(seed.own, seed.team),
    )


@pytest.mark.parametrize("options", MORE_OPTIONS)
async def test_busy_feed_tells_nothing_but_when_in_any_byte(
    seed: Seed, service: Service, options: dict[str, Any]
) -> None:
    await write_secrets(seed)
    link = await subscribe(service, seed.anna, options={**options, "detail": "BUSY"})
    octets = await link.read()
    found = parts(octets)
    assert {part["SUMMARY"] for part in found} == {"Busy"}
    assert {name for part in found for name in part} <= TELLING_NOTHING
    assert {part["BEGIN"] for part in found} == {"VEVENT"}
    ids = [str(row["id"]) for row in await seed.conn.fetch("SELECT id FROM activities")]
    told = ["Divorce", "Papers", "Notary", "secret", "Ben", "Okafor", "Anna", "Sales", *ids, *(i[:13] for i in ids)]
    flat = octets.decode().replace("\r\n ", "").casefold()
    assert [word for word in told if word.casefold() in flat] == []


async def test_uids_of_a_busy_feed_are_those_of_every_busy_feed_and_of_no_full_one(
    seed: Seed, service: Service
) -> None:
    await write_secrets(seed)
    links = [
        await subscribe(service, seed.anna, seed.team),
        await subscribe(service, seed.anna, seed.team, name="busy", options={"detail": "BUSY"}),
        await subscribe(service, seed.ben, seed.team, options={"detail": "BUSY"}),
    ]
    uids = [{part["UID"] for part in await link.parts()} for link in links]
    assert [len(found) for found in uids] == [5, 5, 5]
    assert uids[1] == uids[2]
    assert uids[0] & uids[1] == set()


# ---- changing options


async def test_changed_options_keep_the_url_and_move_both_validators(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    link = await subscribe(service, seed.anna, seed.own)
    for options in ({"daysBack": 5}, {"titleWith": "OWNER"}, {"activityTypes": ["CALL"]}):
        before = await link.poll()
        payload = await link.update(**options)
        assert payload["link"]["url"].endswith(link.url)
        after = await link.poll(If_None_Match=before.headers["ETag"])
        by_date = await link.poll(If_Modified_Since=before.headers["Last-Modified"])
        assert (after.status, by_date.status) == (200, 200)
        assert after.headers["ETag"] != before.headers["ETag"]
        was, became = (parsedate_to_datetime(answer.headers["Last-Modified"]) for answer in (before, after))
        assert became >= was
        assert (await link.poll(If_None_Match=after.headers["ETag"])).status == 304


VALUES: dict[str, Any] = {
    "null": None,
    "objects": {"a": [1]},
    "texts": "90",
    "true": True,
    "numbers below": -1,
    "numbers above": 10**30,
    "fractions": 1.5,
    "lists": ["NOTE", [], {}],
    "empty lists": [],
}
GARBAGE: dict[str, str] = {name: json.dumps(dict.fromkeys(OPTION_NAMES, value)) for name, value in VALUES.items()}
GARBAGE |= {
    "unknown names": '{"any": 1, "": 2, "self": 3, "daysBack": 4}',
    "a number of 5000 digits": '{"days_back": 1e5000}',
    "depth": '{"days_back": ' + "[" * 1500 + "]" * 1500 + "}",
}


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_in_place_of_options_is_the_defaults(seed: Seed, service: Service, garbage: str) -> None:
    await write_some_of_each(seed)
    link = await subscribe(service, seed.anna, seed.own)
    await seed.conn.execute("UPDATE feed_links SET options = $1", GARBAGE[garbage])
    assert await link.titles() == sorted(TITLES)
    assert (await link.update())["link"]["options"] == DEFAULTS

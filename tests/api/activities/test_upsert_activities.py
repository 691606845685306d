"""`upsertActivities`: what is written, what is left alone, and what the caller has to mend."""

from dataclasses import asdict
from typing import Any

import pytest

from api.activities import recurrences
from db.activities import Activity, ActivityRecord, Participant
from tests.api.activities.pushing import Crm, Said, at, name_externally, said
from tests.feed.subscription import DAY, parts, stay_in_today, subscribe, titled
from tests.seed import HOUR, NOW, Seed, Service, meeting

SERIES: Said = {
    "rule": "FREQ=DAILY;COUNT=5",
    "exdates": [(NOW + DAY).date().isoformat()],
    "overrides": [{"occurrence": at(48), "title": "Signing", "startsAt": at(50)}],
}
NONE = {"created": 0, "updated": 0, "unchanged": 0}
PEOPLE = [{"name": "Ana Pérez", "email": "ana@example.com", "response": "ACCEPTED"}, {"name": "Ben"}]


@pytest.fixture
async def crm(seed: Seed, service: Service) -> Crm:
    await stay_in_today(seed)
    await name_externally(seed)
    return Crm(seed, service, await seed.key("activities:write"))


def counted(**counts: int) -> dict[str, Any]:
    """The payload of a call that did what it was asked."""
    return {**NONE, **counts, "userErrors": []}


def values(record: ActivityRecord) -> dict[str, Any]:
    """What an activity says, without what it does not."""
    found = {name: getattr(record, name) for name in Activity.__dataclass_fields__}
    return {name: value for name, value in found.items() if value not in (None, ())}


# ---- What is written


async def test_activity_is_added_with_everything_that_is_said(crm: Crm) -> None:
    everything = said(
        ownerExternalId="anna",
        description="Bring the keys",
        location="Pier 4",
        url="https://crm.example/deals/1",
        timeZone="Europe/Berlin",
        status="TENTATIVE",
        priority="HIGH",
        participants=PEOPLE,
        private=True,
    )
    assert await crm.push(everything) == counted(created=1)
    record = await crm.record("m1")
    assert values(record) == {
        "type": "MEETING",
        "status": "TENTATIVE",
        "external_id": "m1",
        "owner_id": crm.seed.anna.id,
        "title": "Viewing",
        "description": "Bring the keys",
        "location": "Pier 4",
        "url": "https://crm.example/deals/1",
        "starts_at": NOW,
        "ends_at": NOW + HOUR,
        "time_zone": "Europe/Berlin",
        "priority": "HIGH",
        "participants": (Participant("Ana Pérez", "ana@example.com", "ACCEPTED"), Participant("Ben")),
        "private": True,
    }
    assert record.revision == 0
    assert await crm.standing() == {"team": ["m1"]}


@pytest.mark.parametrize(
    ("activity", "status"),
    [(said(), "CONFIRMED"), (said(type="TASK"), "NEEDS_ACTION"), (said(type="NOTE"), "CONFIRMED")],
)
async def test_new_activity_has_the_defaults_of_its_type(crm: Crm, activity: Said, status: str) -> None:
    assert await crm.push(activity) == counted(created=1)
    record = await crm.record("m1")
    assert (record.status, record.private, record.participants, record.owner_id) == (status, False, (), None)


async def test_same_call_again_changes_nothing(crm: Crm) -> None:
    calls = [
        said("m1", ["team", "own"], participants=PEOPLE, url="https://crm.example/1", private=False),
        said("m2", startsOn="2026-03-01", endsOn="2026-03-03"),
        said("t1", type="TASK", dueOn="2026-03-01", description=""),
        said("s1", recurrence=SERIES, timeZone="Europe/Berlin"),
    ]
    assert await crm.push(*calls) == counted(created=4)
    link, before = await subscribe(crm.service, crm.seed.ben, crm.seed.team), await crm.rows()
    polled = await link.poll()
    assert await crm.push(*calls) == counted(unchanged=4)
    assert await crm.push(*calls[::-1]) == counted(unchanged=4)
    assert await crm.rows() == before
    again = await crm.service.poll(link.url, If_None_Match=polled.headers["ETag"])
    assert again.status == 304


async def test_only_what_differs_is_written(crm: Crm) -> None:
    await crm.push(said("m1"), said("m2"), said("m3"))
    kept = {row for row in await crm.rows() if "m1" in row[2]}
    counts = await crm.push(said("m1"), said("m2", title="Signing"), said("m3", ["team", "own"]), said("m4"))
    assert counts == counted(created=1, updated=2, unchanged=1)
    assert kept <= set(await crm.rows())
    assert [(record.external_id, record.revision) for record in await crm.records()] == [
        ("m1", 0),
        ("m2", 1),
        ("m3", 0),
        ("m4", 0),
    ]


async def test_calendars_are_the_whole_set_afterwards(crm: Crm) -> None:
    await crm.push(said("m1", ["team"]), said("m2", ["team", "own"]))
    assert await crm.push(said("m1", ["own"]), said("m2", ["own", "team"])) == counted(updated=1, unchanged=1)
    assert await crm.standing() == {"team": ["m2"], "own": ["m1", "m2"]}
    assert (await crm.record("m1")).revision == 0


async def test_feeds_of_both_calendars_change_when_an_activity_moves(crm: Crm) -> None:
    await crm.push(said("m1", ["team"], title="Viewing"))
    links = [await subscribe(crm.service, crm.seed.anna, id_) for id_ in (crm.seed.team, crm.seed.own)]
    everything = await subscribe(crm.service, crm.seed.anna)
    before = titled(await (await everything.poll()).read(), "Viewing")
    etags = [(await link.poll()).headers["ETag"] for link in links]
    await crm.push(said("m1", ["own"], title="Viewing"))
    polled = [await crm.service.poll(link.url, If_None_Match=tag) for link, tag in zip(links, etags, strict=True)]
    titles = [[part["SUMMARY"] for part in parts(await answer.read())] for answer in polled]
    assert ("Viewing" in titles[0], titles[1]) == (False, ["Viewing"])
    after = titled(await (await everything.poll()).read(), "Viewing")
    assert after["SEQUENCE"] > before["SEQUENCE"]  # its category is another calendar's name


async def test_external_id_is_of_one_type(crm: Crm) -> None:
    assert await crm.push(said("1"), said("1", type="CALL")) == counted(created=2)
    assert {record.type for record in await crm.records()} == {"MEETING", "CALL"}


async def test_nothing_is_pushed(crm: Crm) -> None:
    assert await crm.push() == counted()


# ---- Absent and null

FULL: Said = {
    "ownerExternalId": "anna",
    "description": "Bring the keys",
    "location": "Pier 4",
    "url": "https://crm.example/deals/1",
    "startsAt": at(0),
    "endsAt": at(1),
    "timeZone": "Europe/Berlin",
    "recurrence": {"rule": "FREQ=DAILY"},
    "status": "IN_PROCESS",
    "priority": "LOW",
    "participants": PEOPLE,
    "private": True,
}
COLUMNS = {
    "ownerExternalId": "owner_id",
    "startsAt": "starts_at",
    "endsAt": "ends_at",
    "startsOn": "starts_on",
    "endsOn": "ends_on",
    "dueAt": "due_at",
    "dueOn": "due_on",
    "timeZone": "time_zone",
}
CLEARED = {"status": "NEEDS_ACTION", "participants": (), "private": False}
OTHERS: dict[str, Said] = {  # what has to be there beside a field, or must not be
    "startsAt": {"endsAt": None, "recurrence": None},
    "startsOn": {"startsAt": None, "endsAt": None, "endsOn": None, "recurrence": None},
    "endsOn": {"startsAt": None, "endsAt": None, "startsOn": "2026-03-01", "recurrence": None},
    "endsAt": {"recurrence": None},
    "dueOn": {"recurrence": None},
    "dueAt": {"recurrence": None},
    "timeZone": {"recurrence": None},
}
VALUES = {**FULL, "startsOn": "2026-03-01", "endsOn": "2026-03-02", "dueAt": at(2), "dueOn": "2026-03-01"}


@pytest.mark.parametrize("field", VALUES)
async def test_absent_field_stays_and_null_clears_it(crm: Crm, field: str) -> None:
    column, others = COLUMNS.get(field, field), OTHERS.get(field, {})
    least = said("t1", type="TASK")
    await crm.push({**least, **FULL, **others, field: VALUES[field]})
    full = await crm.record("t1")
    assert getattr(full, column) not in (None, (), False)
    assert await crm.push(least) == counted(unchanged=1)
    assert await crm.record("t1") == full
    needed = {name: None for name, value in others.items() if value is None} if field == "startsAt" else {}
    assert await crm.push({**least, **needed, field: None}) == counted(updated=1)
    cleared = await crm.record("t1")
    assert getattr(cleared, column) == CLEARED.get(field)
    same = set(asdict(full)) - {column, "revision", "changed_at"}
    assert {name for name in same if getattr(cleared, name) != getattr(full, name)} == set()


async def test_empty_text_is_none(crm: Crm) -> None:
    await crm.push(said(description="", location="", url="", title=""))
    record = await crm.record("m1")
    assert (record.description, record.location, record.url, record.title) == (None, None, None, "")


async def test_what_was_imported_keeps_what_is_not_said(crm: Crm) -> None:
    odd = {"url": "crm:deal/1", "time_zone": "Mars/Olympus", "location": "x" * 2_000}
    await crm.seed.write(meeting("uid-1", **odd), calendars=(crm.seed.team,))
    assert await crm.push(said("uid-1", title="Signing")) == counted(updated=1)
    record = await crm.record("uid-1")
    assert {name: getattr(record, name) for name in odd} == odd
    assert record.title == "Signing"


# ---- What the caller has to mend


async def test_every_bad_item_is_named_and_nothing_is_written(crm: Crm) -> None:
    payload = await crm.push(
        said("m1"),
        said("m2", endsAt=at(-1)),
        said("m3", ["nowhere", "own", "own"], ownerExternalId="nobody"),
        said("m1"),
        said(" "),
        said("m4", participants=[{"email": "ana"}]),
    )
    errors = [(error["__typename"], ".".join(error["path"])) for error in payload.pop("userErrors")]
    assert payload == NONE
    assert errors == [
        ("ValueInvalid", "activities.1.endsAt"),
        ("CalendarNotFound", "activities.2.calendarExternalIds.0"),
        ("ItemRepeated", "activities.2.calendarExternalIds.2"),
        ("UserNotFound", "activities.2.ownerExternalId"),
        ("ItemRepeated", "activities.3.externalId"),
        ("ValueInvalid", "activities.4.externalId"),
        ("ValueInvalid", "activities.5.participants.0.email"),
    ]
    assert await crm.records() == []


LONG = "x" * 70_000
EXTERNAL_ID = "Give the CRM's own key: 1 to 255 printable characters, not all of them blank."
STATUS = "Give a status that a MEETING has: CONFIRMED, TENTATIVE or CANCELLED."
TASK_STATUS = "Give a status that a TASK has: NEEDS_ACTION, IN_PROCESS, COMPLETED or CANCELLED."
URL = "Give a whole web address that begins with http:// or https://, at most 2,000 characters."
YEARS = "Give a time in the years 2 to 9998, or null for none."
ZONE = "Give the name of a zone in the IANA database: "
EMAIL = "Give an e-mail address like ana@example.com, or null."
NO_DEADLINE = "Only a task has a deadline: give startsAt or startsOn, and null here."
TASK = {"type": "TASK"}
MISTAKES: list[tuple[Said, str, str]] = [
    ({"externalId": "x" * 256}, "externalId", EXTERNAL_ID),
    ({"calendarExternalIds": []}, "calendarExternalIds", "Name from 1 to 20 calendars: these are 0."),
    ({"calendarExternalIds": ["team"] * 21}, "calendarExternalIds", "Name from 1 to 20 calendars: these are 21."),
    ({"title": LONG}, "title", "Give at most 1,000 characters: these are 70,000."),
    ({"title": "a\x00"}, "title", "Take character 2 out of the text: it is NUL, which cannot be kept."),
    ({"description": LONG}, "description", "Give at most 65,536 characters: these are 70,000."),
    ({"location": "\ud83d"}, "location",
     "Take character 1 out of the text: it is half of a surrogate pair, which cannot be kept."),
    ({"url": "crm.example/1"}, "url", URL),
    ({"url": "javascript:alert(1)"}, "url", URL),
    ({"url": LONG}, "url", "Give at most 2,000 characters: these are 70,000."),
    ({"startsOn": "2026-03-01"}, "startsOn",
     "Give startsAt for a time of day or startsOn for whole days, and null for the other."),
    ({"endsAt": at(-1)}, "endsAt", "It ends before it starts: give a moment that is not before startsAt."),
    ({"startsAt": None}, "endsAt", "Give startsAt as well, or null here."),
    ({"endsOn": "2026-03-01"}, "endsOn", "Give startsOn as well, or null here."),
    ({"startsAt": None, "endsAt": None, "startsOn": "2026-03-01", "endsOn": "2026-03-01"}, "endsOn",
     "Give the day after the last one, which is later than startsOn."),
    ({"startsAt": "0001-06-01T00:00:00Z"}, "startsAt", YEARS),
    ({"startsAt": None, "endsAt": None, "startsOn": "9999-12-31"}, "startsOn", YEARS),
    ({"dueAt": at(0)}, "dueAt", NO_DEADLINE),
    ({"dueOn": "2026-03-01"}, "dueOn", NO_DEADLINE),
    ({**TASK, "dueAt": at(0), "dueOn": "2026-03-01"}, "dueOn",
     "Give dueAt for a time of day or dueOn for a whole day, and null for the other."),
    ({"status": "COMPLETED"}, "status", STATUS),
    ({**TASK, "status": "CONFIRMED"}, "status", TASK_STATUS),
    ({"timeZone": "Mars/Olympus"}, "timeZone", f"{ZONE}like Europe/Berlin."),
    ({"timeZone": "W. Europe Standard Time"}, "timeZone", f"{ZONE}Europe/Berlin, if that is meant."),
    ({"timeZone": "localtime"}, "timeZone", f"{ZONE}like Europe/Berlin."),
    ({"participants": [{"name": " "}]}, "participants.0", "Give a name or an e-mail address."),
    ({"participants": [{"name": "Ben"}, {"email": "a@b@c"}]}, "participants.1.email", EMAIL),
    ({"participants": [{"email": "ana@example.com\n"}]}, "participants.0.email", EMAIL),
    ({"participants": [{"name": LONG}]}, "participants.0.name", "Give at most 1,000 characters: these are 70,000."),
    ({"participants": [{"name": "Ben"}] * 501}, "participants", "Name at most 500 participants: these are 501."),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "path", "message"), MISTAKES, ids=lambda value: str(value)[:40])
async def test_mistake_is_told_with_its_remedy(crm: Crm, wrong: Said, path: str, message: str) -> None:
    payload = await crm.push(said("fine"), {**said(), **wrong})
    told = {"__typename": "ValueInvalid", "message": message, "path": ["activities", "1", *path.split(".")]}
    assert payload == {**NONE, "userErrors": [told]}
    assert await crm.records() == []


async def test_times_have_to_be_in_order_with_those_that_stay(crm: Crm) -> None:
    await crm.push(said())
    later = {name: value for name, value in said(startsAt=at(2)).items() if name != "endsAt"}
    payload = await crm.push(later)
    assert [error["path"] for error in payload["userErrors"]] == [["activities", "0", "endsAt"]]
    assert (await crm.record("m1")).starts_at == NOW


async def test_more_than_a_thousand_activities_are_too_many(crm: Crm) -> None:
    payload = await crm.push(*[said(str(number)) for number in range(1_001)])
    message = "Send at most 1,000 activities in one call, these are 1,001: make several calls of them."
    assert payload["userErrors"] == [{"__typename": "TooManyItems", "message": message, "path": ["activities"]}]


async def test_of_very_many_mistakes_the_first_of_each_item_is_told(crm: Crm) -> None:
    wrong = [said(str(number), ["nowhere", "elsewhere"], url="x") for number in range(400)]
    errors = (await crm.push(*wrong))["userErrors"]
    assert [error["path"] for error in errors] == [
        ["activities", str(number), "calendarExternalIds", "0"] for number in range(400)
    ]


async def test_deleted_calendar_is_none(crm: Crm) -> None:
    await crm.seed.conn.execute("UPDATE calendars SET deleted_at = $1 WHERE id = $2", NOW, crm.seed.own)
    errors = (await crm.push(said(calendars=["own"])))["userErrors"]
    assert [error["__typename"] for error in errors] == ["CalendarNotFound"]


# ---- Series

KEPT = {
    "zone": "Europe/Berlin",
    "rules": ["FREQ=WEEKLY;BYDAY=MO"],
    "exclusion_rules": [],
    "dates": [],
    "excluded_dates": [],
    "overrides": [],
}
MONDAY = "2026-03-09T09:30:00+01:00"
WEEKLY = said(
    "s1",
    startsAt=MONDAY,
    endsAt="2026-03-09T10:00:00+01:00",
    timeZone="Europe/Berlin",
    location="Pier 4",
    recurrence={"rule": "FREQ=WEEKLY;BYDAY=MO"},
)


def weekly(**recurrence: Any) -> Said:
    return {**WEEKLY, "recurrence": {"rule": "FREQ=WEEKLY;BYDAY=MO", **recurrence}}


async def test_ordinary_series_is_one_line(crm: Crm) -> None:
    await crm.push(WEEKLY)
    kept = (await crm.record("s1")).recurrence
    assert kept == {**KEPT, "starts": MONDAY, "ends": "2026-03-09T10:00:00+01:00"}


@pytest.mark.parametrize("rule", ["rrule:freq=weekly;byday=mo", " FREQ=WEEKLY; BYDAY=MO "])
async def test_rule_is_kept_in_one_form(crm: Crm, rule: str) -> None:
    await crm.push(WEEKLY)
    assert await crm.push(weekly(rule=rule)) == counted(unchanged=1)


async def test_excluded_and_changed_occurrences_are_kept_with_all_that_they_say(crm: Crm) -> None:
    moved = {"occurrence": "2026-03-23T08:30:00Z", "startsAt": "2026-03-23T15:00:00Z", "title": "Signing"}
    off = {"occurrence": "2026-03-30", "status": "CANCELLED", "location": None}
    longer = {"occurrence": "2026-04-06", "endsAt": "2026-04-06T12:00:00+02:00"}
    payload = await crm.push(weekly(exdates=["2026-03-16T08:30:00Z", "2026-04-13"], overrides=[off, longer, moved]))
    assert payload == counted(created=1)
    same = {"status": "CONFIRMED", "location": "Pier 4"}
    kept = (await crm.record("s1")).recurrence
    assert kept is not None
    assert kept["excluded_dates"] == ["2026-03-16T09:30:00+01:00", "2026-04-13"]
    assert kept["overrides"] == [
        {
            "recurrence_id": "2026-03-23T09:30:00+01:00",
            "zone": "Europe/Berlin",
            "starts": "2026-03-23T16:00:00+01:00",
            "ends": "2026-03-23T16:30:00+01:00",
            **same,
            "title": "Signing",
        },
        {"recurrence_id": "2026-03-30", "zone": None, "status": "CANCELLED", "title": "Viewing"},
        {
            "recurrence_id": "2026-04-06",
            "zone": "Europe/Berlin",
            "starts": "2026-04-06T09:30:00+02:00",
            "ends": "2026-04-06T12:00:00+02:00",
            **same,
            "title": "Viewing",
        },
    ]


async def test_series_of_days_and_of_deadlines_are_kept(crm: Crm) -> None:
    fair = said(
        "fair",
        startsOn="2026-03-09",
        endsOn="2026-03-11",
        recurrence={
            "rule": "FREQ=MONTHLY",
            "exdates": ["2026-04-09"],
            "overrides": [{"occurrence": "2026-05-09", "startsOn": "2026-05-10"}],
        },
    )
    report = said("report", type="TASK", dueAt="2026-03-09T17:00:00Z", recurrence={"rule": "FREQ=WEEKLY"})
    assert await crm.push(fair, report) == counted(created=2)
    kept = (await crm.record("fair")).recurrence
    assert kept is not None
    assert (kept["zone"], kept["starts"], kept["ends"], kept["excluded_dates"]) == (
        None, "2026-03-09", "2026-03-11", ["2026-04-09"],
    )  # fmt: skip
    (moved,) = kept["overrides"]
    assert (moved["starts"], moved["ends"]) == ("2026-05-10", "2026-05-12")
    kept = (await crm.record("report")).recurrence
    assert kept == {**KEPT, "zone": "UTC", "ends": "2026-03-09T17:00:00+00:00", "rules": ["FREQ=WEEKLY"]}


async def test_moved_series_without_exceptions_runs_by_its_new_times(crm: Crm) -> None:
    await crm.push(WEEKLY)
    moved = {**WEEKLY, "startsAt": "2026-03-09T11:00:00+01:00", "endsAt": "2026-03-09T12:00:00+01:00"}
    del moved["recurrence"]
    assert await crm.push(moved) == counted(updated=1)
    kept = (await crm.record("s1")).recurrence
    assert kept == {**KEPT, "starts": "2026-03-09T11:00:00+01:00", "ends": "2026-03-09T12:00:00+01:00"}
    assert await crm.push(moved) == counted(unchanged=1)


async def test_moved_series_with_exceptions_needs_them_anew(crm: Crm) -> None:
    await crm.push(weekly(exdates=["2026-03-16"]))
    moved = {**WEEKLY, "timeZone": "Europe/Lisbon"}
    del moved["recurrence"]
    message = "The series has other times now: give its recurrence as well, with exceptions that fit them."
    error = {"__typename": "ValueInvalid", "message": message, "path": ["activities", "0", "recurrence"]}
    assert await crm.push(moved) == {**NONE, "userErrors": [error]}
    assert await crm.push({**WEEKLY, "timeZone": "Europe/Lisbon"}) == counted(updated=1)


RULE = "Give an RRULE of RFC 5545, like FREQ=WEEKLY;BYDAY=MO"
DENSE = f"{RULE}, that gives no more than a few occurrences a day."
LATE = [{"occurrence": "2026-03-16", "startsAt": "9998-12-31T23:45:00Z"}]
SERIES_MISTAKES: list[tuple[dict[str, Any], str, str, str]] = [
    ({"rule": "weekly"}, "rule", "ValueInvalid", f'{RULE}: this one part "WEEKLY" is not one of a recurrence rule.'),
    ({"rule": "BYDAY=MO"}, "rule", "ValueInvalid", f"{RULE}: this one has no FREQ."),
    ({"rule": "x" * 2_001}, "rule", "ValueInvalid", "Give at most 2,000 characters: these are 2,001."),
    ({"rule": "FREQ=SECONDLY"}, "rule", "ValueInvalid", DENSE),
    ({"rule": "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7;BYMINUTE=0,30"}, "rule", "ValueInvalid", DENSE),
    ({"exdates": ["0001-01-01"]}, "exdates.0", "ValueInvalid", "Give a time in the years 2 to 9998."),
    ({"exdates": ["2026-03-16"] * 501}, "exdates", "ValueInvalid", "Give at most 500: these are 501."),
    ({"overrides": [{"occurrence": "2026-03-16", "endsAt": MONDAY}]}, "overrides.0.endsAt", "ValueInvalid",
     "It ends before it starts: give a moment that is not before startsAt."),
    ({"overrides": [{"occurrence": "2026-03-16", "status": "COMPLETED"}]}, "overrides.0.status", "ValueInvalid",
     STATUS),
    ({"overrides": [{"occurrence": "2026-03-16", "url": "x"}]}, "overrides.0.url", "ValueInvalid", URL),
    ({"overrides": LATE}, "overrides.0", "ValueInvalid", "The occurrence leads out of the calendar: give it an end."),
    ({"overrides": [{"occurrence": MONDAY}, {"occurrence": "2026-03-09T08:30:00Z"}]}, "overrides.1.occurrence",
     "ItemRepeated", "Override 0 is of the same occurrence: give one of the two."),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "path", "kind", "message"), SERIES_MISTAKES, ids=lambda value: str(value)[:40])
async def test_mistake_of_a_series_is_told_with_its_remedy(
    crm: Crm, wrong: dict[str, Any], path: str, kind: str, message: str
) -> None:
    told = {"__typename": kind, "message": message, "path": ["activities", "0", "recurrence", *path.split(".")]}
    assert await crm.push(weekly(**wrong)) == {**NONE, "userErrors": [told]}


async def test_series_needs_a_start_and_days_where_it_runs_by_days(crm: Crm) -> None:
    never = said("n1", type="TASK", recurrence={"rule": "FREQ=DAILY"})
    days = said("d1", startsOn="2026-03-09", recurrence={"rule": "FREQ=DAILY", "exdates": [MONDAY]})
    errors = (await crm.push(never, days))["userErrors"]
    assert [(error["message"], ".".join(error["path"])) for error in errors] == [
        ("Give the series a start: startsAt or startsOn, or of a task its deadline.", "activities.0.recurrence"),
        ("Name a day, like 2026-03-30: this series runs by days.", "activities.1.recurrence.exdates.0"),
    ]


@pytest.mark.parametrize("call", ["push", "sync"])
async def test_series_that_are_too_much_work_together_are_sent_in_smaller_calls(
    crm: Crm, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No single one is refused for that: it may be as good as any."""
    monkeypatch.setattr(recurrences, "TRIAL_SECONDS", 0.01)
    many = [said(f"m{n}", recurrence={"rule": "FREQ=MINUTELY"}) for n in range(20)]
    payload = await (crm.push(*many) if call == "push" else crm.sync("team", *many))
    message = "The series of this call are too much work to look through: send fewer of them in a call."
    too_many = {"__typename": "TooManyItems", "message": message, "path": ["activities"]}
    assert payload["userErrors"] == [too_many]
    alone = await crm.push(many[0])
    assert [error["path"] for error in alone["userErrors"]] == [["activities", "0", "recurrence", "rule"]]

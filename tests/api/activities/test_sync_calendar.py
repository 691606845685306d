"""`syncCalendar` and `deleteActivities`: what is not there any more goes, and nothing else."""

from typing import Any

import pytest

from tests.api.activities.pushing import Crm, Said, at, name_externally, said
from tests.feed.subscription import DAY, stay_in_today, subscribe
from tests.seed import NOW, Seed, Service, meeting, task

NONE = {"created": 0, "updated": 0, "unchanged": 0, "deleted": 0}


@pytest.fixture
async def crm(seed: Seed, service: Service) -> Crm:
    await stay_in_today(seed)
    await name_externally(seed)
    return Crm(seed, service, await seed.key("activities:write"))


def counted(**counts: int) -> dict[str, Any]:
    return {**NONE, **counts, "userErrors": []}


def lasting(external_id: str, hours: float, calendars: tuple[str, ...] = ("team",), **more: Any) -> Said:
    """An hour's meeting so many hours after NOW."""
    return said(external_id, calendars, **{"startsAt": at(hours), "endsAt": at(hours + 1), **more})


# ---- syncCalendar


async def test_window_holds_what_is_given_and_nothing_else(crm: Crm) -> None:
    await crm.push(lasting("stays", 1), lasting("changes", 2), lasting("goes", 3), lasting("moves", 4))
    given = [lasting("stays", 1), lasting("changes", 2, title="Signing"), lasting("moves", 400), lasting("comes", 5)]
    assert await crm.sync("team", *given) == counted(created=1, updated=2, unchanged=1, deleted=1)
    assert await crm.standing() == {"team": ["changes", "comes", "moves", "stays"]}
    before = await crm.rows()
    assert await crm.sync("team", *given) == counted(unchanged=4)
    assert await crm.rows() == before


async def test_what_lies_outside_the_window_is_left_alone(crm: Crm) -> None:
    """The window has its beginning and not its end; days are there from midnight in UTC."""
    midnight = NOW.replace(hour=0)
    first, last = midnight.date(), (midnight + 7 * DAY).date()
    tasks: Said = {"type": "TASK", "endsAt": None, "startsAt": None}
    inside = [
        said("begins", startsAt=midnight.isoformat(), endsAt=None),
        said("day", startsOn=first.isoformat()),
        said("due", dueOn=first.isoformat(), **tasks),
        said("due at", dueAt=at(1), **tasks),
        lasting("series", 1, recurrence={"rule": "FREQ=DAILY"}),
    ]
    outside = [
        said("before", startsAt=(midnight - DAY / 24).isoformat(), endsAt=at(5)),
        said("ends", startsAt=(midnight + 7 * DAY).isoformat(), endsAt=None),
        said("last day", startsOn=last.isoformat()),
        said("due later", dueOn=last.isoformat(), **tasks),
        lasting("earlier series", -48, recurrence={"rule": "FREQ=DAILY"}),
        said("never", endsAt=None, startsAt=None),
    ]
    await crm.push(*inside, *outside)
    window = {"from": midnight.isoformat(), "until": (midnight + 7 * DAY).isoformat()}
    assert await crm.sync("team", **window) == counted(deleted=5)
    assert await crm.standing() == {"team": sorted(each["externalId"] for each in outside)}


async def test_what_no_integrator_has_pushed_is_left_alone(crm: Crm) -> None:
    await crm.seed.write(meeting("m1"), task("t1", due_at=NOW), calendars=(crm.seed.team,))
    await crm.seed.conn.execute("UPDATE activities SET external_id = NULL WHERE external_id = 'm1'")
    assert await crm.sync("team") == counted(deleted=1)
    assert [record.external_id for record in await crm.records()] == [None]


async def test_what_stands_elsewhere_too_is_only_taken_out(crm: Crm) -> None:
    await crm.push(lasting("shared", 1, ("team", "own")), lasting("other", 2, ("own",)))
    link = await subscribe(crm.service, crm.seed.anna, crm.seed.own)
    before = await link.read()
    assert await crm.sync("team") == counted(deleted=1)
    assert await crm.standing() == {"own": ["other", "shared"]}
    assert await link.read() == before


async def test_dry_run_says_what_would_be_and_changes_nothing(crm: Crm) -> None:
    await crm.push(lasting("stays", 1), lasting("goes", 3))
    before = await crm.rows()
    given = [lasting("stays", 1, title="Signing"), lasting("comes", 5)]
    expected = counted(created=1, updated=1, deleted=1)
    assert await crm.sync("team", *given, dryRun=True) == expected
    assert await crm.rows() == before
    assert await crm.sync("team", *given) == expected


async def test_mistakes_of_a_sync_are_told_with_those_of_its_activities(crm: Crm) -> None:
    window = {"from": at(1), "until": at(1)}
    payload = await crm.sync("nowhere", lasting("m1", 1), lasting("m2", 2, ("nowhere",), url="x"), **window)
    errors = [(error["__typename"], ".".join(error["path"])) for error in payload.pop("userErrors")]
    assert payload == NONE
    assert errors == [
        ("ValueInvalid", "until"),
        ("CalendarNotFound", "calendarExternalId"),
        ("ValueInvalid", "activities.0.calendarExternalIds"),
        ("CalendarNotFound", "activities.1.calendarExternalIds.0"),
        ("ValueInvalid", "activities.1.url"),
    ]


async def test_window_of_more_than_ten_years_is_refused(crm: Crm) -> None:
    until = (NOW + 3_661 * DAY).isoformat()
    message = "Give a moment at most 3,660 days after `from`."
    error = {"__typename": "ValueInvalid", "message": message, "path": ["until"]}
    assert await crm.sync("team", until=until) == {**NONE, "userErrors": [error]}


async def test_more_than_a_thousand_activities_are_too_many_for_a_sync(crm: Crm) -> None:
    (error,) = (await crm.sync("team", *[lasting(str(number), 1) for number in range(1_001)]))["userErrors"]
    assert (error["__typename"], error["path"]) == ("TooManyItems", ["activities"])


# ---- deleteActivities


async def test_activities_are_deleted_from_all_their_calendars(crm: Crm) -> None:
    await crm.push(lasting("m1", 1, ("team", "own")), lasting("m2", 2), lasting("m3", 3))
    assert await crm.delete("m1", "m2", "m9") == {"deleted": 2, "absent": 1, "userErrors": []}
    assert await crm.standing() == {"team": ["m3"]}
    before = await crm.rows()
    assert await crm.delete("m1", "m2", "m9") == {"deleted": 0, "absent": 3, "userErrors": []}
    assert await crm.rows() == before


async def test_only_activities_of_the_type_are_deleted(crm: Crm) -> None:
    both = [lasting("1", 1), lasting("1", 1, type="CALL")]
    await crm.push(*both)
    assert await crm.delete("1", type="CALL") == {"deleted": 1, "absent": 0, "userErrors": []}
    assert [record.type for record in await crm.records()] == ["MEETING"]
    await crm.push(*both)
    assert await crm.delete("1") == {"deleted": 2, "absent": 0, "userErrors": []}


async def test_many_activities_raise_each_version_once(crm: Crm) -> None:
    await crm.push(*[lasting(str(number), 1, ("team", "own")) for number in range(300)])
    sql = "SELECT version FROM calendar_versions WHERE account_id = $1 ORDER BY calendar_id"
    before = [row[0] for row in await crm.seed.conn.fetch(sql, crm.seed.account_id)]
    assert (await crm.delete(*map(str, range(300))))["deleted"] == 300
    after = [row[0] for row in await crm.seed.conn.fetch(sql, crm.seed.account_id)]
    assert after == [version + 1 for version in before]


async def test_ids_that_cannot_be_are_told(crm: Crm) -> None:
    errors = (await crm.delete("m1", "a\x00", "m1", "x" * 2_001))["userErrors"]
    assert [(error["__typename"], error["path"], error["message"]) for error in errors] == [
        ("ValueInvalid", ["externalIds", "1"], "Take character 2 out of the text: it is NUL, which cannot be kept."),
        ("ItemRepeated", ["externalIds", "2"], "This is the same as number 0: give one of the two."),
        ("ValueInvalid", ["externalIds", "3"], "Give at most 2,000 characters: these are 2,001."),
    ]
    (error,) = (await crm.delete(*map(str, range(1_001))))["userErrors"]
    assert (error["__typename"], error["path"]) == ("TooManyItems", ["externalIds"])


# ---- Who may


@pytest.mark.parametrize("mutation", ["push", "sync", "delete"])
async def test_only_administrators_and_keys_for_it_may_write(crm: Crm, mutation: str) -> None:
    calls = {
        "push": ("upsertActivities", {"activities": [said()]}),
        "sync": ("syncCalendar", {"calendarExternalId": "team", "from": at(0), "until": at(1), "activities": []}),
        "delete": ("deleteActivities", {"externalIds": ["m1"]}),
    }
    name, values = calls[mutation]
    kind = f"{name[0].upper()}{name[1:]}Input"
    query = f"mutation ($input: {kind}!) {{ {name}(input: $input) {{ userErrors {{ path }} }} }}"
    reader = await crm.seed.key("activities:read")
    acting = crm.service.acting_for(crm.seed.ben), await crm.seed.key("activities:write", "users:act")
    for service, caller in ((crm.service, crm.seed.ben), (crm.service, reader), acting):
        (error,) = (await service.graphql(query, caller, input=values))["errors"]
        assert error["extensions"]["code"] == "FORBIDDEN"
    told = "SELECT count(*) FROM audit_log WHERE action = 'ACTIVITIES_WRITTEN' AND outcome = 'REFUSED'"
    assert await crm.seed.conn.fetchval(told) == 3
    assert await crm.records() == []
    assert (await crm.service.graphql(query, crm.seed.anna, input=values))["data"] == {name: {"userErrors": []}}

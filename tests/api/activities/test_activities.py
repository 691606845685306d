"""`activities`: what is read back, who is told what of it, page by page and without a statement for each."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from strawberry.relay import from_base64, to_base64

from db.users import UserRecord, add_user
from tests.api.activities.pushing import Crm, Said, at, name_externally, said
from tests.api.integrating import listening_service
from tests.seed import (
    HOUR,
    NOW,
    Seed,
    Service,
    calendar_node,
    meeting,
    plant,
    user_node,
)

CONTENT = """
    externalId type title description location url startsAt endsAt startsOn endsOn dueAt dueOn timeZone status priority
    participants { name email response } private"""
EVERYTHING = f"""{CONTENT} revision createdAt changedAt calendars {{ name }} owner {{ name }}
    recurrence {{
      rule rules exclusionRules dates exdates
      overrides {{ occurrence thisAndFuture startsAt endsAt startsOn endsOn dueAt dueOn status title description
                   location url priority participants {{ name email response }} private }}
    }}"""


def query(selection: str = "externalId") -> str:
    return f"""
        query ($calendarId: ID!, $where: ActivityFilter, $first: Int, $after: String) {{
          activities(calendarId: $calendarId, where: $where, first: $first, after: $after) {{
            edges {{ node {{ id {selection} }} }}
            pageInfo {{ hasNextPage hasPreviousPage endCursor }}
          }}
        }}"""


@pytest.fixture
async def crm(seed: Seed, service: Service) -> Crm:
    await name_externally(seed)
    return Crm(seed, service, await seed.key("activities:write", "activities:read"))


async def nodes(crm: Crm, caller: UserRecord | str, selection: str = "externalId", **said_: Any) -> list[Said]:
    """What the caller is told of the team's activities."""
    variables = {"calendarId": calendar_node(crm.seed.team), **said_}
    answer = await crm.service.graphql(query(selection), caller, **variables)
    assert "errors" not in answer
    return [edge["node"] for edge in answer["data"]["activities"]["edges"]]


async def ids(crm: Crm, caller: UserRecord | str, **where: Any) -> list[str]:
    return [node["externalId"] for node in await nodes(crm, caller, where=where)]


# ---- What is told


async def test_everything_is_read_back(crm: Crm) -> None:
    said_ = said(
        calendars=["team", "own"],
        ownerExternalId="anna",
        description="Bring the keys",
        location="Pier 4",
        url="https://crm.example/1",
        timeZone="Europe/Berlin",
        status="TENTATIVE",
        priority="HIGH",
        participants=[{"name": "Ana", "email": "ana@example.com", "response": "ACCEPTED"}],
        private=True,
    )
    await crm.push(said_)
    record = await crm.record("m1")
    (node,) = await nodes(crm, crm.key, EVERYTHING)
    expected = {name: value for name, value in said_.items() if name not in ("calendarExternalIds", "ownerExternalId")}
    assert node == {
        "id": to_base64("Activity", str(record.id)),
        **dict.fromkeys(("startsOn", "endsOn", "dueAt", "dueOn", "recurrence")),
        **expected,
        "startsAt": NOW.isoformat().replace("+00:00", "Z"),
        "endsAt": (NOW + HOUR).isoformat().replace("+00:00", "Z"),
        "revision": 0,
        "createdAt": record.created_at.isoformat().replace("+00:00", "Z"),
        "changedAt": record.changed_at.isoformat().replace("+00:00", "Z"),
        "calendars": [{"name": "Anna Müller"}, {"name": "Sales team"}],
        "owner": {"name": "Anna Müller"},
    }


async def test_what_is_read_back_and_pushed_again_is_unchanged(crm: Crm) -> None:
    recurrence = {
        "rule": "FREQ=WEEKLY;BYDAY=MO",
        "exdates": ["2026-03-16T08:30:00Z", "2026-03-23"],
        "overrides": [
            {"occurrence": "2026-03-30", "title": "Signing", "startsAt": "2026-03-30T12:00:00Z", "location": None},
            {"occurrence": "2026-04-06T07:30:00Z", "status": "CANCELLED"},
        ],
    }
    series = said("s1", startsAt="2026-03-09T08:30:00Z", timeZone="Europe/Berlin", recurrence=recurrence)
    series["endsAt"] = "2026-03-09T09:30:00Z"
    due = {"type": "TASK", "dueAt": "2026-03-09T08:30:00Z"}
    moved = [{"occurrence": "2026-03-10T08:30:00Z", "dueAt": "2026-03-10T10:00:00Z"}]
    report = said("t1", **due, recurrence={"rule": "FREQ=DAILY", "overrides": moved})
    await crm.push(series, report, said("d1", startsOn="2026-03-01", endsOn="2026-03-03"), said("n1", type="NOTE"))
    again = []
    for node in await nodes(crm, crm.key, EVERYTHING):
        for name in ("id", "revision", "createdAt", "changedAt", "calendars", "owner"):
            del node[name]
        if kept := node["recurrence"]:
            assert (kept.pop("rules"), kept.pop("exclusionRules"), kept.pop("dates")) == ([kept["rule"]], [], [])
            assert {override.pop("thisAndFuture") for override in kept["overrides"]} == {False}
        again.append({**node, "calendarExternalIds": ["team"]})
    assert await crm.push(*again) == {"created": 0, "updated": 0, "unchanged": 4, "userErrors": []}


async def test_series_that_cannot_be_read_is_told_as_far_as_it_can_be(crm: Crm) -> None:
    kept = {
        "zone": 7,
        "rules": ["FREQ=DAILY", 5],
        "dates": [{"starts": 5}, {"starts": "2026-03-09"}, "x"],
        "excluded_dates": "x",
        "overrides": [{"recurrence_id": "2026-03-09", "starts": "never", "participants": [{"name": 5}]}, {}, None],
    }
    await crm.seed.write(meeting("s1", recurrence=kept), calendars=(crm.seed.team,))
    (node,) = await nodes(crm, crm.key, EVERYTHING)
    told = node["recurrence"]
    (override,) = told.pop("overrides")
    assert told == {
        "rule": "FREQ=DAILY",
        "rules": ["FREQ=DAILY"],
        "exclusionRules": [],
        "dates": ["2026-03-09"],
        "exdates": [],
    }
    assert (override["occurrence"], override["title"], override["startsAt"]) == ("2026-03-09", "", None)


# ---- Who is told what

PRIVATE = said(
    "p1",
    private=True,
    ownerExternalId="anna",
    description="Bring the keys",
    location="Pier 4",
    url="https://crm.example/1",
    status="TENTATIVE",
    priority="HIGH",
    timeZone="Europe/Berlin",
    participants=[{"name": "Ana"}],
)


async def test_of_others_private_activities_only_the_times_are_told(crm: Crm) -> None:
    await crm.push(PRIVATE)
    (own,) = await nodes(crm, crm.seed.anna, EVERYTHING)
    assert (own["title"], own["location"]) == ("Viewing", "Pier 4")
    (node,) = await nodes(crm, crm.seed.ben, EVERYTHING)
    told = {name: value for name, value in node.items() if value not in (None, [])}
    assert told == {
        "id": own["id"],
        "type": "MEETING",
        "title": "Busy",
        "startsAt": own["startsAt"],
        "endsAt": own["endsAt"],
        "private": True,
    }


async def test_of_a_private_series_only_the_times_are_told(crm: Crm) -> None:
    overrides = [
        {"occurrence": "2026-03-16", "title": "Signing", "location": "Pier 5", "startsAt": "2026-03-16T12:00:00Z"},
        {"occurrence": "2026-03-23", "status": "CANCELLED"},
    ]
    recurrence = {"rule": "FREQ=DAILY", "overrides": overrides}
    await crm.push({**PRIVATE, "recurrence": recurrence}, said("o1", recurrence={**recurrence, "overrides": [
        {**overrides[0], "private": True}, overrides[1],
    ]}))  # fmt: skip
    hidden, half = await nodes(crm, crm.seed.ben, EVERYTHING)
    assert "Pier" not in json.dumps(hidden)
    assert "Signing" not in json.dumps([hidden, half])
    titles = [[override["title"] for override in node["recurrence"]["overrides"]] for node in (hidden, half)]
    assert titles == [["Busy", "Busy"], ["Busy", "Viewing"]]
    moved, cancelled = hidden["recurrence"]["overrides"]
    assert (moved["startsAt"], moved["status"], cancelled["status"]) == ("2026-03-16T12:00:00Z", None, "CANCELLED")


async def test_what_keeps_nobody_busy_is_not_told_of_others(crm: Crm) -> None:
    """As in feeds: what is cancelled, notes, and what has no time."""
    private: Said = {"private": True, "ownerExternalId": "anna"}
    await crm.push(
        said("cancelled", status="CANCELLED", **private),
        said("note", type="NOTE", startsAt=at(1), **private),
        said("never", type="TASK", **private),
        said("busy", **private),
        said("open", status="CANCELLED"),
    )
    assert len(await nodes(crm, crm.seed.anna)) == 5
    assert [node["title"] for node in await nodes(crm, crm.seed.ben, "title")] == ["Busy", "Viewing"]


async def test_filters_find_nothing_by_what_is_not_told(crm: Crm) -> None:
    await crm.push(PRIVATE)
    for where in ({"externalIds": ["p1"]}, {"ownerId": user_node(crm.seed.anna)}):
        assert len(await nodes(crm, crm.seed.anna, where=where)) == 1
        assert await nodes(crm, crm.seed.ben, where=where) == []
    assert len(await nodes(crm, crm.seed.ben, where={"types": ["MEETING"]})) == 1


async def test_only_calendars_that_the_user_may_see_are_told(crm: Crm) -> None:
    await crm.push(said(calendars=["team", "own"]))
    (node,) = await nodes(crm, crm.seed.ben, "calendars { name }")
    assert node["calendars"] == [{"name": "Sales team"}]


async def test_busy_is_said_in_the_language_of_the_user(crm: Crm) -> None:
    await crm.push(PRIVATE)
    german = await add_user(crm.seed.conn, crm.seed.account_id, NOW, name="Cem", locale="de")
    sql = "INSERT INTO calendar_access (account_id, calendar_id, user_id, granted_at) VALUES ($1, $2, $3, $4)"
    await crm.seed.conn.execute(sql, crm.seed.account_id, crm.seed.team, german.id, NOW)
    assert [node["title"] for node in await nodes(crm, german, "title")] == ["Beschäftigt"]


@pytest.mark.parametrize("stranger", ["unknown", "another account's", "another type's", "not seen", "deleted"])
async def test_calendar_that_the_caller_may_not_see_is_not_found(crm: Crm, stranger: str) -> None:
    other = await plant(crm.seed.conn, "Blackwood Investigations")
    caller: UserRecord | str = crm.seed.ben if stranger == "not seen" else crm.key
    if stranger == "deleted":
        await crm.seed.conn.execute("UPDATE calendars SET deleted_at = $1 WHERE id = $2", NOW, crm.seed.own)
    calendar_id = {
        "unknown": calendar_node(crm.seed.account_id),
        "another account's": calendar_node(other.team),
        "another type's": user_node(crm.seed.anna),
        "not seen": calendar_node(crm.seed.own),
        "deleted": calendar_node(crm.seed.own),
    }[stranger]
    (error,) = (await crm.service.graphql(query(), caller, calendarId=calendar_id))["errors"]
    message = "There is no such calendar among those that you may see."
    assert (error["extensions"]["code"], error["message"]) == ("NOT_FOUND", message)
    told = "SELECT details FROM audit_log WHERE action = 'ACTIVITIES_LISTED' AND outcome = 'REFUSED'"
    (row,) = await crm.seed.conn.fetch(told)
    assert json.loads(row["details"]) == {"reasons": ["NOT_FOUND"], "asked": [":".join(from_base64(calendar_id))]}


async def test_key_needs_the_scope_and_sees_for_its_user_what_they_see(crm: Crm) -> None:
    await crm.push(PRIVATE)
    own = calendar_node(crm.seed.own)
    answer = await crm.service.graphql(query(), await crm.seed.key("feeds:read"), calendarId=own)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
    acting = Crm(crm.seed, crm.service.acting_for(crm.seed.ben), await crm.seed.key("activities:read", "users:act"))
    assert [node["title"] for node in await nodes(acting, acting.key, "title")] == ["Busy"]
    answer = await acting.service.graphql(query(), acting.key, calendarId=own)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["NOT_FOUND"]


# ---- Which, and in what order


async def test_activities_are_filtered(crm: Crm) -> None:
    await crm.push(
        said("m1", startsAt=at(0), ownerExternalId="anna"),
        said("c1", type="CALL", startsAt=at(24)),
        said("t1", type="TASK", dueOn=(NOW + 48 * HOUR).date().isoformat(), ownerExternalId="ben"),
        said("n1", type="NOTE"),
    )
    assert await ids(crm, crm.key) == ["m1", "c1", "t1", "n1"]
    assert await ids(crm, crm.key, types=["CALL", "NOTE"]) == ["c1", "n1"]
    assert await ids(crm, crm.key, **{"from": at(24)}) == ["c1", "t1"]
    assert await ids(crm, crm.key, until=at(24)) == ["m1"]
    assert await ids(crm, crm.key, ownerId=user_node(crm.seed.ben)) == ["t1"]
    assert await ids(crm, crm.key, externalIds=["m1", "n1", "x\x00", "x"]) == ["m1", "n1"]
    assert await ids(crm, crm.key, types=["TASK"], until=at(24)) == []


async def test_activities_that_were_changed_or_placed_since_are_found(crm: Crm) -> None:
    await crm.push(said("old"), said("changed"), said("placed", ["own"]), said("elsewhere", ["own"]))
    past = "UPDATE activities SET changed_at = changed_at - interval '1 day'"
    await crm.seed.conn.execute("ALTER TABLE activities DISABLE TRIGGER USER")
    await crm.seed.conn.execute(past)
    await crm.seed.conn.execute("ALTER TABLE activities ENABLE TRIGGER USER")
    await crm.push(said("changed", title="Signing"), said("placed", ["own", "team"]))
    assert await ids(crm, crm.key, changedSince=(datetime.now(UTC) - HOUR).isoformat()) == ["changed", "placed"]


async def test_pages_hold_every_activity_once_while_others_come_and_go(crm: Crm) -> None:
    await crm.push(*[said(f"m{number}") for number in range(7)])
    seen: list[str] = []
    after, more = None, True
    while more:
        variables = {"calendarId": calendar_node(crm.seed.team), "first": 2, "after": after}
        page = (await crm.service.graphql(query(), crm.key, **variables))["data"]["activities"]
        seen += [edge["node"]["externalId"] for edge in page["edges"]]
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        await crm.delete(seen[-1])  # the one that the cursor is of
        await crm.push(said(seen[0], title="Anew"))
    assert seen[:7] == [f"m{number}" for number in range(7)]


@pytest.mark.parametrize("wrong", [{"first": 0}, {"first": 501}, {"after": "x"}, {"after": to_base64("Cursor", "x")},
                                   {"where": {"ownerId": "x"}}])  # fmt: skip
async def test_arguments_that_fit_nothing_are_refused(crm: Crm, wrong: dict[str, Any]) -> None:
    answer = await crm.service.graphql(query(), crm.key, calendarId=calendar_node(crm.seed.team), **wrong)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["INVALID_ARGUMENT"]


async def test_page_of_a_hundred_takes_as_many_statements_as_one_of_one(
    crm: Crm, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = ["anna", "ben"]
    await crm.push(
        *[said(str(n), ["team", "own"], ownerExternalId=owners[n % 2]) for n in range(100)],
    )
    async with listening_service(dsn, monkeypatch) as (service, sent):
        counts = []
        for first in (1, 100):
            sent.clear()
            variables = {"calendarId": calendar_node(crm.seed.team), "first": first}
            answer = await service.graphql(query(EVERYTHING), crm.seed.ben, **variables)
            assert len(answer["data"]["activities"]["edges"]) == first
            counts.append(len(sent))
    assert counts == [5, 5]  # the user, the calendar, the page, the calendars of each and the owners


# ---- One by its id


async def test_one_activity_is_told_as_in_the_list(crm: Crm) -> None:
    await crm.push(PRIVATE, said("elsewhere", ["own"]))
    own, elsewhere = await crm.record("p1"), await crm.record("elsewhere")
    for caller, expected in (
        (crm.key, ["Viewing", "Viewing", None]),
        (crm.seed.anna, ["Viewing", "Viewing", None]),
        (crm.seed.ben, ["Busy", None, None]),
        (await crm.seed.key("feeds:read"), [None, None, None]),
    ):
        assert [await _node(crm, caller, id_) for id_ in (own.id, elsewhere.id, crm.seed.team)] == expected


async def _node(crm: Crm, caller: UserRecord | str, activity_id: Any) -> Any:
    query = "query ($id: ID!) { node(id: $id) { ... on Activity { title } } }"
    answer = await crm.service.graphql(query, caller, id=to_base64("Activity", str(activity_id)))
    return answer["data"]["node"] and answer["data"]["node"]["title"]

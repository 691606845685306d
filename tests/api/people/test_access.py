"""Who may see which calendar, as integrators set it and read it back."""

import asyncio
from typing import Any

import pytest

from api.people.access import MOST_PAIRS
from db.users import UserRecord, add_user
from tests.api.integrating import Payload, brief, listening_service, log, name_externally, written
from tests.feed.subscription import stay_in_today, subscribe
from tests.seed import NOW, Seed, Service, meeting, plant

ENDED = ["This calendar link no longer works: subscribe again"]
COUNTS = "granted withdrawn unchanged"
VIEWERS = """
    query ($first: Int, $after: String) {
      calendars { edges { node { externalId users(first: $first, after: $after) {
        edges { node { externalId name } } pageInfo { hasNextPage endCursor } } } } } }"""


@pytest.fixture(autouse=True)
async def crm(seed: Seed) -> None:
    await name_externally(seed)


async def set_access(service: Service, caller: Any, **users: list[str]) -> Payload:
    """By the CRM's own keys: of each calendar all users."""
    items = [{"calendarExternalId": calendar, "userExternalIds": ids} for calendar, ids in users.items()]
    return await service.mutate("setCalendarAccess", caller, COUNTS, calendars=items)


def done(granted: int = 0, withdrawn: int = 0, unchanged: int = 0) -> Payload:
    return {"granted": granted, "withdrawn": withdrawn, "unchanged": unchanged, "userErrors": []}


async def viewers(service: Service, caller: UserRecord | str) -> dict[str, list[str]]:
    edges = (await service.graphql(VIEWERS, caller))["data"]["calendars"]["edges"]
    return {
        edge["node"]["externalId"]: [user["node"]["name"] for user in edge["node"]["users"]["edges"]] for edge in edges
    }


# ---- what is set


async def test_exactly_those_who_are_named_see_the_calendar(seed: Seed, service: Service) -> None:
    key = await seed.key("access:write")
    cleo = await add_user(seed.conn, seed.account_id, NOW, name="Cleo", external_id="cleo")
    assert await set_access(service, key, team=["ben", "cleo"], own=[]) == done(granted=1, withdrawn=2, unchanged=1)
    assert await viewers(service, seed.anna) == {"own": [], "team": ["Ben Okafor", "Cleo"]}
    assert await set_access(service, key, team=["anna", "anna", "cleo"]) == done(1, 1, 1)
    assert await viewers(service, seed.anna) == {"own": [], "team": ["Anna Müller", "Cleo"]}
    assert set(await log(seed)) == {
        ("ACCESS_GRANTED", "CRM sync", cleo.id),
        ("ACCESS_WITHDRAWN", "CRM sync", seed.anna.id),
        ("ACCESS_GRANTED", "CRM sync", seed.anna.id),
        ("ACCESS_WITHDRAWN", "CRM sync", seed.ben.id),
    }


async def test_feed_follows_its_users_access_at_once(seed: Seed, service: Service) -> None:
    await stay_in_today(seed)
    await seed.write(meeting(), calendars=(seed.team,))
    link, key = await subscribe(service, seed.ben, seed.team), await seed.key("access:write")
    for _ in range(2):
        await set_access(service, key, team=["anna"])
        assert await link.titles() == ENDED
    await set_access(service, key, team=["anna", "ben"])
    assert await link.titles() == ["Viewing"]


async def test_same_call_again_changes_nothing(seed: Seed, service: Service) -> None:
    link, key = await subscribe(service, seed.anna), await seed.key("access:write")
    wanted = {"team": ["anna"], "own": ["ben", "anna"]}
    assert await set_access(service, key, **wanted) == done(granted=1, withdrawn=1, unchanged=2)
    tag, before = (await link.poll()).headers["ETag"], await written(seed.conn)
    assert await set_access(service, key, **wanted) == done(unchanged=3)
    assert await written(seed.conn) == before
    assert (await link.poll()).headers["ETag"] == tag


async def test_calendar_that_is_not_named_keeps_its_access(seed: Seed, service: Service) -> None:
    await set_access(service, seed.anna, team=[])
    assert await viewers(service, seed.anna) == {"own": ["Anna Müller"], "team": []}


async def test_access_to_a_calendar_that_is_gone_may_be_withdrawn(seed: Seed, service: Service) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    await seed.conn.execute("UPDATE calendars SET external_id = 'theirs' WHERE id = $1", other.team)
    await seed.conn.execute("UPDATE calendars SET deleted_at = now() WHERE id = $1", seed.team)
    for counts in (done(withdrawn=2), done()):
        assert await set_access(service, seed.anna, team=[], theirs=[], never=[]) == counts
    await seed.conn.execute("UPDATE calendars SET deleted_at = NULL WHERE id = $1", seed.team)
    assert await viewers(service, seed.anna) == {"own": ["Anna Müller"], "team": []}
    assert (await viewers(service, other.anna))["theirs"] == ["Anna Müller", "Ben Okafor"]


async def test_deactivated_user_may_be_named_and_is_told(seed: Seed, service: Service) -> None:
    await seed.conn.execute("UPDATE users SET deactivated_at = now() WHERE id = $1", seed.ben.id)
    assert await set_access(service, seed.anna, own=["ben"], team=["ben"]) == done(granted=1, withdrawn=2, unchanged=1)
    assert await viewers(service, seed.anna) == {"own": ["Ben Okafor"], "team": ["Ben Okafor"]}


async def test_user_without_a_key_of_the_crm_loses_the_calendar_and_the_log_tells(seed: Seed, service: Service) -> None:
    await seed.conn.execute("UPDATE users SET external_id = NULL WHERE id = $1", seed.ben.id)
    assert await set_access(service, seed.anna, team=["anna"]) == done(withdrawn=1, unchanged=1)
    assert await viewers(service, seed.anna) == {"own": ["Anna Müller"], "team": ["Anna Müller"]}
    assert await log(seed) == [("ACCESS_WITHDRAWN", "Anna Müller", seed.ben.id)]


async def test_calls_at_the_same_moment_leave_what_one_of_them_said(seed: Seed, service: Service) -> None:
    for number in range(10):
        await add_user(seed.conn, seed.account_id, NOW, name=f"N{number}", external_id=f"n{number}")
    wanted = [[f"n{number}" for number in range(10) if number % 3 != way] for way in range(3)]
    calls = [set_access(service, seed.anna, team=wanted[n % 3], own=wanted[n % 3 - 1]) for n in range(12)]
    assert [payload["userErrors"] for payload in await asyncio.gather(*calls)] == [[]] * 12
    found = await viewers(service, seed.anna)
    assert [name.lower() for name in found["team"]] in wanted
    assert [name.lower() for name in found["own"]] in wanted


# ---- what is refused


async def test_unknown_users_and_calendars_are_named_by_their_paths(seed: Seed, service: Service) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    await seed.conn.execute("UPDATE users SET external_id = 'theirs' WHERE id = $1", other.ben.id)
    await seed.conn.execute("UPDATE calendars SET external_id = 'theirs' WHERE id = $1", other.team)
    await seed.conn.execute("UPDATE calendars SET deleted_at = now() WHERE id = $1", seed.own)
    before = await written(seed.conn)
    items = [
        {"calendarExternalId": "team", "userExternalIds": ["anna", "theirs", "x\x00", "ben"]},
        {"calendarExternalId": "theirs", "userExternalIds": ["anna"]},
        {"calendarExternalId": "own", "userExternalIds": ["anna"]},
        {"calendarExternalId": "team", "userExternalIds": []},
        {"calendarExternalId": " ", "userExternalIds": ["\ud800"]},
    ]
    payload = await service.mutate("setCalendarAccess", seed.anna, COUNTS, calendars=items)
    no_calendar = "There is no such calendar in your account, or it is deleted: write it with `upsertCalendars` first."
    no_user = "There is no such user in your account: write them with `upsertUsers` first."
    assert [(e["__typename"], ".".join(e["path"]), e["message"]) for e in payload["userErrors"]] == [
        ("UserNotFound", "calendars.0.userExternalIds.1", no_user),
        ("UserNotFound", "calendars.0.userExternalIds.2", no_user),
        ("CalendarNotFound", "calendars.1.calendarExternalId", no_calendar),
        ("CalendarNotFound", "calendars.2.calendarExternalId", no_calendar),
        (
            "ItemRepeated",
            "calendars.3.calendarExternalId",
            "Item 0 has this id already: send one of the two.",
        ),
        (
            "ValueInvalid",
            "calendars.4.calendarExternalId",
            "Give the CRM's own key: 1 to 255 printable characters, not all of them blank.",
        ),
        ("UserNotFound", "calendars.4.userExternalIds.0", no_user),
    ]
    assert await written(seed.conn) == before


async def test_too_many_calendars_and_pairs_are_refused(seed: Seed, service: Service) -> None:
    calendars = [{"calendarExternalId": f"c{number}", "userExternalIds": []} for number in range(1_001)]
    payload = await service.mutate("setCalendarAccess", seed.anna, COUNTS, calendars=calendars)
    assert brief(payload) == [("TooManyItems", "calendars")]
    payload = await set_access(service, seed.anna, team=["ben"] * MOST_PAIRS, own=["ben"])
    message = "Send at most 20,000 users in one call, these are 20,001: make several calls of them."
    assert payload["userErrors"] == [{"__typename": "TooManyItems", "message": message, "path": ["calendars"]}]


async def test_of_very_many_mistakes_the_first_of_each_calendar_is_told(seed: Seed, service: Service) -> None:
    nobody = [f"n{number}" for number in range(600)]
    payload = await set_access(service, seed.anna, team=["ben", *nobody], own=nobody)
    assert brief(payload) == [
        ("UserNotFound", "calendars.0.userExternalIds.1"),
        ("UserNotFound", "calendars.1.userExternalIds.0"),
    ]


async def crowd(seed: Seed, count: int) -> list[str]:
    """Users with keys of the CRM, without access to anything."""
    sql = """
        INSERT INTO users (account_id, id, external_id, name, created_at, changed_at)
        SELECT $1, gen_random_uuid(), 'n' || n, 'N', $2, $2 FROM generate_series(1, $3) AS n"""
    await seed.conn.execute(sql, seed.account_id, NOW, count)
    return [f"n{number}" for number in range(1, count + 1)]


async def test_most_pairs_are_set_in_as_many_statements_as_few(
    seed: Seed, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On connections that have plans for the few, which would take the square of the time for the many."""
    async with listening_service(dsn, monkeypatch) as (service, sent):
        few, counts = ["anna", "ben"], []
        assert await set_access(service, seed.anna, team=few, own=few) == done(granted=1, unchanged=3)
        counts.append(len(sent))
        users = few + await crowd(seed, MOST_PAIRS // 2 - 2)
        sent.clear()
        assert await set_access(service, seed.anna, team=users, own=users) == done(MOST_PAIRS - 4, unchanged=4)
        counts.append(len(sent))
        assert await set_access(service, seed.anna, team=users, own=users) == done(unchanged=MOST_PAIRS)
        assert await set_access(service, seed.anna, team=[], own=[]) == done(withdrawn=MOST_PAIRS)
    assert counts[0] == counts[1]


# ---- who may


async def test_only_who_manages_access_sets_it(seed: Seed, service: Service) -> None:
    before = await written(seed.conn)
    query = "mutation ($input: SetCalendarAccessInput!) { setCalendarAccess(input: $input) { granted } }"
    given = {"calendars": [{"calendarExternalId": "own", "userExternalIds": ["ben"]}]}
    others, acts = await seed.key("users:write", "calendars:write"), await seed.key("access:write", "users:act")
    answers = [
        await service.graphql(query, seed.ben, input=given),
        await service.graphql(query, others, input=given),
        await service.acting_for(seed.ben).graphql(query, acts, input=given),
    ]
    assert [answer["errors"][0]["extensions"] for answer in answers] == [{"code": "FORBIDDEN"}] * 3
    assert await written(seed.conn) == before


# ---- reading back


async def test_users_of_a_calendar_are_told_to_those_who_may_see_users(seed: Seed, service: Service) -> None:
    both = {"own": ["Anna Müller"], "team": ["Anna Müller", "Ben Okafor"]}
    assert await viewers(service, seed.anna) == both
    assert await viewers(service, await seed.key("calendars:read", "users:read")) == both
    query = "{ calendars { edges { node { externalId users { edges { cursor } } } } } }"
    for caller, names in ((seed.ben, ["team"]), (await seed.key("calendars:read"), ["own", "team"])):
        edges = (await service.graphql(query, caller))["data"]["calendars"]["edges"]
        assert [edge["node"] for edge in edges] == [{"externalId": name, "users": None} for name in names]


async def test_calendars_of_a_user_are_told_to_them_and_to_those_who_may_see_calendars(
    seed: Seed, service: Service
) -> None:
    await subscribe(service, seed.ben, seed.team)
    fields = "calendars { edges { node { name } } }"
    own = f"{{ viewer {{ {fields} }} }}"
    every = f"{{ users {{ edges {{ node {{ {fields} }} }} }} }}"

    async def names(query: str, caller: UserRecord | str, via: Service = service) -> list[list[str] | None]:
        data = (await via.graphql(query, caller))["data"]
        found = [edge["node"] for edge in data["users"]["edges"]] if "users" in data else [data["viewer"]]
        return [[e["node"]["name"] for e in u["calendars"]["edges"]] if u["calendars"] else None for u in found]

    all_of = [["Anna Müller", "Sales team"], ["Sales team"]]
    assert await names(own, seed.ben) == [["Sales team"]]
    assert await names(every, seed.anna) == all_of
    assert await names(every, await seed.key("users:read", "calendars:read")) == all_of
    assert await names(every, await seed.key("users:read")) == [None, None]
    acting = service.acting_for(seed.ben)
    assert await names(own, await seed.key("users:act"), acting) == [None]
    assert await names(own, await seed.key("users:act", "calendars:read"), acting) == [["Sales team"]]
    await seed.conn.execute("UPDATE calendars SET deleted_at = now() WHERE id = $1", seed.team)
    assert await names(every, seed.anna) == [["Anna Müller"], []]


async def test_pages_of_a_calendars_users_hold_each_once(seed: Seed, service: Service) -> None:
    ids = await crowd(seed, 11)
    await set_access(service, seed.anna, team=ids, own=[])
    seen: list[str] = []
    after, more = None, True
    while more:
        edges = (await service.graphql(VIEWERS, seed.anna, first=3, after=after))["data"]["calendars"]["edges"]
        page = edges[1]["node"]["users"]
        seen += [user["node"]["externalId"] for user in page["edges"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        await set_access(service, seed.anna, team=[*ids, "ben"] if len(seen) % 2 else ids)
    assert sorted(id_ for id_ in seen if id_ != "ben") == sorted(ids)
    assert len(seen) == len(set(seen))


async def test_lists_below_lists_take_one_statement_each(seed: Seed, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    users = await crowd(seed, 40)
    query = """
        {
          calendars { edges { node {
            users { edges { node { name calendars(first: 2) { edges { node { name } } } } } }
            more: users(first: 1) { edges { node { name } } } } } }
          users { edges { node { calendars { edges { node { name } } } } } }
        }"""
    async with listening_service(dsn, monkeypatch) as (service, sent):
        counts = []
        for some in ([], users):
            calendars = [{"externalId": f"c{number}", "name": "C"} for number in range(len(some))]
            await service.mutate("upsertCalendars", seed.anna, "created", calendars=calendars)
            await set_access(service, seed.anna, **{f"c{number}": some for number in range(len(some))})
            sent.clear()
            answer = await service.graphql(query, seed.anna)
            assert "errors" not in answer
            counts.append(len(sent))
    # The caller, both lists, the calendars' users by two sizes of pages, and the users' calendars by two. On a busy
    # machine the answer takes more than one turn, and what is asked at one level of it may be asked in two.
    assert max(counts) <= 9


async def test_refused_field_does_not_take_the_answer_with_it(seed: Seed, service: Service) -> None:
    """Two links wait for the users of the same calendar, while the preview beside them is refused."""
    await subscribe(service, seed.anna, seed.team)
    await subscribe(service, seed.ben, seed.team)
    query = """
        { feedLinks { edges { node {
            preview { eventCount } calendar { users { edges { cursor } } } user { calendars { edges { cursor } } }
        } } } }"""
    answer = await service.graphql(query, seed.anna)
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"FORBIDDEN"}

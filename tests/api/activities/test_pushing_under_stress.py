"""Pushes that meet each other, are cut off, or hold whatever anybody may send."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import ClientError, ClientTimeout
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.accounts import lock_account
from tests.api.activities.pushing import Crm, Said, at, name_externally, said
from tests.seed import NOW, Seed, Service
from tests.waiting import another_writer, until_somebody_waits

CALL = "mutation ($input: UpsertActivitiesInput!) { upsertActivities(input: $input) { created } }"


@pytest.fixture
async def crm(seed: Seed, service: Service) -> Crm:
    await name_externally(seed)
    return Crm(seed, service, await seed.key("activities:write"))


# ---- Meeting others


async def test_activity_that_somebody_else_adds_meanwhile_is_merged_with(crm: Crm, dsn: str) -> None:
    """Nothing of either is lost: the other's description stays, as this call says nothing of one."""
    async with another_writer(dsn) as other:
        sql = """
            INSERT INTO activities (account_id, id, external_id, type, title, description, status, starts_at,
                                    revision, created_at, changed_at)
            VALUES ($1, gen_random_uuid(), 'm1', 'MEETING', 'Theirs', 'Bring the keys', 'CONFIRMED', $2, 0, $2, $2)"""
        await other.execute(sql, crm.seed.account_id, NOW)
        push = asyncio.create_task(crm.push(said("m0"), said("m1"), said("m2")))
        await until_somebody_waits(dsn)
    assert await push == {"created": 2, "updated": 1, "unchanged": 0, "userErrors": []}
    record = await crm.record("m1")
    assert (record.title, record.description, record.revision) == ("Viewing", "Bring the keys", 1)
    assert await crm.standing() == {"team": ["m0", "m1", "m2"]}


async def test_activity_that_somebody_else_deletes_meanwhile_is_added_anew(crm: Crm, dsn: str) -> None:
    await crm.push(said("m1", description="Bring the keys"))
    async with another_writer(dsn) as other:
        await other.execute("DELETE FROM activities WHERE account_id = $1", crm.seed.account_id)
        push = asyncio.create_task(crm.push(said("m1")))
        await until_somebody_waits(dsn)
    assert await push == {"created": 1, "updated": 0, "unchanged": 0, "userErrors": []}
    assert (await crm.record("m1")).description is None


LISTS = [("upsertUsers", "users"), ("upsertCalendars", "calendars"), ("setCalendarAccess", "calendars")]


@pytest.mark.parametrize(("mutation", "items"), LISTS)
async def test_calls_that_wait_for_each_other_leave_polls_their_connections(
    seed: Seed, service: Service, dsn: str, mutation: str, items: str
) -> None:
    url = await service.generate(seed.anna)
    async with another_writer(dsn) as other:
        await lock_account(other, seed.account_id)
        calls = [asyncio.create_task(service.mutate(mutation, seed.anna, "", **{items: []})) for _ in range(20)]
        await until_somebody_waits(dsn)
        async with asyncio.timeout(10):
            assert {(await service.poll(url)).status for _ in range(20)} == {200}
    assert await asyncio.gather(*calls) == [{"userErrors": []}] * 20


async def test_calls_that_move_the_same_activities_to_and_fro_all_succeed(crm: Crm) -> None:
    def call(number: int) -> list[Said]:
        calendars = [["team"], ["own"], ["own", "team"]][number % 3]
        order = 1 if number % 2 else -1
        return [said(f"m{n}", calendars, title=f"Round {number}") for n in range(30)][::order]

    payloads = await asyncio.gather(*(crm.push(*call(number)) for number in range(12)))
    assert [payload["userErrors"] for payload in payloads] == [[]] * 12
    assert sum(payload["created"] for payload in payloads) == 30
    titles = {record.title for record in await crm.records()}
    standing = await crm.standing()
    assert len(titles) == 1
    (number,) = (int(title.split()[1]) for title in titles)
    assert set(standing) == set([["team"], ["own"], ["own", "team"]][number % 3])
    assert all(len(there) == 30 for there in standing.values())


async def test_syncs_of_the_same_calendar_at_once_leave_one_of_them(crm: Crm) -> None:
    async def sync(number: int) -> dict[str, Any]:
        activities = [
            said(f"{number}-{n}", title=f"Round {number}", startsAt=at(n), endsAt=at(n + 1)) for n in range(40)
        ]
        return await crm.sync("team", *activities)

    payloads = await asyncio.gather(*(sync(number) for number in range(8)))
    assert [payload["userErrors"] for payload in payloads] == [[]] * 8
    assert sum(payload["created"] for payload in payloads) == 320
    assert sum(payload["deleted"] for payload in payloads) == 280
    (title,) = {record.title for record in await crm.records()}
    assert (await crm.standing())["team"] == sorted(f"{title.split()[1]}-{n}" for n in range(40))


# ---- Being cut off


async def test_push_that_is_cut_off_anywhere_and_done_again_is_whole(crm: Crm) -> None:
    calls = [[said(f"{call}-{n}", ["own", "team"]) for n in range(1_000)] for call in range(5)]
    for cut_off, call in enumerate(calls):
        with suppress(TimeoutError, ClientError):
            await hang_up(crm, call, after=0.05 * (cut_off + 1))
    counts = [await crm.push(*call) for call in calls]
    assert {sum(count[name] for name in ("created", "updated", "unchanged")) for count in counts} == {1_000}
    assert [count["updated"] for count in counts] == [0] * 5
    rows = "SELECT count(*), count(DISTINCT external_id) FROM activities WHERE account_id = $1"
    assert tuple(await crm.seed.conn.fetchrow(rows, crm.seed.account_id) or ()) == (5_000, 5_000)
    entries = "SELECT count(*) FROM calendar_entries WHERE account_id = $1"
    assert await crm.seed.conn.fetchval(entries, crm.seed.account_id) == 10_000


async def hang_up(crm: Crm, activities: list[Said], after: float) -> None:
    """Send a call and close the connection after so many seconds."""
    body = {"query": CALL, "variables": {"input": {"activities": activities}}}
    headers = {"Authorization": f"Bearer {crm.key}", "Connection": "close"}
    await crm.service.client.post("/graphql", json=body, headers=headers, timeout=ClientTimeout(after))


async def test_connection_that_is_lost_in_the_middle_writes_nothing(crm: Crm, dsn: str) -> None:
    """The database ends the writer's session while it waits: it is as if nothing had been sent."""
    await crm.push(said("m1"))
    before = await crm.rows()
    async with another_writer(dsn) as other:
        await other.execute("SELECT 1 FROM calendar_versions WHERE account_id = $1 FOR UPDATE", crm.seed.account_id)
        call = {"activities": [said("m1", title="Signing"), said("m2")]}
        body, headers = {"query": CALL, "variables": {"input": call}}, {"Authorization": f"Bearer {crm.key}"}
        push = asyncio.create_task(crm.service.client.request("POST", "/graphql", json=body, headers=headers))
        await until_somebody_waits(dsn)
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        await crm.seed.conn.execute(ended)
        answer = await push
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert [error["extensions"] for error in (await answer.json())["errors"]] == [{"code": "UNAVAILABLE"}]
    assert await crm.rows() == before
    assert await crm.push(*call["activities"]) == {"created": 1, "updated": 1, "unchanged": 0, "userErrors": []}


# ---- Whatever anybody may send

odd_texts = [
    "",
    " ",
    "\x00",
    "\ud800",
    "\u2028",
    "x" * 70_000,
    "team",
    "own",
    "anna",
    "m1",
    "https://a.example/\x00",
    "http://[",
]
texts = st.text(max_size=12) | st.sampled_from(odd_texts)
moments = st.sampled_from(
    [at(0), at(1), "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "0002-01-01T00:00:00+14:00",
     "9998-12-31T23:59:59-14:00", "2026-03-29T02:30:00+01:00"]
)  # fmt: skip
days = st.sampled_from(["0001-01-01", "0002-01-01", "2026-02-28", "2026-03-09", "9998-12-31", "9999-12-31"])
statuses = st.sampled_from(["CONFIRMED", "TENTATIVE", "CANCELLED", "NEEDS_ACTION", "IN_PROCESS", "COMPLETED"])
rules = st.sampled_from(
    ["FREQ=DAILY", "FREQ=SECONDLY;COUNT=999999999", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;UNTIL=00020101",
     "FREQ=WEEKLY;INTERVAL=999999999", "RRULE:", "FREQ=DAILY;FREQ=DAILY", "FREQ=MONTHLY;BYSETPOS=-1;BYDAY=MO"]
)  # fmt: skip
people = st.lists(st.fixed_dictionaries({}, optional={"name": texts, "email": texts | st.just("a@b.c")}), max_size=2)
content = {
    "description": texts,
    "location": texts,
    "url": texts | st.just("https://a.example"),
    "status": statuses,
    "priority": st.sampled_from(["HIGH", "LOW"]),
    "participants": people,
    "private": st.booleans(),
}
when = {
    **dict.fromkeys(("startsAt", "endsAt", "dueAt"), moments),
    **dict.fromkeys(("startsOn", "endsOn", "dueOn"), days),
}


def nullable(fields: dict[str, st.SearchStrategy[Any]]) -> dict[str, st.SearchStrategy[Any]]:
    return {name: st.none() | values for name, values in fields.items()}


overrides = st.fixed_dictionaries(
    {"occurrence": days | moments}, optional=nullable({**content, **when, "title": texts})
)
recurrences = st.fixed_dictionaries(
    {"rule": rules | texts},
    optional=nullable({"exdates": st.lists(days | moments, max_size=3), "overrides": st.lists(overrides, max_size=2)}),
)
more = {
    **content,
    **when,
    "timeZone": texts | st.just("Asia/Gaza"),
    "ownerExternalId": texts,
    "recurrence": recurrences,
}
hostile = st.fixed_dictionaries(
    {
        "externalId": st.just("h1") | texts,
        "calendarExternalIds": st.just(["team"]) | st.lists(texts, max_size=3),
        "type": st.sampled_from(["MEETING", "TASK", "CALL", "NOTE"]),
        "title": texts,
    },
    optional=nullable(more),
)
numbers = st.floats(allow_nan=False, allow_infinity=False)  # those that JSON has
junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | numbers | texts | days,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "rule", "title"]), inner),
    max_leaves=5,
)
PATIENT = settings(max_examples=60, suppress_health_check=list(HealthCheck))


@PATIENT
@given(st.lists(hostile, max_size=3))
async def test_hostile_activities_are_written_or_refused(crm: Crm, activities: list[Said]) -> None:
    assert await codes(crm, "upsertActivities", activities=activities) == set()


@PATIENT
@given(hostile, st.sampled_from(sorted(more)), junk)
async def test_values_of_other_types_are_written_or_refused(crm: Crm, activity: Said, name: str, value: Any) -> None:
    assert await codes(crm, "upsertActivities", activities=[{**activity, name: value}]) <= {"INVALID_QUERY"}


@PATIENT
@given(st.lists(hostile, max_size=2), moments, moments, texts | st.just("team"), st.booleans())
async def test_hostile_syncs_are_done_or_refused(
    crm: Crm, activities: list[Said], first: str, last: str, name: str, dry: bool
) -> None:
    said_ = {"calendarExternalId": name, "from": first, "until": last, "activities": activities, "dryRun": dry}
    assert await codes(crm, "syncCalendar", **said_) == set()


@PATIENT
@given(st.lists(texts, max_size=4))
async def test_hostile_deletions_are_done_or_refused(crm: Crm, ids: list[str]) -> None:
    assert await codes(crm, "deleteActivities", externalIds=ids) == set()


async def codes(crm: Crm, name: str, **input_: Any) -> set[str]:
    """Those of the errors above the payload."""
    kind = f"{name[0].upper()}{name[1:]}Input"
    query = f"mutation ($input: {kind}!) {{ {name}(input: $input) {{ userErrors {{ message path }} }} }}"
    body = json.dumps({"query": query, "variables": {"input": input_}})
    headers = {"Authorization": f"Bearer {crm.key}", "Content-Type": "application/json"}
    async with crm.service.client.post("/graphql", data=body, headers=headers) as answer:
        told = await answer.json()
    return {error.get("extensions", {}).get("code") for error in told.get("errors", [])}

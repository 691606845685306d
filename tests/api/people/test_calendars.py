"""Calendars as integrators write them and read them back."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from db.calendars import add_calendar
from db.users import UserRecord
from tests.api.integrating import (
    COUNTS,
    Payload,
    brief,
    done,
    listening_service,
    log,
    name_externally,
    pages,
    refused,
    written,
)
from tests.feed.subscription import stay_in_today, subscribe
from tests.seed import NOW, Seed, Service, meeting, plant
from tests.waiting import another_writer, until_somebody_waits

LISTED = """
    query ($where: CalendarFilter, $first: Int, $after: String) {
      calendars(where: $where, first: $first, after: $after) {
        edges { node { id externalId name color deleted changedAt } }
        pageInfo { hasNextPage endCursor } } }"""
ENDED = ["This calendar link no longer works: subscribe again"]


@pytest.fixture(autouse=True)
async def crm(seed: Seed) -> None:
    await name_externally(seed)


async def upsert(service: Service, caller: Any, *calendars: dict[str, Any]) -> Payload:
    return await service.mutate("upsertCalendars", caller, COUNTS, calendars=calendars)


async def listed(service: Service, caller: UserRecord | str, **where: Any) -> list[tuple[str, str, str | None, bool]]:
    edges = (await service.graphql(LISTED, caller, where=where))["data"]["calendars"]["edges"]
    nodes = [edge["node"] for edge in edges]
    return [(node["externalId"], node["name"], node["color"], node["deleted"]) for node in nodes]


async def named(service: Service, caller: UserRecord | str, **where: Any) -> list[str]:
    return [external_id for external_id, *_ in await listed(service, caller, **where)]


# ---- what is written


async def test_new_calendar_is_what_is_said_of_it_and_visible_to_nobody(seed: Seed, service: Service) -> None:
    said = {"externalId": "p1", "name": "Marina Tower", "color": "#ff6347"}
    plain = {"externalId": "p2", "name": "Old Port", "deleted": False}
    assert await upsert(service, await seed.key("calendars:write"), said, plain) == done(created=2)
    assert await listed(service, seed.anna, externalIds=["p1", "p2"]) == [
        ("p1", "Marina Tower", "#FF6347", False),
        ("p2", "Old Port", None, False),
    ]
    assert await named(service, seed.ben) == ["team"]


async def test_what_is_left_out_stays_and_null_clears_the_colour(seed: Seed, service: Service) -> None:
    assert await upsert(service, seed.anna, {"externalId": "own", "name": "Anna"}) == done(updated=1)
    assert await listed(service, seed.anna, externalIds=["own"]) == [("own", "Anna", "#4682B4", False)]
    assert await upsert(service, seed.anna, {"externalId": "own", "color": None}) == done(updated=1)
    assert await listed(service, seed.anna, externalIds=["own"]) == [("own", "Anna", None, False)]


async def test_same_call_again_changes_nothing(seed: Seed, service: Service) -> None:
    await seed.write(meeting(), calendars=(seed.own, seed.team))
    link, key = await subscribe(service, seed.ben, seed.team), await seed.key("calendars:write")
    calendars: list[dict[str, Any]] = [
        {"externalId": "team", "name": "Sales", "color": "#4682b4", "deleted": False},
        {"externalId": "own", "deleted": True},
        {"externalId": "new", "name": "Rentals"},
        {"externalId": "never", "name": "Never was here", "deleted": True},
    ]
    assert await upsert(service, key, *calendars) == done(created=1, updated=2, unchanged=1)
    tag, before = (await link.poll()).headers["ETag"], await written(seed.conn)
    assert await upsert(service, key, *calendars) == done(unchanged=4)
    assert await written(seed.conn) == before
    assert (await link.poll()).headers["ETag"] == tag


async def test_links_of_a_deleted_calendar_serve_the_notice_until_it_is_restored(seed: Seed, service: Service) -> None:
    await stay_in_today(seed)
    await seed.write(meeting(title="Viewing"), calendars=(seed.team,))
    key = await seed.key("calendars:write")
    team, everything = await subscribe(service, seed.ben, seed.team), await subscribe(service, seed.anna)
    for _ in range(2):
        await upsert(service, key, {"externalId": "team", "deleted": True})
        assert (await team.titles(), await everything.titles()) == (ENDED, ["Nothing planned"])
    assert await named(service, seed.ben) == []
    assert await upsert(service, key, {"externalId": "team", "deleted": False}) == done(updated=1)
    assert (await team.titles(), await everything.titles()) == (["Viewing"], ["Viewing"])
    _, _, *entries = sorted(await log(seed), key=lambda entry: entry[0].startswith("CALENDAR"))
    assert entries == [("CALENDAR_DELETED", "CRM sync", seed.team), ("CALENDAR_RESTORED", "CRM sync", seed.team)]


async def test_renamed_calendar_is_renamed_in_its_feed(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.ben, seed.team)
    tag = (await link.poll()).headers["ETag"]
    await upsert(service, seed.anna, {"externalId": "team", "name": "Verkauf"})
    answer = await link.poll(If_None_Match=tag)
    assert answer.status == 200
    assert b"X-WR-CALNAME:Verkauf\r\n" in await answer.read()


async def test_audit_log_tells_who_added_a_calendar(seed: Seed, service: Service) -> None:
    await upsert(service, seed.anna, {"externalId": "new", "name": "Rentals"}, {"externalId": "own", "name": "Mine"})
    id_ = await seed.conn.fetchval("SELECT id FROM calendars WHERE external_id = 'new'")
    assert await log(seed) == [("CALENDAR_ADDED", "Anna Müller", id_)]


async def test_same_key_of_the_crm_is_another_calendar_in_another_account(seed: Seed, service: Service) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    assert await upsert(service, other.anna, {"externalId": "team", "name": "Cases"}) == done(created=1)
    assert await listed(service, seed.anna, externalIds=["team"]) == [("team", "Sales team", None, False)]


async def test_calendar_that_another_writer_adds_meanwhile_is_updated(seed: Seed, service: Service, dsn: str) -> None:
    async with another_writer(dsn) as other:
        await add_calendar(other, seed.account_id, NOW, name="Rent", external_id="n")
        call = asyncio.create_task(upsert(service, seed.anna, {"externalId": "n", "name": "Rentals"}))
        await until_somebody_waits(dsn)
    assert await call == done(updated=1)


# ---- what is refused


async def test_every_bad_item_is_named_by_its_path_and_nothing_is_written(seed: Seed, service: Service) -> None:
    before = await written(seed.conn)
    name = "Give a name of 1 to 255 characters, not all blank, without line breaks or control characters."
    color = 'Give red, green and blue as six hexadecimal digits, like "#4682B4", or null for no colour.'
    no_value = "Give a value, or leave it out: it cannot be cleared."
    payload = await upsert(
        service,
        seed.anna,
        {"externalId": "own", "name": "Mine"},
        {"externalId": "new"},
        {"externalId": "own"},
        {"externalId": "team", "name": None, "deleted": None, "color": "steelblue"},
        {"externalId": "", "name": "two\nlines", "color": "#4682B"},
        {"externalId": "c5", "name": "N", "color": "#４682B4"},
        {"externalId": "c6", "name": "", "deleted": True},
    )
    assert payload == refused(
        ("ValueInvalid", "calendars.1.name", "Give a name: nothing with this id is there yet."),
        ("ItemRepeated", "calendars.2.externalId", "Item 0 has this id already: send one of the two."),
        ("ValueInvalid", "calendars.3.name", no_value),
        ("ValueInvalid", "calendars.3.color", color),
        ("ValueInvalid", "calendars.3.deleted", no_value),
        (
            "ValueInvalid",
            "calendars.4.externalId",
            "Give the CRM's own key: 1 to 255 printable characters, not all of them blank.",
        ),
        ("ValueInvalid", "calendars.4.name", name),
        ("ValueInvalid", "calendars.4.color", color),
        ("ValueInvalid", "calendars.5.color", color),
        ("ValueInvalid", "calendars.6.name", name),
    )
    assert await written(seed.conn) == before


async def test_more_than_a_thousand_calendars_are_refused_and_a_thousand_are_not(
    seed: Seed, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = [{"externalId": f"n{number}", "name": "N"} for number in range(1_001)]
    async with listening_service(dsn, monkeypatch) as (service, sent):
        assert brief(await upsert(service, seed.anna, *crowd)) == [("TooManyItems", "calendars")]
        counts = []
        for some in (crowd[:2], crowd[:1_000]):
            sent.clear()
            assert brief(await upsert(service, seed.anna, *some)) == []
            counts.append(len(sent))
    assert counts[0] == counts[1]
    assert await seed.conn.fetchval("SELECT count(*) FROM calendar_versions") == 1_002


# ---- who may


async def test_only_who_manages_calendars_writes_them(seed: Seed, service: Service) -> None:
    before = await written(seed.conn)
    query = "mutation ($input: UpsertCalendarsInput!) { upsertCalendars(input: $input) { created } }"
    given = {"calendars": [{"externalId": "team", "deleted": True}]}
    reads, acts = await seed.key("calendars:read", "access:write"), await seed.key("calendars:write", "users:act")
    answers = [
        await service.graphql(query, seed.ben, input=given),
        await service.graphql(query, reads, input=given),
        await service.acting_for(seed.ben).graphql(query, acts, input=given),
        await service.graphql(LISTED, acts),
    ]
    assert [answer["errors"][0]["extensions"] for answer in answers] == [{"code": "FORBIDDEN"}] * 4
    assert await written(seed.conn) == before
    rows = await seed.conn.fetch("SELECT action FROM audit_log WHERE outcome = 'REFUSED' ORDER BY id")
    assert [row["action"] for row in rows] == ["CALENDAR_ADDED"] * 3 + ["CALENDARS_LISTED"]


# ---- reading back


async def test_managers_see_all_calendars_and_users_their_own(seed: Seed, service: Service) -> None:
    await upsert(service, seed.anna, {"externalId": "new", "name": "Rentals"})
    key = await seed.key("calendars:read", "users:act")
    assert await named(service, seed.anna) == await named(service, key) == ["own", "team", "new"]
    assert await named(service, seed.ben) == await named(service.acting_for(seed.ben), key) == ["team"]
    await seed.conn.execute("UPDATE calendar_access SET withdrawn_at = now() WHERE user_id = $1", seed.ben.id)
    assert await named(service, seed.ben) == []


async def test_calendars_are_filtered(seed: Seed, service: Service) -> None:
    key = await seed.key("calendars:read", "calendars:write")
    await upsert(service, key, {"externalId": "new", "name": "Rentals"})
    assert await named(service, key, externalIds=["new", "own", "x", "\x00"]) == ["own", "new"]
    assert await named(service, key, externalIds=[]) == []
    moment = datetime.now(UTC).isoformat()
    assert await named(service, key, changedSince=moment) == []
    await seed.write(meeting(), calendars=(seed.team,))
    await upsert(service, key, {"externalId": "own", "deleted": True}, {"externalId": "new", "color": "#4682B4"})
    assert await named(service, key, changedSince=moment) == ["team", "new"]
    assert await named(service, key, changedSince=moment, deleted=True) == ["own"]
    assert await named(service, key, deleted=None) == ["team", "new"]
    assert await listed(service, seed.anna, deleted=True) == [("own", "Anna Müller", "#4682B4", True)]
    assert await named(service, seed.ben, deleted=True) == []


async def test_pages_lose_and_double_no_calendar_that_stays_while_others_come_change_and_go(
    seed: Seed, service: Service
) -> None:
    crowd = [f"n{number:02}" for number in range(20)]
    await upsert(service, seed.anna, *({"externalId": external_id, "name": "N"} for external_id in crowd))
    going = set(crowd[::4])
    staying = [external_id for external_id in crowd if external_id not in going]
    seen: list[str] = []
    async for page in pages(service, seed.anna, LISTED, "calendars", 3):
        seen += [calendar["externalId"] for calendar in page]
        gone = {*sorted(going - set(seen))[-1:], seen[-1]} & going
        await upsert(
            service,
            seed.anna,
            {"externalId": f"z{len(seen)}", "name": "Z"},
            *({"externalId": external_id, "deleted": True} for external_id in gone),
            *({"externalId": external_id, "name": f"A{len(seen)}"} for external_id in staying),
        )
    assert [external_id for external_id in seen if external_id in staying] == staying
    assert len(seen) == len(set(seen))

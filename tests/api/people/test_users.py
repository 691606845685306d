"""Users as integrators write them and read them back."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.users import add_user
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

NODE = "externalId name email administrator active timeZone locale"
LISTED = f"""
    query ($where: UserFilter, $first: Int, $after: String) {{
      users(where: $where, first: $first, after: $after) {{
        edges {{ node {{ id changedAt {NODE} }} }}
        pageInfo {{ hasNextPage endCursor }} }} }}"""
ENDED = ["This calendar link no longer works: subscribe again"]
NO_VALUE = "Give a value, or leave it out: it cannot be cleared."


@pytest.fixture(autouse=True)
async def crm(seed: Seed) -> None:
    await name_externally(seed)


async def upsert(service: Service, caller: Any, *users: dict[str, Any]) -> Payload:
    return await service.mutate("upsertUsers", caller, COUNTS, users=users)


async def listed(service: Service, caller: Any, **where: Any) -> list[dict[str, Any]]:
    edges = (await service.graphql(LISTED, caller, where=where))["data"]["users"]["edges"]
    return [{name: value for name, value in edge["node"].items() if name not in ("id", "changedAt")} for edge in edges]


async def named(service: Service, caller: Any, **where: Any) -> list[str]:
    return [user["externalId"] for user in await listed(service, caller, **where)]


# ---- what is written


async def test_new_user_is_what_is_said_of_them_and_else_the_default(seed: Seed, service: Service) -> None:
    said = {
        "externalId": "7",
        "name": "Cleo Varga",
        "email": "Cleo@example.com",
        "administrator": True,
        "active": False,
        "timeZone": "Europe/Budapest",
        "locale": "hu_HU",
    }
    plain = {"externalId": "8", "name": "Dan"}
    assert await upsert(service, await seed.key("users:write"), said, plain) == done(created=2)
    defaults = {"email": None, "administrator": False, "active": True, "timeZone": "UTC", "locale": "en"}
    assert await listed(service, seed.anna, externalIds=["7", "8"]) == [{**said, "locale": "hu-HU"}, plain | defaults]


async def test_what_is_left_out_stays_and_null_clears(seed: Seed, service: Service) -> None:
    ben = {"name": "Ben Okafor", "email": "ben@example.com", "administrator": False, "active": True}
    said = {"externalId": "ben", "timeZone": "Europe/Madrid", "locale": "es"}
    assert await upsert(service, seed.anna, said) == done(updated=1)
    assert await listed(service, seed.anna, externalIds=["ben"]) == [{**ben, **said}]
    cleared = {"externalId": "ben", "email": None, "timeZone": None, "locale": None}
    assert await upsert(service, seed.anna, cleared) == done(updated=1)
    expected = {**ben, **cleared, "timeZone": "UTC", "locale": "en"}
    assert await listed(service, seed.anna, externalIds=["ben"]) == [expected]


async def test_same_call_again_changes_nothing(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.ben, seed.team)
    key = await seed.key("users:write")
    users: list[dict[str, Any]] = [
        {"externalId": "ben", "name": "Ben O.", "locale": "de", "active": True, "email": "BEN@example.com"},
        {"externalId": "new", "name": "Cleo", "administrator": True, "timeZone": "Europe/Berlin"},
        {"externalId": "anna"},
    ]
    assert await upsert(service, key, *users) == done(created=1, updated=1, unchanged=1)
    tag, before = (await link.poll()).headers["ETag"], await written(seed.conn)
    assert await upsert(service, key, *users) == done(unchanged=3)
    assert await written(seed.conn) == before
    assert (await link.poll()).headers["ETag"] == tag


async def test_unknown_user_without_a_name_is_deactivated_by_doing_nothing(seed: Seed, service: Service) -> None:
    before = await written(seed.conn)
    gone = {"externalId": "gone", "active": False}
    other = gone | {"externalId": "other", "email": "ben@example.com"}
    assert await upsert(service, seed.anna, gone, other) == done(unchanged=2)
    assert await written(seed.conn) == before
    assert await upsert(service, seed.anna, gone | {"name": "Cleo"}) == done(created=1)
    assert [(user["name"], user["active"]) for user in await listed(service, seed.anna, externalIds=["gone"])] == [
        ("Cleo", False)
    ]


async def test_call_without_users_does_nothing(seed: Seed, service: Service) -> None:
    assert await upsert(service, seed.anna) == done()


async def test_links_of_a_deactivated_user_die_at_once_and_live_again(seed: Seed, service: Service) -> None:
    await stay_in_today(seed)
    await seed.write(meeting(), calendars=(seed.team,))
    link, key = await subscribe(service, seed.ben, seed.team), await seed.key("users:write")
    for _ in range(2):
        await upsert(service, key, {"externalId": "ben", "active": False})
        assert await link.titles() == ENDED
    since = await seed.conn.fetchval("SELECT deactivated_at FROM users WHERE id = $1", seed.ben.id)
    assert datetime.now(UTC) - since < timedelta(minutes=1)
    await upsert(service, key, {"externalId": "ben", "active": True})
    assert await link.titles() == ["Viewing"]
    _, *entries = await log(seed)  # the link was generated
    assert entries == [
        ("USER_DEACTIVATED", "CRM sync", seed.ben.id),
        ("USER_REACTIVATED", "CRM sync", seed.ben.id),
    ]


async def test_audit_log_tells_who_added_and_appointed_whom(seed: Seed, service: Service) -> None:
    new = {"externalId": "new", "name": "Cleo", "administrator": True}
    await upsert(service, await seed.key("users:write"), new, {"externalId": "ben", "administrator": True})
    await upsert(service, seed.anna, {"externalId": "new", "administrator": False})
    id_ = await seed.conn.fetchval("SELECT id FROM users WHERE external_id = 'new'")
    assert set(await log(seed)) == {
        ("USER_ADDED", "CRM sync", id_),
        ("ADMINISTRATOR_APPOINTED", "CRM sync", id_),
        ("ADMINISTRATOR_APPOINTED", "CRM sync", seed.ben.id),
        ("ADMINISTRATOR_REMOVED", "Anna Müller", id_),
    }
    networks = await seed.conn.fetch("SELECT DISTINCT network FROM audit_log WHERE actor_type <> 'OPERATOR'")
    assert [str(row["network"]) for row in networks] == ["127.0.0.0/24"]


async def test_same_key_of_the_crm_is_another_user_in_another_account(seed: Seed, service: Service) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    assert await upsert(service, other.anna, {"externalId": "ben", "name": "Benno"}) == done(created=1)
    assert [user["name"] for user in await listed(service, seed.anna, externalIds=["ben"])] == ["Ben Okafor"]


# ---- addresses


async def test_address_of_another_user_is_refused_whatever_its_case(seed: Seed, service: Service) -> None:
    before = await written(seed.conn)
    message = (
        "Another user of the account has this address: leave it out, or give that user another one in the same call."
    )
    payload = await upsert(
        service,
        seed.anna,
        {"externalId": "anna", "name": "A."},
        {"externalId": "n", "name": "N", "email": "BEN@Example.com"},
    )
    assert payload == refused(("EmailTaken", "users.1.email", message))
    assert await written(seed.conn) == before


async def test_address_that_two_items_want_is_refused(seed: Seed, service: Service) -> None:
    message = "The user of item 0 has this address: leave it out, or give that user another one in the same call."
    payload = await upsert(
        service,
        seed.anna,
        {"externalId": "anna", "email": "new@example.com"},
        {"externalId": "ben"},
        {"externalId": "n", "name": "N", "email": "NEW@example.com"},
    )
    assert payload == refused(("EmailTaken", "users.2.email", message))


async def test_users_exchange_and_hand_on_their_addresses_in_one_call(seed: Seed, service: Service) -> None:
    anna, ben = "anna@example.com", "ben@example.com"
    swapped = [{"externalId": "anna", "email": ben}, {"externalId": "ben", "email": anna}]
    assert await upsert(service, seed.anna, *swapped) == done(updated=2)
    handed_on: list[dict[str, Any]] = [
        {"externalId": "n", "name": "N", "email": ben},
        {"externalId": "anna", "email": None},
    ]
    assert await upsert(service, seed.anna, *handed_on) == done(created=1, updated=1)
    cased = {"externalId": "n", "email": "Ben@Example.com"}
    assert await upsert(service, seed.anna, cased) == done(updated=1)
    found = {user["externalId"]: user["email"] for user in await listed(service, seed.anna)}
    assert found == {"anna": None, "ben": anna, "n": "Ben@Example.com"}


async def test_address_that_another_writer_takes_meanwhile_is_refused(seed: Seed, service: Service, dsn: str) -> None:
    async with another_writer(dsn) as other:
        await add_user(other, seed.account_id, NOW, name="Zoe", email="new@example.com")
        call = asyncio.create_task(
            upsert(service, seed.anna, {"externalId": "n", "name": "N", "email": "NEW@example.com"})
        )
        await until_somebody_waits(dsn)
    assert brief(await call) == [("EmailTaken", "users.0.email")]


async def test_user_whom_another_writer_adds_meanwhile_is_updated(seed: Seed, service: Service, dsn: str) -> None:
    async with another_writer(dsn) as other:
        await add_user(other, seed.account_id, NOW, name="Zoe", external_id="n")
        call = asyncio.create_task(upsert(service, seed.anna, {"externalId": "n", "name": "N"}))
        await until_somebody_waits(dsn)
    assert await call == done(updated=1)


async def test_calls_at_the_same_moment_give_way_to_one_another(seed: Seed, service: Service) -> None:
    """Each of the same new users is created once, while addresses go round among the others."""
    crowd = [{"externalId": f"n{number}", "name": "N"} for number in range(50)]
    emails = ["anna@example.com", "ben@example.com"]
    calls = [
        upsert(
            service,
            seed.anna,
            *(crowd[::-1] if number % 2 else crowd),
            {"externalId": "anna", "email": emails[number % 2]},
            {"externalId": "ben", "email": emails[number % 2 - 1]},
        )
        for number in range(12)
    ]
    payloads = await asyncio.gather(*calls)
    assert [payload["userErrors"] for payload in payloads] == [[]] * 12
    assert sum(payload["created"] for payload in payloads) == 50


# ---- what is refused


async def test_every_bad_item_is_named_by_its_path_and_nothing_is_written(seed: Seed, service: Service) -> None:
    before = await written(seed.conn)
    users: list[dict[str, Any]] = [
        {"externalId": "anna", "name": "A. Müller"},
        {"externalId": " ", "name": "N"},
        {"externalId": "new"},
        {"externalId": "anna"},
        {"externalId": "ben", "name": None, "administrator": None, "active": None},
        {"externalId": "n5", "name": " \t ", "email": "nobody", "timeZone": "Mars/Olympus", "locale": "english"},
        {"externalId": "n6", "name": "a\x00b", "email": "\ud800@example.com", "timeZone": "W. Europe Standard Time"},
        {"externalId": "n7", "name": "n" * 256, "email": "a@b c", "locale": "en" + "-x" * 20},
        {"externalId": "n8", "name": "N", "email": "ben@example.com"},
        {"externalId": "n\x00", "name": "N"},
    ]
    key = "Give the CRM's own key: 1 to 255 printable characters, not all of them blank."
    name = "Give a name of 1 to 255 characters, not all blank, without line breaks or control characters."
    email = 'Give one address and nothing else, like "anna@example.com", or null for none.'
    half = "Take character 1 out of the text: it is half of a surrogate pair, which cannot be kept."
    locale = 'Use a language tag (BCP 47), like "de" or "en-GB".'
    taken = (
        "Another user of the account has this address: leave it out, or give that user another one in the same call."
    )
    expected = refused(
        ("ValueInvalid", "users.1.externalId", key),
        ("ValueInvalid", "users.2.name", "Give a name: nothing with this id is there yet."),
        ("ItemRepeated", "users.3.externalId", "Item 0 has this id already: send one of the two."),
        ("ValueInvalid", "users.4.name", NO_VALUE),
        ("ValueInvalid", "users.4.administrator", NO_VALUE),
        ("ValueInvalid", "users.4.active", NO_VALUE),
        ("ValueInvalid", "users.5.name", name),
        ("ValueInvalid", "users.5.email", email),
        ("ValueInvalid", "users.5.timeZone", 'Use a name of the IANA database, like "Europe/Berlin".'),
        ("ValueInvalid", "users.5.locale", locale),
        ("ValueInvalid", "users.6.name", "Take character 2 out of the text: it is NUL, which cannot be kept."),
        ("ValueInvalid", "users.6.email", half),
        ("ValueInvalid", "users.6.timeZone", 'Use "Europe/Berlin".'),
        ("ValueInvalid", "users.7.name", "Give at most 255 characters: these are 256."),
        ("ValueInvalid", "users.7.email", email),
        ("ValueInvalid", "users.7.locale", locale),
        ("EmailTaken", "users.8.email", taken),
        ("ValueInvalid", "users.9.externalId", key),
    )
    assert await upsert(service, seed.anna, *users) == expected
    assert await written(seed.conn) == before


@pytest.mark.parametrize("locale", ["de", "DE-at", "en_GB", "zh-Hant-TW", "es-419", "iw", "fil-PH", "ca-ES-valencia"])
async def test_locale_may_be_any_that_a_crm_has(seed: Seed, service: Service, locale: str) -> None:
    for counts in (done(updated=1), done(unchanged=1)):
        assert await upsert(service, seed.anna, {"externalId": "ben", "locale": locale}) == counts
    assert (await listed(service, seed.anna, externalIds=["ben"]))[0]["locale"] == locale.replace("_", "-")


@pytest.mark.parametrize("locale", ["", "e", "de-", "de DE", "de.UTF-8", "xx", "de_DE@euro", "deutsch", "d\x00"])
async def test_text_that_is_no_locale_is_refused(seed: Seed, service: Service, locale: str) -> None:
    payload = await upsert(service, seed.anna, {"externalId": "ben", "locale": locale})
    assert brief(payload) == [("ValueInvalid", "users.0.locale")]


NO_ZONES = ["", "europe/berlin", "/Europe/Berlin", "Europe", "UTC\x00", "x" * 70, "Berlin", "localtime", "Factory"]


@pytest.mark.parametrize("zone", NO_ZONES)
async def test_text_that_is_no_zone_is_refused(seed: Seed, service: Service, zone: str) -> None:
    payload = await upsert(service, seed.anna, {"externalId": "ben", "timeZone": zone})
    assert brief(payload) == [("ValueInvalid", "users.0.timeZone")]


@pytest.mark.parametrize("zone", [5, ["UTC"], {"name": "UTC"}, True])
async def test_zone_that_is_no_text_is_a_wrong_query(seed: Seed, service: Service, zone: Any) -> None:
    query = "mutation ($input: UpsertUsersInput!) { upsertUsers(input: $input) { created } }"
    answer = await service.graphql(query, seed.anna, input={"users": [{"externalId": "ben", "timeZone": zone}]})
    wrong = {"code": "INVALID_QUERY", "path": ["input", "users", "0", "timeZone"]}
    assert [error["extensions"] for error in answer["errors"]] == [wrong]


async def test_more_than_a_thousand_users_are_refused_and_a_thousand_are_not(
    seed: Seed, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = [{"externalId": f"n{number}", "name": "N", "email": f"n{number}@example.com"} for number in range(1_001)]
    async with listening_service(dsn, monkeypatch) as (service, sent):
        message = "Send at most 1,000 users in one call, these are 1,001: make several calls of them."
        assert await upsert(service, seed.anna, *crowd) == refused(("TooManyItems", "users", message))
        counts = []
        for some in (crowd[:2], crowd[:1_000]):
            sent.clear()
            payload = await upsert(service, seed.anna, *some)
            assert payload["userErrors"] == []
            counts.append(len(sent))
    assert counts[0] == counts[1]
    assert await seed.conn.fetchval("SELECT count(*) FROM users") == 1_002


# ---- who may


async def test_only_who_manages_users_writes_and_lists_them(seed: Seed, service: Service) -> None:
    before = await written(seed.conn)
    query = "mutation ($input: UpsertUsersInput!) { upsertUsers(input: $input) { created } }"
    given = {"users": [{"externalId": "ben", "administrator": True}]}
    writes, reads = await seed.key("users:write", "users:act"), await seed.key("users:read")
    answers = [
        await service.graphql(query, seed.ben, input=given),
        await service.graphql(query, reads, input=given),
        await service.acting_for(seed.ben).graphql(query, writes, input=given),
        await service.graphql(LISTED, seed.ben),
        await service.graphql(LISTED, writes),
    ]
    assert [answer["errors"][0]["extensions"] for answer in answers] == [{"code": "FORBIDDEN"}] * 5
    assert await written(seed.conn) == before
    rows = await seed.conn.fetch("SELECT action FROM audit_log WHERE outcome = 'REFUSED' ORDER BY id")
    assert [row["action"] for row in rows] == ["USER_ADDED"] * 3 + ["USERS_LISTED"] * 2


# ---- reading back


async def test_users_are_filtered(seed: Seed, service: Service) -> None:
    key = await seed.key("users:read", "users:write")
    await upsert(
        service,
        key,
        {"externalId": "cleo", "name": "Cleo 100%_Müller", "active": False},
        {"externalId": "dan", "name": "Dan", "email": "DAN.muller@example.com"},
    )
    assert await named(service, key) == ["anna", "ben", "cleo", "dan"]
    assert await named(service, key, active=True) == ["anna", "ben", "dan"]
    assert await named(service, key, active=False) == ["cleo"]
    assert await named(service, key, administrator=True) == ["anna"]
    assert await named(service, key, administrator=False, active=True) == ["ben", "dan"]
    assert await named(service, key, externalIds=["dan", "ben", "x", "\x00", "\ud800"]) == ["ben", "dan"]
    assert await named(service, key, externalIds=[]) == []
    assert await named(service, key, search="MULLER") == ["dan"]
    assert await named(service, key, search="cleo 1") == ["cleo"]
    assert await named(service, key, search="%_m") == ["cleo"]
    assert await named(service, key, search="") == ["anna", "ben", "cleo", "dan"]


@pytest.mark.parametrize("where", [{"search": "\x00"}, {"search": "\udfff"}, {"search": "x" * 256}])
async def test_search_that_no_text_can_have_is_refused(seed: Seed, service: Service, where: dict[str, Any]) -> None:
    answer = await service.graphql(LISTED, seed.anna, where=where)
    assert [error["extensions"] for error in answer["errors"]] == [{"code": "INVALID_ARGUMENT"}]


async def test_more_external_ids_than_an_upsert_takes_are_refused(seed: Seed, service: Service) -> None:
    answer = await service.graphql(LISTED, seed.anna, where={"externalIds": ["x"] * 1_001})
    (error,) = answer["errors"]
    assert (error["message"], error["extensions"]) == (
        "where.externalIds: name at most 1,000.",
        {"code": "INVALID_ARGUMENT"},
    )


async def test_users_changed_since_are_those_who_were_written_or_whose_access_was(seed: Seed, service: Service) -> None:
    key = await seed.key("users:read", "users:write", "access:write")
    await upsert(service, key, {"externalId": "cleo", "name": "Cleo"})

    async def since(moment: datetime) -> list[str]:
        return await named(service, key, changedSince=moment.isoformat())

    moment = datetime.now(UTC)
    assert await since(moment) == []
    await upsert(service, key, {"externalId": "anna", "name": "Anna M."}, {"externalId": "cleo"})
    assert await since(moment) == ["anna"]
    access = [{"calendarExternalId": "team", "userExternalIds": ["anna", "cleo"]}]
    await service.mutate("setCalendarAccess", key, "granted withdrawn", calendars=access)
    assert await since(moment) == ["anna", "ben", "cleo"]
    (edge,) = (await service.graphql(LISTED, key, where={"externalIds": ["cleo"]}))["data"]["users"]["edges"]
    assert datetime.fromisoformat(edge["node"]["changedAt"]) > moment


async def test_pages_lose_and_double_nobody_who_stays_while_others_come_change_and_go(
    seed: Seed, service: Service
) -> None:
    crowd = [{"externalId": f"n{number:02}", "name": "N"} for number in range(20)]
    await upsert(service, seed.anna, *crowd)
    going = {f"n{number:02}" for number in range(0, 20, 4)}
    seen: list[str] = []
    async for page in pages(service, seed.anna, LISTED, "users", 3):
        seen += [user["externalId"] for user in page]
        leaves = sorted(going - set(seen))[-1:]
        await seed.conn.execute(
            "DELETE FROM users WHERE external_id = ANY ($1)", [*leaves, seen[-1]] if seen[-1] in going else leaves
        )
        renamed = [
            {"externalId": user["externalId"], "name": f"A{len(seen)}"}
            for user in page
            if user["externalId"] not in going
        ]
        await upsert(service, seed.anna, {"externalId": f"z{len(seen)}", "name": "Z"}, *renamed)
    staying = ["anna", "ben", *(user["externalId"] for user in crowd if user["externalId"] not in going)]
    assert [id_ for id_ in seen if id_ in staying] == staying
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("page", [{"first": 0}, {"first": 501}, {"after": "x"}, {"after": "Q3Vyc29yOg=="}])
async def test_page_that_cannot_be_is_refused(seed: Seed, service: Service, page: dict[str, Any]) -> None:
    calendars = "calendars(first: $first, after: $after) { edges { cursor } }"
    for fields in ("users(first: $first, after: $after) { edges { cursor } }", calendars, f"viewer {{ {calendars} }}"):
        query = f"query ($first: Int, $after: String) {{ {fields} }}"
        answer = await service.graphql(query, seed.anna, **page)
        assert [error["extensions"] for error in answer["errors"]] == [{"code": "INVALID_ARGUMENT"}]

"""Apollo Client and urql run the operations of the screen and of administrators, typed, through their caches."""

import asyncio
import re
from typing import Any

import pytest
from graphql import GraphQLField, build_schema, get_named_type, get_nullable_type, is_object_type

from db.users import UserRecord
from tests.clients.building import HERE, SCHEMA
from tests.clients.running import Clients
from tests.seed import Seed, Service, bearer, calendar_node

BOTH = pytest.mark.parametrize("client", ["apollo", "urql"])
WAITING = "SELECT count(*) FROM pg_locks AS l WHERE l.relation = 'feed_links'::regclass AND NOT l.granted"


def plain(data: Any) -> Any:
    """Without the names of types that the caches ask for."""
    if isinstance(data, dict):
        return {name: plain(value) for name, value in data.items() if name != "__typename"}
    return [plain(each) for each in data] if isinstance(data, list) else data


async def screen(service: Service, caller: UserRecord) -> Any:
    """What the screen shows, asked without a client between."""
    asked = {"query": (HERE / "screen.graphql").read_text(), "operationName": "Screen"}
    headers = {"Authorization": f"Bearer {bearer(caller)}"}
    async with service.client.post("/graphql", json=asked, headers=headers) as answer:
        return (await answer.json())["data"]


async def link_ids(service: Service, caller: UserRecord) -> dict[str, str]:
    feeds = (await screen(service, caller))["calendarFeeds"]
    return {link["name"]: link["id"] for feed in feeds for link in feed["links"]}


@BOTH
async def test_generated_link_is_shown_without_asking_again(client: str, seed: Seed, clients: Clients) -> None:
    before = await screen(clients.service, seed.anna)
    came = await clients.run(client, "generating", seed.anna, calendarId=calendar_node(seed.own))
    after = await screen(clients.service, seed.anna)
    (url,) = [feed["url"] for feed in after["calendarFeeds"] if feed["url"]]
    assert plain(came.answer) == {"before": before, "url": url, "after": after}
    assert came.sent == ["POST Screen", "POST Generate"]


@BOTH
async def test_reset_links_are_shown_without_asking_again(client: str, seed: Seed, clients: Clients) -> None:
    for calendar_id in (None, seed.team):
        await clients.service.generate(seed.anna, calendar_id)
    before = await screen(clients.service, seed.anna)
    came = await clients.run(client, "resetting", seed.anna)
    after = await screen(clients.service, seed.anna)
    assert after != before
    assert plain(came.answer) == {"before": before, "count": 2, "after": after}
    assert came.sent == ["POST Screen", "POST Reset"]


@BOTH
async def test_changed_link_is_changed_wherever_it_is_shown(client: str, seed: Seed, clients: Clients) -> None:
    for name in ("iPhone", "Old phone"):
        await clients.service.generate(seed.anna, name=name)
    ids = await link_ids(clients.service, seed.anna)
    came = await clients.run(client, "changing", seed.anna, linkId=ids["iPhone"], otherId=ids["Old phone"])
    assert came.answer == {
        "screen": [["Pocket"], [], []],
        "links": [["Pocket", "ACTIVE"], ["Old phone", "REVOKED"]],
    }
    assert came.sent == ["POST Screen", "POST Links", "POST Update", "POST Revoke"]


@BOTH
@pytest.mark.parametrize(
    ("wrong", "kind", "path"),
    [({"name": "x" * 101}, "LinkNameInvalid", ["name"]), ({"calendarId": "?"}, "CalendarNotFound", None)],
)
async def test_user_error_comes_with_the_fields_of_its_type(
    client: str, wrong: dict[str, str], kind: str, path: list[str] | None, seed: Seed, clients: Clients
) -> None:
    payload = await clients.service.mutate("generateCalendarUrl", seed.anna, "", **wrong)
    came = await clients.run(client, "refused", seed.anna, **wrong)
    assert came.answer == [[kind, payload["userErrors"][0]["message"], path]]


@BOTH
async def test_objects_without_an_id_keep_what_another_query_asked(client: str, seed: Seed, clients: Clients) -> None:
    await clients.service.generate(seed.anna)
    texts = [
        "query A { feedPolicy { enabled } calendarFeeds { id preview { name } links { id options { detail } } } }",
        "query B { feedPolicy { mostLinks } calendarFeeds { id preview { endsOn } links { id options { tasksAs } } } }",
    ]
    came = await clients.run(client, "parts", seed.anna, texts=texts)
    assert plain(came.answer) == [(await clients.service.graphql(text, seed.anna))["data"] for text in texts]
    assert came.sent == ["POST A", "POST B"]


def fields() -> list[tuple[str, GraphQLField]]:
    """Every field of an object in the schema but those of mutations, by its name."""
    schema = build_schema(SCHEMA.read_text())
    objects = [kind for kind in schema.type_map.values() if is_object_type(kind) and kind != schema.mutation_type]
    return [each for kind in objects if not kind.name.startswith("__") for each in kind.fields.items()]


def test_every_object_that_stands_alone_without_an_id_has_a_policy_for_apollo() -> None:
    kinds = [get_nullable_type(field.type) for _, field in fields()]
    alone = {kind.name for kind in kinds if is_object_type(kind) and "id" not in kind.fields}
    named = set(re.findall(r"^ +(\w+): \{", (HERE / "apollo.ts").read_text(), re.MULTILINE))
    assert {name for name in alone - named if not name.endswith(("Connection", "PageInfo"))} == set()


def test_every_connection_has_its_pages_put_together() -> None:
    apollo, urql = ((HERE / file).read_text() for file in ("apollo.ts", "urql.ts"))
    for name, field in fields():
        if get_named_type(field.type).name.endswith("Connection"):
            kept = [f'"{argument}"' for argument in field.args if argument not in ("first", "after")]
            keys = f"[{', '.join(kept)}]" if kept else ""
            assert f"{name}: relayStylePagination({keys})" in apollo
            assert f"{name}: relayPagination()" in urql


@BOTH
async def test_pages_of_links_are_one_list(client: str, seed: Seed, clients: Clients) -> None:
    names = ["", "iPhone", "Laptop", "Telly", "Watch"]
    for name in names:
        await clients.service.generate(seed.anna, name=name)
    came = await clients.run(client, "links", seed.anna, first=2)
    assert came.answer == names
    assert came.sent == ["POST Links"] * 3


@BOTH
async def test_pages_of_the_audit_log_are_one_list(client: str, seed: Seed, clients: Clients) -> None:
    await clients.service.generate(seed.anna)
    for _ in range(2):
        await clients.service.generate(seed.anna, regenerate=True)
    wanted = ["LINK_GENERATED", "LINK_RESET"]
    came = await clients.run(client, "entries", seed.anna, first=2, where={"outcome": "DONE", "actions": wanted})
    assert came.answer == ["LINK_RESET", "LINK_RESET", "LINK_GENERATED"]
    assert came.sent == ["POST AuditLog"] * 2


@BOTH
@pytest.mark.parametrize(
    ("caller", "text", "variables", "code"),
    [
        ("anna", "query Feeds($user: ID) { calendarFeeds(userId: $user) { id } }", {"user": ["?"]}, "INVALID_QUERY"),
        ("anna", "query Feeds($user: ID) { calendarFeeds(userId: $user) { id } }", {"user": "?"}, "NOT_FOUND"),
        ("anna", "query Links { feedLinks(first: 0) { edges { node { id } } } }", {}, "INVALID_ARGUMENT"),
        ("ben", "query Links { feedLinks { edges { node { id } } } }", {}, "FORBIDDEN"),
    ],
)
async def test_error_has_its_code(
    client: str, caller: str, text: str, variables: dict[str, Any], code: str, seed: Seed, clients: Clients
) -> None:
    came = await clients.run(client, "failing", getattr(seed, caller), text=text, variables=variables)
    assert came.answer == [code]


@BOTH
async def test_caller_without_a_valid_token_is_told_so(client: str, clients: Clients) -> None:
    came = await clients.run(client, "failing", None, text="query Me { viewer { id } }", variables={})
    assert came.answer == ["UNAUTHENTICATED"]


@BOTH
async def test_query_that_nobody_waits_for_is_aborted_and_can_be_asked_again(
    client: str, seed: Seed, clients: Clients
) -> None:
    async with clients.running(client, "leaving", seed.anna) as run:
        async with seed.conn.transaction():
            await seed.conn.execute("LOCK TABLE feed_links IN ACCESS EXCLUSIVE MODE")
            assert await run.heard() == "asked"
            while await seed.conn.fetchval(WAITING) == 0:
                await asyncio.sleep(0.01)
            await run.say("leave")
            assert await run.heard() == "left"
        await run.say("ask again")
        came = await run.came()
    assert came.answer == "Anna Müller"
    assert came.sent == ["POST Screen", "aborted Screen", "POST Screen"]


@BOTH
async def test_query_by_get_is_answered(client: str, seed: Seed, clients: Clients) -> None:
    came = await clients.run(client, "getting", seed.anna)
    assert (came.answer, came.sent) == ("Anna Müller", ["GET Screen"])

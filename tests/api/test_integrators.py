"""API keys by the API: who may add, list and revoke them, and that none gives itself more than it was given."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from strawberry.relay import from_base64, to_base64

from api.api_keys import API_KEY, Scope
from api.integrators import ApiKeyScope
from db.users import UserRecord
from tests.seed import NOW, Seed, Service, plant

LISTED = """
    query ($first: Int, $after: String) {
      apiKeys(first: $first, after: $after) {
        edges { node { id name scopes createdAt expiresAt lastUsedAt revokedAt } }
        pageInfo { hasNextPage hasPreviousPage endCursor }
      }
    }"""
KEY = "apiKey { id name scopes createdAt expiresAt lastUsedAt revokedAt }"
VIEWER = "{ viewer { name } }"
NEXT_YEAR = (datetime.now(UTC) + timedelta(days=365)).replace(microsecond=0)


def moment(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


async def add(service: Service, caller: UserRecord | str, *scopes: str, **said: Any) -> dict[str, Any]:
    return await service.mutate("addApiKey", caller, f"{KEY} text", name="Sync", scopes=scopes, **said)


async def listed(service: Service, caller: UserRecord | str, **page: Any) -> list[dict[str, Any]]:
    edges = (await service.graphql(LISTED, caller, **page))["data"]["apiKeys"]["edges"]
    return [edge["node"] for edge in edges]


def refusals(payload: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The types and paths of its user errors, where nothing was done."""
    assert {name for name, value in payload.items() if value} <= {"userErrors"}
    return [(error["__typename"], error["path"]) for error in payload["userErrors"]]


async def entries(seed: Seed) -> list[tuple[Any, ...]]:
    rows = await seed.conn.fetch(
        "SELECT action, outcome, actor_type, details FROM audit_log"
        " WHERE action LIKE 'KEY%' OR actor_type = 'KEY' ORDER BY at, id"
    )
    return [(row["action"], row["outcome"], row["actor_type"], json.loads(row["details"])) for row in rows]


def test_scopes_of_the_schema_are_those_of_keys() -> None:
    assert [(scope.name, str(scope.value)) for scope in ApiKeyScope] == [(scope.name, str(scope)) for scope in Scope]


async def test_administrator_adds_a_key_that_opens_what_it_may(seed: Seed, service: Service) -> None:
    payload = await add(service, seed.anna, "FEEDS_WRITE", "FEEDS_READ", "FEEDS_WRITE", expiresAt=moment(NEXT_YEAR))
    text, key = payload["text"], payload["apiKey"]
    assert API_KEY.fullmatch(text)
    assert datetime.now(UTC) - datetime.fromisoformat(key.pop("createdAt")) < timedelta(minutes=1)
    assert key == {
        "id": key["id"],
        "name": "Sync",
        "scopes": ["FEEDS_READ", "FEEDS_WRITE"],
        "expiresAt": moment(NEXT_YEAR),
        "lastUsedAt": None,
        "revokedAt": None,
    }
    assert "errors" not in await service.graphql("{ feedLinks { edges { cursor } } }", text)
    assert (await service.graphql("{ auditLog { edges { cursor } } }", text))["errors"]
    (shown,) = await listed(service, seed.anna)
    assert (shown["id"], shown["lastUsedAt"] is None) == (key["id"], False)
    details = {"name": "Sync", "scopes": ["feeds:read", "feeds:write"], "expiresAt": NEXT_YEAR.isoformat()}
    assert (await entries(seed))[0] == ("KEY_ADDED", "DONE", "USER", details)


async def test_text_of_a_key_is_nowhere_but_in_that_answer(seed: Seed, service: Service) -> None:
    text = (await add(service, seed.anna, "KEYS_READ"))["text"]
    dump = [str(tuple(row)) for row in await seed.conn.fetch("SELECT * FROM api_keys")]
    dump += [str(tuple(row)) for row in await seed.conn.fetch("SELECT * FROM audit_log")]
    dump += [json.dumps(await service.graphql(LISTED, caller)) for caller in (seed.anna, text)]
    assert text[-43:] not in "".join(dump)
    query = "mutation ($input: AddApiKeyInput!) { addApiKey(input: $input) { text } }"
    body = {"query": query, "variables": {"input": {"name": "Sync", "scopes": ["KEYS_READ"]}}}
    headers = {"Authorization": f"Bearer {await seed.key('keys:read', 'keys:write')}"}
    async with service.client.post("/graphql", json=body, headers=headers) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        assert (await answer.json())["data"]["addApiKey"]["text"]


async def test_revoked_key_opens_nothing_at_once_and_revoking_it_again_is_fine(seed: Seed, service: Service) -> None:
    payload = await add(service, seed.anna, "FEEDS_READ")
    first, again = [
        await service.mutate("revokeApiKey", seed.anna, KEY, keyId=payload["apiKey"]["id"]) for _ in range(2)
    ]
    assert first == again
    assert first["userErrors"] == []
    assert first["apiKey"]["revokedAt"]
    (error,) = (await service.graphql(VIEWER, payload["text"]))["errors"]
    assert (error["message"], error["extensions"]) == ("The API key is not valid here.", {"code": "UNAUTHENTICATED"})
    details = {"name": "Sync", "scopes": ["feeds:read"]}
    assert await entries(seed) == [
        ("KEY_ADDED", "DONE", "USER", details),
        ("KEY_REVOKED", "DONE", "USER", details),
        ("API_CALLED", "REFUSED", "KEY", {}),
    ]


async def test_key_opens_nothing_from_its_end_on(seed: Seed, service: Service) -> None:
    text = (await add(service, seed.anna, "FEEDS_READ", expiresAt=moment(NEXT_YEAR)))["text"]
    assert "errors" not in await service.graphql(VIEWER, text)
    await seed.conn.execute("UPDATE api_keys SET expires_at = $1", datetime.now(UTC))
    (error,) = (await service.graphql(VIEWER, text))["errors"]
    assert (error["message"], error["extensions"]) == ("The API key is not valid here.", {"code": "UNAUTHENTICATED"})


async def test_keys_are_listed_by_pages_that_hold_each_once(seed: Seed, service: Service) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    await other.key("feeds:read")
    for number in range(5):
        await seed.key("feeds:read", name=f"n{number}")
    seen: list[str] = []
    after, more = None, True
    while more:
        page = (await service.graphql(LISTED, seed.anna, first=2, after=after))["data"]["apiKeys"]
        seen += [edge["node"]["name"] for edge in page["edges"]]
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        await seed.conn.execute("DELETE FROM api_keys WHERE name = $1", seen[-1])
    assert seen == [f"n{number}" for number in range(5)]


# ---- who may


async def test_key_lists_and_revokes_within_its_scopes(seed: Seed, service: Service) -> None:
    reads, writes = await seed.key("keys:read", name="reads"), await seed.key("keys:write", name="writes")
    assert [key["name"] for key in await listed(service, reads)] == ["reads", "writes"]
    (error,) = (await service.graphql(LISTED, writes))["errors"]
    assert error["message"] == "Only an API key with the scope keys:read may do this."
    first, _ = await listed(service, reads)
    assert (await service.mutate("revokeApiKey", writes, KEY, keyId=first["id"]))["apiKey"]["revokedAt"]
    assert (await service.graphql(LISTED, reads))["errors"]


@pytest.mark.parametrize(
    ("query", "action"),
    [
        (LISTED, "KEYS_LISTED"),
        ('mutation { addApiKey(input: {name: "x", scopes: [FEEDS_READ]}) { text } }', "KEY_ADDED"),
        ('mutation { revokeApiKey(input: {keyId: "x"}) { apiKey { id } } }', "KEY_REVOKED"),
    ],
)
async def test_nobody_else_may_and_each_attempt_is_told(seed: Seed, service: Service, query: str, action: str) -> None:
    key = await seed.key(*(scope for scope in Scope if not scope.startswith("keys:")))
    for caller, calls in ((seed.ben, service), (key, service), (key, service.acting_for(seed.anna))):
        (error,) = (await calls.graphql(query, caller))["errors"]
        assert error["extensions"] == {"code": "FORBIDDEN"}
    acting = await seed.key(*Scope)
    (error,) = (await service.acting_for(seed.ben).graphql(query, acting))["errors"]
    assert error["message"] == "Only an administrator may do this, or an API key without the header X-Acting-User."
    refused = "SELECT actor_type FROM audit_log WHERE action = $1 AND outcome = 'REFUSED' ORDER BY at, id"
    assert [row["actor_type"] for row in await seed.conn.fetch(refused, action)] == ["USER", "KEY", "KEY", "KEY"]


async def test_key_gives_no_scope_that_it_has_not(seed: Seed, service: Service) -> None:
    caller = await seed.key("keys:write", "feeds:read")
    payload = await add(service, caller, "FEEDS_READ", "USERS_ACT", "KEYS_WRITE", "AUDIT_READ")
    assert refusals(payload) == [("ForbiddenByScope", ["scopes", "1"]), ("ForbiddenByScope", ["scopes", "3"])]
    message = "Your API key has no scope users:act to give: leave it out, or ask an administrator."
    assert payload["userErrors"][0]["message"] == message
    ((action, outcome, actor, details),) = await entries(seed)
    assert (action, outcome, actor, details["reasons"]) == ("KEY_ADDED", "REFUSED", "KEY", ["ForbiddenByScope"])
    given = await add(service, caller, "FEEDS_READ", "KEYS_WRITE")
    assert given["userErrors"] == []
    assert refusals(await add(service, given["text"], "FEEDS_WRITE")) == [("ForbiddenByScope", ["scopes", "0"])]


async def test_key_that_acts_for_an_administrator_gives_no_more(seed: Seed, service: Service) -> None:
    acting, caller = service.acting_for(seed.anna), await seed.key("keys:write", "users:act")
    assert refusals(await add(acting, caller, "AUDIT_READ")) == [("ForbiddenByScope", ["scopes", "0"])]
    assert (await add(acting, caller, "KEYS_WRITE"))["userErrors"] == []


async def test_key_that_ends_gives_no_later_end(seed: Seed, service: Service) -> None:
    caller = (await add(service, seed.anna, "KEYS_WRITE", expiresAt=moment(NEXT_YEAR)))["text"]
    for later in (None, moment(NEXT_YEAR + timedelta(seconds=1))):
        payload = await add(service, caller, "KEYS_WRITE", expiresAt=later)
        assert refusals(payload) == [("ForbiddenByScope", ["expiresAt"])]
        assert payload["userErrors"][0]["message"] == (
            f"Your API key ends at {moment(NEXT_YEAR)}: name a moment until then."
        )
    assert (await add(service, caller, "KEYS_WRITE", expiresAt=moment(NEXT_YEAR)))["userErrors"] == []


async def test_mistakes_are_named_all_at_once_and_nothing_is_added(seed: Seed, service: Service) -> None:
    for name in ("", " ", "x ", "a\nb", "a\x00b", "x" * 101):
        payload = await service.mutate(
            "addApiKey", seed.anna, f"{KEY} text", name=name, scopes=[], expiresAt=moment(NOW - timedelta(days=1))
        )
        assert refusals(payload) == [
            ("ValueInvalid", ["name"]),
            ("ValueInvalid", ["scopes"]),
            ("ExpiryInvalid", ["expiresAt"]),
        ]
    assert await seed.conn.fetchval("SELECT count(*) FROM api_keys") == 0
    assert await entries(seed) == []


async def test_key_of_another_account_is_not_found(seed: Seed, service: Service) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    theirs = (await add(service, other.anna, "FEEDS_READ"))["apiKey"]["id"]
    _, id_ = from_base64(theirs)
    for key_id in (theirs, "garbage", to_base64("User", id_), to_base64("ApiKey", "garbage")):
        payload = await service.mutate("revokeApiKey", seed.anna, KEY, keyId=key_id)
        assert refusals(payload) == [("KeyNotFound", ["keyId"])]
    assert await seed.conn.fetchval("SELECT count(*) FROM api_keys WHERE revoked_at IS NULL") == 1

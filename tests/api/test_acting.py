"""An API key that acts for a user: with the scope for it and within both's rights, and the log says who it was."""

import json
from typing import Any

import pytest

from db.audit import Actor, name_actor
from db.calendars import grant_access
from db.ids import new_id
from db.users import UserRecord
from tests.feed.subscription import subscribe
from tests.seed import NOW, Seed, Service, plant, user_node

VIEWER = "{ viewer { name } }"
FEEDS = "{ calendarFeeds { name url } }"
ALL = ("feeds:read", "feeds:write", "users:act", "policy:write", "audit:read")
NO_USER = "X-Acting-User: there is no such active user in your account."


async def refusal(service: Service, query: str, caller: UserRecord | str, /, **variables: Any) -> tuple[str, str]:
    """The code and the message of the one error of an answer without data."""
    answer = await service.graphql(query, caller, **variables)
    (error,) = answer["errors"]
    assert set((answer["data"] or {}).values()) <= {None}
    return error["extensions"]["code"], error["message"]


async def name_externally(seed: Seed, user: UserRecord, external_id: str) -> None:
    await seed.conn.execute("UPDATE users SET external_id = $2 WHERE id = $1", user.id, external_id)


async def test_key_acts_for_the_user_of_a_node_id_or_an_external_id(seed: Seed, service: Service) -> None:
    key = await seed.key("users:act")
    await name_externally(seed, seed.ben, "crm/ben 7 é")
    for said in (user_node(seed.ben), "crm/ben 7 é"):
        assert (await service.acting_for(said).graphql(VIEWER, key))["data"] == {"viewer": {"name": "Ben Okafor"}}
    assert (await service.graphql(VIEWER, key))["data"] == {"viewer": None}


async def test_acting_key_sees_and_makes_the_urls_of_its_user(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.ben, seed.team)
    acting, key = service.acting_for(seed.ben), await seed.key("feeds:read", "feeds:write", "users:act")
    feeds = (await acting.graphql(FEEDS, key))["data"]["calendarFeeds"]
    assert [(feed["name"], feed["url"]) for feed in feeds] == [
        ("All my calendars", None),
        ("Sales team", f"https://feeds.example.com{link.url}"),
    ]
    made = await acting.mutate("generateCalendarUrl", key, "url link { user { name } }")
    assert made["link"] == {"user": {"name": "Ben Okafor"}}
    assert made["url"].startswith("https://feeds.example.com/feeds/cf1_")
    reset = await acting.mutate("resetCalendarFeeds", key, "resetCount feeds { url }")
    assert reset["resetCount"] == 2
    assert {feed["url"] for feed in reset["feeds"]}.isdisjoint({made["url"], feeds[1]["url"], None})
    preview = "{ calendarFeeds { preview { eventCount } } }"
    assert "errors" not in await acting.graphql(preview, key)


async def test_key_without_the_scope_acts_for_nobody(seed: Seed, service: Service) -> None:
    key = await seed.key(*(scope for scope in ALL if scope != "users:act"))
    message = "Only an API key with the scope users:act may act for a user."
    for named in (seed.ben, "nobody"):  # nor does it learn who there is
        assert await refusal(service.acting_for(named), VIEWER, key) == ("FORBIDDEN", message)


async def test_acting_key_needs_the_scope_of_what_it_does_too(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.ben, seed.team)
    acting, reads = service.acting_for(seed.ben), await seed.key("users:act", "feeds:read")
    message = "Only an API key with the scope feeds:{} may do this."
    assert await refusal(acting, FEEDS, await seed.key("users:act", "feeds:write")) == (
        "FORBIDDEN",
        message.format("read"),
    )
    for mutation in (
        "generateCalendarUrl(input: {}) { url }",
        "resetCalendarFeeds(input: {}) { resetCount }",
        f'pauseFeedLink(input: {{linkId: "{link.link_id}"}}) {{ link {{ id }} }}',
        f'revokeFeedLink(input: {{linkId: "{link.link_id}"}}) {{ link {{ id }} }}',
    ):
        assert await refusal(acting, f"mutation {{ {mutation} }}", reads) == ("FORBIDDEN", message.format("write"))


async def test_bearer_token_acts_for_its_own_user_only(seed: Seed, service: Service) -> None:
    message = "X-Acting-User is for API keys: a bearer token acts for its own user."
    for named in (seed.ben, seed.anna):
        assert await refusal(service.acting_for(named), VIEWER, seed.anna) == ("FORBIDDEN", message)


@pytest.mark.parametrize("named", ["", " ", "nobody", "x" * 256, "VXNlcjpnYXJiYWdl", "Ben Okafor", "ben@example.com"])
async def test_user_that_is_not_there_is_not_found(seed: Seed, service: Service, named: str) -> None:
    assert await refusal(service.acting_for(named), VIEWER, await seed.key("users:act")) == ("NOT_FOUND", NO_USER)


async def test_user_of_another_account_or_deactivated_is_not_found(seed: Seed, service: Service) -> None:
    other, key = await plant(seed.conn, "Blackwood Investigations"), await seed.key("users:act")
    await name_externally(seed, other.ben, "theirs")
    await seed.conn.execute("UPDATE users SET deactivated_at = $2 WHERE id = $1", seed.ben.id, NOW)
    for named in (user_node(other.anna), "theirs", user_node(seed.ben)):
        assert await refusal(service.acting_for(named), VIEWER, key) == ("NOT_FOUND", NO_USER)


async def test_header_that_comes_twice_or_in_no_utf8_names_nobody(seed: Seed, service: Service) -> None:
    await name_externally(seed, seed.ben, "ben")
    key = await seed.key("users:act")
    for values in (["ben", "ben"], ["b\udce9n"]):
        headers = [("Authorization", f"Bearer {key}"), *(("X-Acting-User", value) for value in values)]
        async with service.client.post("/graphql", json={"query": VIEWER}, headers=headers) as answer:
            assert [error["message"] for error in (await answer.json())["errors"]] == [NO_USER]


# ---- what acting gives and what it takes


async def test_acting_for_an_administrator_gives_a_key_nothing_beyond_its_scopes(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.ben, seed.team)
    acting, key = service.acting_for(seed.anna), await seed.key("users:act", "feeds:read")
    assert await refusal(acting, "{ auditLog { edges { cursor } } }", key) == (
        "FORBIDDEN",
        "Only an API key with the scope audit:read may do this.",
    )
    assert await refusal(acting, "mutation { updateFeedPolicy(input: {mostLinks: 1}) { policy { mostLinks } } }", key)
    revoke = f'mutation {{ revokeFeedLink(input: {{linkId: "{link.link_id}"}}) {{ link {{ id }} }} }}'
    assert (await refusal(acting, revoke, key))[0] == "FORBIDDEN"
    listed = await acting.graphql("{ feedLinks { edges { node { url user { name } } } } }", key)
    assert listed["data"]["feedLinks"]["edges"] == [{"node": {"url": None, "user": {"name": "Ben Okafor"}}}]


async def test_acting_for_a_user_takes_from_a_key_what_the_user_may_not(seed: Seed, service: Service) -> None:
    """A CRM that hands on what its users ask for lets none of them do what only administrators may."""
    annas, bens = await subscribe(service, seed.anna), await subscribe(service, seed.ben)
    acting, key = service.acting_for(seed.ben), await seed.key(*ALL)
    message = "Only an administrator may do this, or an API key without the header X-Acting-User."
    for query in (
        "{ feedLinks { edges { cursor } } }",
        "{ auditLog { edges { cursor } } }",
        "mutation { updateFeedPolicy(input: {mostLinks: 1}) { policy { mostLinks } } }",
        "mutation { revokeFeedLinks(input: {where: {everyLink: true}}) { linkCount } }",
    ):
        assert await refusal(acting, query, key) == ("FORBIDDEN", message)
    payload = await acting.mutate("revokeFeedLink", key, "link { id }", linkId=annas.link_id)
    assert [error["__typename"] for error in payload["userErrors"]] == ["LinkNotFound"]
    await service.mutate("pauseFeedLink", seed.anna, "link { id }", linkId=bens.link_id)
    payload = await acting.mutate("resumeFeedLink", key, "link { id }", linkId=bens.link_id)
    assert [error["__typename"] for error in payload["userErrors"]] == ["LinkPausedByOther"]
    payload = await acting.mutate("revokeFeedLink", key, "link { id }", linkId=bens.link_id)
    assert payload == {"link": {"id": bens.link_id}, "userErrors": []}


# ---- what the audit log says


async def entries(seed: Seed) -> list[tuple[str, str, str, dict[str, Any]]]:
    rows = await seed.conn.fetch(
        "SELECT action, actor_type, outcome, details FROM audit_log WHERE actor_type = 'KEY' ORDER BY at, id"
    )
    return [(row["action"], row["actor_type"], row["outcome"], json.loads(row["details"])) for row in rows]


async def test_audit_log_names_the_key_and_the_user_for_whom_it_acted(seed: Seed, service: Service) -> None:
    acting, key = service.acting_for(seed.ben), await seed.key(*ALL)
    await acting.mutate("generateCalendarUrl", key, "url")
    await acting.graphql("{ feedLinks { edges { cursor } } }", key)
    ben = {"actingFor": f"User:{seed.ben.id}"}
    assert await entries(seed) == [
        ("LINK_GENERATED", "KEY", "DONE", ben),
        ("LINKS_LISTED", "KEY", "REFUSED", {"reasons": ["FORBIDDEN"], "asked": [], **ben}),
    ]


async def test_rights_that_an_acting_key_moves_are_told_of_both(seed: Seed) -> None:
    actor = Actor("KEY", new_id(), acting_for=seed.anna.id)
    async with seed.conn.transaction():
        await name_actor(seed.conn, actor)
        await grant_access(seed.conn, seed.account_id, seed.own, [seed.ben.id], NOW)
    details = {"calendar": str(seed.own), "actingFor": f"User:{seed.anna.id}"}
    assert await entries(seed) == [("ACCESS_GRANTED", "KEY", "DONE", details)]


async def test_attempt_to_act_for_somebody_is_told_once_an_hour(seed: Seed, service: Service) -> None:
    acting, key = service.acting_for("nobody"), await seed.key("users:act")
    for _ in range(3):
        await acting.graphql("{ viewer { name } again: viewer { name } }", key)
    assert await entries(seed) == [("API_CALLED", "KEY", "REFUSED", {})]

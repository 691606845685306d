"""`node`: whatever has an id is found by it again, by those to whom a list would show it, and by nobody else."""

import json
from typing import Any

import pytest
from strawberry.relay import from_base64, to_base64

from api.node import LOADS
from db.deliveries import add_delivery
from db.users import UserRecord
from db.webhooks import add_webhook
from tests.api.walking import node_types
from tests.feed.subscription import HOST, Subscription, subscribe
from tests.seed import NOW, Seed, Service, calendar_node, meeting, plant, user_node

NODE = """
    query ($id: ID!) {
      node(id: $id) {
        __typename id
        ... on User { name }
        ... on Calendar { name deleted }
        ... on CalendarFeed { name url }
        ... on FeedLink { name url user { name } }
        ... on AuditEntry { action }
        ... on ApiKey { name }
        ... on Activity { title }
        ... on Webhook { description deliveries { edges { node { event } } } }
        ... on WebhookDelivery { event }
      } }"""


async def found(service: Service, caller: UserRecord | str, node_id: str) -> dict[str, Any] | None:
    answer = await service.graphql(NODE, caller, id=node_id)
    assert "errors" not in answer
    node: dict[str, Any] | None = answer["data"]["node"]
    assert node is None or node.pop("id") == node_id
    return node


@pytest.fixture
async def link(seed: Seed, service: Service) -> Subscription:
    return await subscribe(service, seed.ben, seed.team, name="iPhone")


def feed_node(user: UserRecord, calendar: object = "all") -> str:
    return to_base64("CalendarFeed", f"{user.id}:{calendar}")


async def entry_node(seed: Seed) -> str:
    return to_base64("AuditEntry", str(await seed.conn.fetchval("SELECT id FROM audit_log ORDER BY at LIMIT 1")))


async def key_node(seed: Seed) -> str:
    """Of a key that was revoked."""
    await seed.key("feeds:read", name="Old sync")
    sql = "UPDATE api_keys SET revoked_at = now() WHERE name = 'Old sync' RETURNING id"
    return to_base64("ApiKey", str(await seed.conn.fetchval(sql)))


async def webhook_nodes(seed: Seed) -> tuple[str, str]:
    """Of a webhook, and of what was delivered to it."""
    webhook = await add_webhook(
        seed.conn, seed.account_id, "k1", NOW, url="https://crm.example", events=["link.reset"], description="CRM"
    )
    delivery = await add_delivery(seed.conn, seed.account_id, webhook.id, "webhook.test", NOW)
    sql = "UPDATE webhook_deliveries SET next_attempt_at = NULL, delivered_at = $2 WHERE id = $1"
    await seed.conn.execute(sql, delivery.id, NOW)
    return to_base64("Webhook", str(webhook.id)), to_base64("WebhookDelivery", str(delivery.id))


def test_every_type_of_node_can_be_asked_for() -> None:
    assert {*LOADS, "CalendarFeed"} == node_types()


async def test_user_finds_what_their_lists_show(seed: Seed, service: Service, link: Subscription) -> None:
    assert await found(service, seed.ben, user_node(seed.ben)) == {"__typename": "User", "name": "Ben Okafor"}
    team = {"__typename": "Calendar", "name": "Sales team", "deleted": False}
    assert await found(service, seed.ben, calendar_node(seed.team)) == team
    assert await found(service, seed.ben, link.link_id) == {
        "__typename": "FeedLink",
        "name": "iPhone",
        "url": HOST + link.url,
        "user": {"name": "Ben Okafor"},
    }
    default = await subscribe(service, seed.ben, seed.team)
    feed = {"__typename": "CalendarFeed", "name": "Sales team", "url": HOST + default.url}
    assert await found(service, seed.ben, feed_node(seed.ben, seed.team)) == feed
    everything = {"__typename": "CalendarFeed", "name": "All my calendars", "url": None}
    assert await found(service, seed.ben, feed_node(seed.ben)) == everything


async def test_user_finds_nothing_else(seed: Seed, service: Service, link: Subscription) -> None:
    annas = await subscribe(service, seed.anna, seed.own)
    hidden = [
        user_node(seed.anna),
        calendar_node(seed.own),
        feed_node(seed.anna),
        feed_node(seed.ben, seed.own),
        annas.link_id,
        await entry_node(seed),
        await key_node(seed),
        *await webhook_nodes(seed),
    ]
    assert [await found(service, seed.ben, node_id) for node_id in hidden] == [None] * 9
    await seed.conn.execute("UPDATE calendar_access SET withdrawn_at = now() WHERE user_id = $1", seed.ben.id)
    lost = [calendar_node(seed.team), link.link_id, feed_node(seed.ben, seed.team)]
    assert [await found(service, seed.ben, node_id) for node_id in lost] == [None] * 3


async def test_administrator_finds_everything_but_urls_of_others(
    seed: Seed, service: Service, link: Subscription
) -> None:
    assert await found(service, seed.anna, user_node(seed.ben)) == {"__typename": "User", "name": "Ben Okafor"}
    managed = {"__typename": "FeedLink", "name": "iPhone", "url": None, "user": {"name": "Ben Okafor"}}
    assert await found(service, seed.anna, link.link_id) == managed
    feed = {"__typename": "CalendarFeed", "name": "Sales team", "url": None}
    assert await found(service, seed.anna, feed_node(seed.ben, seed.team)) == feed
    entry = {"__typename": "AuditEntry", "action": "ADMINISTRATOR_APPOINTED"}
    assert await found(service, seed.anna, await entry_node(seed)) == entry
    key = {"__typename": "ApiKey", "name": "Old sync"}
    assert await found(service, seed.anna, await key_node(seed)) == key
    webhook_node, delivery_node = await webhook_nodes(seed)
    delivery = {"event": "WEBHOOK_TEST"}
    delivered = {"description": "CRM", "deliveries": {"edges": [{"node": delivery}]}}
    assert await found(service, seed.anna, webhook_node) == {"__typename": "Webhook", **delivered}
    assert await found(service, seed.anna, delivery_node) == {"__typename": "WebhookDelivery", **delivery}
    own = await subscribe(service, seed.anna, seed.own)
    assert (await found(service, seed.anna, own.link_id) or {})["url"] == HOST + own.url
    await seed.conn.execute("UPDATE calendars SET deleted_at = now() WHERE id = $1", seed.team)
    team = {"__typename": "Calendar", "name": "Sales team", "deleted": True}
    assert await found(service, seed.anna, calendar_node(seed.team)) == team
    assert await found(service, seed.ben, calendar_node(seed.team)) is None


async def test_key_finds_what_its_scopes_show(seed: Seed, service: Service, link: Subscription) -> None:
    needed = {
        user_node(seed.ben): "users:read",
        calendar_node(seed.team): "calendars:read",
        link.link_id: "feeds:read",
        feed_node(seed.ben): "feeds:read",
        await entry_node(seed): "audit:read",
        await key_node(seed): "keys:read",
        **dict.fromkeys(await webhook_nodes(seed), "webhooks:read"),
    }
    for node_id, scope in needed.items():
        for given in sorted(set(needed.values())):
            node = await found(service, await seed.key(given), node_id)
            assert (node is not None) == (given == scope)
            assert "cf1_" not in json.dumps(node)


async def test_acting_key_finds_what_its_user_and_its_scopes_show(
    seed: Seed, service: Service, link: Subscription
) -> None:
    acting = service.acting_for(seed.ben)
    every = await seed.key("users:act", "feeds:read", "calendars:read", "users:read", "audit:read", "keys:read")
    only_acts = await seed.key("users:act")
    for node_id in (link.link_id, calendar_node(seed.team), feed_node(seed.ben)):
        assert await found(acting, every, node_id) == await found(service, seed.ben, node_id) is not None
        assert await found(acting, only_acts, node_id) is None
    for node_id in (user_node(seed.anna), calendar_node(seed.own), await entry_node(seed), await key_node(seed)):
        assert await found(acting, every, node_id) is None


async def test_removed_webhook_is_found_by_nobody(seed: Seed, service: Service) -> None:
    node, _ = await webhook_nodes(seed)
    await service.mutate("removeWebhook", seed.anna, "webhook { id }", webhookId=node)
    assert await found(service, seed.anna, node) is None


async def test_revoked_link_is_found_by_nobody(seed: Seed, service: Service, link: Subscription) -> None:
    await service.mutate("revokeFeedLink", seed.ben, "link { id }", linkId=link.link_id)
    assert [await found(service, caller, link.link_id) for caller in (seed.ben, seed.anna)] == [None, None]


async def test_nothing_of_another_account_is_found(seed: Seed, service: Service, link: Subscription) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    others = [await entry_node(seed), await key_node(seed), *await webhook_nodes(seed)]
    for node_id in (user_node(seed.ben), calendar_node(seed.team), link.link_id, feed_node(seed.ben), *others):
        assert await found(service, other.anna, node_id) is None


@pytest.mark.parametrize(
    "node_id",
    [
        "",
        "garbage",
        "User:1",
        to_base64("User", ""),
        to_base64("User", "1"),
        to_base64("Nobody", "01890000-0000-7000-8000-000000000000"),
        to_base64("CalendarFeed", "1:all"),
        to_base64("CalendarFeed", "01890000-0000-7000-8000-000000000000"),
        to_base64("Query", "\x00"),
        "\ud800",
        "Ä",
    ],
)
async def test_text_that_is_no_id_finds_nothing(seed: Seed, service: Service, node_id: str) -> None:
    assert await found(service, seed.anna, node_id) is None


async def test_ids_of_lists_are_those_that_are_found(seed: Seed, service: Service, link: Subscription) -> None:
    query = """
        query ($calendar: ID!) {
          activities(calendarId: $calendar) { edges { node { id } } }
          users { edges { node { id } } } calendars { edges { node { id } } } auditLog { edges { node { id } } }
          apiKeys { edges { node { id } } } feedLinks { edges { node { id } } } calendarFeeds { id links { id } }
          webhooks { id deliveries { edges { node { id } } } } }"""
    await seed.write(meeting())
    await key_node(seed)
    await webhook_nodes(seed)
    data = (await service.graphql(query, seed.anna, calendar=calendar_node(seed.own)))["data"]
    webhooks = data.pop("webhooks")
    lists = [edge["node"] for name in data if name != "calendarFeeds" for edge in data[name]["edges"]]
    lists += [edge["node"] for webhook in webhooks for edge in webhook["deliveries"]["edges"]]
    ids = [node["id"] for node in [*lists, *data["calendarFeeds"], *webhooks]]
    assert {from_base64(id_)[0] for id_ in ids} == {*LOADS, "CalendarFeed"}
    for id_ in ids:
        assert await found(service, seed.anna, id_) is not None

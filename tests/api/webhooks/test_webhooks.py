"""Webhooks as administrators and integrators have them: added, changed, tested, removed, and what reaches them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from strawberry.relay import from_base64, to_base64

from api.webhooks.changes import MOST_WEBHOOKS
from api.webhooks.receivers import secret_text
from db.users import UserRecord
from feed.tokens import Keyring
from tests.api.webhooks.receiver import Receiver, receiver, soon
from tests.feed.subscription import stay_in_today, subscribe
from tests.seed import SECRET_KEY, Seed, Service, calendar_node, plant, running_service, user_node

DAY = timedelta(days=1)
URL = "https://crm.example/hooks"
WEBHOOK = "webhook { id url events description createdAt disabledAt }"
LISTED = """
    { webhooks { id url events description disabledAt
        deliveries { edges { node {
            id event createdAt attempts nextAttemptAt deliveredAt lastStatus lastError } } } } }"""
NOT_FOUND = {
    "__typename": "WebhookNotFound",
    "message": "There is no such webhook in your account: use an id that `webhooks` gave you.",
    "path": ["webhookId"],
}
EVERY_EVENT = ["LINK_GENERATED", "LINK_RESET", "LINK_REVOKED", "CLIENT_FIRST_POLLED", "CLIENT_STALE"]


async def add(service: Service, caller: UserRecord | str, url: str = URL, **said: Any) -> dict[str, Any]:
    values = {"url": url, "events": ["LINK_RESET"], **said}
    payload = await service.mutate("addWebhook", caller, f"{WEBHOOK} secret", **values)
    assert payload["userErrors"] == []
    return payload


async def listed(service: Service, caller: UserRecord | str) -> list[dict[str, Any]]:
    return list((await service.graphql(LISTED, caller))["data"]["webhooks"])


async def entries(seed: Seed) -> list[tuple[Any, ...]]:
    rows = await seed.conn.fetch(
        "SELECT g.action, g.outcome, g.subject_id, g.details FROM audit_log g"
        " WHERE g.action LIKE 'WEBHOOK%' ORDER BY g.at"
    )
    return [
        (action, outcome, subject and to_base64("Webhook", str(subject)), json.loads(details))
        for action, outcome, subject, details in rows
    ]


async def test_webhook_is_added_with_a_secret_that_is_told_once(seed: Seed, service: Service) -> None:
    payload = await add(service, seed.anna, events=["CLIENT_STALE", "LINK_RESET", "LINK_RESET"], description="CRM")
    webhook, secret = payload["webhook"], payload["secret"]
    assert abs(datetime.now(UTC) - datetime.fromisoformat(webhook.pop("createdAt"))) < timedelta(minutes=1)
    expected = {"url": URL, "events": ["LINK_RESET", "CLIENT_STALE"], "description": "CRM", "disabledAt": None}
    assert webhook == {"id": webhook["id"], **expected}
    assert secret.startswith("whsec_")
    (found,) = await listed(service, seed.anna)
    assert found == {"id": webhook["id"], **expected, "deliveries": {"edges": []}}
    details = {"host": "crm.example", "events": ["link.reset", "client.stale"]}
    assert await entries(seed) == [("WEBHOOK_ADDED", "DONE", webhook["id"], details)]
    rows = await seed.conn.fetch("SELECT to_jsonb(h)::text FROM webhooks h UNION ALL SELECT g::text FROM audit_log g")
    assert not any(secret.removeprefix("whsec_") in text for (text,) in rows)


async def test_keys_add_and_list_webhooks_with_their_scopes(seed: Seed, service: Service) -> None:
    writer, reader = await seed.key("webhooks:write"), await seed.key("webhooks:read")
    added = (await add(service, writer))["webhook"]["id"]
    assert [webhook["id"] for webhook in await listed(service, reader)] == [added]
    assert (await service.graphql(LISTED, writer))["errors"][0]["extensions"] == {"code": "FORBIDDEN"}
    query = "mutation ($input: RemoveWebhookInput!) { removeWebhook(input: $input) { webhook { id } } }"
    for caller in (reader, seed.ben):
        answer = await service.graphql(query, caller, input={"webhookId": added})
        assert answer["errors"][0]["extensions"] == {"code": "FORBIDDEN"}
    refused = [entry for entry in await entries(seed) if entry[1] == "REFUSED"]
    assert [(action, details["reasons"]) for action, _, _, details in refused] == [
        ("WEBHOOKS_LISTED", ["FORBIDDEN"]),
        ("WEBHOOK_REMOVED", ["FORBIDDEN"]),
        ("WEBHOOK_REMOVED", ["FORBIDDEN"]),
    ]


@pytest.mark.parametrize(
    ("values", "path", "message"),
    [
        ({"url": "http://crm.example"}, "url", "Give a URL that begins with https://."),
        ({"url": "https://169.254.169.254/"}, "url", "Give a public address: webhooks are not sent to this one."),
        (
            {"events": []},
            "events",
            "Name one event at least, and not WEBHOOK_TEST: to test a webhook call `testWebhook`.",
        ),
        (
            {"events": ["LINK_RESET", "WEBHOOK_TEST"]},
            "events",
            "Name one event at least, and not WEBHOOK_TEST: to test a webhook call `testWebhook`.",
        ),
        ({"description": "x" * 201}, "description", "Give at most 200 characters: these are 201."),
        (
            {"description": "a\0"},
            "description",
            "Take character 2 out of the text: it is NUL, which cannot be kept.",
        ),
    ],
)
async def test_what_a_webhook_cannot_be_is_refused_with_the_remedy(
    seed: Seed, service: Service, values: dict[str, Any], path: str, message: str
) -> None:
    expected = [{"__typename": "ValueInvalid", "message": message, "path": [path]}]
    given = {"url": URL, "events": ["LINK_RESET"], **values}
    assert await service.mutate("addWebhook", seed.anna, "secret", **given) == {"secret": None, "userErrors": expected}
    added = (await add(service, seed.anna))["webhook"]
    changed = await service.mutate("updateWebhook", seed.anna, WEBHOOK, webhookId=added["id"], **values)
    assert changed == {"webhook": None, "userErrors": expected}
    assert [each["url"] for each in await listed(service, seed.anna)] == [URL]


async def test_all_that_is_wrong_is_told_at_once(seed: Seed, service: Service) -> None:
    payload = await service.mutate("addWebhook", seed.anna, "secret", url="", events=[], description="\ud800x" * 300)
    assert [error["path"] for error in payload["userErrors"]] == [["url"], ["events"], ["description"]]


async def test_webhook_is_changed_and_what_is_left_out_stays(seed: Seed, service: Service) -> None:
    added = (await add(service, seed.anna, description="CRM"))["webhook"]

    async def change(**values: Any) -> dict[str, Any]:
        payload = await service.mutate("updateWebhook", seed.anna, WEBHOOK, webhookId=added["id"], **values)
        assert payload["userErrors"] == []
        return dict(payload["webhook"])

    assert await change() == added
    assert await change(url=URL) == added
    changed = await change(url="https://other.example/", events=["LINK_REVOKED"])
    assert changed == {**added, "url": "https://other.example/", "events": ["LINK_REVOKED"]}
    assert (await change(description=None))["description"] == ""
    disabled = await change(enabled=False)
    assert disabled["disabledAt"] is not None
    assert await change(enabled=False) == disabled
    assert (await change(enabled=True))["disabledAt"] is None
    assert [details for action, _, _, details in await entries(seed) if action == "WEBHOOK_UPDATED"] == [
        {"events": [["link.reset"], ["link.revoked"]], "host": ["crm.example", "other.example"]},
        {"description": ["CRM", ""]},
        {"enabled": [True, False]},
        {"enabled": [False, True]},
    ]


async def test_null_leaves_what_must_have_a_value_as_it_is(seed: Seed, service: Service) -> None:
    added = (await add(service, seed.anna))["webhook"]
    values = {"webhookId": added["id"], "url": None, "events": None, "enabled": None}
    payload = await service.mutate("updateWebhook", seed.anna, "webhook { id url events disabledAt }", **values)
    kept = {"id": added["id"], "url": URL, "events": added["events"], "disabledAt": None}
    assert payload == {"webhook": kept, "userErrors": []}


async def test_removed_webhook_is_gone_and_may_be_removed_again(seed: Seed, service: Service) -> None:
    added = (await add(service, seed.anna))["webhook"]
    for _ in range(2):
        removed = await service.mutate("removeWebhook", seed.anna, "webhook { id url }", webhookId=added["id"])
        assert removed == {"webhook": {"id": added["id"], "url": URL}, "userErrors": []}
    assert await listed(service, seed.anna) == []
    for name in ("updateWebhook", "rotateWebhookSecret", "testWebhook"):
        payload = await service.mutate(name, seed.anna, "webhook { id }", webhookId=added["id"])
        assert payload == {"webhook": None, "userErrors": [NOT_FOUND]}
    done = [(action, details) for action, outcome, _, details in await entries(seed) if outcome == "DONE"]
    assert done[1:] == [("WEBHOOK_REMOVED", {"host": "crm.example"})]


MUTATIONS = ["updateWebhook", "rotateWebhookSecret", "testWebhook", "removeWebhook"]


@pytest.mark.parametrize("name", MUTATIONS)
async def test_webhook_of_another_account_does_not_exist(seed: Seed, service: Service, name: str) -> None:
    other = await plant(seed.conn, "Other")
    theirs = (await add(service, other.anna))["webhook"]["id"]
    for id_ in (theirs, to_base64("Webhook", str(uuid4())), user_node(seed.anna), "no id"):
        payload = await service.mutate(name, seed.anna, "webhook { id }", webhookId=id_)
        assert payload == {"webhook": None, "userErrors": [NOT_FOUND]}
    assert [webhook["id"] for webhook in await listed(service, other.anna)] == [theirs]


async def test_account_has_so_many_webhooks_and_no_more(seed: Seed, service: Service) -> None:
    for _ in range(MOST_WEBHOOKS):
        added = await add(service, seed.anna)
    values = {"url": URL, "events": ["LINK_RESET"]}
    payload = await service.mutate("addWebhook", seed.anna, "secret", **values)
    message = "Your account has 20 webhooks: remove one, or let one receiver tell the others."
    assert payload["userErrors"] == [{"__typename": "TooManyWebhooks", "message": message, "path": []}]
    await service.mutate("removeWebhook", seed.anna, "webhook { id }", webhookId=added["webhook"]["id"])
    await add(service, seed.anna)


async def test_new_secret_signs_and_the_one_before_does_not(seed: Seed, dsn: str) -> None:
    async with running_service(dsn, webhook_networks="127.0.0.1") as service, receiver() as there:
        added = await add(service, seed.anna, there.url)
        node = added["webhook"]["id"]
        rotated = await service.mutate("rotateWebhookSecret", seed.anna, "secret webhook { id }", webhookId=node)
        assert (rotated["webhook"]["id"], rotated["secret"] != added["secret"]) == (node, True)
        await service.mutate("testWebhook", seed.anna, "delivery { id }", webhookId=node)
        await soon(lambda: there.received)
    there.received[0].verified(rotated["secret"])
    assert [details for action, _, _, details in await entries(seed) if action == "WEBHOOK_UPDATED"] == [
        {"secretGeneration": [1, 2]}
    ]


async def test_webhook_whose_key_was_dropped_works_again_with_a_new_secret(seed: Seed, dsn: str) -> None:
    fresh = "k2:" + "e" * 32
    async with receiver() as there:
        async with running_service(dsn, webhook_networks="127.0.0.1") as service:
            node = (await add(service, seed.anna, there.url))["webhook"]["id"]
        async with running_service(dsn, webhook_networks="127.0.0.1", secret_keys=fresh) as service:
            await service.mutate("testWebhook", seed.anna, "delivery { id }", webhookId=node)
            await soon(lambda: has_error(service, seed, "NO_KEY"))
            rotated = await service.mutate("rotateWebhookSecret", seed.anna, "secret", webhookId=node)
            await soon(lambda: there.received)
    there.received[0].verified(rotated["secret"])


async def has_error(service: Service, seed: Seed, error: str) -> bool:
    (webhook,) = await listed(service, seed.anna)
    return [edge["node"]["lastError"] for edge in webhook["deliveries"]["edges"]] == [error]


async def test_test_is_sent_like_everything_else(seed: Seed, dsn: str) -> None:
    async with running_service(dsn, webhook_networks="127.0.0.1") as service, receiver() as there:
        added = await add(service, seed.anna, there.url)
        payload = await service.mutate(
            "testWebhook", seed.anna, "delivery { id event attempts deliveredAt }", webhookId=added["webhook"]["id"]
        )
        delivery = payload["delivery"]
        assert delivery == {"id": delivery["id"], "event": "WEBHOOK_TEST", "attempts": 0, "deliveredAt": None}
        await soon(lambda: is_delivered(service, seed))
        (webhook,) = await listed(service, seed.anna)
    (received,) = there.received
    assert received.id == delivery["id"]
    assert received.verified(added["secret"])["type"] == "webhook.test"
    ((node,),) = [[edge["node"] for edge in webhook["deliveries"]["edges"]]]
    assert node["createdAt"] == received.said["timestamp"]
    assert {name: node[name] for name in ("event", "attempts", "nextAttemptAt", "lastStatus", "lastError")} == {
        "event": "WEBHOOK_TEST",
        "attempts": 1,
        "nextAttemptAt": None,
        "lastStatus": 204,
        "lastError": None,
    }


async def is_delivered(service: Service, seed: Seed) -> bool:
    (webhook,) = await listed(service, seed.anna)
    return all(edge["node"]["deliveredAt"] for edge in webhook["deliveries"]["edges"])


async def test_disabled_webhook_is_not_tested(seed: Seed, service: Service) -> None:
    node = (await add(service, seed.anna))["webhook"]["id"]
    await service.mutate("updateWebhook", seed.anna, "webhook { id }", webhookId=node, enabled=False)
    payload = await service.mutate("testWebhook", seed.anna, "delivery { id }", webhookId=node)
    message = "The webhook is disabled: enable it with `updateWebhook`, then test it."
    assert payload["userErrors"] == [{"__typename": "WebhookDisabled", "message": message, "path": ["webhookId"]}]


PAGE = """
    query ($first: Int, $after: String) { webhooks { deliveries(first: $first, after: $after) {
        edges { node { createdAt } } pageInfo { hasNextPage endCursor } } } }"""


async def test_pages_of_deliveries_hold_each_once_while_others_come(seed: Seed, service: Service) -> None:
    node = (await add(service, seed.anna))["webhook"]["id"]
    await service.mutate("updateWebhook", seed.anna, "webhook { id }", webhookId=node, enabled=False)
    sql = """
        INSERT INTO webhook_deliveries (account_id, id, webhook_id, event, facts, created_at)
        SELECT $1, gen_random_uuid(), $2, 'webhook.test', '{}', $3::timestamptz + n / 2 * interval '1 s'
          FROM generate_series(1, $4) n"""
    start, webhook_id = datetime.now(UTC) - DAY, from_base64(node)[1]
    await seed.conn.execute(sql, seed.account_id, webhook_id, start, 9)
    seen: list[str] = []
    after, more = None, True
    while more:
        answer = await service.graphql(PAGE, seed.anna, first=2, after=after)
        page = answer["data"]["webhooks"][0]["deliveries"]
        seen += [edge["node"]["createdAt"] for edge in page["edges"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        await seed.conn.execute(sql, seed.account_id, webhook_id, start + timedelta(hours=1), 1)
    assert len(seen) == 9
    assert seen == sorted(seen, reverse=True)
    for wrong in ("x", to_base64("Cursor", "2026 x"), to_base64("User", "1")):
        answer = await service.graphql(PAGE, seed.anna, after=wrong)
        assert answer["errors"][0]["extensions"] == {"code": "INVALID_ARGUMENT"}
    answer = await service.graphql(PAGE, seed.anna, first=501)
    assert answer["errors"][0]["extensions"] == {"code": "INVALID_ARGUMENT"}


# ---- from what happens to what is told


async def heard(there: Receiver, *events: str) -> list[dict[str, Any]]:
    """What the receiver was told, once all of that has come, in the order of the events."""
    await soon(lambda: sorted(there.events) == sorted(events))
    said = {each.said["type"]: each.said for each in there.received}
    return [said[event] for event in events]


async def test_receiver_is_told_the_life_of_a_link(seed: Seed, dsn: str) -> None:
    await stay_in_today(seed)
    await seed.conn.execute("UPDATE users SET external_id = 'u-1' WHERE id = $1", seed.anna.id)
    await seed.conn.execute("UPDATE calendars SET external_id = 'c-1' WHERE id = $1", seed.own)
    async with receiver() as there:
        async with running_service(dsn, webhook_networks="127.0.0.1") as service:
            secret = (await add(service, seed.anna, there.url, events=EVERY_EVENT))["secret"]
            link = await subscribe(service, seed.anna, seed.own, name="iPhone")
            await link.poll(User_Agent="Google-Calendar-Importer")
            await link.poll(User_Agent="Google-Calendar-Importer")
            await service.generate(seed.anna, seed.own, name="iPhone", regenerate=True)
            await service.mutate("revokeFeedLink", await seed.key("feeds:write"), "link { id }", linkId=link.link_id)
        async with running_service(dsn, webhook_networks="127.0.0.1"):  # the polls were written at the stop
            told = await heard(there, "link.generated", "link.reset", "link.revoked", "client.first_polled")
    for each in there.received:
        each.verified(secret)
        assert "cf1_" not in each.body.decode()
    about = {
        "link": {"id": link.link_id, "name": "iPhone"},
        "user": {"id": user_node(seed.anna), "externalId": "u-1"},
        "calendar": {"id": calendar_node(seed.own), "externalId": "c-1"},
    }
    assert [said["data"] for said in told] == [
        {**about, "actor": {"type": "USER"}},
        {**about, "actor": {"type": "USER"}},
        {**about, "actor": {"type": "KEY"}},
        {**about, "client": {"name": "Google Calendar"}},
    ]
    assert all(abs(datetime.now(UTC) - datetime.fromisoformat(said["timestamp"])) < DAY for said in told)


async def test_nothing_is_told_of_what_was_refused(seed: Seed, dsn: str) -> None:
    async with running_service(dsn, webhook_networks="127.0.0.1") as service, receiver() as there:
        await add(service, seed.anna, there.url, events=EVERY_EVENT)
        link = await subscribe(service, seed.anna, seed.own)
        await heard(there, "link.generated")
        refused = await service.mutate("revokeFeedLink", seed.ben, "link { id }", linkId=link.link_id)
        assert [error["__typename"] for error in refused["userErrors"]] == ["LinkNotFound"]
        dry = {"where": {"everyLink": True}, "dryRun": True}
        await service.mutate("resetFeedLinks", seed.anna, "linkCount", **dry)
        await service.mutate("resetFeedLinks", seed.anna, "linkCount", where={"everyLink": True})
        await heard(there, "link.generated", "link.reset")


async def test_dump_of_the_database_holds_nothing_that_signs(seed: Seed, service: Service) -> None:
    """With the key it is another matter: that is why the secret needs no place."""
    payload = await add(service, seed.anna)
    row = await seed.conn.fetchrow("SELECT * FROM webhooks")
    assert row
    again = Keyring.parse(SECRET_KEY).webhook_secret(row["key_id"], row["account_id"], row["id"], row["generation"])
    stolen = Keyring.parse("k1:" + "0" * 32).webhook_secret(
        row["key_id"], row["account_id"], row["id"], row["generation"]
    )
    assert payload["secret"] == secret_text(again) != secret_text(stolen)

"""docs/webhooks.md tells the truth: its commands are run, its examples compared, its programs read what we sign."""

import json
import re
import subprocess
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.webhooks.changes import MOST_WEBHOOKS
from api.webhooks.deliveries import DELAYS, KEPT
from api.webhooks.reach import OTHER_PORTS, WEB_PORTS
from api.webhooks.receivers import TIMEOUT_SECONDS, payload, secret_text, signed
from api.webhooks.webhooks import WebhookError, WebhookEvent
from db.audit import Actor, add_audit_entries
from db.deliveries import ClaimedDelivery, add_delivery, claim_deliveries
from db.links import add_link
from db.polls import NOWHERE, PollCount, PollKey, list_stale_polls, note_stale, save_polls
from db.webhooks import add_webhook
from tests.clients.building import HERE, TSC, node
from tests.process import running
from tests.seed import Seed
from tests.test_docs import ANNA, ROOT, blocks, column, shell

PAGE = "docs/webhooks.md"
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
SECRET = bytes(range(32))
DRIVER = """
import { readFileSync } from "fs";
import { verified } from "./verified";
const { secret, headers, body } = JSON.parse(readFileSync(0, "utf8"));
verified(secret, new Headers(headers), body).then(
  (said) => console.log(JSON.stringify(said)),
  (error) => { console.error(error.message); process.exitCode = 1; },
);
"""
DECLARED = """
declare module "fs" { export function readFileSync(file: number, encoding: string): string; }
declare const process: { exitCode: number };
"""

Verify = Callable[[str, Mapping[str, str], bytes], Any]


def said() -> str:
    return (ROOT / PAGE).read_text()


# ---- commands and tables


def test_commands_answer_without_errors(tmp_path: Path) -> None:
    add, test, look = blocks(PAGE, "sh")
    with running(tmp_path / "data", "demo", "--json") as demo:
        variables = {"TOKEN": demo.user(ANNA)["token"], "GRAPHQL_URL": demo.described["graphqlUrl"]}
        added = json.loads(shell(add, tmp_path, demo.data_dir, **variables))["data"]["addWebhook"]
        assert (added["userErrors"], added["secret"][:6]) == ([], "whsec_")
        variables["WEBHOOK_ID"] = added["webhook"]["id"]
        tested = json.loads(shell(test, tmp_path, demo.data_dir, **variables))["data"]["testWebhook"]
        assert tested["userErrors"] == []
        (webhook,) = json.loads(shell(look, tmp_path, demo.data_dir, **variables))["data"]["webhooks"]
    assert len(webhook["events"]) == len(WebhookEvent) - 1
    assert [edge["node"]["id"] for edge in webhook["deliveries"]["edges"]] == [tested["delivery"]["id"]]


def test_page_has_every_event_and_every_error() -> None:
    assert column(PAGE, "event") == [event.name for event in WebhookEvent]
    for event in WebhookEvent:
        assert f"| `{event.name}` | `{event.value}` |" in said()
    assert column(PAGE, "`lastError`") == [error.name for error in WebhookError]


def test_page_has_the_limits_of_the_code() -> None:
    delays = (5, 5 * 60, 30 * 60, *(hours * 3_600 for hours in (2, 5, 10, 14, 20, 24)))
    assert delays == DELAYS
    assert (len(DELAYS) + 1, MOST_WEBHOOKS, KEPT, TIMEOUT_SECONDS) == (10, 20, 30 * DAY, 10)
    assert 3 < sum(DELAYS) / DAY.total_seconds() < 4
    assert (WEB_PORTS, OTHER_PORTS[0]) == ((80, 443), 1024)
    for text in (
        "5 seconds, 5 minutes, 30 minutes, 2, 5, 10, 14, 20 and 24 hours",
        "ten attempts in three days",
        "up to 20 in an account",
        "within ten seconds",
        "After 30 days",
        "ports 443, 80 and from 1024 on",
    ):
        assert text in re.sub(r"\s+", " ", said()), text


# ---- examples


async def real_payloads(seed: Seed) -> dict[str, Any]:
    """What is sent, by type, where everything has the names of the page's examples."""
    await seed.conn.execute("UPDATE users SET external_id = 'u-17' WHERE id = $1", seed.anna.id)
    await seed.conn.execute("UPDATE calendars SET external_id = 'c-4' WHERE id = $1", seed.own)
    events = [str(event.value) for event in WebhookEvent][:-1]
    account_id, url = seed.account_id, "https://crm.example"
    webhook = await add_webhook(seed.conn, account_id, "k1", NOW, url=url, events=events)
    link = await add_link(seed.conn, account_id, seed.anna.id, seed.own, "iPhone", "k1", NOW)
    assert link
    for action in ("LINK_GENERATED", "LINK_RESET", "LINK_REVOKED"):
        await add_audit_entries(seed.conn, account_id, action, [link.id], actor=Actor("USER", seed.anna.id), now=NOW)
    polled = PollCount(NOW - 9 * DAY, NOW - 9 * DAY, 1, 200, "CALENDAR")
    await save_polls(seed.conn, account_id, [(PollKey(link.id, "Google Calendar", NOWHERE, 1, True), polled)])
    await note_stale(seed.conn, account_id, await list_stale_polls(seed.conn, account_id, NOW))
    await add_delivery(seed.conn, account_id, webhook.id, "webhook.test", NOW)
    claimed = await claim_deliveries(seed.conn, account_id, {webhook.id: 99}, NOW + DAY, NOW + DAY)
    sent = [json.loads(payload(delivery)) for delivery in claimed]
    return {each["type"]: each for each in sent}


def outline(value: Any, name: str = "") -> Any:
    """The value with types in the place of ids, and a word in that of times."""
    if isinstance(value, dict):
        return {key: outline(each, key) for key, each in value.items()}
    if name == "id":
        return b64decode(value).decode().partition(":")[0]
    if name in ("timestamp", "lastPolledAt"):
        assert value.endswith("Z")
        assert datetime.fromisoformat(value)
        return "a moment"
    return value


async def test_examples_are_what_is_sent(seed: Seed) -> None:
    real = await real_payloads(seed)
    assert set(real) == {str(event.value) for event in WebhookEvent}
    examples = [json.loads(block) for block in blocks(PAGE, "json")]
    types = [example["type"] for example in examples]
    assert types == ["link.generated", "client.first_polled", "client.stale", "webhook.test"]
    for example in examples:
        assert outline(example) == outline(real[example["type"]])
    for alike in ("link.reset", "link.revoked"):
        assert outline(real[alike]) == {**outline(examples[0]), "type": alike}


async def test_payloads_name_nothing_but_what_the_examples_show(seed: Seed) -> None:
    """No URL, token, name of a person or title of a calendar."""
    text = json.dumps(await real_payloads(seed), ensure_ascii=False)
    for word in ("cf1_", "http", seed.anna.name, str(seed.anna.email), "network", "127.0"):
        assert word not in text


# ---- programs


def in_python(secret: str, headers: Mapping[str, str], body: bytes) -> Any:
    (program,) = blocks(PAGE, "python")
    names: dict[str, Any] = {}
    exec(program, names)
    return names["verified"](secret, headers, body)


@pytest.fixture(scope="session")
def in_typescript(tmp_path_factory: pytest.TempPathFactory) -> Verify:
    folder = tmp_path_factory.mktemp("receiver")
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    (folder / "tsconfig.json").write_text((HERE / "tsconfig.json").read_text())
    (program,) = blocks(PAGE, "ts")
    for name, text in {"verified.ts": program, "driver.ts": DRIVER, "declared.d.ts": DECLARED}.items():
        (folder / name).write_text(text)
    built = node(folder, TSC)
    assert built.returncode == 0, built.stdout + built.stderr

    def verify(secret: str, headers: Mapping[str, str], body: bytes) -> Any:
        asked = json.dumps({"secret": secret, "headers": dict(headers), "body": body.decode()})
        done = subprocess.run(
            ["node", "driver.js"], cwd=folder, input=asked, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise ValueError(done.stderr.strip())
        return json.loads(done.stdout)

    return verify


@pytest.fixture(params=["python", "typescript"])
def verify(request: pytest.FixtureRequest) -> Verify:
    found: Verify = in_python if request.param == "python" else request.getfixturevalue("in_typescript")
    return found


async def sent(seed: Seed, at: datetime) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a delivery whose link has a name of many scripts."""
    delivery = ClaimedDelivery(
        account_id=seed.account_id, id=seed.own, webhook_id=seed.team, url="", key_id="k1", generation=1,
        event="link.reset", created_at=NOW, attempts=1,
        facts={"link_id": str(seed.own), "link_name": "Zoë’s 📱 محمد", "user_id": str(seed.anna.id),
               "user_external_id": None, "calendar_id": None, "calendar_external_id": None, "actor_type": "KEY"},
    )  # fmt: skip
    body = payload(delivery)
    return signed(SECRET, delivery, at, body), body


async def test_program_reads_what_is_signed(seed: Seed, verify: Verify) -> None:
    headers, body = await sent(seed, datetime.now(UTC))
    assert verify(secret_text(SECRET), headers, body) == json.loads(body)
    several = {**headers, "webhook-signature": f"v1,AAAA {headers['webhook-signature']}"}
    assert verify(secret_text(SECRET), several, body)["data"]["link"]["name"] == "Zoë’s 📱 محمد"


async def test_program_refuses_what_is_not_signed_by_us(seed: Seed, verify: Verify) -> None:
    headers, body = await sent(seed, datetime.now(UTC))
    refused = [
        (SECRET[::-1], headers, body),
        (SECRET, headers, body.replace(b"link.reset", b"link.revoked")),
        (SECRET, {**headers, "webhook-id": "another"}, body),
        (SECRET, {**headers, "webhook-timestamp": str(int(time.time()) - 10)}, body),
        (SECRET, {**headers, "webhook-signature": headers["webhook-signature"].replace("v1,", "v2,")}, body),
        (SECRET, {**headers, "webhook-signature": ""}, body),
    ]
    for secret, wrong, said_ in refused:
        with pytest.raises(ValueError, match="not signed with this secret"):
            verify(secret_text(secret), wrong, said_)


@pytest.mark.parametrize("minutes", [-6, 6])
async def test_program_refuses_what_is_old(seed: Seed, verify: Verify, minutes: int) -> None:
    headers, body = await sent(seed, datetime.now(UTC) + timedelta(minutes=minutes))
    with pytest.raises(ValueError, match="too old, or from the future"):
        verify(secret_text(SECRET), headers, body)

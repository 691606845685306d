"""A real service and a real receiver: killed in the middle of a delivery, and served again, nothing is lost."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import asyncpg
from aiohttp import web

from tests.api.webhooks.receiver import receiver, soon
from tests.process import Running, kept_secrets, running

ANNA = "anna@harbour-homes.example"


def add_webhook(demo: Running, token: str, url: str) -> str:
    """The secret of a new webhook."""
    events = "[LINK_GENERATED, LINK_RESET]"
    query = (
        f'mutation {{ addWebhook(input: {{url: "{url}", events: {events}}}) {{ secret userErrors {{ message }} }} }}'
    )
    payload: dict[str, Any] = demo.graphql(token, query)["data"]["addWebhook"]
    assert payload["userErrors"] == []
    return str(payload["secret"])


async def let_time_pass(dsn: str) -> None:
    """As if what waits to be sent, and what nothing was heard of, had waited long enough."""
    conn = await asyncpg.connect(dsn)
    await conn.execute("UPDATE webhook_deliveries SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL")
    await conn.close()


async def has_failed(dsn: str) -> bool:
    conn = await asyncpg.connect(dsn)
    failed = await conn.fetchval("SELECT bool_or(last_status = 500) FROM webhook_deliveries")
    await conn.close()
    return bool(failed)


async def is_delivered(dsn: str) -> bool:
    conn = await asyncpg.connect(dsn)
    found = await conn.fetchval("SELECT bool_and(delivered_at IS NOT NULL) FROM webhook_deliveries")
    await conn.close()
    return bool(found)


async def test_delivery_survives_a_kill_in_its_middle_and_a_receiver_that_fails(
    tmp_path: Path, empty_database: str
) -> None:
    answers = [None, 500, 204]  # the first one never comes

    async def answer(_: web.Request) -> web.Response:
        status = answers.pop(0)
        if status is None:
            await asyncio.sleep(60)
        return web.Response(status=status or 200)

    said = {"database_url": empty_database, "webhook_networks": "127.0.0.1"}
    async with receiver(answering=answer) as there:
        with running(tmp_path / "data", "demo", "--json", **said) as demo:
            token = demo.user(ANNA)["token"]
            secret = add_webhook(demo, token, there.url)
            demo.generate(token, regenerate=True)
            await soon(lambda: there.received)
            assert demo.stop(signal.SIGKILL) == -signal.SIGKILL
            kept = {name.removeprefix("CALENDAR_FEEDS_"): key for name, key in kept_secrets(demo.data_dir).items()}
        await let_time_pass(empty_database)
        with running(tmp_path / "data", "serve", "--workers", "2", **said, **kept) as serve:
            await soon(lambda: has_failed(empty_database))
            await let_time_pass(empty_database)
            await soon(lambda: is_delivered(empty_database))
            assert serve.stop() == 0
    assert [each.verified(secret)["type"] for each in there.received] == ["link.reset"] * 3
    assert len({(each.id, each.body) for each in there.received}) == 1

"""What is in the queue reaches its receivers, whatever they and we do meanwhile; and nobody else."""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from standardwebhooks.webhooks import WebhookVerificationError
from strawberry.relay import to_base64
from structlog.testing import capture_logs

from api.webhooks.deliveries import DELAYS, HOUR, KEPT, MOST_DELETED, Deliveries, DeliverySettings
from api.webhooks.receivers import Receivers, secret_text
from db.audit import OPERATOR, Network, add_audit_entries
from db.deliveries import (
    ClaimedDelivery,
    DeliveryPage,
    DeliveryRecord,
    add_delivery,
    claim_deliveries,
    hasten_deliveries,
    list_deliveries,
)
from db.embedded import postgres
from db.links import add_link
from db.migrate import migrate
from db.pool import Pool, create_pool
from db.webhooks import WebhookRecord, add_webhook, list_webhooks, lock_webhook, update_webhook
from feed.tokens import Keyring
from tests.api.webhooks.receiver import PATH, receiver, soon
from tests.leaks import NET
from tests.process import free_port
from tests.seed import SECRET_KEY, Seed, plant

KEYRING = Keyring.parse(SECRET_KEY)
LOCAL = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
QUICK = DeliverySettings(delays=(0.02, 0.02, 0.02), wake_seconds=0.02)
PATIENT = DeliverySettings(wake_seconds=0.02)  # the real delays: nothing is sent twice in a test


@asynccontextmanager
async def delivering(
    dsn: str,
    settings: DeliverySettings = QUICK,
    *,
    keyring: Keyring = KEYRING,
    networks: Sequence[Network] = LOCAL,
    seconds: float = 10,
) -> AsyncIterator[Deliveries]:
    async with create_pool(dsn) as pool, running(pool, settings, keyring, networks, seconds) as deliveries:
        yield deliveries


@asynccontextmanager
async def running(
    pool: Pool,
    settings: DeliverySettings = QUICK,
    keyring: Keyring = KEYRING,
    networks: Sequence[Network] = LOCAL,
    seconds: float = 10,
) -> AsyncIterator[Deliveries]:
    deliveries = Deliveries(pool, keyring, Receivers(keyring, networks, seconds), settings)
    async with deliveries.running():
        yield deliveries


async def new_webhook(seed: Seed, url: str) -> WebhookRecord:
    now = datetime.now(UTC)
    return await add_webhook(seed.conn, seed.account_id, "k1", now, url=url, events=["link.reset"])


async def queue(seed: Seed, webhook: WebhookRecord, count: int = 1, at: datetime | None = None) -> list[UUID]:
    now = at or datetime.now(UTC)
    return [(await add_delivery(seed.conn, seed.account_id, webhook.id, "webhook.test", now)).id for _ in range(count)]


async def all_of(seed: Seed, webhook: WebhookRecord) -> list[DeliveryRecord]:
    (found,) = await list_deliveries(seed.conn, seed.account_id, [DeliveryPage(webhook.id, 500, None)])
    return found


async def one_of(seed: Seed, webhook: WebhookRecord) -> DeliveryRecord:
    (found,) = await all_of(seed, webhook)
    return found


async def ended(seed: Seed, webhook: WebhookRecord) -> bool:
    return all(each.next_attempt_at is None for each in await all_of(seed, webhook))


async def tried(seed: Seed, webhook: WebhookRecord) -> bool:
    return all(each.last_error is not None for each in await all_of(seed, webhook))


def secret_of(webhook: WebhookRecord, keyring: Keyring = KEYRING) -> str:
    return secret_text(keyring.webhook_secret(webhook.key_id, webhook.account_id, webhook.id, webhook.generation))


async def entries(seed: Seed) -> list[tuple[Any, ...]]:
    """What the service itself wrote to the audit log."""
    rows = await seed.conn.fetch("SELECT action, subject_id, details FROM audit_log WHERE actor_type = 'SERVICE'")
    return [(action, subject, json.loads(details)) for action, subject, details in rows]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """One that its owner has signed."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crm")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - HOUR)
        .not_valid_after(now + HOUR)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "crm.pem"
    kept = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(signed.public_bytes(Encoding.PEM) + kept)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


async def hang(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


# ---- sending


async def test_delivery_is_signed_as_another_program_reads_it(seed: Seed, dsn: str) -> None:
    async with receiver() as there, delivering(dsn):
        webhook = await new_webhook(seed, there.url)
        (id_,) = await queue(seed, webhook)
        await soon(lambda: ended(seed, webhook))
    (received,) = there.received
    found = await one_of(seed, webhook)
    said = received.verified(secret_of(webhook))
    assert said == {"type": "webhook.test", "timestamp": said["timestamp"], "data": {}}
    assert datetime.fromisoformat(said["timestamp"]) == found.created_at
    assert received.id == to_base64("WebhookDelivery", str(id_))
    assert received.headers["Content-Type"] == "application/json"
    assert received.headers["User-Agent"] == "calendar-feeds"
    assert (found.attempts, found.last_status, found.last_error) == (1, 204, None)
    assert found.delivered_at is not None


async def test_signature_of_another_webhook_or_generation_is_refused(seed: Seed, dsn: str) -> None:
    async with receiver() as there, delivering(dsn):
        webhook, other = await new_webhook(seed, there.url), await new_webhook(seed, there.url)
        await queue(seed, webhook)
        await soon(lambda: there.received)
    (received,) = there.received
    for wrong in (other, replace(webhook, generation=2), replace(webhook, account_id=other.id)):
        with pytest.raises(WebhookVerificationError):
            received.verified(secret_of(wrong))
    received.body = received.body.replace(b"webhook.test", b"link.revoked")
    with pytest.raises(WebhookVerificationError):
        received.verified(secret_of(webhook))


async def test_secret_is_a_keys_and_no_token_can_be_made_of_it(seed: Seed) -> None:
    webhook = await new_webhook(seed, "https://crm.example")
    secrets = [
        secret_of(each, keyring)
        for each in (webhook, replace(webhook, generation=2), replace(webhook, id=seed.own))
        for keyring in (KEYRING, Keyring.parse("k1:" + "f" * 32))
    ]
    assert len(set(secrets)) == 6
    assert all(len(secret) == len("whsec_") + 44 for secret in secrets)  # 32 octets


async def test_failed_delivery_is_sent_again_with_the_same_id_and_body(seed: Seed, dsn: str) -> None:
    async with receiver(500, 404, 302) as there, delivering(dsn):
        webhook = await new_webhook(seed, there.url)
        await queue(seed, webhook)
        await soon(lambda: ended(seed, webhook))
    assert len(there.received) == 4
    assert len({(each.id, each.body) for each in there.received}) == 1
    for each in there.received:
        each.verified(secret_of(webhook))
    found = await one_of(seed, webhook)
    assert (found.attempts, found.last_status, found.last_error) == (4, 204, None)


async def test_attempts_come_later_and_later(seed: Seed, dsn: str) -> None:
    """Each attempt is made due by hand, as the last of the real delays is a day."""
    async with receiver(*[503] * 20) as there, delivering(dsn, PATIENT):
        webhook = await new_webhook(seed, there.url)
        await queue(seed, webhook)
        waits = []
        for attempt in range(1, len(DELAYS) + 1):
            await soon(lambda: len(there.received) == attempt)  # noqa: B023  # it is awaited here
            sent_at = datetime.now(UTC)
            await soon(lambda: tried(seed, webhook))
            found = await one_of(seed, webhook)
            assert found.next_attempt_at is not None
            waits.append((found.next_attempt_at - sent_at).total_seconds())
            await seed.conn.execute("UPDATE webhook_deliveries SET next_attempt_at = now(), last_error = NULL")
        await soon(lambda: ended(seed, webhook))
    for wait, delay in zip(waits, DELAYS, strict=True):
        assert delay - 1 < wait < 1.1 * delay + 1
    assert len(there.received) == len(DELAYS) + 1


async def test_delivery_that_failed_for_days_is_given_up_and_its_webhook_disabled(seed: Seed, dsn: str) -> None:
    async with receiver(*[500] * 4) as there, delivering(dsn):
        webhook = await new_webhook(seed, there.url)
        await queue(seed, webhook)
        await soon(lambda: ended(seed, webhook))
        found = await one_of(seed, webhook)
        assert (found.attempts, found.delivered_at, found.last_error) == (4, None, "STATUS")
        (disabled,) = await list_webhooks(seed.conn, seed.account_id)
        assert disabled.disabled_at is not None
        assert await entries(seed) == [("WEBHOOK_DISABLED", webhook.id, {"reason": "FAILING"})]
        await queue(seed, webhook)
        await asyncio.sleep(0.2)
        assert len(there.received) == 4
        await update_webhook(seed.conn, webhook)  # enabled
        await soon(lambda: len(there.received) == 5)


async def test_webhook_that_takes_others_meanwhile_is_not_disabled(seed: Seed, dsn: str) -> None:
    async def choosy(request: web.Request) -> web.Response:
        return web.Response(status=500 if request.headers["webhook-id"] == bad else 200)

    async with receiver(answering=choosy) as there:
        webhook = await new_webhook(seed, there.url)
        refused, _ = await queue(seed, webhook, 2)
        bad = to_base64("WebhookDelivery", str(refused))
        async with delivering(dsn):
            await soon(lambda: ended(seed, webhook))
    assert sorted(each.delivered_at is None for each in await all_of(seed, webhook)) == [False, True]
    assert [each.disabled_at for each in await list_webhooks(seed.conn, seed.account_id)] == [None]


async def test_receiver_that_is_gone_disables_its_webhook_at_once(seed: Seed, dsn: str) -> None:
    async with receiver(200, 410) as there, delivering(dsn):
        webhook = await new_webhook(seed, there.url)
        await queue(seed, webhook)
        await soon(lambda: ended(seed, webhook))
        await queue(seed, webhook)
        await soon(lambda: ended(seed, webhook))
    gone, _ = await all_of(seed, webhook)
    assert (gone.attempts, gone.last_status, gone.delivered_at) == (1, 410, None)
    assert await entries(seed) == [("WEBHOOK_DISABLED", webhook.id, {"reason": "GONE"})]


# ---- receivers that are slow, odd or not there


async def test_receivers_that_hang_do_not_hold_up_others(seed: Seed, dsn: str) -> None:
    async with receiver(answering=hang) as slow, receiver() as quick, delivering(dsn, PATIENT):
        hanging = [await new_webhook(seed, slow.url) for _ in range(5)]
        for webhook in hanging:
            await queue(seed, webhook, 20)
        await soon(lambda: len(slow.received) == 5 * PATIENT.most_each)
        webhook = await new_webhook(seed, quick.url)
        await queue(seed, webhook, 50)
        await soon(lambda: ended(seed, webhook), 5)
        assert len(slow.received) == 5 * PATIENT.most_each
    assert len(quick.received) == 50


async def test_receiver_that_does_not_answer_in_time_has_failed(seed: Seed, dsn: str) -> None:
    async with receiver(answering=hang) as there, delivering(dsn, PATIENT, seconds=0.2):
        webhook = await new_webhook(seed, there.url)
        await queue(seed, webhook)
        await soon(lambda: tried(seed, webhook))
    found = await one_of(seed, webhook)
    assert (found.attempts, found.last_status, found.last_error) == (1, None, "TIMEOUT")


async def test_endless_answer_is_not_read(seed: Seed, dsn: str) -> None:
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"x" * 65_536)
            sent += 65_536

    async with receiver(answering=flood) as there, delivering(dsn):
        webhook = await new_webhook(seed, there.url)
        await queue(seed, webhook)
        await soon(lambda: ended(seed, webhook))
        await asyncio.sleep(0.2)
    assert sent < 20_000_000
    assert (await one_of(seed, webhook)).last_status == 200


async def test_redirect_is_a_failure_and_not_followed(seed: Seed, dsn: str) -> None:
    async with receiver() as elsewhere:

        async def redirect(_: web.Request) -> web.Response:
            return web.Response(status=307, headers={"Location": elsewhere.url})

        async with receiver(answering=redirect) as there, delivering(dsn, PATIENT):
            webhook = await new_webhook(seed, there.url)
            await queue(seed, webhook)
            await soon(lambda: tried(seed, webhook))
        assert elsewhere.received == []
    found = await one_of(seed, webhook)
    assert (found.last_status, found.last_error) == (307, "STATUS")


async def test_cookies_of_one_receiver_reach_no_other(seed: Seed, dsn: str) -> None:
    async def bake(_: web.Request) -> web.Response:
        return web.Response(headers={"Set-Cookie": "session=1; Path=/"})

    async with receiver(answering=bake) as there, delivering(dsn):
        webhook = await new_webhook(seed, there.url)
        await queue(seed, webhook)
        await soon(lambda: ended(seed, webhook))
        await queue(seed, webhook)
        await soon(lambda: len(there.received) == 2)
    assert [each.headers.get("Cookie") for each in there.received] == [None, None]


async def raw(octets: bytes) -> asyncio.Server:
    """A server that sends these octets to whoever connects, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(octets)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


@pytest.mark.parametrize(
    "octets",
    [b"", b"220 mail.example ESMTP\r\n", b"HTTP/1.1 999999 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000],
)
async def test_answer_that_is_no_http_is_a_failure(seed: Seed, dsn: str, octets: bytes) -> None:
    server = await raw(octets)
    port = server.sockets[0].getsockname()[1]
    async with delivering(dsn, PATIENT):
        webhook = await new_webhook(seed, f"http://127.0.0.1:{port}{PATH}")
        await queue(seed, webhook)
        await soon(lambda: tried(seed, webhook))
    server.close()
    assert (await one_of(seed, webhook)).last_error == "UNREACHABLE"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}", "http://name.invalid", f"http://{'x' * 70}.example", "https://127.0.0.1:{port}"]
)
async def test_receiver_that_is_not_there_is_unreachable(seed: Seed, dsn: str, url: str) -> None:
    async with delivering(dsn, PATIENT):
        webhook = await new_webhook(seed, url.format(port=free_port()) + PATH)
        await queue(seed, webhook)
        await soon(lambda: tried(seed, webhook))
    assert (await one_of(seed, webhook)).last_error == "UNREACHABLE"


async def test_receiver_without_a_certificate_that_is_valid_is_told_nothing(
    seed: Seed, dsn: str, certificate: ssl.SSLContext
) -> None:
    received = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(1))

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=certificate)
    async with delivering(dsn, PATIENT):
        webhook = await new_webhook(seed, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}{PATH}")
        await queue(seed, webhook)
        await soon(lambda: tried(seed, webhook))
    server.close()
    assert (await one_of(seed, webhook)).last_error == "TLS"
    assert received == []


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"])
async def test_nothing_is_sent_to_where_webhooks_may_not_lead(seed: Seed, dsn: str, scheme: str, host: str) -> None:
    """Not even a connection is made; a name is as good as the address that it stands for."""
    connected = []
    server = await asyncio.start_server(lambda *_: connected.append(1), None, 0)
    port = server.sockets[0].getsockname()[1]
    async with delivering(dsn, PATIENT, networks=()):
        webhook = await new_webhook(seed, f"{scheme}://{host}:{port}{PATH}")
        await queue(seed, webhook)
        await soon(lambda: tried(seed, webhook))
    server.close()
    assert (await one_of(seed, webhook)).last_error == "ADDRESS_FORBIDDEN"
    assert connected == []


async def test_proxies_of_the_environment_are_not_used(seed: Seed, dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver() as proxy, receiver() as there:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with delivering(dsn):
            webhook = await new_webhook(seed, there.url)
            await queue(seed, webhook)
            await soon(lambda: ended(seed, webhook))
    assert (len(there.received), len(proxy.received)) == (1, 0)


# ---- what happens to us


async def test_several_processes_send_each_delivery_once(seed: Seed, dsn: str) -> None:
    async with receiver() as there:
        webhooks = [await new_webhook(seed, there.url) for _ in range(3)]
        for webhook in webhooks:
            await queue(seed, webhook, 40)
        async with delivering(dsn, PATIENT), delivering(dsn, PATIENT), delivering(dsn, PATIENT):
            for webhook in webhooks:
                await soon(lambda: ended(seed, webhook))  # noqa: B023  # it is awaited here
    assert len(there.received) == len({each.id for each in there.received}) == 120


async def claimed_by_the_dead(seed: Seed, webhook: WebhookRecord) -> list[ClaimedDelivery]:
    """Claim what is due, as by a process that dies before it sends it, and let the claim end in a moment."""
    now = datetime.now(UTC)
    return await claim_deliveries(seed.conn, seed.account_id, {webhook.id: 9}, now, now + timedelta(seconds=0.3))


async def test_delivery_of_a_process_that_died_is_sent_by_another(seed: Seed, dsn: str) -> None:
    async with receiver() as there:
        webhook = await new_webhook(seed, there.url)
        await queue(seed, webhook)
        assert len(await claimed_by_the_dead(seed, webhook)) == 1
        async with delivering(dsn):
            await asyncio.sleep(0.1)
            assert there.received == []
            await soon(lambda: ended(seed, webhook))
    assert len(there.received) == 1
    assert (await one_of(seed, webhook)).attempts == 2


async def test_delivery_that_is_under_way_at_the_stop_comes_to_its_end(seed: Seed, dsn: str) -> None:
    answered = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        answered.set()
        return web.Response()

    async with receiver(answering=slow) as there:
        async with delivering(dsn, PATIENT):
            webhook = await new_webhook(seed, there.url)
            await queue(seed, webhook)
            await there.came.wait()
        assert answered.is_set()
        assert (await one_of(seed, webhook)).delivered_at is not None


async def test_stop_does_not_wait_for_a_receiver_that_hangs(seed: Seed, dsn: str) -> None:
    async with receiver(answering=hang) as there:
        async with asyncio.timeout(8):
            async with delivering(dsn, PATIENT):
                webhook = await new_webhook(seed, there.url)
                await queue(seed, webhook)
                await there.came.wait()
        found = await one_of(seed, webhook)
        assert found.next_attempt_at is not None  # when its claim has ended
        assert (found.attempts, found.last_error) == (1, None)


async def test_deliveries_wait_while_postgres_is_away(tmp_path: Path) -> None:
    with postgres(tmp_path) as dsn:
        await migrate(dsn)
        conn = await asyncpg.connect(dsn)
        seed = await plant(conn)
        held = asyncio.Event()

        async def hold(_: web.Request) -> web.Response:
            await held.wait()
            return web.Response()

        async with receiver(answering=hold) as there, create_pool(dsn) as pool:
            webhook = await new_webhook(seed, there.url)
            await queue(seed, webhook, 1)
            await conn.close()
            with capture_logs() as logs:
                async with running(pool, PATIENT):
                    await there.came.wait()
                    os.kill(int((tmp_path / "postgres" / "postmaster.pid").read_text().splitlines()[0]), 9)
                    held.set()
                    async with asyncio.timeout(30):
                        while not await delivered(dsn):
                            await asyncio.sleep(0.1)
    assert "webhooks have to wait" in [entry["event"] for entry in logs]
    assert len(there.received) == 1


async def delivered(dsn: str) -> bool:
    """Whether that is in the database; False while it is away."""
    try:
        conn = await asyncpg.connect(dsn, timeout=3)
    except (OSError, asyncpg.PostgresError):
        return False
    found = await conn.fetchval("SELECT bool_and(delivered_at IS NOT NULL) FROM webhook_deliveries")
    await conn.close()
    return bool(found)


async def test_without_a_database_that_is_said_once_and_the_service_stops(dsn: str) -> None:
    with capture_logs() as logs:
        async with asyncio.timeout(10):
            async with delivering("postgresql://nobody@127.0.0.1:1/nothing"):
                await asyncio.sleep(0.3)
    assert [entry["event"] for entry in logs] == ["webhooks have to wait"]


async def test_one_account_whose_rows_are_locked_does_not_hold_up_others(seed: Seed, dsn: str) -> None:
    other = await plant(seed.conn, "Other")
    conn = await asyncpg.connect(dsn)
    async with receiver() as there, conn.transaction():
        webhook, theirs = await new_webhook(seed, there.url), await new_webhook(other, there.url)
        await queue(seed, webhook)
        await queue(other, theirs)
        await conn.execute("SELECT 1 FROM webhook_deliveries WHERE webhook_id = $1 FOR UPDATE", webhook.id)
        async with delivering(dsn):
            await soon(lambda: ended(other, theirs))
    await conn.close()
    assert len(there.received) == 1


async def test_changes_of_webhooks_do_not_deadlock_with_their_deliveries(seed: Seed, dsn: str) -> None:
    """Webhooks are disabled by what becomes of deliveries, while others change and delete both."""
    link = await add_link(seed.conn, seed.account_id, seed.anna.id, None, "", "k1", datetime.now(UTC))
    assert link

    async def tell_and_enable(url: str) -> None:
        async with create_pool(dsn, max_size=1) as pool, pool.acquire() as conn:
            for _ in range(30):
                async with conn.transaction():
                    now, ids = datetime.now(UTC), [link.id]
                    await add_audit_entries(conn, seed.account_id, "LINK_RESET", ids, actor=OPERATOR, now=now)
                    for webhook in await list_webhooks(conn, seed.account_id):
                        await lock_webhook(conn, seed.account_id, webhook.id)
                        await update_webhook(conn, replace(webhook, disabled_at=None, removed_at=None))
                        await hasten_deliveries(conn, seed.account_id, webhook.id, "STATUS", now)
                await add_webhook(conn, seed.account_id, "k1", now, url=url, events=["link.reset"])

    async def delete() -> None:
        for _ in range(30):
            await asyncio.sleep(0.03)
            await seed.conn.execute("DELETE FROM webhooks WHERE id IN (SELECT id FROM webhooks ORDER BY id LIMIT 1)")

    async with receiver(*[410, 500, 500] * 1_000) as there:
        for _ in range(5):
            await new_webhook(seed, there.url)
        settings = replace(QUICK, delays=())
        with capture_logs() as logs:
            async with delivering(dsn, settings), delivering(dsn, settings):
                await asyncio.gather(tell_and_enable(there.url), delete())
                await soon(lambda: is_quiet(seed))
    events = {entry["event"] for entry in logs}
    assert events == {"webhook disabled"}
    assert len(there.received) > 30


async def is_quiet(seed: Seed) -> bool:
    sql = """
        SELECT count(*) FROM webhook_deliveries d JOIN webhooks h ON h.id = d.webhook_id
         WHERE d.next_attempt_at IS NOT NULL AND h.disabled_at IS NULL"""
    return not await seed.conn.fetchval(sql)


async def test_webhook_whose_key_is_not_here_waits_for_it(seed: Seed, dsn: str) -> None:
    other = Keyring.parse("k2:" + "f" * 32)
    async with receiver() as there:
        webhook = await new_webhook(seed, there.url)
        await queue(seed, webhook, 2)
        settings = replace(PATIENT, key_seconds=0.05)
        with capture_logs() as logs:
            async with delivering(dsn, settings, keyring=other):
                await soon(lambda: tried(seed, webhook))
                await asyncio.sleep(0.2)
        assert {(each.attempts, each.last_error) for each in await all_of(seed, webhook)} == {(0, "NO_KEY")}
        assert there.received == []
        told = {"event": "key of a webhook is not here", "webhook_id": str(webhook.id), "key_id": "k1"}
        assert logs == [{**told, "log_level": "warning"}]
        async with delivering(dsn, PATIENT):
            await soon(lambda: ended(seed, webhook))
    assert len(there.received) == 2


async def test_what_is_old_is_forgotten(seed: Seed, dsn: str) -> None:
    now = datetime.now(UTC)
    webhook = await new_webhook(seed, "http://127.0.0.1:1")
    removed = await new_webhook(seed, "http://127.0.0.1:1")
    await update_webhook(seed.conn, replace(removed, disabled_at=now - KEPT - HOUR, removed_at=now - KEPT - HOUR))
    sql = """
        INSERT INTO webhook_deliveries (account_id, id, webhook_id, event, facts, created_at)
        SELECT $1, gen_random_uuid(), $2, 'webhook.test', '{}', $3 FROM generate_series(1, $4)"""
    await seed.conn.execute(sql, seed.account_id, webhook.id, now - KEPT - HOUR, MOST_DELETED + 5)
    await seed.conn.execute(sql, seed.account_id, webhook.id, now - KEPT + HOUR, 1)
    async with delivering(dsn):
        await soon(lambda: is_swept(seed))
    assert len(await all_of(seed, webhook)) == 1


async def is_swept(seed: Seed) -> bool:
    counts = "SELECT (SELECT count(*) FROM webhooks), (SELECT count(*) FROM webhook_deliveries)"
    row = await seed.conn.fetchrow(counts)
    return row is not None and tuple(row) == (1, 1)


async def test_url_of_a_receiver_is_in_no_log(seed: Seed, dsn: str) -> None:
    """The net of every test looks for its path; here it is told whatever can go wrong."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    try:
        async with receiver(500, 302, 200, 410) as there, delivering(dsn):
            urls = [there.url, f"http://127.0.0.1:{free_port()}{PATH}", f"https://name.invalid{PATH}"]
            for url in [*urls, there.url.replace("http:", "https:")]:
                await queue(seed, await new_webhook(seed, url), 3)
            for webhook in await list_webhooks(seed.conn, seed.account_id):
                await soon(lambda: tried_or_ended(seed, webhook))  # noqa: B023  # it is awaited here
            assert PATH not in repr(await list_webhooks(seed.conn, seed.account_id))
    finally:
        loop.set_debug(False)
    NET.hear(PATH)
    assert [line.partition(":")[0] for line in NET.caught()] == ["secret of a webhook"]


async def tried_or_ended(seed: Seed, webhook: WebhookRecord) -> bool:
    return all(each.attempts and (each.last_status or each.last_error) for each in await all_of(seed, webhook))

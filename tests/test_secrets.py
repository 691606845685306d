"""Secrets and what activities say appear nowhere: the net of `tests.leaks` catches them, and hard traffic tells none.

What the whole suite makes the service say is searched by the fixture `nothing_secret_is_said`.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
import structlog

from api.api_keys import make_api_key
from api.errors import Unauthenticated
from api.webhooks.receivers import secret_text
from db.embedded import postgres
from db.migrate import migrate
from tests.feed.subscription import stay_in_today
from tests.leaks import NET
from tests.process import fetch, run, running
from tests.seed import JWT_SECRET, SECRET_KEY, Seed, Service, bearer, meeting, plant, running_service

TOKEN = "cf1_AmsxAZ6f4UgQz7Kp2Wm9Rt4Yb6Nc1Vd8Hf3Jg5Ls0qZ7kP2wM9rT4yB6nC1vD8hF3jG5"
PASSWORD = "hunter2hunter2"
STORY = 'Müller told us: they divorce,\n"keep it" – C:\\Notes'
ANNA = "anna@harbour-homes.example"
GENERATE = "mutation ($input: GenerateCalendarUrlInput!) { generateCalendarUrl(input: $input) { url } }"


def caught() -> set[str]:
    """The kinds of what the net has caught."""
    return {line.partition(":")[0] for line in NET.caught()}


# ---- the net


def log_raised(error: Exception) -> None:
    try:
        raise error  # noqa: TRY301  # so that it has a traceback
    except Exception:
        logging.getLogger("aiohttp.server").exception("Unhandled exception")


WAYS: dict[str, Callable[[str], None]] = {
    "log of a library at DEBUG": lambda text: logging.getLogger("aiohttp.access").debug("GET /feeds/%s", text),
    "log of ours": lambda text: structlog.get_logger().info("polled", path=text),
    "message of an exception": lambda text: log_raised(ValueError(text)),
    "field of an exception of ours": lambda text: structlog.get_logger().error("failed", exc_info=ValueError(text)),
    "error answered to a caller": lambda text: NET.hear_errors({"errors": [Unauthenticated(text).formatted]}),
}
KINDS: dict[str, Callable[[Seed], str]] = {
    "feed token": lambda _: TOKEN,
    "API key": lambda _: make_api_key(uuid4(), uuid4()),
    "secret of a webhook": lambda _: secret_text(uuid4().bytes),
    "bearer token": lambda seed: bearer(seed.anna),
    "password in a URL": lambda _: "postgresql://crm:pw@db.example.com/crm",
    "key or password": lambda _: SECRET_KEY.partition(":")[2],
    "private text": lambda _: STORY,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
async def test_secret_that_is_told_is_caught(seed: Seed, service: Service, kind: str, way: str) -> None:
    await seed.write(meeting(description=STORY))
    WAYS[way](KINDS[kind](seed))
    assert caught() == {kind}


async def test_secret_of_an_exception_that_nobody_handles_is_caught() -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "left", "exception": ValueError(TOKEN)})
    assert caught() == {"feed token"}


async def test_beginning_of_a_token_or_of_a_text_is_caught(seed: Seed) -> None:
    await seed.write(meeting(title="Divorce of the Müllers"))
    for text in (TOKEN[:15], "Divorce of the M…"):
        logging.getLogger("asyncio").warning("Executing <Task coro=<%s", text)
    assert caught() == {"feed token", "private text"}


async def test_jwt_secret_of_the_tests_is_caught(service: Service) -> None:
    logging.getLogger("x").info(JWT_SECRET)
    assert caught() == {"key or password"}


async def test_refusals_are_heard(service: Service) -> None:
    await service.poll("/feeds/garbage.ics")
    assert "There is no such calendar feed." in NET.heard()


def test_secrets_of_a_process_are_caught_in_its_standard_error(tmp_path: Path) -> None:
    NET.keep_secret({"CALENDAR_FEEDS_DATABASE_URL": f"postgresql://crm:{PASSWORD}@db/crm?password=its%20other"})
    log = tmp_path / "log"
    log.touch()
    with NET.following(log):
        log.write_text(f"Traceback: {PASSWORD}")
        assert caught() == {"key or password"}
        assert caught() == set()
    with NET.following(log):
        log.write_text("its other")
    assert caught() == {"key or password"}


# ---- traffic that is hard to answer in silence


@pytest.fixture
async def url(seed: Seed, service: Service) -> str:
    await stay_in_today(seed)
    await seed.write(meeting(title="Divorce of the Müllers", description=STORY))
    return await service.generate(seed.anna, seed.own)


async def send(service: Service, request: str) -> bytes:
    """Send octets as they are, and read what is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
    writer.write(request.encode())
    answer = await reader.read(65536)
    writer.close()
    await writer.wait_closed()
    return answer


MALFORMED = {
    "spaces": "GET {url} with spaces HTTP/1.1\r\nHost: x\r\n\r\n",
    "version of another protocol": "GET {url} HTTQ/1.1\r\nHost: x\r\n\r\n",
    "method": "{url} GET HTTP/1.1\r\nHost: x\r\n\r\n",
    "name of a header": "GET {url} HTTP/1.1\r\nHost: x\r\n{url}\r\n\r\n",
    "value of a header": "GET {url} HTTP/1.1\r\nHost: x\r\nReferer: {url}\0\r\n\r\n",
    "length": "POST {url} HTTP/1.1\r\nHost: x\r\nContent-Length: {url}\r\n\r\n",
    "encoding": "POST {url} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {url}, chunked\r\n\r\n{url}\r\n",
    "chunk": "POST {url} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{url}\r\n",
    "expectation": "GET {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: {url}\r\n\r\n",
    "long line": "GET {url}{long} HTTP/1.1\r\nHost: x\r\n\r\n",
    "long header": "GET {url} HTTP/1.1\r\nHost: x\r\nReferer: {url}{long}\r\n\r\n",
}


async def send_malformed(service: Service, url: str, what: str) -> str:
    answer = await send(service, MALFORMED[what].format(url=url, long="x" * 20_000))
    assert answer.split()[1] in (b"400", b"417")
    return answer.decode()


@pytest.mark.parametrize("what", MALFORMED)
async def test_malformed_request_is_logged_without_a_word_of_it(service: Service, url: str, what: str) -> None:
    await send_malformed(service, url, what)
    assert '"status": 4' in NET.heard()
    assert caught() == set()


@pytest.mark.parametrize("what", MALFORMED)
async def test_answer_to_a_malformed_request_repeats_nothing_of_it(service: Service, url: str, what: str) -> None:
    NET.hear(await send_malformed(service, url, what))
    assert caught() == set()


@pytest.mark.parametrize("header", ["User-Agent", "Referer", "X-Forwarded-For", "Cookie", "If-None-Match"])
async def test_token_in_a_header_is_neither_told_nor_kept(seed: Seed, dsn: str, url: str, header: str) -> None:
    async with running_service(dsn, proxies="127.0.0.1") as service:
        await (await service.client.get(url, headers={header: url, "Accept": "text/html"})).read()
        await service.poll(f"/feeds/{TOKEN}.ics", **{header: url})
        assert (await service.poll(url, "POST", **{header: url})).status == 405
    token = url.split("/")[2]
    tables = await seed.conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for (table,) in tables:
        rows = await seed.conn.fetch(f"SELECT t::text FROM {table} t")
        assert not any(token in row for (row,) in rows)
    assert "/feeds/{token}/{name}.ics" in NET.heard()


@asynccontextmanager
async def missing(seed: Seed, table: str) -> AsyncIterator[None]:
    await seed.conn.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
    try:
        yield
    finally:
        await seed.conn.execute(f"ALTER TABLE elsewhere RENAME TO {table}")


@pytest.mark.parametrize("table", ["feed_links", "fragments", "activities"])
async def test_crash_while_a_poll_is_answered_tells_no_secret(
    seed: Seed, service: Service, url: str, table: str
) -> None:
    async with missing(seed, table):
        assert (await service.poll(url)).status == 503
    assert '"poll failed"' in NET.heard()


async def test_row_that_postgresql_refuses_is_not_repeated(seed: Seed, service: Service, url: str) -> None:
    """What PostgreSQL says of it holds the whole row."""
    await seed.conn.execute("ALTER TABLE feed_links ADD CONSTRAINT short CHECK (length(name) < 9) NOT VALID")
    try:
        answer = await service.graphql(GENERATE, seed.anna, input={"name": "Divorce of the Müllers"})
    finally:
        await seed.conn.execute("ALTER TABLE feed_links DROP CONSTRAINT short")
    assert answer["errors"][0]["extensions"] == {"code": "INTERNAL"}
    assert '"resolver failed"' in NET.heard()


async def wait_for_reader(seed: Seed) -> None:
    async with asyncio.timeout(20):
        while not await seed.conn.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.02)


async def test_poll_that_its_client_aborts_tells_no_secret(seed: Seed, service: Service, url: str) -> None:
    async with seed.conn.transaction():
        await seed.conn.execute("LOCK TABLE feed_links IN ACCESS EXCLUSIVE MODE")
        _, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
        writer.write(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await wait_for_reader(seed)
        writer.transport.abort()
        await asyncio.sleep(0.1)
    assert (await service.poll(url)).status == 200


async def test_debug_of_asyncio_tells_no_secret(seed: Seed, dsn: str, url: str) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    before, loop.slow_callback_duration = loop.slow_callback_duration, 0
    try:
        async with running_service(dsn, cache_bytes=0) as service:
            assert (await service.poll(url)).status == 200
            async with missing(seed, "fragments"):
                assert (await service.poll(url)).status == 503
            await send_malformed(service, url, "spaces")
            await service.graphql("{ calendarFeeds { url } }", seed.anna)
    finally:
        loop.set_debug(False)
        loop.slow_callback_duration = before
    assert "Executing <" in NET.heard()


# ---- GraphQL


ASKED = {
    "wrong type of a variable": ("query ($n: Int) { feedLinks(first: $n) { edges { cursor } } }", {"n": TOKEN}),
    "wrong input": (GENERATE, {"input": {"regenerate": TOKEN}}),
    "unknown field of an input": (GENERATE, {"input": {TOKEN: 1}}),
    "not an id": ("query ($id: ID) { calendarFeeds(userId: $id) { url } }", {"id": TOKEN}),
    "not a cursor": ("query ($after: String) { feedLinks(after: $after) { edges { cursor } } }", {"after": TOKEN}),
    "literal": (f'{{ calendarFeeds(userId: 1, token: "{TOKEN}") {{ url }} }}', {}),
    "field": (f"{{ {TOKEN} }}", {}),
    "syntax": (f"{{ viewer }} {TOKEN}", {}),
}


async def ask(seed: Seed, service: Service, what: str) -> dict[str, Any]:
    query, variables = ASKED[what]
    body, headers = {"query": query, "variables": variables}, {"Authorization": f"Bearer {bearer(seed.anna)}"}
    async with service.client.post("/graphql", json=body, headers=headers) as answer:
        found: dict[str, Any] = await answer.json()
        assert found["errors"]
        return found


@pytest.mark.parametrize("what", ASKED)
async def test_query_that_holds_a_token_is_not_logged(seed: Seed, service: Service, what: str) -> None:
    await ask(seed, service, what)
    assert '"route": "/graphql"' in NET.heard()


@pytest.mark.parametrize("what", ASKED)
async def test_error_of_a_query_repeats_no_token(seed: Seed, service: Service, what: str) -> None:
    NET.hear_errors(await ask(seed, service, what))
    assert caught() == set()


@pytest.mark.parametrize("header", ["Bearer {}", "Bearer  {} x", "Basic {}", "{}", "bearer\t{}", "Bearer {}é"])
async def test_bearer_token_that_is_malformed_is_told_to_nobody(seed: Seed, service: Service, header: str) -> None:
    for secret in (bearer(seed.anna) + "x", make_api_key(uuid4(), uuid4())[:-2], TOKEN):
        said = {"Authorization": header.format(secret)}
        async with service.client.post("/graphql", json={"query": "{ viewer { name } }"}, headers=said) as answer:
            found = await answer.json()
        NET.hear_errors(found)
        assert found["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}


BODIES = ["{{{}", '{{"query": "{}', '["{}"]', '{{"query": 7, "variables": "{}"}}', '"{}"']


@pytest.mark.parametrize("body", BODIES)
async def test_body_that_is_no_query_is_told_to_nobody(service: Service, body: str) -> None:
    for name in ("application/json", "text/plain", "multipart/form-data; boundary=x", TOKEN):
        said = {"Content-Type": name, "Accept": "text/html"}
        async with service.client.post(f"/graphql?token={TOKEN}", data=body.format(TOKEN), headers=said) as answer:
            await NET.hear_refusal(answer)
            assert answer.status >= 400


# ---- processes


def test_process_at_its_most_talkative_that_is_aborted_tells_no_secret(
    tmp_path: Path, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")
    with running(tmp_path / "data", "demo", "--json", database_url=empty_database) as demo:
        token = demo.user(ANNA)["token"]
        url = demo.generate(token)
        for path in (url, url + "/more", url.replace("/feeds/", "/other/"), url.replace("cf1_", "cf1_x")):
            fetch(path)
        where = urlsplit(url)
        with socket.create_connection((where.hostname, where.port)) as malformed:
            malformed.sendall(f"GET {where.path} with spaces HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            malformed.recv(100)
        assert demo.stop(signal.SIGABRT) == -signal.SIGABRT
        assert "Fatal Python error: Aborted" in NET.heard()
        assert '"malformed request"' in NET.heard()


def test_wrong_settings_are_refused_without_their_values(tmp_path: Path) -> None:
    said = run(
        tmp_path / "data",
        "serve",
        secret_keys="k1:short-but-secret,k 2:not-so-short-but-secret-all-the-same",
        jwt_secret="short-but-secret-too",
        redis_url=f"http://:{PASSWORD}@127.0.0.1/0",
        public_url=f"https://crm:{PASSWORD}@feeds.example.com",
        settings_page_url=f"https://crm:{PASSWORD}@feeds.example.com/ö",
        proxies=TOKEN,
        port=TOKEN,
        log_level=TOKEN,
    )
    assert (said.returncode, said.stdout) == (1, "")
    wrong = (
        "SECRET_KEYS",
        "JWT_SECRET",
        "REDIS_URL",
        "PUBLIC_URL",
        "SETTINGS_PAGE_URL",
        "PROXIES",
        "PORT",
        "LOG_LEVEL",
    )
    for name in wrong:
        assert f"CALENDAR_FEEDS_{name}: " in said.stderr


ADDRESSES = (f"postgresql://crm:{PASSWORD}@[::1/crm", f"mysql://crm:{PASSWORD}@127.0.0.1/crm")


@pytest.mark.parametrize("address", ADDRESSES)
def test_address_that_is_no_postgresql_is_refused_without_its_password(tmp_path: Path, address: str) -> None:
    said = run(tmp_path / "data", "demo", "--json", database_url=address)
    assert (said.returncode, said.stdout) == (1, "")
    assert "check CALENDAR_FEEDS_DATABASE_URL" in said.stderr


# ---- PostgreSQL


@dataclass(frozen=True)
class Server:
    """A PostgreSQL of its own, with the schema."""

    dsn: str
    data_dir: Path

    def ask_for_password_of(self, role: str) -> None:
        path = self.data_dir / "postgres" / "pg_hba.conf"
        path.write_text(f"local all {role} scram-sha-256\n{path.read_text()}")


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    data_dir = tmp_path_factory.mktemp("secrets")
    with postgres(data_dir) as dsn:
        await migrate(dsn)
        yield Server(dsn, data_dir)


async def test_password_that_postgresql_refuses_is_told_to_nobody(server: Server, tmp_path: Path) -> None:
    conn = await asyncpg.connect(server.dsn)
    seed = await plant(conn)
    async with running_service(server.dsn) as service:
        url = await service.generate(seed.anna)
    server.ask_for_password_of("crm")
    await conn.execute("CREATE ROLE crm LOGIN PASSWORD 'another'; SELECT pg_reload_conf()")
    await conn.close()
    refused = server.dsn.replace("postgres@", f"crm:{PASSWORD}@")
    said = run(tmp_path / "data", "demo", database_url=refused)
    assert said.stderr.startswith("calendar-feeds: PostgreSQL refuses the connection (InvalidPasswordError): ")
    async with running_service(refused) as service:
        assert (await service.poll(url)).status == 503
        assert (await service.graphql("{ viewer { name } }", seed.anna))["errors"]
    assert "InvalidPasswordError" in NET.heard()


async def test_log_of_the_embedded_postgresql_tells_no_row(server: Server) -> None:
    conn = await asyncpg.connect(server.dsn)
    seed = await plant(conn)
    with pytest.raises(asyncpg.CheckViolationError):
        await seed.write(meeting(description=STORY, priority="URGENT"))
    await conn.close()
    log = (server.data_dir / "postgres.log").read_text()
    assert "activities_" in log
    NET.hear(log)
    assert caught() == set()

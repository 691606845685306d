"""GraphQL over HTTP: media types and their statuses, bodies of every kind, and what is answered when nothing works."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from aiohttp import ClientResponse

from api.api_keys import make_api_key
from db.ids import new_id
from tests.leaks import NET
from tests.seed import Seed, Service, bearer, running_service

JSON, GRAPHQL_JSON = "application/json", "application/graphql-response+json"
SCHEMA = "{ __schema { queryType { name } } }"
VIEWER = "{ viewer { name } }"
GENERATE = "mutation { generateCalendarUrl(input: {}) { url userErrors { message } } }"


async def send(service: Service, body: Any = SCHEMA, /, **headers: str) -> ClientResponse:
    """Post a query, or octets as they are, and hear what is refused."""
    octets = body if isinstance(body, bytes) else json.dumps({"query": body}).encode()
    said = {"Content-Type": JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
    answer = await service.client.post("/graphql", data=octets, headers=said)
    await NET.hear_refusal(answer)
    return answer


async def refusal(answer: ClientResponse) -> tuple[int, str]:
    """The status and the code of an answer that is nothing but one error."""
    said = await answer.json(content_type=None)
    assert answer.content_type in (JSON, GRAPHQL_JSON)
    assert list(said) == ["errors"]
    ((error,),) = said.values()
    assert error["message"]
    return answer.status, error["extensions"]["code"]


def authorized(seed: Seed) -> dict[str, str]:
    return {"Authorization": f"Bearer {bearer(seed.anna)}"}


# ---- media types


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (GRAPHQL_JSON, GRAPHQL_JSON),
        (f"{GRAPHQL_JSON}; charset=utf-8, {JSON}; charset=utf-8", GRAPHQL_JSON),
        (f"{JSON}, {GRAPHQL_JSON}", JSON),
        (f"{JSON};q=0.5, {GRAPHQL_JSON};q=0.9", GRAPHQL_JSON),
        (f"{JSON};q=0.9, {GRAPHQL_JSON};q=0.5", JSON),
        (f"{GRAPHQL_JSON}, application/json;q=0.9, */*;q=0.1", GRAPHQL_JSON),
        (f"{JSON};q=0, */*", GRAPHQL_JSON),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
        (GRAPHQL_JSON.upper(), GRAPHQL_JSON),
        ("text/html", None),
        ("application/graphql+json, multipart/mixed", None),
        (f"{JSON};q=0", None),
        ("*/*;q=0", None),
        ("nonsense", None),
        (", ;q=1, ,", None),
    ],
)
async def test_answer_has_the_media_type_that_is_asked_for(
    service: Service, accept: str, media_type: str | None
) -> None:
    answer = await send(service, Accept=accept)
    if media_type is None:
        assert await refusal(answer) == (406, "BAD_REQUEST")
    else:
        assert (answer.status, answer.content_type, answer.charset) == (200, media_type, "utf-8")
        assert await answer.json(content_type=None) == {"data": {"__schema": {"queryType": {"name": "Query"}}}}


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "not parsed": ("{", {}),
    "not valid": ("{ nothing }", {}),
    "not coerced": ("query ($u: ID) { calendarFeeds(userId: $u) { id } }", {"variables": {"u": [1]}}),
    "unknown operation": ("query A { __typename }", {"operationName": "B"}),
    "no operation chosen": ("query A { __typename } query B { __typename }", {}),
    "subscription": ("subscription { anything }", {}),
    "type definition": ("type Query { a: Int }", {}),
    "nothing but a fragment": ("fragment F on Query { __typename }", {}),
    "empty": (" ", {}),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize(("accept", "status"), [(JSON, 200), (GRAPHQL_JSON, 400)])
async def test_query_that_cannot_be_executed_has_no_data(service: Service, what: str, accept: str, status: int) -> None:
    query, more = REFUSED[what]
    answer = await send(service, json.dumps({"query": query, **more}).encode(), Accept=accept)
    said = await answer.json(content_type=None)
    assert (answer.status, answer.content_type, list(said)) == (status, accept, ["errors"])
    assert {error["extensions"]["code"] for error in said["errors"]} == {"INVALID_QUERY"}


async def test_query_of_a_caller_who_is_not_known_is_401_where_the_status_counts(service: Service) -> None:
    answer = await send(service, VIEWER, Accept=GRAPHQL_JSON)
    assert await refusal(answer) == (401, "UNAUTHENTICATED")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    answer = await send(service, VIEWER, Accept=JSON)
    assert answer.status == 200
    assert (await answer.json())["data"] == {"viewer": None}


async def test_answer_with_some_data_is_200(service: Service) -> None:
    answer = await send(service, "{ __typename viewer { name } }", Accept=GRAPHQL_JSON)
    said = await answer.json(content_type=None)
    assert (answer.status, said["data"]) == (200, {"__typename": "Query", "viewer": None})
    assert [error["path"] for error in said["errors"]] == [["viewer"]]


async def test_error_that_takes_all_data_with_it_is_executed(seed: Seed, service: Service) -> None:
    query = "{ feedLinks(first: 0) { edges { cursor } } }"
    answer = await send(service, query, Accept=GRAPHQL_JSON, **authorized(seed))
    said = await answer.json(content_type=None)
    assert (answer.status, said["data"]) == (200, None)


async def test_chosen_operation_is_executed(service: Service) -> None:
    body = {"query": "query A { a: __typename } query B { b: __typename }", "operationName": "B"}
    answer = await send(service, json.dumps(body).encode())
    assert await answer.json() == {"data": {"b": "Query"}}


# ---- what is sent


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/plain; x=application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        GRAPHQL_JSON,
        "application/json; charset=utf-16",
        "application/json; charset=iso-8859-1",
        "application/jsonx",
        "",
    ],
)
async def test_body_of_another_media_type_is_refused_whoever_sends_it(
    seed: Seed, service: Service, content_type: str
) -> None:
    """Pages of other origins can send some of these without asking first."""
    answer = await send(service, GENERATE, Content_Type=content_type, **authorized(seed))
    assert await refusal(answer) == (415, "BAD_REQUEST")
    assert answer.headers["Accept-Post"] == JSON
    assert await seed.conn.fetchval("SELECT count(*) FROM feed_links") == 0


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=UTF-8", 'application/json; charset="utf-8"']
)
async def test_media_type_of_the_body_is_read_as_http_says(service: Service, content_type: str) -> None:
    assert (await send(service, Content_Type=content_type)).status == 200


QUERY = b'"query": "{ __typename }"'
MALFORMED = {
    "nothing": b"",
    "space": b" \n",
    "null": b"null",
    "text": b'"x"',
    "number": b"7",
    "true": b"true",
    "empty list": b"[]",
    "batch": b"[{%s}]" % QUERY,
    "empty object": b"{}",
    "no query": b'{"notquery": "{ __typename }"}',
    "query null": b'{"query": null}',
    "query empty": b'{"query": ""}',
    "query a number": b'{"query": 7}',
    "query a list": b'{"query": ["{ __typename }"]}',
    "query an object": b'{"query": {}}',
    "variables a text": b'{%s, "variables": "{}"}' % QUERY,
    "variables a list": b'{%s, "variables": []}' % QUERY,
    "variables false": b'{%s, "variables": false}' % QUERY,
    "operationName a number": b'{%s, "operationName": 1}' % QUERY,
    "operationName an object": b'{%s, "operationName": {}}' % QUERY,
    "extensions a text": b'{%s, "extensions": "x"}' % QUERY,
    "extensions a list": b'{%s, "extensions": []}' % QUERY,
    "cut off": b'{"query": "{ __type',
    "more after it": b"{%s} {}" % QUERY,
    "single quotes": b"{'query': '{ __typename }'}",
    "comment": b"{%s /* x */}" % QUERY,
    "comma at the end": b"{%s,}" % QUERY,
    "key twice": b'{%s, "query": "{ viewer { name } }"}' % QUERY,
    "key twice in variables": b'{%s, "variables": {"a": {"b": 1, "b": 2}}}' % QUERY,
    "NaN": b'{%s, "variables": {"a": NaN}}' % QUERY,
    "Infinity": b'{%s, "variables": {"a": [-Infinity]}}' % QUERY,
    "control character": b'{"query": "{ __typename \x01 }"}',
    "no UTF-8": b'{"query": "{ __typename \xff }"}',
    "UTF-8 cut off": b'{"query": "{ __typename } # \xc3"}',
    "surrogates in UTF-8": b'{"query": "# \xed\xa0\x80\\n{ __typename }"}',
    "UTF-16": '{"query": "{ __typename }"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"query": "{ __typename }"}'.encode("utf-16-le"),
    "UTF-32": '{"query": "{ __typename }"}'.encode("utf-32"),
    "100,000 brackets": b'{%s, "variables": {"a": %s' % (QUERY, b"[" * 90_000),
    "100,000 braces": b'{"a":' * 19_000,
    "50,000 brackets, closed": b'{%s, "variables": {"a": %s%s}}' % (QUERY, b"[" * 45_000, b"]" * 45_000),
    "gzip": gzip.compress(b"{%s}" % QUERY),
    "a form": b"query=%7B__typename%7D",
}


@pytest.mark.parametrize("what", MALFORMED)
async def test_body_that_is_no_request_is_400(service: Service, what: str) -> None:
    assert await refusal(await send(service, MALFORMED[what])) == (400, "BAD_REQUEST")


ODD = {
    "mark of UTF-8": b"\xef\xbb\xbf{%s}" % QUERY,
    "other keys": b'{%s, "id": 1, "a": {"b": []}}' % QUERY,
    "nulls": b'{%s, "variables": null, "operationName": null, "extensions": null}' % QUERY,
    "operationName empty": b'{%s, "operationName": ""}' % QUERY,
    "variables that are not declared": b'{%s, "variables": {"a": [[[[]]]], "\\ud800": "\\u0000"}}' % QUERY,
    "number beyond all numbers": b'{%s, "variables": {"a": 1e999, "b": %s}}' % (QUERY, b"9" * 90_000),
    "letters of every kind": '{"query": "{ __typename } # Ünïcödé 🏃"}'.encode(),
}


@pytest.mark.parametrize("what", ODD)
async def test_body_that_is_odd_is_answered(service: Service, what: str) -> None:
    answer = await send(service, ODD[what])
    assert (answer.status, await answer.json()) == (200, {"data": {"__typename": "Query"}})


@pytest.mark.parametrize("text", ["\\ud800", "\\udfff\\ud800", "\\u0000"])
@pytest.mark.parametrize(
    ("query", "code"),
    [
        (b'{"query": "query ($t: ID!) { calendarFeeds(userId: $t) { id } }", "variables": {"t": "%s"}}', "NOT_FOUND"),
        (b'{"query": "query ($t: ID!) { calendarFeeds(userId: $t) { id } }", "variables": {"%s": 1}}', "INVALID_QUERY"),
        (b'{"query": "{ calendarFeeds(userId: \\"\\\\ud800 %s\\") { id } }"}', "INVALID_QUERY"),
        (b'{"query": "{ %s }"}', "INVALID_QUERY"),
        (b'{"query": "query A { __typename }", "operationName": "%s"}', "INVALID_QUERY"),
    ],
)
async def test_character_that_is_none_is_the_callers_fault(
    seed: Seed, service: Service, text: str, query: bytes, code: str
) -> None:
    answer = await send(service, query % text.encode(), **authorized(seed))
    said = await answer.json()
    assert (answer.status, [error["extensions"]["code"] for error in said["errors"]]) == (200, [code])


# ---- large, compressed, slow and cut off


def large(octets: int) -> bytes:
    """A query of so many octets."""
    return b"{%s}" % QUERY.ljust(octets - 2)


@pytest.fixture
async def small(dsn: str) -> AsyncIterator[Service]:
    """A service that takes no more than 200,000 octets, and no longer than a second."""
    async with running_service(dsn, max_request_bytes=200_000, request_seconds=1) as service:
        yield service


async def chunks(octets: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(octets), 50_000):
        yield octets[start : start + 50_000]


async def send_chunked(service: Service, octets: bytes, headers: dict[str, str]) -> ClientResponse:
    said = {"Content-Type": JSON, **headers}
    return await service.client.post("/graphql", data=chunks(octets), headers=said)


async def test_callers_who_are_not_known_send_little(seed: Seed, small: Service) -> None:
    deactivated = {"Authorization": f"Bearer {bearer(seed.ben)}"}
    await seed.conn.execute("UPDATE users SET deactivated_at = now() WHERE id = $1", seed.ben.id)
    guessed = {"Authorization": f"Bearer {make_api_key(seed.account_id, new_id())}"}
    for headers in ({}, {"Authorization": "Bearer nonsense"}, deactivated, guessed):
        assert (await send(small, large(100_000), **headers)).status == 200
        assert (await send_chunked(small, large(100_000), headers)).status == 200
        assert await refusal(await send(small, large(100_001), **headers)) == (413, "TOO_LARGE")
        assert await refusal(await send_chunked(small, large(100_001), headers)) == (413, "TOO_LARGE")


async def test_callers_who_are_known_send_as_much_as_the_settings_say(seed: Seed, small: Service) -> None:
    headers = authorized(seed)
    assert (await send(small, large(200_000), **headers)).status == 200
    assert (await send_chunked(small, large(200_000), headers)).status == 200
    assert await refusal(await send(small, large(200_001), **headers)) == (413, "TOO_LARGE")
    assert await refusal(await send_chunked(small, large(200_001), headers)) == (413, "TOO_LARGE")


HEAD = "POST /graphql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"


async def speak(service: Service, text: str, *, ends: bool = False) -> tuple[int, dict[str, Any]]:
    """Say something as it is, perhaps nothing after it, and read the answer to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
    try:
        writer.write(text.encode())
        if ends:
            writer.write_eof()
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split()[0])
            return int(head.split()[1]), json.loads(await reader.readexactly(length))
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("length", [100_001, 10_000_000_000])
async def test_large_body_is_refused_before_it_is_there(service: Service, length: int) -> None:
    status, said = await speak(service, f"{HEAD}Content-Length: {length}\r\n\r\n")
    assert (status, said["errors"][0]["extensions"]) == (413, {"code": "TOO_LARGE"})


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x"])
async def test_compressed_body_is_refused_before_it_is_there(service: Service, coding: str) -> None:
    for more in ("Content-Length: 1000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"):
        status, said = await speak(service, f"{HEAD}Content-Encoding: {coding}\r\n{more}")
        assert (status, said["errors"][0]["extensions"]) == (415, {"code": "BAD_REQUEST"})


async def test_bomb_of_gzip_is_not_inflated(service: Service) -> None:
    """A body that is called gzip and is none would be 400 if anybody looked inside."""
    for body in (gzip.compress(bytes(100_000_000)), b"no gzip"):
        assert await refusal(await send(service, body, Content_Encoding="gzip")) == (415, "BAD_REQUEST")
    assert (await send(service, Content_Encoding="identity")).status == 200


@pytest.mark.parametrize("body", ["5\r\n{abc", "z\r\n{abc\r\n", "3\r\n{}xyz\r\n0\r\n\r\n"])
@pytest.mark.parametrize("pause", [0, 0.2])
async def test_body_that_is_framed_badly_is_400(service: Service, body: str, pause: float) -> None:
    """Whether it comes with the head or after it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
    writer.write(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
    await asyncio.sleep(pause)
    writer.write(body.encode())
    writer.write_eof()
    async with asyncio.timeout(5):
        answered = await reader.read()
    writer.close()
    assert answered.split()[1:2] in ([b"400"], [])  # to one whose connection has ended nothing is said
    assert (await send(service)).status == 200


async def test_body_that_does_not_arrive_is_408(small: Service) -> None:
    status, said = await speak(small, f"{HEAD}Content-Length: 100\r\n\r\n{{")
    assert (status, said["errors"][0]["extensions"]) == (408, {"code": "TIMEOUT"})


async def test_caller_who_hangs_up_in_the_middle_of_a_body_is_forgotten(service: Service) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
    writer.write(f"{HEAD}Content-Length: 100\r\n\r\n{{".encode())
    await writer.drain()
    writer.transport.abort()
    await asyncio.sleep(0.1)
    assert (await send(service)).status == 200
    assert "resolver failed" not in NET.heard()
    assert "Unhandled" not in NET.heard()


# ---- methods


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "TRACE", "QUERY"])
async def test_other_methods_are_refused(service: Service, method: str) -> None:
    async with service.client.request(method, "/graphql", params={"query": SCHEMA}) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST, OPTIONS")
        if method != "HEAD":
            assert await refusal(answer) == (405, "BAD_REQUEST")


async def test_options_tells_the_methods(service: Service) -> None:
    async with service.client.options("/graphql") as answer:
        assert (answer.status, answer.headers["Allow"], await answer.read()) == (204, "GET, POST, OPTIONS", b"")


async def get(service: Service, headers: dict[str, str] | None = None, /, **parameters: str) -> ClientResponse:
    return await service.client.get("/graphql", params=parameters, headers=headers)


async def test_query_by_get_is_answered(seed: Seed, service: Service) -> None:
    answer = await get(service, authorized(seed), query=VIEWER)
    assert await answer.json() == {"data": {"viewer": {"name": "Anna Müller"}}}
    query = "query A($n: String!) { __type(name: $n) { name } } query B { __typename }"
    answer = await get(service, query=query, variables='{"n": "User"}', operationName="A", extensions="{}")
    assert await answer.json() == {"data": {"__type": {"name": "User"}}}
    answer = await get(service, query=SCHEMA, variables="", operationName="", extensions="")
    assert answer.status == 200


async def test_mutation_by_get_changes_nothing(seed: Seed, service: Service) -> None:
    for query in (GENERATE, f"query A {{ __typename }} {GENERATE.replace('mutation', 'mutation B')}"):
        answer = await get(service, authorized(seed), query=query, operationName="B" if "B" in query else "")
        assert await refusal(answer) == (405, "BAD_REQUEST")
        assert answer.headers["Allow"] == "POST"
    assert await seed.conn.fetchval("SELECT count(*) FROM feed_links") == 0


@pytest.mark.parametrize(
    "parameters",
    [
        "",
        "query=",
        "query=%7B__typename%7D&variables=x",
        "query=%7B__typename%7D&variables=[]",
        "query=%7B__typename%7D&variables=%5B%5B",
        "query=%7B__typename%7D&extensions=7",
        "query=%7B__typename%7D&query=%7B__typename%7D",
        "variables=%7B%7D",
    ],
)
async def test_parameters_that_are_no_request_are_400(service: Service, parameters: str) -> None:
    async with service.client.get(f"/graphql?{parameters}") as answer:
        assert await refusal(answer) == (400, "BAD_REQUEST")


async def test_websocket_is_no_way_to_ask(service: Service) -> None:
    said = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    answer = await get(service, {**said, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
    assert await refusal(answer) == (400, "BAD_REQUEST")


async def test_graphiql_is_for_browsers_that_bring_no_query(dsn: str) -> None:
    async with running_service(dsn, graphiql=True) as service:
        html = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        answer = await get(service, html)
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert "graphiql" in await answer.text()
        assert await (await get(service, html, query="{ __typename }")).json() == {"data": {"__typename": "Query"}}
        assert await refusal(await get(service)) == (400, "BAD_REQUEST")


# ---- when nothing works


async def blocked(seed: Seed) -> None:
    """Wait until somebody waits for a lock."""
    async with asyncio.timeout(20):
        while not await seed.conn.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.02)


async def test_request_that_takes_too_long_is_ended_and_undone(seed: Seed, dsn: str, small: Service) -> None:
    """It waits for the audit log, with a link that it has made but not committed."""
    other = await asyncpg.connect(dsn)
    async with other.transaction():
        await other.execute("LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE")
        answer = await send(small, GENERATE, **authorized(seed))
        assert await refusal(answer) == (503, "TIMEOUT")
        assert "Retry-After" not in answer.headers
        assert await seed.conn.fetchval("SELECT count(*) FROM feed_links") == 0
        assert await seed.conn.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0
    await other.close()
    assert (await small.graphql(GENERATE, seed.anna))["data"]["generateCalendarUrl"]["url"]


async def test_request_whose_caller_hangs_up_is_done_all_the_same(seed: Seed, dsn: str, service: Service) -> None:
    """As far as the caller knows it may have been done: it can be repeated."""
    other = await asyncpg.connect(dsn)
    body = json.dumps({"query": GENERATE})
    async with other.transaction():
        await other.execute("LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE")
        _, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
        length = f"Authorization: Bearer {bearer(seed.anna)}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(f"{HEAD}{length}{body}".encode())
        await blocked(seed)
        writer.transport.abort()
    await other.close()
    async with asyncio.timeout(20):
        while not await seed.conn.fetchval("SELECT count(*) FROM feed_links"):
            await asyncio.sleep(0.02)
    assert '"level": "error"' not in NET.heard()


@pytest.mark.parametrize("accept", [JSON, GRAPHQL_JSON])
async def test_without_a_database_the_service_is_unavailable(seed: Seed, accept: str) -> None:
    """Whatever is asked; but for what it knows without one."""
    async with running_service("postgresql://nobody:secret@127.0.0.1:1/nothing") as service:
        for query in (VIEWER, "{ feedPolicy { enabled } }", GENERATE, large(100_001)):
            answer = await send(service, query, Accept=accept, **authorized(seed))
            assert await refusal(answer) == (503, "UNAVAILABLE")
            assert answer.headers["Retry-After"] == "5"
            assert "secret" not in await answer.text()
        for query, data in (
            ("{ __typename viewer { name } }", {"__typename": "Query", "viewer": None}),
            ("{ __typename feedPolicy { enabled } }", None),
        ):
            answer = await send(service, query, Accept=accept, **authorized(seed))
            said = await answer.json(content_type=None)
            assert (answer.status, said.get("data")) == (200 if data else 503, data)
        assert (await send(service, VIEWER, Accept=JSON)).status == 200


async def test_database_that_cannot_be_written_is_unavailable(seed: Seed, dsn: str) -> None:
    """As that of a standby is, before clients know of the new primary."""
    async with running_service(f"{dsn}&default_transaction_read_only=on") as service:
        assert await refusal(await send(service, GENERATE, **authorized(seed))) == (503, "UNAVAILABLE")
        assert (await send(service, VIEWER, **authorized(seed))).status == 200

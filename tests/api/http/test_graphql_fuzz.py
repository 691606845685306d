"""Whatever is sent to the GraphQL endpoint, the answer is JSON, has a code for each error, and is never our fault."""

import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from api.errors import Code
from tests.api.walking import Filling, Operation, operations, root_fields
from tests.leaks import NET
from tests.seed import Seed, Service, bearer

MEDIA_TYPES = ("application/json", "application/graphql-response+json")
CODES = set(Code) - {Code.INTERNAL, Code.UNAVAILABLE, Code.TIMEOUT}
patiently = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)

OPERATIONS = [operation for name in root_fields() for operation in operations(name)]
NAMES = sorted({word for operation in OPERATIONS for word in operation.text.replace("{", " ").split()})
WORDS = ["{", "}", "(", ")", "[", "]", ":", "!", "$", "=", "@", "|", "&", "...", "on", "query", "mutation", "fragment"]
LITERALS = [
    '"',
    '"""',
    '"x"',
    "1",
    "-1.5e9",
    "null",
    "true",
    "A",
    "$v",
    "@skip(if: true)",
    "#",
    "\n",
    ",",
    "\ufeff",
    "é",
]
documents = st.one_of(
    st.lists(st.sampled_from(WORDS * 3 + LITERALS + NAMES), max_size=60).map(" ".join),
    st.sampled_from(OPERATIONS).flatmap(lambda operation: mutilated(operation.text)),
    st.text(max_size=60),
)
texts = st.text() | st.sampled_from(["", "1", "2026-03-29T01:30:00Z", "Europe/Berlin", "VXNlcjox", "\ud800", "\0"])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
headers = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
media_types = st.sampled_from(["*/*", "", *MEDIA_TYPES, "text/html", "application/json;q=0"]) | headers


def mutilated(text: str) -> st.SearchStrategy[str]:
    """The text with a piece of it left out, repeated, or replaced."""
    places = st.integers(0, len(text))
    pieces = st.sampled_from(["", " ", *WORDS, *LITERALS])
    return st.builds(lambda a, b, piece: text[:a] + piece + text[b:], places, places, pieces)


async def expect_an_answer(service: Service, seed: Seed, method: str, query: str, **sent: Any) -> None:
    said = {"Authorization": f"Bearer {bearer(seed.anna)}", **sent.pop("headers", {})}
    async with service.client.request(method, f"/graphql{query}", headers=said, **sent) as answer:
        assert answer.status < 500
        assert answer.content_type in MEDIA_TYPES
        body = json.loads(await answer.read())
    NET.hear_errors(body)
    assert body.keys() <= {"data", "errors"}
    assert body.get("errors") or answer.status == 200
    assert {error["extensions"]["code"] for error in body.get("errors", ())} <= CODES


@patiently
@given(st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()), media_types, media_types)
@example(b"", "", "")
async def test_any_body_is_answered(seed: Seed, service: Service, body: bytes, content_type: str, accept: str) -> None:
    said = {"Content-Type": content_type, "Accept": accept}
    await expect_an_answer(service, seed, "POST", "", data=body, headers=said)


@patiently
@given(
    st.fixed_dictionaries(
        {"query": documents}, optional=dict.fromkeys(("variables", "operationName", "extensions", "more"), values)
    )
)
async def test_any_request_is_answered(seed: Seed, service: Service, parameters: dict[str, Any]) -> None:
    await expect_an_answer(service, seed, "POST", "", json=parameters)


@patiently
@given(st.sampled_from(OPERATIONS), values, st.data())
async def test_any_variables_are_answered(
    seed: Seed, service: Service, operation: Operation, value: Any, data: st.DataObject
) -> None:
    """Such as fit, but for one that is replaced."""
    variables = operation.filled(Filling(given={}, spare={"": "VXNlcjox"}, external_id="x", flag=False))
    where: Any = variables
    while isinstance(where, dict) and where:
        name = data.draw(st.sampled_from(sorted(where)))
        if not isinstance(where[name], dict) or data.draw(st.booleans()):
            where[name] = value
            break
        where = where[name]
    await expect_an_answer(service, seed, "POST", "", json={"query": operation.text, "variables": variables})


@patiently
@given(documents, texts, st.text(max_size=40), media_types)
async def test_any_parameters_are_answered(
    seed: Seed, service: Service, query: str, variables: str, more: str, accept: str
) -> None:
    said = [quote(text, safe="", errors="replace") for text in (query, variables, more)]
    text = f"?query={said[0]}&variables={said[1]}&{said[2]}"
    await expect_an_answer(service, seed, "GET", text if len(text) < 8_000 else "", headers={"Accept": accept})

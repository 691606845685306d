"""Limits of queries: whatever is beyond them is refused at once, and while it is, others are answered."""

import asyncio
import json
from io import BytesIO
from time import perf_counter
from typing import Any

import pytest
from graphql import (
    FragmentDefinitionNode,
    OperationDefinitionNode,
    build_client_schema,
    get_introspection_query,
    parse,
)

from api.errors import QueryTooComplex
from api.http.limits import (
    COSTS,
    INTROSPECTED,
    LISTED,
    MOST,
    MOST_CHARACTERS,
    MOST_TOKENS,
    Costs,
    check_document,
    number_defaults,
)
from api.nodes import LONGEST_PAGE, PAGE
from api.schema import schema
from tests.api.http.attacks import ALLOWED, BODIES, INVALID, TOO_COMPLEX, nested, numbered
from tests.api.pauses import pauses
from tests.leaks import NET
from tests.seed import Seed, Service, bearer, meeting

MOST_SECONDS = 0.6  # of the processor's time, in which nobody else is answered


async def ask(service: Service, token: str, body: bytes) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    async with service.client.post("/graphql", data=BytesIO(body), headers=headers) as answer:
        assert answer.status in (200, 400, 413)
        said: dict[str, Any] = await answer.json()
        NET.hear_errors(said)
        return said


async def refuse_at_once(seed: Seed, service: Service, body: bytes, code: str) -> None:
    async with pauses() as pause:
        said = await ask(service, bearer(seed.anna), body)
    assert list(said) == ["errors"]
    assert {error["extensions"]["code"] for error in said["errors"]} == {code}
    assert pause.longest < MOST_SECONDS
    assert len(json.dumps(said)) < 60_000


@pytest.mark.parametrize("what", TOO_COMPLEX)
async def test_query_that_is_too_complex_is_refused_at_once(seed: Seed, service: Service, what: str) -> None:
    await refuse_at_once(seed, service, json.dumps({"query": TOO_COMPLEX[what]}).encode(), "QUERY_TOO_COMPLEX")


@pytest.mark.parametrize("what", INVALID)
async def test_query_that_is_not_valid_is_refused_at_once(seed: Seed, service: Service, what: str) -> None:
    await refuse_at_once(seed, service, json.dumps({"query": INVALID[what]}).encode(), "INVALID_QUERY")


@pytest.mark.parametrize("what", BODIES)
async def test_variables_that_are_too_many_are_refused_at_once(seed: Seed, service: Service, what: str) -> None:
    await refuse_at_once(seed, service, *BODIES[what])


@pytest.fixture
async def many_links(seed: Seed, service: Service) -> None:
    """As many as a user may have."""
    for number in range(25):
        for calendar_id in (seed.own, seed.team):
            await service.generate(seed.anna, calendar_id, name=f"n{number}")


@pytest.mark.parametrize("what", ALLOWED)
@pytest.mark.usefixtures("many_links")
async def test_much_that_is_asked_for_keeps_nobody_waiting(seed: Seed, service: Service, what: str) -> None:
    body = json.dumps({"query": ALLOWED[what]}).encode()
    async with pauses() as pause:
        said = await ask(service, bearer(seed.anna), body)
    assert "errors" not in said
    assert pause.longest < MOST_SECONDS


async def test_polls_are_answered_while_attacks_are_refused(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    url = await service.generate(seed.anna, seed.own)
    queries = [json.dumps({"query": query}).encode() for query in (TOO_COMPLEX | INVALID | ALLOWED).values()]

    async def attack() -> None:
        for body in (*queries, *(body for body, _ in BODIES.values())):
            await ask(service, bearer(seed.anna), body)

    attacks, longest = asyncio.create_task(attack()), 0.0
    while not attacks.done():
        begun = perf_counter()
        assert (await service.poll(url)).status == 200
        longest = max(longest, perf_counter() - begun)
    await attacks
    assert longest < 3  # seconds of a machine that does other things too


# ---- where the limits are


def fits(query: str, **variables: Any) -> str:
    """ "" if the query is within the limits, else what it has too much of."""
    try:
        check_document(schema._schema, parse(query), variables)
    except QueryTooComplex as refused:
        return refused.message
    return ""


EDGES: dict[str, Any] = {
    "operations": lambda most: numbered(most, "query Q# { __typename }"),
    "fragments": lambda most: f"{{ a }} {numbered(most, 'fragment F# on Query { a }')}",
    "aliases": lambda most: f"{{ viewer {{ {numbered(most, 'a#: id')} }} }}",
    "directives": lambda most: f"query @a @b {{ __typename {'@c ' * (most - 3)} ... @d {{ b }} }}",
    "fields of one name beside each other": lambda most: f"{{ viewer {{ {'id ' * (most - 1)} ... {{ id }} }} }}",
    "root fields": lambda most: f"{{ {numbered(most - 2, 'a#: b')} ...F }} fragment F on Query {{ c ... {{ d }} }}",
    "levels": lambda most: f"{{ {nested(most - 3, 'a { ', '... { ...F }', '}')} }} fragment F on A {{ b }}",
}


@pytest.mark.parametrize("what", [name for name in MOST if name != "cost"])
def test_limit_is_where_it_says(what: str) -> None:
    most = MOST[what]
    assert fits(EDGES[what](most)) == ""
    assert fits(EDGES[what](most + 1)) == f"The query is too complex: {what}: {most + 1:,}, and at most {most:,}."


async def test_characters_and_tokens_have_a_limit(service: Service) -> None:
    for query, code in (
        ("{ __typename }".ljust(MOST_CHARACTERS), None),
        ("{ __typename }".ljust(MOST_CHARACTERS + 1), f"more than {MOST_CHARACTERS:,} characters"),
        (f"{{ viewer {{ {numbered(MOST_TOKENS - 5, 'x#')} }} }}", "Cannot query"),
        (f"{{ {numbered(MOST_TOKENS, 'a#')} }}", f"more than {MOST_TOKENS:,} tokens"),
    ):
        answer = await service.graphql(query)
        assert ("errors" not in answer) if code is None else (code in answer["errors"][0]["message"])


def cost(query: str, **variables: Any) -> float:
    document = parse(query)
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    (operation,) = (d for d in document.definitions if isinstance(d, OperationDefinitionNode))
    values = {**number_defaults(operation), **variables}
    return Costs(schema._schema, fragments, values).of_operation(operation)[0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ viewer { id name } }", 3),
        ("{ __typename unknown { a { b } } }", 4),
        ("{ calendarFeeds { id } }", 1 + LISTED),
        ("{ calendarFeeds { links { id } } }", 1 + LISTED * (1 + LISTED)),
        ("{ auditLog { edges { cursor } } }", 1 + 1 + PAGE),
        ("{ auditLog(first: 7) { edges { cursor node { id at } } pageInfo { endCursor } } }", 1 + 1 + 7 * 4 + 2),
        ("{ calendarFeeds { preview(first: 3) { activities { title } } } }", 1 + LISTED * (500 + 1 + 3)),
        ("{ calendarFeeds { ...F ... { ...F } } } fragment F on CalendarFeed { id }", 1 + LISTED * 2),
        ("{ ...A } fragment A on Query { ...B a: b } fragment B on Query { ...A c: d }", 2),
        ("mutation { pauseFeedLink(input: {}) { link { id } } }", 3),
    ],
)
def test_cost_is_the_number_of_values_in_the_answer(query: str, expected: int) -> None:
    assert cost(query) == expected


@pytest.mark.parametrize(
    ("declared", "given", "items"),
    [
        ("$n: Int", {"n": 9}, 9),
        ("$n: Int = 8", {"n": 9}, 9),
        ("$n: Int = 8", {}, 8),
        ("$n: Int = 8", {"n": None}, PAGE),
        ("$n: Int", {}, PAGE),
        ("$n: Int", {"n": "9"}, PAGE),
        ("$n: Int", {"n": [9]}, PAGE),
        ("$n: Int", {"n": -1}, PAGE),
        ("$n: Int", {"n": 10**30}, LONGEST_PAGE),
        (f"$n: Int = {'9' * 5_000}", {}, LONGEST_PAGE),
        ("", {"n": 9}, 9),
    ],
)
def test_cost_of_a_page_is_that_of_its_length(declared: str, given: dict[str, Any], items: int) -> None:
    begins = f"query ({declared})" if declared else "query"
    query = f"{begins} {{ ...F }} fragment F on Query {{ auditLog(first: $n) {{ edges {{ cursor }} }} }}"
    assert cost(query, **given) == 1 + 1 + items
    assert cost(f"{{ auditLog(first: {items}) {{ edges {{ cursor }} }} }}") == 1 + 1 + items


def test_limit_of_the_cost_is_where_it_says() -> None:
    page = "auditLog(first: 500) {{ edges {{ {} }} }}"
    query = f"{{ {page.format(numbered(19, 'a#: cursor'))} }}"
    pages = int(MOST["cost"] // cost(query))
    named = [f"p{number}: {page.format(' '.join(f'b{n}' for n in range(19)))}" for number in range(pages + 1)]
    assert fits(f"{{ {' '.join(named[:pages])} }}") == ""
    number = f"{cost(query) * (pages + 1):,.0f}"
    assert fits(f"{{ {' '.join(named)} }}") == f"The query is too complex: cost: {number}, and at most 100,000."


def test_fields_that_cost_more_exist() -> None:
    fields = {
        f"{name}.{each}" for name, kind in schema._schema.type_map.items() for each in getattr(kind, "fields", ())
    }
    assert set(COSTS) - fields == set()


TOOLS = [
    get_introspection_query(),
    get_introspection_query(descriptions=False),
    get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
    ),
]


def values(said: Any) -> int:
    if isinstance(said, dict):
        return sum(1 + values(value) for value in said.values())
    return sum(map(values, said)) if isinstance(said, list) else 0


@pytest.mark.parametrize("query", TOOLS)
async def test_tools_may_ask_for_the_schema(service: Service, query: str) -> None:
    """GraphiQL, code generators, Relay's compiler and Apollo's tools, without a token; there is room for more types."""
    answer = await service.graphql(query)
    assert build_client_schema(answer["data"])
    assert cost(query) < MOST["cost"] * 2 / 3
    assert 0.7 < values(answer["data"]) * INTROSPECTED / cost(query) < 1.4


async def test_query_that_was_asked_before_is_answered_the_same(service: Service) -> None:
    for _ in range(2):
        assert (await service.graphql("{ __typename }")) == {"data": {"__typename": "Query"}}
        (error,) = (await service.graphql("{ nothing }"))["errors"]
        assert error["message"] == "Cannot query field 'nothing' on type 'Query'."

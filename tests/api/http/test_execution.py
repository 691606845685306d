"""What is done otherwise than by Strawberry gives the same: inputs by plan, resolvers begun late, lists in turns."""

import enum
from datetime import datetime
from typing import Annotated, Any

import pytest
import strawberry
from strawberry.types.base import StrawberryMaybe, StrawberryOptional

from api.http.execution import TURN_SECONDS, Execution, begin_resolvers_late, read_inputs_by_plan
from api.schema import schema
from tests.api.pauses import pauses


@strawberry.enum
class Kind(enum.Enum):
    MEETING = "meeting"
    CALL = "call"


@strawberry.input
class Person:
    name: str
    e_mail: str | None = None
    tags: list[str] = strawberry.field(default_factory=lambda: ["new"])


@strawberry.input
class Item:
    external_id: str
    kind: Kind
    starts_at: datetime | None
    kinds: list[Kind] | None = None
    people: strawberry.Maybe[list[Person] | None]
    owner: strawberry.Maybe[Person | None]
    title: strawberry.Maybe[str | None]
    rows: list[list[Person | None]] | None = None
    parts: list[Annotated["Item", strawberry.lazy("tests.api.http.test_execution")]] | None = None
    private: bool = False


@strawberry.type
class Answer:
    said: str

    @strawberry.field
    def rest(self) -> list["Answer"]:
        return [Answer(said=self.said) for _ in range(10)]


@strawberry.type
class Query:
    @strawberry.field
    def told(self, items: list[Item], one: Item | None = None, kind: Kind = Kind.CALL) -> str:
        return repr((items, one, kind))

    @strawberry.field
    async def answers(self, number: int) -> list[Answer]:
        return [Answer(said="x") for _ in range(number)]


def made() -> strawberry.Schema:
    return strawberry.Schema(Query, execution_context_class=Execution)


PERSON = {"name": "Anna", "eMail": "anna@example.com", "tags": []}
ITEMS: list[dict[str, Any]] = [
    {"externalId": "1", "kind": "CALL"},
    {"externalId": "2", "kind": "MEETING", "startsAt": "2026-03-29T01:30:00+02:00", "kinds": ["CALL", "CALL"]},
    {"externalId": "3", "kind": "CALL", "people": None, "owner": None, "title": None, "kinds": None, "rows": None},
    {"externalId": "4", "kind": "CALL", "people": [PERSON, {"name": "Ben", "eMail": None}], "owner": PERSON},
    {"externalId": "5", "kind": "CALL", "people": [], "title": "", "rows": [[PERSON, None], []], "private": True},
    {"externalId": "6", "kind": "CALL", "parts": [{"externalId": "7", "kind": "CALL", "title": "x"}]},
    {"externalId": "8", "kind": "CALL", "people": PERSON, "kinds": "MEETING"},  # one where a list is wanted
]


@pytest.mark.parametrize("items", [ITEMS, *([item] for item in ITEMS), []])
async def test_inputs_are_the_same_by_plan(items: list[dict[str, Any]]) -> None:
    query = "query ($items: [Item!]!, $one: Item) { told(items: $items, one: $one) }"
    variables = {"items": items, "one": items[0] if items else None}
    theirs, ours = made(), made()
    expected = await theirs.execute(query, variables)
    read_inputs_by_plan(ours)
    found = await ours.execute(query, variables)
    assert expected.errors is None
    assert (found.data, found.errors) == (expected.data, None)


async def test_literal_inputs_are_the_same_by_plan() -> None:
    query = """{ told(items: [{externalId: "1", kind: CALL, owner: {name: "Anna"}, title: null}], kind: MEETING) }"""
    theirs, ours = made(), made()
    expected = await theirs.execute(query)
    read_inputs_by_plan(ours)
    assert (await ours.execute(query)).data == expected.data != None  # noqa: E711


def test_what_may_be_left_out_may_be_null() -> None:
    """The plans do not tell `Maybe[T]` from `Maybe[T | None]`."""
    for known in schema.schema_converter.type_map.values():
        if getattr(known.definition, "is_input", False):
            for each in known.definition.fields:  # type: ignore[union-attr]
                kind = each.resolve_type(type_definition=known.definition)  # type: ignore[arg-type]
                assert not isinstance(kind, StrawberryMaybe) or isinstance(kind.of_type, StrawberryOptional), each.name


@pytest.mark.parametrize(
    "query",
    [
        "{ answers(number: 15000) { a: said b: said c: said d: said } }",
        "{ answers(number: 2000) { rest { a: said b: said } } }",
        f"{{ answers(number: 20) {{ {' '.join(f'a{i}: rest {{ said }}' for i in range(150))} }} }}",
        "{ answers(number: 20) { rest { rest { rest { said } } } } }",
    ],
    ids=["long list", "long list of lists", "many lists", "lists of lists"],
)
async def test_long_answer_lets_others_have_their_turn(query: str) -> None:
    ours = made()
    begin_resolvers_late(ours)
    async with pauses() as found:
        answer = await ours.execute(query)
    assert answer.errors is None
    assert found.turns > found.total / TURN_SECONDS / 3, found

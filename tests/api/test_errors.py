"""Errors at the top level: each with a code, none with what its caller sent, and ours under a reference."""

import json
import re
from typing import Any

import asyncpg
import pytest
from graphql import GraphQLError

from api.errors import MOST_ERRORS, Code, formatted_error
from db.pool import Conn
from tests.leaks import NET
from tests.seed import Seed, Service, user_node

MARK = "ZEBRAFISH"
GENERATE = "mutation ($input: GenerateCalendarUrlInput!) { generateCalendarUrl(input: $input) { url } }"
MANAGE = "mutation ($input: ResetFeedLinksInput!) { resetFeedLinks(input: $input) { linkCount } }"


async def errors(service: Service, query: str, **variables: Any) -> list[dict[str, Any]]:
    answer = await service.graphql(query, None, **variables)
    assert list(answer) == ["errors"]
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"INVALID_QUERY"}
    found: list[dict[str, Any]] = answer["errors"]
    return found


WRONG: dict[str, tuple[str, dict[str, Any], list[str], str]] = {
    "text for a number": (GENERATE, {"graceHours": MARK}, ["input", "graceHours"], "Int cannot represent non-integer"),
    "number for a text": (GENERATE, {"name": 12345}, ["input", "name"], "String cannot represent a non string value."),
    "list for a text": (GENERATE, {"name": [MARK]}, ["input", "name"], "String cannot represent a non string value."),
    "object for a text": (GENERATE, {"name": {MARK: MARK}}, ["input", "name"], "String cannot represent"),
    "text for an object": (GENERATE, {"options": MARK}, ["input", "options"], "to be an object."),
    "text for a flag": (GENERATE, {"regenerate": MARK}, ["input", "regenerate"], "Boolean cannot represent"),
    "text for an enum": (
        GENERATE,
        {"options": {"tasksAs": f"{MARK}'s\n"}},
        ["input", "options", "tasksAs"],
        "This value does not exist in",
    ),
    "number for an enum": (GENERATE, {"options": {"tasksAs": 12345}}, ["input", "options", "tasksAs"], "cannot repr"),
    "item of a list": (
        GENERATE,
        {"options": {"activityTypes": ["CALL", "CALL", MARK]}},
        ["input", "options", "activityTypes", "2"],
        "This value does not exist in",
    ),
    "no moment": (GENERATE, {"expiresAt": MARK}, ["input", "expiresAt"], "must carry an offset"),
    "unknown field": (GENERATE, {"nome": MARK}, ["input"], "not to include unknown field 'nome'."),
    "unknown field of another": (GENERATE, {"xyz": MARK, "name": MARK}, ["input"], "unknown field 'xyz'."),
    "missing field": (MANAGE, {"graceHours": 1}, ["input"], "to include required field 'where'."),
    "null": (MANAGE, {"where": None}, ["input", "where"], "not to be None."),
    "deep": (
        MANAGE,
        {"where": {"userIds": [[MARK]]}},
        ["input", "where", "userIds", "0"],
        "ID cannot represent value.",
    ),
}


@pytest.mark.parametrize("what", WRONG)
async def test_wrong_variable_is_named_by_its_path_and_not_repeated(service: Service, what: str) -> None:
    query, value, path, said = WRONG[what]
    (error,) = await errors(service, query, input=value)
    assert error["extensions"]["path"] == path
    assert error["message"].startswith(".".join(path) + ": ")
    assert said in error["message"]
    assert MARK not in json.dumps(error)
    assert "12345" not in error["message"]


LITERALS = [
    f'mutation {{ generateCalendarUrl(input: {{graceHours: "{MARK}"}}) {{ url }} }}',
    f'mutation {{ generateCalendarUrl(input: {{name: ["{MARK}"]}}) {{ url }} }}',
    f'mutation {{ generateCalendarUrl(input: "{MARK}") {{ url }} }}',
    f"mutation {{ generateCalendarUrl(input: {{options: {{tasksAs: {MARK}}}}}) {{ url }} }}",
    f'mutation {{ generateCalendarUrl(input: {{options: {{tasksAs: "{MARK}"}}}}) {{ url }} }}',
    f'mutation {{ generateCalendarUrl(input: {{expiresAt: "{MARK}"}}) {{ url }} }}',
    f'mutation {{ resetFeedLinks(input: {{userIds: "{MARK}"}}) {{ linkCount }} }}',
    f'{{ feedLinks(first: "{MARK}") {{ edges {{ cursor }} }} }}',
    f'query ($n: Int = "{MARK}") {{ feedLinks(first: $n) {{ edges {{ cursor }} }} }}',
    f'{{ calendarFeeds(userId: {{a: "{MARK}"}}) {{ id }} }}',
]


@pytest.mark.parametrize("query", LITERALS)
async def test_wrong_value_in_a_query_is_not_repeated(service: Service, query: str) -> None:
    found = await errors(service, query)
    assert MARK not in json.dumps(found)
    assert all(len(error["message"]) > 15 for error in found)


async def test_names_that_do_not_exist_are_told(service: Service) -> None:
    (error,) = await errors(service, "{ viewr { name } }")
    assert error["message"] == "Cannot query field 'viewr' on type 'Query'. Did you mean 'viewer'?"
    (error,) = await errors(service, "{ viewer { name }")
    assert error["message"] == "Syntax Error: Expected Name, found <EOF>."


async def test_message_has_an_end(service: Service) -> None:
    (error,) = await errors(service, f"{{ {'q' * 20_000} }}")
    assert len(error["message"]) < 600
    found = await errors(service, GENERATE, input={"q" * 200: 1})
    assert len(json.dumps(found)) < 1_000


@pytest.mark.parametrize("of", [["a"] * 5_000, [7.5] * 5_000, [{"a": 1}] * 5_000, [[[]]] * 5_000])
async def test_number_of_errors_has_an_end(service: Service, of: list[Any]) -> None:
    found = await errors(service, GENERATE, input={"options": {"activityTypes": of}})
    assert len(found) == 21
    assert found[-1]["message"] == "Too many errors processing variables, error limit reached. Execution aborted."
    assert len(json.dumps(found)) < 30_000


async def test_number_of_errors_of_a_query_has_an_end(service: Service) -> None:
    found = await errors(service, f"{{ viewer {{ {' '.join(f'x{number}' for number in range(900))} }} }}")
    said = "Too many validation errors, error limit reached. Validation aborted."
    assert (len(found), found[-1]["message"]) == (21, said)


async def test_number_of_errors_of_an_answer_has_an_end(seed: Seed, service: Service) -> None:
    """The log, too: each of ours would be a line with a traceback."""
    for number in range(30):
        await service.generate(seed.anna, name=f"n{number}")
    await seed.conn.execute("ALTER TABLE feed_polls RENAME TO elsewhere")
    try:
        fields = " ".join(f"a{number}: lastPolledAt" for number in range(10))
        answer = await service.graphql(f"{{ calendarFeeds {{ links {{ {fields} }} }} }}", seed.anna)
    finally:
        await seed.conn.execute("ALTER TABLE elsewhere RENAME TO feed_polls")
    assert [error["extensions"] for error in answer["errors"]] == [{"code": "INTERNAL"}] * (MOST_ERRORS + 1)
    assert answer["errors"][-1]["message"] == "200 more errors are left out."
    assert NET.heard().count('"resolver failed"') == MOST_ERRORS


async def test_mistake_of_ours_has_a_reference_that_is_in_the_log(seed: Seed, service: Service) -> None:
    await seed.conn.execute("ALTER TABLE feed_links RENAME TO elsewhere")
    try:
        answer = await service.graphql("{ calendarFeeds { id } }", seed.anna)
    finally:
        await seed.conn.execute("ALTER TABLE elsewhere RENAME TO feed_links")
    (error,) = answer["errors"]
    assert (error["path"], error["extensions"]) == (["calendarFeeds"], {"code": "INTERNAL"})
    reference = re.fullmatch(r"Something went wrong here. Reference: (\w{12})", error["message"])
    assert reference
    (line,) = [line for line in NET.heard().splitlines() if reference[1] in line and line.startswith("{")]
    assert '"error": "UndefinedTableError"' in line


async def test_fields_beside_one_that_fails_leave_nothing_behind(seed: Seed, service: Service) -> None:
    """Python would warn of coroutines that nobody awaited, which the tests take for failures."""
    for name in ("", "iPhone", "iPad"):
        await service.generate(seed.ben, name=name)
    answer = await service.graphql(
        "query ($user: ID) { calendarFeeds(userId: $user) {"
        " a: preview { eventCount } b: preview { eventCount }"
        " links { lastPolledAt clients { name } preview { eventCount } } } }",
        seed.anna,
        user=user_node(seed.ben),
    )
    assert answer["data"] is None
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"FORBIDDEN"}


async def raised(conn: Conn, *values: Any) -> Exception:
    with pytest.raises(Exception, match=r".") as caught:
        await conn.fetchval("SELECT $1::text, $2::int", *values)
    return caught.value


@pytest.mark.parametrize("text", ["\ud800", "a\0b"])
async def test_character_that_postgresql_cannot_keep_is_an_argument_that_is_wrong(conn: Conn, text: str) -> None:
    error = formatted_error(GraphQLError("", original_error=await raised(conn, text, 1)))
    assert error["extensions"] == {"code": "INVALID_ARGUMENT"}


async def test_value_that_the_driver_refuses_is_a_mistake_of_ours(conn: Conn) -> None:
    error = await raised(conn, "a", "no number")
    assert isinstance(error, asyncpg.DataError)
    assert formatted_error(GraphQLError("", original_error=error))["extensions"] == {"code": "INTERNAL"}


def test_answer_that_does_not_fit_the_schema_is_a_mistake_of_ours() -> None:
    refused = GraphQLError(f"Enum 'FeedLinkStatus' cannot represent value: '{MARK}'")
    error = formatted_error(GraphQLError(refused.message, path=["a"], original_error=refused))
    assert (error["extensions"], MARK in str(error)) == ({"code": Code.INTERNAL}, False)

"""What a request to `/graphql` holds: JSON, read strictly, and in a time that depends on its limits alone."""

import json
from collections.abc import Mapping
from typing import Any

from strawberry.http import GraphQLRequestData

from api.errors import Code

MOST_VALUES = 60_000  # in a request: strings, numbers, lists, objects …
MOST_SIGNS = 250_000  # commas and brackets, those in texts too: counted before anything is read
LONGEST_KEY = 200  # characters: no name of the schema comes near, and each is compared with those
LONGEST_INTEGER = 20  # digits; GraphQL's have ten, and very long ones are slow to read
KINDS: dict[str, tuple[type, str]] = {
    "query": (str, "a string"),
    "operationName": (str, "a string"),
    "variables": (dict, "an object"),
    "extensions": (dict, "an object"),
}


class RequestRefused(Exception):
    """The request is answered with an HTTP status, an error with a code, and no data."""

    def __init__(self, message: str, status: int = 400, code: Code = Code.BAD_REQUEST, **headers: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def parse_json(octets: bytes) -> Any:
    """The value; `RequestRefused` if it is no JSON in UTF-8, has a key twice in an object, or far too many values."""
    if sum(map(octets.count, (b",", b"[", b"{"))) > MOST_SIGNS:
        raise _too_many()
    try:
        value = json.loads(
            octets.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer
        )
    except UnicodeDecodeError:
        raise RequestRefused("The body is no UTF-8.") from None
    except json.JSONDecodeError as exc:
        raise RequestRefused(f"The body is no JSON: {exc.msg}, line {exc.lineno}, column {exc.colno}.") from None
    except RecursionError:
        raise RequestRefused("The body is nested too deeply.") from None
    _check_number(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RequestRefused("The body has an object with a key twice.")
    if any(len(key) > LONGEST_KEY for key in found):
        raise RequestRefused(f"The body has a key of more than {LONGEST_KEY} characters.")
    return found


def _constant(name: str) -> Any:
    raise RequestRefused(f"The body is no JSON: {name} is no value of it.")


def _integer(digits: str) -> int | float:
    """An integer beyond every type of GraphQL's is read as a number that none of them takes."""
    return int(digits) if len(digits) <= LONGEST_INTEGER else float(digits)


def _check_number(value: Any) -> None:
    left, count = [value], 0
    while left:
        count += 1
        if count > MOST_VALUES:
            raise _too_many()
        found = left.pop()
        if isinstance(found, dict):
            left.extend(found.values())
        elif isinstance(found, list):
            left.extend(found)


def _too_many() -> RequestRefused:
    message = f"The request has more than {MOST_VALUES:,} values, or {MOST_SIGNS:,} commas and brackets: split it."
    return RequestRefused(message, 413, Code.TOO_LARGE)


def request_data(parameters: Any) -> GraphQLRequestData:
    """The parameters of a GraphQL request; `RequestRefused` if it is none."""
    if isinstance(parameters, list):
        raise RequestRefused("Send one query a request: there are no batches.")
    if not isinstance(parameters, Mapping):
        raise RequestRefused("Send an object with the query.")
    for name, (kind, said) in KINDS.items():
        if not isinstance(parameters.get(name), kind | None):
            raise RequestRefused(f"{name} must be {said}.")
    if not parameters.get("query"):
        raise RequestRefused("There is no query in the request.")
    return GraphQLRequestData(
        query=parameters["query"],
        variables=parameters.get("variables"),
        operation_name=parameters.get("operationName") or None,
        extensions=parameters.get("extensions"),
    )

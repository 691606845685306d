"""Errors: top-level ones with a code, and the user errors that a mutation's payload carries."""

import re
import traceback
from collections.abc import Sequence
from enum import StrEnum
from typing import Any
from uuid import uuid4

import asyncpg
import strawberry
import structlog
from graphql import GraphQLError

from db.pool import is_away

MOST_ERRORS = 100  # in an answer
LONGEST_MESSAGE = 500  # characters of a message of GraphQL's own
LONGEST_READ = 2_000  # characters of it that are looked at
# What messages of GraphQL's own repeat of a query: whatever begins like a feed token, an API key, a webhook's secret or
# a JWT, …
SECRET = re.compile(r"(?:cf1_|cfk_|whsec_)[\w+/=-]+|eyJ[\w-]+\.[\w-]+(?:\.[\w-]+)?")
# … and of a value that does not fit its type: all of it, as it may be private.
VALUE = re.compile(
    r"(?P<kept>cannot represent [^:]*): .*|[,;.]? found: .*|(?<=[.?]) Found: .*|, but encountered error .*", re.DOTALL
)
ENUM_VALUE = re.compile(r"^Value .* does not exist in", re.DOTALL)
OF_VARIABLE = re.compile(r"Variable '\$(\w+)' has invalid value(?: at ((?:\.\w+|\[\d+\])+))?: ")

log = structlog.get_logger()


class Code(StrEnum):
    """What a top-level error means to a program, in `extensions.code`; docs/front-end.md says what to do about each."""

    BAD_REQUEST = "BAD_REQUEST"
    TOO_LARGE = "TOO_LARGE"
    INVALID_QUERY = "INVALID_QUERY"
    QUERY_TOO_COMPLEX = "QUERY_TOO_COMPLEX"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    TIMEOUT = "TIMEOUT"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class ApiError(GraphQLError):
    """A top-level error that the caller may read, with `extensions.code`."""

    code = Code.INTERNAL

    def __init__(self, message: str) -> None:
        super().__init__(message, extensions={"code": self.code})


class Unauthenticated(ApiError):
    code = Code.UNAUTHENTICATED


class Forbidden(ApiError):
    code = Code.FORBIDDEN


class NotFound(ApiError):
    code = Code.NOT_FOUND


class InvalidArgument(ApiError):
    code = Code.INVALID_ARGUMENT


class InvalidQuery(ApiError):
    code = Code.INVALID_QUERY


class QueryTooComplex(ApiError):
    code = Code.QUERY_TOO_COMPLEX


def formatted_errors(errors: Sequence[GraphQLError]) -> list[dict[str, Any]]:
    """The errors as the caller sees them; of very many the last one says how many more there are."""
    told = [formatted_error(error) for error in errors[:MOST_ERRORS]]
    if more := len(errors) - len(told):
        told.append({"message": f"{more} more errors are left out.", "extensions": told[-1]["extensions"]})
    return told


def formatted_error(error: GraphQLError) -> dict[str, Any]:
    """The error as the caller sees it: ours as they are, those of the query with their code, anything else masked.

    What is masked is logged under a reference that the caller is told.
    """
    cause = error.original_error
    if isinstance(cause, ApiError) or (cause is None and error.extensions):
        return dict(error.formatted)
    if _is_of_query(error):
        return {**error.formatted, **_of_query(error)}
    if is_away(cause):
        log.warning("database away", error=type(cause).__name__, path=error.path)
        return {**error.formatted, **_said(Code.UNAVAILABLE, "The service is not available at the moment: try again.")}
    if _is_unstorable(cause):
        message = "A text holds what cannot be kept: the character NUL, or half of a surrogate pair."
        return {**error.formatted, **_said(Code.INVALID_ARGUMENT, message)}
    reference = uuid4().hex[:12]
    where = traceback.format_tb(cause.__traceback__) if cause else []  # without the message, which may hold a row
    log.error("resolver failed", reference=reference, path=error.path, error=type(cause).__name__, where=where)
    return {**error.formatted, **_said(Code.INTERNAL, f"Something went wrong here. Reference: {reference}")}


def _said(code: Code, message: str) -> dict[str, Any]:
    return {"message": message, "extensions": {"code": code}}


def _is_of_query(error: GraphQLError) -> bool:
    """Whether the query or its variables are wrong; a result that does not fit the schema is not the caller's doing."""
    is_graphqls = isinstance(error.original_error, GraphQLError | None)
    if error.path is None:  # it was not executed; whatever a scalar did not take has its place in the query
        return is_graphqls or bool(error.nodes)
    return is_graphqls and "cannot represent" not in error.message


def _of_query(error: GraphQLError) -> dict[str, Any]:
    """What is wrong, without the values that the caller sent; for a variable with the path of the input field."""
    found = OF_VARIABLE.match(error.message)
    if found is None:
        return _said(Code.INVALID_QUERY, _without_values(error.message))
    path = [found[1], *re.findall(r"\w+", found[2] or "")]
    said = _said(Code.INVALID_QUERY, f"{'.'.join(path)}: {_without_values(error.message[found.end() :])}")
    said["extensions"]["path"] = path
    return said


def _without_values(message: str) -> str:
    message = ENUM_VALUE.sub("This value does not exist in", message)
    cut = VALUE.sub(lambda found: f"{found['kept'] or ''}.", message[:LONGEST_READ])
    masked = SECRET.sub("…", cut)
    return masked if len(masked) <= LONGEST_MESSAGE else f"{masked[:LONGEST_MESSAGE]}…"


def _is_unstorable(cause: BaseException | None) -> bool:
    """Whether PostgreSQL, or its driver, refused a character."""
    kinds = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)
    return isinstance(cause, kinds) or isinstance(getattr(cause, "__cause__", None), UnicodeEncodeError)


@strawberry.interface(description="Why a mutation did not do what was asked: something that its user can mend.")
class UserError:
    message: str = strawberry.field(description="What is wrong and how to mend it, for people.")
    path: list[str] = strawberry.field(description='The input field it is about, like ["calendarIds", "0"].')


@strawberry.type(description="There is no such calendar among those that the user may see, or in the account.")
class CalendarNotFound(UserError):
    pass


@strawberry.type(description="There is no such user in the account.")
class UserNotFound(UserError):
    pass


@strawberry.type(
    description="A link's name is longer than 100 characters or has line breaks or control characters in it."
)
class LinkNameInvalid(UserError):
    pass


@strawberry.type(description="The feed has another link of that name.")
class LinkNameTaken(UserError):
    pass


@strawberry.type(description="There is no such link among those that the caller may manage.")
class LinkNotFound(UserError):
    pass


@strawberry.type(description="The link was revoked, which is for good.")
class LinkRevoked(UserError):
    pass


@strawberry.type(description="Somebody else paused the link: an administrator, or its alarm.")
class LinkPausedByOther(UserError):
    pass


@strawberry.type(description="An administrator chose when the link ends: its user cannot put that off.")
class LinkLimitedByOther(UserError):
    pass


@strawberry.type(description="The user has as many links as the service or the account's policy allows.")
class TooManyLinks(UserError):
    pass


@strawberry.type(description="The account's policy switches calendar feeds off.")
class FeedsDisabled(UserError):
    pass


@strawberry.type(description="The account's policy does not allow an option, or so late an end.")
class ForbiddenByPolicy(UserError):
    pass


@strawberry.type(description="A moment at which a link or an API key is to end has passed.")
class ExpiryInvalid(UserError):
    pass


@strawberry.type(description="A number of an input is out of its range, or a text too long.")
class ValueInvalid(UserError):
    pass


@strawberry.type(description="The filter names nothing, and does not say that every link is meant.")
class FilterEmpty(UserError):
    pass


@strawberry.type(description="An option of a feed has a value that it cannot have.")
class FeedOptionsInvalid(UserError):
    pass


@strawberry.type(description="The input has more items than one call may have.")
class TooManyItems(UserError):
    pass


@strawberry.type(description="An item of the input is about the same thing as an earlier one.")
class ItemRepeated(UserError):
    pass


@strawberry.type(description="Another user of the account has the e-mail address.")
class EmailTaken(UserError):
    pass


@strawberry.type(description="There is no such API key in the account.")
class KeyNotFound(UserError):
    pass


@strawberry.type(description="An API key would give another one what it has not itself: a scope, or a later end.")
class ForbiddenByScope(UserError):
    pass


@strawberry.type(description="There is no such webhook in the account.")
class WebhookNotFound(UserError):
    pass


@strawberry.type(description="The webhook is disabled: nothing is sent to it until it is enabled.")
class WebhookDisabled(UserError):
    pass


@strawberry.type(description="The account has as many webhooks as it may have.")
class TooManyWebhooks(UserError):
    pass


NOT_ALLOWED = (
    CalendarNotFound,
    UserNotFound,
    LinkNotFound,
    KeyNotFound,
    WebhookNotFound,
    LinkPausedByOther,
    LinkLimitedByOther,
    TooManyLinks,
    FeedsDisabled,
    ForbiddenByPolicy,
    ForbiddenByScope,
)
MISTAKES = (
    LinkNameInvalid,
    LinkNameTaken,
    LinkRevoked,
    ExpiryInvalid,
    ValueInvalid,
    FilterEmpty,
    FeedOptionsInvalid,
    TooManyItems,
    ItemRepeated,
    EmailTaken,
    WebhookDisabled,
    TooManyWebhooks,
)
USER_ERRORS = [*NOT_ALLOWED, *MISTAKES]


class Refused(Exception):  # no failure: what a payload's user errors say
    """What was asked is not done: raised inside the transaction, so that nothing of it is kept."""

    def __init__(self, *errors: UserError) -> None:
        super().__init__(*(error.message for error in errors))
        self.errors = list(errors)

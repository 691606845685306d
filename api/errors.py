"""Errors: top-level ones with a code, and the user errors that a mutation's payload carries."""

import traceback
from typing import Any
from uuid import uuid4

import strawberry
import structlog
from graphql import GraphQLError

log = structlog.get_logger()


class ApiError(GraphQLError):
    """A top-level error that the caller may read, with `extensions.code`."""

    code = "INTERNAL"

    def __init__(self, message: str) -> None:
        super().__init__(message, extensions={"code": self.code})


class Unauthenticated(ApiError):
    code = "UNAUTHENTICATED"


class Forbidden(ApiError):
    code = "FORBIDDEN"


class NotFound(ApiError):
    code = "NOT_FOUND"


class InvalidArgument(ApiError):
    code = "INVALID_ARGUMENT"


def formatted_error(error: GraphQLError) -> dict[str, Any]:
    """The error as the caller sees it: ours as they are, those of the query with their code, anything else masked.

    What is masked is logged under a reference that the caller is told.
    """
    if isinstance(error.original_error, ApiError) or (error.original_error is None and error.extensions):
        return dict(error.formatted)
    if error.original_error is None or isinstance(error.original_error, GraphQLError):
        return {**error.formatted, "extensions": {"code": "INVALID_QUERY"}}
    reference = uuid4().hex[:12]
    cause = error.original_error
    where = traceback.format_tb(cause.__traceback__)  # without the message, which may hold what a row says
    log.error("resolver failed", reference=reference, path=error.path, error=type(cause).__name__, where=where)
    masked = {"message": f"Something went wrong here. Reference: {reference}", "extensions": {"code": "INTERNAL"}}
    return {**error.formatted, **masked}


@strawberry.interface(description="Why a mutation did not do what was asked: something that its user can mend.")
class UserError:
    message: str = strawberry.field(description="What is wrong and how to mend it, for people.")
    path: list[str] = strawberry.field(description='The input field it is about, like ["calendarIds", "0"].')


@strawberry.type(description="There is no such calendar among those that the user may see.")
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


@strawberry.type(description="The user has no such link.")
class LinkNotFound(UserError):
    pass


@strawberry.type(description="An option of a feed has a value that it cannot have.")
class FeedOptionsInvalid(UserError):
    pass


USER_ERRORS = [CalendarNotFound, UserNotFound, LinkNameInvalid, LinkNotFound, FeedOptionsInvalid]

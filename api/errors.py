"""Errors: top-level ones with a code, and the user errors that a mutation's payload carries."""

import re
import traceback
from typing import Any
from uuid import uuid4

import strawberry
import structlog
from graphql import GraphQLError

# What messages of GraphQL's own repeat of a query: whatever begins like a feed token, an API key, a webhook's secret or
# a JWT.
SECRET = re.compile(r"(?:cf1_|cfk_|whsec_)[\w+/=-]+|eyJ[\w-]+\.[\w-]+(?:\.[\w-]+)?")

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
        message = SECRET.sub("…", error.message)
        return {**error.formatted, "message": message, "extensions": {"code": "INVALID_QUERY"}}
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

"""Scalars of activities: web addresses, and what is a day or a moment."""

from datetime import date, datetime
from typing import Any, NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

URL = NewType("URL", str)
DateOrDateTime = NewType("DateOrDateTime", object)  # of an input a day or a moment, of an answer its text


def parse_text(value: Any) -> str:
    if not isinstance(value, str):
        raise GraphQLError("Give a text.")
    return value


def parse_day(value: Any) -> date:
    try:
        return date.fromisoformat(parse_text(value))
    except ValueError:
        raise GraphQLError("Give a day that exists, without a time, like 2026-03-29.") from None


def parse_day_or_moment(value: Any) -> date | datetime:
    """A day, or a moment on the clock that its offset names."""
    text = parse_text(value)
    try:
        if "T" not in text.upper():
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise GraphQLError("Give a day like 2026-03-29, or a moment with its offset like 2026-03-29T01:30:00Z.")
    return moment


ACTIVITY_SCALARS: dict[object, ScalarDefinition] = {
    date: strawberry.scalar(
        name="Date",
        description="A day, like 2026-03-29.",
        serialize=date.isoformat,
        parse_value=parse_day,
    ),
    URL: strawberry.scalar(
        name="URL",
        description="A web address, with http or https.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3986",
        parse_value=parse_text,
    ),
    DateOrDateTime: strawberry.scalar(
        name="DateOrDateTime",
        description="A day like 2026-03-29 where days are meant, or a moment with its offset from UTC like"
        " 2026-03-29T01:30:00Z.",
        parse_value=parse_day_or_moment,
    ),
}

"""The contract: `schema.graphql` is what the service serves, and everything in it is described."""

from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
)
from graphql.utilities import build_schema

from api.activities.scalars import parse_day
from api.schema import parse_date_time, sdl

WRITTEN = Path(__file__).parents[2] / "schema.graphql"


def described(schema: GraphQLSchema) -> dict[str, str | None]:
    """The description of every type, field, argument and enum value of ours."""
    found: dict[str, str | None] = {}
    for name, kind in schema.type_map.items():
        if name.startswith("__") or name in ("String", "Boolean", "Int", "Float", "ID"):
            continue
        found[name] = kind.description
        if isinstance(kind, GraphQLEnumType):
            found.update({f"{name}.{value}": each.description for value, each in kind.values.items()})
        if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
            for field, each in kind.fields.items():
                found[f"{name}.{field}"] = each.description
                arguments = getattr(each, "args", {})
                found.update({f"{name}.{field}({a})": arg.description for a, arg in arguments.items()})
    return found


def test_written_schema_is_the_served_one() -> None:
    """To write it anew: `calendar-feeds schema > schema.graphql`."""
    assert WRITTEN.read_text() == sdl()


def test_everything_has_a_description_that_is_a_sentence() -> None:
    descriptions = described(build_schema(sdl()))
    assert [name for name, text in descriptions.items() if not text or len(text) < 10] == []
    assert len(descriptions) > 70


def test_names_that_clients_rely_on_are_there() -> None:
    names = described(build_schema(sdl()))
    fields = {
        "Query": "viewer calendarFeeds",
        "Mutation": "generateCalendarUrl resetCalendarFeeds",
        "Calendar": "id externalId name color changedAt",
        "User": "id externalId name email administrator active timeZone locale",
        "CalendarFeed": "id name calendar url webcalUrl links",
        "FeedLink": "id name status url webcalUrl subscribe qrCodeSvg createdAt resetAt expiresAt",
        "FeedLinkStatus": "ACTIVE PAUSED EXPIRED REVOKED",
        "SubscribeLinks": "google outlook outlookOffice apple",
        "GenerateCalendarUrlInput": "calendarId name regenerate",
        "GenerateCalendarUrlPayload": "feed link url userErrors",
        "ResetCalendarFeedsInput": "calendarIds userId",
        "ResetCalendarFeedsPayload": "feeds resetCount userErrors",
        "UserError": "message path",
    }
    wanted = {f"{kind}.{field}" for kind, words in fields.items() for field in words.split()}
    assert wanted - set(names) == set()


@pytest.mark.parametrize("value", ["2026-02-30", "2026-03-29T00:00:00Z", "", "soon", 20260329, None, ["2026-03-29"]])
def test_what_is_no_day_is_refused_with_the_remedy(value: object) -> None:
    assert parse_day("2026-03-29").isoformat() == "2026-03-29"
    with pytest.raises(GraphQLError, match=r"^Give a (day that exists, without a time, like 2026-03-29|text)\.$"):
        parse_day(value)


def test_moment_without_an_offset_is_refused() -> None:
    assert parse_date_time("2026-03-29T03:30:00+02:00").isoformat() == "2026-03-29T01:30:00+00:00"
    remedy = "must be a moment that exists, and must carry an offset, like"
    for text in ("2026-03-29T03:30:00", "2026-03-29", "soon", "9999-12-31T23:59:59-23:00", "2026-02-30T10:00:00Z"):
        with pytest.raises(GraphQLError, match=remedy):
            parse_date_time(text)

"""The schema: root fields, scalars, and how it is written to `schema.graphql`."""

from datetime import UTC, datetime
from typing import Annotated

import strawberry
from graphql import GraphQLError
from strawberry.extensions import MaxTokensLimiter
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext
from strawberry.types.scalar import ScalarDefinition

from api.context import Info
from api.errors import USER_ERRORS, NotFound
from api.links import find_user, generate_calendar_url, reset_calendar_feeds, update_feed_link
from api.types import CalendarFeed, TimeZone, User, list_feeds

UserId = Annotated[
    strawberry.ID | None,
    strawberry.argument(
        description="Administrators only: whose feeds, in place of the viewer's own; URLs are withheld."
    ),
]


@strawberry.type(description="Everything that can be asked.")
class Query:
    @strawberry.field(description="The user who calls.")
    async def viewer(self, info: Info) -> User | None:
        return User.of(await info.context.viewer())

    @strawberry.field(
        description="Everything that the user can subscribe to: first all calendars in one, then each calendar by name."
    )
    async def calendar_feeds(self, info: Info, user_id: UserId = None) -> list[CalendarFeed]:
        viewer = await info.context.viewer()
        if user_id is not None:
            await info.context.administrator()
        async with info.context.pool.acquire() as conn:
            user = viewer if user_id is None else await find_user(conn, viewer.account_id, user_id)
            if user is None:
                raise NotFound("There is no such user in your account.")
            return await list_feeds(conn, info.context, user, with_urls=user.id == viewer.id)


@strawberry.type(description="Everything that can be changed.")
class Mutation:
    generate_calendar_url = strawberry.mutation(
        generate_calendar_url,
        description="Get the private URL of a feed: the link is made if there is none, else returned as it is.",
    )
    update_feed_link = strawberry.mutation(
        update_feed_link, description="Change what a link of the viewer shows, and how. Its URL stays the same."
    )
    reset_calendar_feeds = strawberry.mutation(
        reset_calendar_feeds,
        description="Give links new URLs, all of the user's or those of some calendars. Earlier URLs are dead at once.",
    )


def parse_date_time(value: str) -> datetime:
    """A moment; a text without an offset would mean the server's own time zone, so is refused."""
    parsed = datetime.fromisoformat(value)
    if parsed.tzinfo is None:
        raise ValueError("a DateTime must carry an offset, like 2026-03-29T01:30:00Z")
    return parsed.astimezone(UTC)


SCALARS: dict[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="A moment with its offset from UTC, like 2026-03-29T01:30:00Z.",
        specified_by_url="https://scalars.graphql.org/andimarek/date-time",
        serialize=lambda value: value.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        parse_value=parse_date_time,
    ),
    TimeZone: strawberry.scalar(
        name="TimeZone",
        description="A time zone's name in the IANA database, like Europe/Berlin.",
        specified_by_url="https://www.iana.org/time-zones",
    ),
}


class Schema(strawberry.Schema):
    """Leaves errors to `api.errors`, which logs those that are ours, once and under a reference."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        pass


MOST_TOKENS = 1_000  # of a query; a longer one would keep polls waiting while it is read

schema = Schema(
    Query,
    Mutation,
    types=USER_ERRORS,
    config=StrawberryConfig(scalar_map=SCALARS),
    extensions=[lambda: MaxTokensLimiter(MOST_TOKENS)],
)


def sdl() -> str:
    """The schema in the schema definition language, as `schema.graphql` holds it."""
    return schema.as_str() + "\n"

"""The schema: root fields, scalars, and how it is written to `schema.graphql`."""

from datetime import UTC, datetime
from typing import Annotated, Any

import strawberry
from graphql import GraphQLError
from strawberry import relay
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext
from strawberry.types.scalar import ScalarDefinition

from api.activities.activities import Activity, activities
from api.activities.scalars import ACTIVITY_SCALARS
from api.activities.upserting import delete_activities, sync_calendar, upsert_activities
from api.audit import AuditEntry, audit_log
from api.context import Info
from api.errors import USER_ERRORS, NotFound
from api.http.execution import Execution, begin_resolvers_late, read_inputs_by_plan
from api.http.limits import MOST_MISTAKES, QueryLimits
from api.integrators import ApiKey, add_key, api_keys, revoke_key
from api.links.changes import (
    find_user,
    pause_feed_link,
    resume_feed_link,
    revoke_feed_link,
    update_feed_link,
)
from api.links.feeds import CalendarFeed, FeedLink, list_feeds
from api.links.generating import generate_calendar_url
from api.links.management import feed_links, limit_feed_links, reset_feed_links, revoke_feed_links
from api.links.policy import FeedPolicy, feed_policy, update_feed_policy
from api.links.resets import reset_calendar_feeds
from api.node import node
from api.people.access import set_calendar_access
from api.people.calendars import calendars, upsert_calendars
from api.people.types import Calendar, TimeZone, User
from api.people.users import upsert_users, users
from api.refusals import note_refusal, noting_refusal
from api.webhooks.changes import (
    add_webhook,
    remove_webhook,
    rotate_webhook_secret,
    test_webhook,
    update_webhook,
)
from api.webhooks.webhooks import Webhook, webhooks

UserId = Annotated[
    strawberry.ID | None,
    strawberry.argument(
        description="Administrators only: whose feeds, in place of the viewer's own; URLs are withheld."
    ),
]


@strawberry.type(description="Everything that can be asked.")
class Query:
    @strawberry.field(description="Who calls, or for whom an API key acts; null for a key that acts for nobody.")
    async def viewer(self, info: Info) -> User | None:
        user = (await info.context.caller()).user
        return User.of(user) if user else None

    @strawberry.field(
        description="Everything that the user can subscribe to: first all calendars in one, then each calendar by name."
    )
    async def calendar_feeds(self, info: Info, user_id: UserId = None) -> list[CalendarFeed]:
        if user_id is None:
            viewer = await info.context.viewer("feeds:read")
            async with info.context.pool.acquire() as conn:
                return await list_feeds(conn, info.context, viewer, with_urls=True)
        return await _feeds_of(info, user_id)

    node: relay.Node | None = strawberry.field(
        resolver=node,
        description="The object with that id; null if there is none, or the caller may not see it.",
    )
    users: relay.Connection[User] = strawberry.field(
        resolver=users,
        description="The users of the account, the oldest first: for administrators, and API keys with the scope"
        " users:read.",
    )
    calendars: relay.Connection[Calendar] = strawberry.field(
        resolver=calendars,
        description="The calendars that the user may see, the oldest first; for administrators, and API keys with the"
        " scope calendars:read, all of the account.",
    )
    feed_links: relay.Connection[FeedLink] = strawberry.field(
        resolver=feed_links,
        description="The links of everybody in the account, the oldest first, without their URLs:"
        " for administrators, and API keys with the scope feeds:read.",
    )
    feed_policy: FeedPolicy = strawberry.field(
        resolver=feed_policy, description="What the links of the account's users may do."
    )
    api_keys: relay.Connection[ApiKey] = strawberry.field(
        resolver=api_keys,
        description="The API keys of the account, revoked ones too, the oldest first: for administrators, and API keys"
        " with the scope keys:read.",
    )
    activities: relay.Connection[Activity] = strawberry.field(
        resolver=activities,
        description="The activities of a calendar, the first added first: for users who may see it, and API keys with"
        " the scope activities:read.",
    )
    audit_log: relay.Connection[AuditEntry] = strawberry.field(
        resolver=audit_log,
        description="What was done in the account and what was refused, the latest first: for administrators,"
        " and API keys with the scope audit:read.",
    )
    webhooks: list[Webhook] = strawberry.field(
        resolver=webhooks,
        description="Who is told of what happens in the account, the oldest first: for administrators, and API keys"
        " with the scope webhooks:read.",
    )


async def _feeds_of(info: Info, user_id: str) -> list[CalendarFeed]:
    """Somebody's feeds, for those who manage the account's links."""
    async with noting_refusal(info, "LINKS_LISTED", user_id):
        caller = await info.context.manager("feeds:read")
    async with info.context.pool.acquire() as conn:
        user = await find_user(conn, caller.account_id, user_id)
        if user is None:
            await note_refusal(info, "LINKS_LISTED", [NotFound.code], user_id)
            raise NotFound("There is no such user in your account.")
        is_own = caller.user is not None and caller.user.id == user.id
        return await list_feeds(conn, info.context, user, with_urls=is_own)


@strawberry.type(description="Everything that can be changed.")
class Mutation:
    generate_calendar_url = strawberry.mutation(
        generate_calendar_url,
        description="Get the private URL of a feed: the link is made if there is none, else returned as it is.",
    )
    update_feed_link = strawberry.mutation(
        update_feed_link, description="Change a link's name, what it shows, or when it ends. Its URL stays the same."
    )
    pause_feed_link = strawberry.mutation(
        pause_feed_link, description="Switch a link off for now: it serves a notice until it is resumed."
    )
    resume_feed_link = strawberry.mutation(
        resume_feed_link, description="Let a paused link serve again, at the same URL, and clear its alarm."
    )
    revoke_feed_link = strawberry.mutation(revoke_feed_link, description="End a link for good.")
    reset_calendar_feeds = strawberry.mutation(
        reset_calendar_feeds,
        description="Give links new URLs, all of the user's or those of some calendars. Earlier URLs are dead at once.",
    )
    reset_feed_links = strawberry.mutation(
        reset_feed_links,
        description="Give many links new URLs, of anyone in the account: for administrators, and API keys with the"
        " scope feeds:write.",
    )
    revoke_feed_links = strawberry.mutation(
        revoke_feed_links,
        description="End many links for good, of anyone in the account: for administrators, and API keys with the"
        " scope feeds:write.",
    )
    limit_feed_links = strawberry.mutation(
        limit_feed_links,
        description="Let many links end at a moment, of anyone in the account: for administrators, and API keys with"
        " the scope feeds:write.",
    )
    add_api_key = strawberry.mutation(
        add_key,
        description="Add an API key and show it, this one time: for administrators, and API keys with the scope"
        " keys:write.",
    )
    revoke_api_key = strawberry.mutation(
        revoke_key,
        description="Let an API key open nothing from now on: for administrators, and API keys with the scope"
        " keys:write.",
    )
    upsert_activities = strawberry.mutation(
        upsert_activities,
        description="Add or change activities, found by type and external id, all of them or none; the same call again"
        " changes nothing. For administrators, and API keys with the scope activities:write.",
    )
    delete_activities = strawberry.mutation(
        delete_activities,
        description="Delete activities by external id; what is not there is no mistake. For administrators, and API"
        " keys with the scope activities:write.",
    )
    sync_calendar = strawberry.mutation(
        sync_calendar,
        description="Make a calendar hold these activities and no others in a window of time. For administrators, and"
        " API keys with the scope activities:write.",
    )
    update_feed_policy = strawberry.mutation(
        update_feed_policy,
        description="Change what the links of the account's users may do: for administrators, and API keys with the"
        " scope policy:write.",
    )
    upsert_users = strawberry.mutation(
        upsert_users,
        description="Add and change users, by the CRM's own keys: for administrators, and API keys with the scope"
        " users:write.",
    )
    upsert_calendars = strawberry.mutation(
        upsert_calendars,
        description="Add, change, delete and restore calendars, by the CRM's own keys: for administrators, and API keys"
        " with the scope calendars:write.",
    )
    set_calendar_access = strawberry.mutation(
        set_calendar_access,
        description="Say who may see calendars, and nobody else may: for administrators, and API keys with the scope"
        " access:write.",
    )
    add_webhook = strawberry.mutation(
        add_webhook,
        description="Let a receiver be told of what happens in the account: for administrators, and API keys with the"
        " scope webhooks:write.",
    )
    update_webhook = strawberry.mutation(
        update_webhook,
        description="Change where a webhook leads and what it is told of, disable or enable it: for administrators, and"
        " API keys with the scope webhooks:write.",
    )
    rotate_webhook_secret = strawberry.mutation(
        rotate_webhook_secret,
        description="Give a webhook a new secret: for administrators, and API keys with the scope webhooks:write.",
    )
    test_webhook = strawberry.mutation(
        test_webhook,
        description="Send a test to a webhook: for administrators, and API keys with the scope webhooks:write.",
    )
    remove_webhook = strawberry.mutation(
        remove_webhook,
        description="Tell a receiver nothing any more: for administrators, and API keys with the scope webhooks:write.",
    )


def parse_date_time(value: str) -> datetime:
    """A moment; a text without an offset would mean the server's own time zone, so is refused."""
    try:
        parsed = datetime.fromisoformat(value)
        if parsed.tzinfo:
            return parsed.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        pass
    raise GraphQLError("A DateTime must be a moment that exists, and must carry an offset, like 2026-03-29T01:30:00Z.")


def parse_time_zone(value: object) -> str:
    """A text; which zones there are is the matter of those who take one."""
    if isinstance(value, str):
        return value
    raise GraphQLError("A TimeZone must be a name of the IANA database, like Europe/Berlin.")


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
        parse_value=parse_time_zone,
    ),
    **ACTIVITY_SCALARS,
}


class Schema(strawberry.Schema):
    """Leaves errors to `api.errors`, which logs those that are ours, once and under a reference."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        pass

    def _get_custom_context_kwargs(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        """How much graphql-core says of wrong variables: of 90,000 unknown fields it spoke for a second."""
        bounds = {"max_coercion_errors": MOST_MISTAKES, "hide_suggestions": True}
        return {**super()._get_custom_context_kwargs(*arguments, **named), **bounds}


schema = Schema(
    Query,
    Mutation,
    types=USER_ERRORS,
    config=StrawberryConfig(scalar_map=SCALARS),
    execution_context_class=Execution,
    extensions=[QueryLimits],
)
read_inputs_by_plan(schema)
begin_resolvers_late(schema)


def sdl() -> str:
    """The schema in the schema definition language, as `schema.graphql` holds it."""
    return schema.as_str() + "\n"

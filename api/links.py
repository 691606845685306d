"""What can be done with links: `generateCalendarUrl` and `resetCalendarFeeds`, each one transaction."""

import unicodedata
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import relay

from api.context import Context, Info
from api.errors import CalendarNotFound, LinkNameInvalid, LinkNotFound, UserError, UserNotFound
from api.options import FeedOptionsInput
from api.types import CalendarFeed, FeedLink, list_feeds
from db.audit import add_audit_entries
from db.calendars import list_visible_calendars
from db.links import LinkRecord, add_link, get_link, list_links, lock_link, reset_links, update_options
from db.pool import Conn
from db.users import UserRecord, get_user
from feed.options import DEFAULTS, FeedOptions

LONGEST_NAME = 100


@strawberry.input(description="Which feed to get a private URL for.")
class GenerateCalendarUrlInput:
    calendar_id: strawberry.ID | None = strawberry.field(
        default=None, description="The calendar; left out: all the viewer's calendars in one feed."
    )
    name: str | None = strawberry.field(
        default="", description='What the link is for, like "iPhone"; "" is the default link of the feed.'
    )
    regenerate: bool | None = strawberry.field(
        default=False,
        description="False: an existing link is returned as it is. True: its old URL is dead from now on.",
    )
    options: FeedOptionsInput | None = strawberry.field(
        default=None,
        description="What a new or regenerated link shows, and how; `updateFeedLink` changes it and keeps the URL.",
    )


@strawberry.type(description="The link with its URL, or why there is none.")
class GenerateCalendarUrlPayload:
    feed: CalendarFeed | None = strawberry.field(default=None, description="The feed that the link belongs to.")
    link: FeedLink | None = strawberry.field(default=None, description="The link that was asked for.")
    url: str | None = strawberry.field(default=None, description="The link's private URL, ready to subscribe to.")
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="What the user has to mend; empty when the link is there."
    )


@strawberry.input(description="Which links to reset.")
class ResetCalendarFeedsInput:
    calendar_ids: list[strawberry.ID] | None = strawberry.field(
        default=None,
        description="Only the links of these calendars; left out: every link of the user, those of all calendars too.",
    )
    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="Administrators only: whose links, in place of the viewer's own."
    )


@strawberry.type(description="The feeds whose links have new URLs now; every URL given out before is dead.")
class ResetCalendarFeedsPayload:
    feeds: list[CalendarFeed] | None = strawberry.field(
        default=None, description="The feeds that had links to reset; null if nothing was done."
    )
    reset_count: int = strawberry.field(default=0, description="How many links were reset.")
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="What the user has to mend; then no link was reset."
    )


@strawberry.input(description="Which link to change, and how.")
class UpdateFeedLinkInput:
    link_id: strawberry.ID = strawberry.field(description="The link, one of the viewer's.")
    options: FeedOptionsInput = strawberry.field(description="What is to be different from now on.")


@strawberry.type(description="The changed link, whose URL is the same, or why nothing was changed.")
class UpdateFeedLinkPayload:
    feed: CalendarFeed | None = strawberry.field(default=None, description="The feed that the link belongs to.")
    link: FeedLink | None = strawberry.field(default=None, description="The link as it is now.")
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="What the user has to mend; then nothing was changed."
    )


GenerateInput = Annotated[GenerateCalendarUrlInput, strawberry.argument(description="Which feed, which link.")]
UpdateInput = Annotated[UpdateFeedLinkInput, strawberry.argument(description="Which link, what to change.")]
ResetInput = Annotated[ResetCalendarFeedsInput, strawberry.argument(description="Which links.")]


async def generate_calendar_url(info: Info, input: GenerateInput) -> GenerateCalendarUrlPayload:  # noqa: A002  # the API's word
    viewer = await info.context.viewer()
    name = input.name or ""
    if not is_link_name(name):
        message = f"Give the link a name of at most {LONGEST_NAME} characters, without line breaks."
        return GenerateCalendarUrlPayload(user_errors=[LinkNameInvalid(message=message, path=["name"])])
    if errors := input.options.errors() if input.options else []:
        return GenerateCalendarUrlPayload(user_errors=errors)
    calendar_id = None if input.calendar_id is None else node_uuid(input.calendar_id, "Calendar")
    async with info.context.pool.acquire() as conn, conn.transaction():
        if input.calendar_id is not None and calendar_id not in await _visible_ids(conn, viewer):
            return GenerateCalendarUrlPayload(user_errors=[_calendar_not_found("calendarId")])
        link = await _generate(conn, info.context, viewer, calendar_id, name, input)
        feeds = await list_feeds(conn, info.context, viewer, with_urls=True)
    feed, typed = next((feed, typed) for feed in feeds for typed in feed.links if typed.id == str(link.id))
    return GenerateCalendarUrlPayload(feed=feed, link=typed, url=typed.url)


async def update_feed_link(info: Info, input: UpdateInput) -> UpdateFeedLinkPayload:  # noqa: A002  # the API's word
    viewer = await info.context.viewer()
    if errors := input.options.errors():
        return UpdateFeedLinkPayload(user_errors=errors)
    link_id = node_uuid(input.link_id, "FeedLink")
    async with info.context.pool.acquire() as conn, conn.transaction():
        link = await lock_link(conn, viewer.account_id, viewer.id, link_id) if link_id else None
        if link is None or link.calendar_id not in {None, *await _visible_ids(conn, viewer)}:
            return UpdateFeedLinkPayload(user_errors=[_link_not_found()])
        options = input.options.applied_to(FeedOptions.parse(link.options)).kept()
        if options != link.options:
            await update_options(conn, viewer.account_id, link.id, options)
            await _audit(conn, info.context, viewer, "LINK_UPDATED", [link.id])
        feeds = await list_feeds(conn, info.context, viewer, with_urls=True)
    feed, typed = next((feed, typed) for feed in feeds for typed in feed.links if typed.id == str(link.id))
    return UpdateFeedLinkPayload(feed=feed, link=typed)


async def reset_calendar_feeds(info: Info, input: ResetInput) -> ResetCalendarFeedsPayload:  # noqa: A002  # the API's word
    viewer = await info.context.viewer()
    if input.user_id is not None:
        await info.context.administrator()
    async with info.context.pool.acquire() as conn, conn.transaction():
        owner = viewer if input.user_id is None else await find_user(conn, viewer.account_id, input.user_id)
        if owner is None:
            return ResetCalendarFeedsPayload(user_errors=[_user_not_found()])
        links = await list_links(conn, owner.account_id, owner.id)
        if input.calendar_ids is not None:
            wanted = [node_uuid(node_id, "Calendar") for node_id in input.calendar_ids]
            known = await _visible_ids(conn, owner)
            if unknown := [place for place, wanted_id in enumerate(wanted) if wanted_id not in known]:
                errors = [_calendar_not_found("calendarIds", str(place)) for place in unknown]
                return ResetCalendarFeedsPayload(user_errors=list(errors))
            links = [link for link in links if link.calendar_id in wanted]
        await _reset(conn, info.context, viewer, links)
        feeds = await list_feeds(conn, info.context, owner, with_urls=owner.id == viewer.id)
    reset_ids = {str(link.id) for link in links}
    reset_feeds = [feed for feed in feeds if reset_ids.intersection(link.id for link in feed.links)]
    return ResetCalendarFeedsPayload(feeds=reset_feeds, reset_count=len(links))


async def find_user(conn: Conn, account_id: UUID, node_id: str) -> UserRecord | None:
    user_id = node_uuid(node_id, "User")
    return await get_user(conn, account_id, user_id) if user_id else None


def is_link_name(name: str) -> bool:
    return len(name) <= LONGEST_NAME and not any(
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name
    )


def node_uuid(node_id: str, type_name: str) -> UUID | None:
    """The UUID in a node id of that type; None if it is not one: that and an unknown id are the same to the caller."""
    try:
        found, value = relay.from_base64(node_id)
        return UUID(value) if found == type_name else None
    except ValueError:
        return None


async def _generate(
    conn: Conn,
    context: Context,
    viewer: UserRecord,
    calendar_id: UUID | None,
    name: str,
    wanted: GenerateCalendarUrlInput,
) -> LinkRecord:
    """The link of that name: made if there is none, reset if asked for or if its key was dropped, else as it is."""
    account_id, key_id, options = viewer.account_id, context.keyring.newest, wanted.options or FeedOptionsInput()
    kept = options.applied_to(DEFAULTS).kept()
    added = await add_link(conn, account_id, viewer.id, calendar_id, name, key_id, context.now, kept)
    if added:
        await _audit(conn, context, viewer, "LINK_GENERATED", [added.id])
        return added
    link = await get_link(conn, account_id, viewer.id, calendar_id, name)
    assert link is not None  # it conflicted, and nothing here deletes links
    if not wanted.regenerate and link.key_id in context.keyring:
        return link
    if wanted.regenerate and wanted.options:
        link = await lock_link(conn, account_id, viewer.id, link.id) or link
        kept = options.applied_to(FeedOptions.parse(link.options)).kept()
        await update_options(conn, account_id, link.id, kept)
        await _audit(conn, context, viewer, "LINK_UPDATED", [link.id])
    return (await _reset(conn, context, viewer, [link]))[0]


async def _reset(conn: Conn, context: Context, viewer: UserRecord, links: list[LinkRecord]) -> list[LinkRecord]:
    """Give the links new URLs, signed with the newest key."""
    ids = [link.id for link in links]
    await _audit(conn, context, viewer, "LINK_RESET", ids)
    return await reset_links(conn, viewer.account_id, ids, context.keyring.newest, context.now)


async def _audit(conn: Conn, context: Context, viewer: UserRecord, action: str, link_ids: list[UUID]) -> None:
    await add_audit_entries(
        conn, viewer.account_id, action, link_ids, actor_id=viewer.id, network=context.network, now=context.now
    )


async def _visible_ids(conn: Conn, user: UserRecord) -> set[UUID]:
    return {calendar.id for calendar in await list_visible_calendars(conn, user.account_id, user.id)}


def _calendar_not_found(*path: str) -> UserError:
    message = "There is no such calendar among yours: use an id that `calendarFeeds` gave you."
    return CalendarNotFound(message=message, path=list(path))


def _link_not_found() -> UserError:
    message = "You have no such link: use an id that `calendarFeeds` gave you."
    return LinkNotFound(message=message, path=["linkId"])


def _user_not_found() -> UserError:
    return UserNotFound(
        message="There is no such user in your account: use an id that the API gave you.", path=["userId"]
    )

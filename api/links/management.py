"""Managing an account's links: listed, reset, revoked and limited many at once, and never a URL shown."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import strawberry
from strawberry import relay

from api.context import Caller, Info
from api.errors import CalendarNotFound, ExpiryInvalid, FilterEmpty, Refused, UserError
from api.links.changes import audit_links, reset
from api.links.checks import check_request, user_not_found
from api.links.feeds import FeedLink, managed_link
from api.links.inputs import GRACE, REQUEST
from api.nodes import After, First, connection, cursor_id, node_uuid, page_size
from api.refusals import answering, noting_refusal
from db.accounts import get_policy
from db.calendars import list_calendars
from db.links import LinkFilter, LinkRecord, limit_links, lock_filtered_links, page_links, revoke_links
from db.pool import Conn
from db.users import list_known_users

Work = Callable[[Conn, Caller, list[LinkRecord]], Awaitable[object]]


@strawberry.input(description="Which links of the account. All that is named must fit; a revoked link never does.")
class FeedLinkFilter:
    user_ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Links of these users.")
    calendar_ids: list[strawberry.ID] | None = strawberry.field(
        default=None,
        description="Links that show one of these calendars: also those of all calendars, of users who may see one.",
    )
    made_before: datetime | None = strawberry.field(
        default=None, description="Links whose present URL is older: generated or last reset before this moment."
    )
    unpolled_since: datetime | None = strawberry.field(
        default=None, description="Links whose present URL no calendar program has polled since this moment."
    )
    alarmed: bool | None = strawberry.field(default=None, description="Links whose alarm is raised, or is not.")
    every_link: bool | None = strawberry.field(
        default=False, description="For a filter that names nothing: that every link of the account is meant."
    )

    @property
    def is_empty(self) -> bool:
        named = (self.user_ids, self.calendar_ids, self.made_before, self.unpolled_since, self.alarmed)
        return all(value is None for value in named)

    def record(self) -> LinkFilter:
        """The filter for the data layer; ids that are none match nothing."""
        return LinkFilter(
            user_ids=_uuids(self.user_ids, "User"),
            calendar_ids=_uuids(self.calendar_ids, "Calendar"),
            made_before=self.made_before,
            unpolled_since=self.unpolled_since,
            alarmed=self.alarmed,
        )


DRY_RUN = "True: nothing is changed, and the answer says how many links would be."


@strawberry.input(description="Which links to reset, of anyone in the account.")
class ResetFeedLinksInput:
    where: FeedLinkFilter = strawberry.field(description="Which links.")
    dry_run: bool | None = strawberry.field(default=False, description=DRY_RUN)
    grace_hours: int | None = strawberry.field(default=0, description=GRACE)
    request_id: str | None = strawberry.field(default=None, description=REQUEST)


@strawberry.input(description="Which links to revoke, of anyone in the account.")
class RevokeFeedLinksInput:
    where: FeedLinkFilter = strawberry.field(description="Which links.")
    dry_run: bool | None = strawberry.field(default=False, description=DRY_RUN)


@strawberry.input(description="Which links to let end at a moment, of anyone in the account.")
class LimitFeedLinksInput:
    where: FeedLinkFilter = strawberry.field(description="Which links.")
    expires_at: datetime = strawberry.field(description="When they end, those that do not end earlier.")
    dry_run: bool | None = strawberry.field(default=False, description=DRY_RUN)


@strawberry.type
class ManyLinksPayload:
    """What the payloads of many links' changes have in common; not a type of the schema."""

    link_count: int = strawberry.field(
        default=0, description="How many links fit the filter, all of which are so now, or would be."
    )
    user_count: int = strawberry.field(default=0, description="How many users they belong to.")
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="What the caller has to mend; then nothing was changed."
    )


@strawberry.type(description="How many links have new URLs now; their users find them in their feeds.")
class ResetFeedLinksPayload(ManyLinksPayload):
    pass


@strawberry.type(description="How many links are dead for good now.")
class RevokeFeedLinksPayload(ManyLinksPayload):
    pass


@strawberry.type(description="How many links end at that moment now.")
class LimitFeedLinksPayload(ManyLinksPayload):
    pass


ResetInput = Annotated[ResetFeedLinksInput, strawberry.argument(description="Which links.")]
RevokeInput = Annotated[RevokeFeedLinksInput, strawberry.argument(description="Which links.")]
LimitInput = Annotated[LimitFeedLinksInput, strawberry.argument(description="Which links, until when.")]
Where = Annotated[FeedLinkFilter | None, strawberry.argument(description="Which links; left out: all.")]


async def feed_links(
    info: Info, where: Where = None, first: First = None, after: After = None
) -> relay.Connection[FeedLink]:
    async with noting_refusal(info, "LINKS_LISTED", where):
        caller = await info.context.manager("feeds:read")
    size, wanted = page_size(first), where.record() if where else LinkFilter()
    async with info.context.pool.acquire() as conn:
        rows = await page_links(conn, caller.account_id, wanted, size + 1, cursor_id(after))
        policy = await get_policy(conn, caller.account_id)
    page: relay.Connection[FeedLink] = connection(
        rows,
        size,
        lambda owned: managed_link(owned, policy, info.context),
        lambda owned: str(owned.link.id),
        after=after is not None,
    )
    return page


@answering(ResetFeedLinksPayload, "LINK_RESET")
async def reset_feed_links(info: Info, input: ResetInput) -> ResetFeedLinksPayload:  # noqa: A002  # the API's word
    check_request(input.grace_hours, input.request_id)

    async def work(conn: Conn, caller: Caller, links: list[LinkRecord]) -> None:
        await reset(conn, info.context, caller, links, input.grace_hours, input.request_id)

    return ResetFeedLinksPayload(**await _change(info, input.where, input.dry_run, work))


@answering(RevokeFeedLinksPayload, "LINK_REVOKED")
async def revoke_feed_links(info: Info, input: RevokeInput) -> RevokeFeedLinksPayload:  # noqa: A002  # the API's word
    async def work(conn: Conn, caller: Caller, links: list[LinkRecord]) -> None:
        ids = [link.id for link in links]
        await revoke_links(conn, caller.account_id, ids, info.context.now)
        await audit_links(conn, info.context, caller, "LINK_REVOKED", ids)

    return RevokeFeedLinksPayload(**await _change(info, input.where, input.dry_run, work))


@answering(LimitFeedLinksPayload, "LINK_LIMITED")
async def limit_feed_links(info: Info, input: LimitInput) -> LimitFeedLinksPayload:  # noqa: A002  # the API's word
    if input.expires_at <= info.context.now:
        message = "Name a moment in the future; to end links at once, revoke them."
        raise Refused(ExpiryInvalid(message=message, path=["expiresAt"]))

    async def work(conn: Conn, caller: Caller, links: list[LinkRecord]) -> None:
        limited = (input.expires_at, "ADMINISTRATOR")
        earlier = [link for link in links if link.expires_at and link.expires_at < input.expires_at]
        ids = [link.id for link in links if link not in earlier and (link.expires_at, link.expires_by) != limited]
        await limit_links(conn, caller.account_id, ids, input.expires_at)
        until = input.expires_at.isoformat()
        await audit_links(conn, info.context, caller, "LINK_LIMITED", ids, expiresAt=until)

    return LimitFeedLinksPayload(**await _change(info, input.where, input.dry_run, work))


async def _change(info: Info, where: FeedLinkFilter, dry_run: bool | None, work: Work) -> dict[str, Any]:
    """Do the work on the links that fit, in one transaction; how many there are, and of how many users."""
    caller = await info.context.manager("feeds:write")
    if where.is_empty and not where.every_link:
        message = "Name users, calendars, an age or an alarm; if you mean every link, set `everyLink`."
        raise Refused(FilterEmpty(message=message, path=["where"]))
    async with info.context.pool.acquire() as conn, conn.transaction():
        await _check_known(conn, caller, where)
        links = await lock_filtered_links(conn, caller.account_id, where.record())
        if not dry_run:
            await work(conn, caller, links)
    return {"link_count": len(links), "user_count": len({link.user_id for link in links})}


async def _check_known(conn: Conn, caller: Caller, where: FeedLinkFilter) -> None:
    """Refuse ids that are none of the account's: a typing error must not look like a user without links."""
    users, calendars = _nodes(where.user_ids, "User"), _nodes(where.calendar_ids, "Calendar")
    known_users = await list_known_users(conn, caller.account_id, [user for user in users if user])
    known_calendars = {calendar.id for calendar in await list_calendars(conn, caller.account_id)} if calendars else {}
    message = "There is no such calendar in your account: use an id that the API gave you."
    errors: list[UserError] = [
        user_not_found("where", "userIds", str(place)) for place, id_ in enumerate(users) if id_ not in known_users
    ]
    errors += [
        CalendarNotFound(message=message, path=["where", "calendarIds", str(place)])
        for place, id_ in enumerate(calendars)
        if id_ not in known_calendars
    ]
    if errors:
        raise Refused(*errors)


def _nodes(node_ids: list[strawberry.ID] | None, type_name: str) -> list[UUID | None]:
    return [node_uuid(node_id, type_name) for node_id in node_ids or []]


def _uuids(node_ids: list[strawberry.ID] | None, type_name: str) -> list[UUID] | None:
    return None if node_ids is None else [id_ for id_ in _nodes(node_ids, type_name) if id_]

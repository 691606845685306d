"""`resetCalendarFeeds`: new URLs for all of a user's links, or for those of some calendars."""

from collections.abc import Sequence

from api.context import Info
from api.errors import Refused
from api.links.changes import find_user, reset, visible_ids
from api.links.checks import calendar_not_found, check_request, user_not_found
from api.links.feeds import list_feeds
from api.links.inputs import ResetCalendarFeedsInput, ResetCalendarFeedsPayload, ResetInput
from api.nodes import node_uuid
from api.refusals import answering
from db.links import LinkFilter, LinkRecord, lock_filtered_links
from db.pool import Conn
from db.users import UserRecord


@answering(ResetCalendarFeedsPayload, "LINK_RESET")
async def reset_calendar_feeds(info: Info, input: ResetInput) -> ResetCalendarFeedsPayload:  # noqa: A002  # the API's word
    caller = await info.context.caller("feeds:write")
    await (info.context.viewer("feeds:write") if input.user_id is None else info.context.manager("feeds:write"))
    check_request(input.grace_hours, input.request_id)
    async with info.context.pool.acquire() as conn, conn.transaction():
        owner = caller.user if input.user_id is None else await find_user(conn, caller.account_id, input.user_id)
        if owner is None:
            raise Refused(user_not_found("userId"))
        links = await _wanted(conn, owner, input)
        await reset(conn, info.context, caller, links, input.grace_hours, input.request_id)
        is_own = caller.user is not None and caller.user.id == owner.id
        feeds = await list_feeds(conn, info.context, owner, with_urls=is_own)
    ids = {str(link.id) for link in links}
    fresh = [feed for feed in feeds if ids.intersection(link.id for link in feed.links)]
    return ResetCalendarFeedsPayload(feeds=fresh, reset_count=len(links))


async def _wanted(conn: Conn, owner: UserRecord, wanted: ResetCalendarFeedsInput) -> Sequence[LinkRecord]:
    """The user's links of those calendars, locked."""
    links = await lock_filtered_links(conn, owner.account_id, LinkFilter(user_ids=[owner.id]))
    if wanted.calendar_ids is None:
        return links
    ids = [node_uuid(node_id, "Calendar") for node_id in wanted.calendar_ids]
    known = await visible_ids(conn, owner)
    if unknown := [place for place, calendar_id in enumerate(ids) if calendar_id not in known]:
        raise Refused(*(calendar_not_found("calendarIds", str(place)) for place in unknown))
    return [link for link in links if link.calendar_id in ids]

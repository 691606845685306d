"""`node`: any object of the schema by its id, for those whom a list would show it to; to all others it is not there."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar
from uuid import UUID

import strawberry
from strawberry import relay

from api.activities.activities import Activity, activity_node
from api.audit import AuditEntry
from api.context import Caller, Info
from api.integrators import ApiKey
from api.links.feeds import CalendarFeed, FeedLink, list_feeds, managed_link
from api.people.calendars import visible_to
from api.people.types import Calendar, User
from api.webhooks.webhooks import Webhook, WebhookDelivery
from db.accounts import get_policy
from db.audit import get_audit_entry
from db.calendars import WantedCalendars, page_calendars
from db.deliveries import get_delivery
from db.keys import get_kept_api_key
from db.links import get_owned_link
from db.pool import Conn
from db.users import get_user
from db.webhooks import get_webhook

Row = TypeVar("Row")
Load = Callable[[Info, Caller, UUID], Awaitable[relay.Node | None]]
Get = Callable[[Conn, UUID, UUID], Awaitable[Row | None]]
NodeId = Annotated[strawberry.ID, strawberry.argument(description="The `id` that the API gave the object.")]


async def node(info: Info, id: NodeId) -> relay.Node | None:  # noqa: A002  # the API's word
    caller = await info.context.caller()
    try:
        type_name, text = relay.from_base64(id)
        if type_name == "CalendarFeed":
            return await _calendar_feed(info, caller, text)
        load, id_ = LOADS[type_name], UUID(text)
    except (ValueError, KeyError):
        return None
    return await load(info, caller, id_)


async def _user(info: Info, caller: Caller, user_id: UUID) -> User | None:
    if not _is_own(caller, user_id) and not caller.may("users:read"):
        return None
    async with info.context.pool.acquire() as conn:
        user = await get_user(conn, caller.account_id, user_id)
    return User.of(user) if user else None


async def _calendar(info: Info, caller: Caller, calendar_id: UUID) -> Calendar | None:
    """A deleted one too, to those who see all."""
    if not caller.has("calendars:read"):
        return None
    viewer_id = visible_to(caller)
    wanted = WantedCalendars(ids=[calendar_id], deleted=None if viewer_id is None else False, visible_to=viewer_id)
    async with info.context.pool.acquire() as conn:
        found = await page_calendars(conn, caller.account_id, wanted, 1, None)
    return Calendar.of(found[0]) if found else None


async def _activity(info: Info, caller: Caller, activity_id: UUID) -> Activity | None:
    return await activity_node(info, activity_id) if caller.has("activities:read") else None


async def _calendar_feed(info: Info, caller: Caller, text: str) -> CalendarFeed | None:
    user_id = UUID(text.partition(":")[0])
    return next((feed for feed in await _feeds(info, caller, user_id) if feed.id == text), None)


async def _feed_link(info: Info, caller: Caller, link_id: UUID) -> FeedLink | None:
    async with info.context.pool.acquire() as conn:
        owned = await get_owned_link(conn, caller.account_id, link_id)
        policy = await get_policy(conn, caller.account_id)
    if owned is None or owned.link.revoked_at:
        return None
    if _is_own(caller, owned.user.id):
        links = [link for feed in await _feeds(info, caller, owned.user.id) for link in feed.links]
        if own := next((link for link in links if link.id == str(link_id)), None):
            return own
    return managed_link(owned, policy, info.context) if caller.may("feeds:read") else None


def _managed(scope: str, get: Get[Row], make: Callable[[Row], relay.Node]) -> Load:
    """Loads what only those know of who manage the account."""

    async def load(info: Info, caller: Caller, id_: UUID) -> relay.Node | None:
        if not caller.may(scope):
            return None
        async with info.context.pool.acquire() as conn:
            found = await get(conn, caller.account_id, id_)
        return make(found) if found else None

    return load


async def _feeds(info: Info, caller: Caller, user_id: UUID) -> list[CalendarFeed]:
    """The user's feeds, if the caller may see them: with their URLs if they are the caller's own."""
    is_own = _is_own(caller, user_id) and caller.has("feeds:read")
    if not is_own and not caller.may("feeds:read"):
        return []
    async with info.context.pool.acquire() as conn:
        user = await get_user(conn, caller.account_id, user_id)
        return await list_feeds(conn, info.context, user, with_urls=is_own) if user else []


def _is_own(caller: Caller, user_id: UUID) -> bool:
    return caller.user is not None and caller.user.id == user_id


LOADS: dict[str, Load] = {
    "User": _user,
    "Calendar": _calendar,
    "Activity": _activity,
    "FeedLink": _feed_link,
    "AuditEntry": _managed("audit:read", get_audit_entry, AuditEntry.of),
    "ApiKey": _managed("keys:read", get_kept_api_key, ApiKey.of),
    "Webhook": _managed("webhooks:read", get_webhook, Webhook.of),
    "WebhookDelivery": _managed("webhooks:read", get_delivery, WebhookDelivery.of),
}

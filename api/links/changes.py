"""What becomes of one link: updated, paused, resumed, revoked, reset. Each mutation is one transaction."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from strawberry.utils.str_converters import to_camel_case

from api.context import Caller, Context, Info
from api.errors import (
    LinkLimitedByOther,
    LinkNameInvalid,
    LinkNameTaken,
    LinkNotFound,
    LinkPausedByOther,
    LinkRevoked,
    Refused,
    UserError,
)
from api.links.checks import check_name, check_options, checked_expiry
from api.links.feeds import CalendarFeed, FeedLink, list_feeds, managed_link
from api.links.inputs import (
    PauseFeedLinkPayload,
    PauseInput,
    ResumeFeedLinkPayload,
    ResumeInput,
    RevokeFeedLinkPayload,
    RevokeInput,
    UpdateFeedLinkInput,
    UpdateFeedLinkPayload,
    UpdateInput,
)
from api.links.options import FeedOptionsInput
from api.nodes import node_uuid
from api.refusals import answering
from db.accounts import get_policy
from db.audit import add_audit_entries
from db.calendars import list_visible_calendars
from db.links import (
    ExpiresBy,
    LinkRecord,
    PausedBy,
    get_owned_link,
    lock_link,
    pause_links,
    reset_links,
    resume_links,
    revoke_links,
    update_link,
)
from db.pool import Conn
from db.users import UserRecord, get_user
from feed.options import FeedOptions


@dataclass(frozen=True, slots=True)
class Change:
    """A link that is being changed, locked until the transaction ends, and who changes it."""

    conn: Conn
    context: Context
    caller: Caller
    link: LinkRecord

    @property
    def is_owners(self) -> bool:
        return self.caller.user is not None and self.caller.user.id == self.link.user_id

    async def audit(self, action: str, **details: Any) -> None:
        await audit_links(self.conn, self.context, self.caller, action, [self.link.id], **details)

    async def described(self) -> tuple[CalendarFeed | None, FeedLink]:
        """The feed, if its user may still see it, and the link as it is now."""
        owned = await get_owned_link(self.conn, self.link.account_id, self.link.id)
        assert owned is not None  # it is locked
        feeds = await list_feeds(self.conn, self.context, owned.user, with_urls=self.is_owners)
        calendar_id = owned.calendar and str(owned.calendar.id)
        feed = next((f for f in feeds if (f.calendar and f.calendar.id) == calendar_id), None)
        alive = next((link for link in feed.links if link.id == str(self.link.id)), None) if feed else None
        policy = await get_policy(self.conn, self.link.account_id)
        return feed, alive or managed_link(owned, policy, self.context)


@answering(UpdateFeedLinkPayload, "LINK_UPDATED")
async def update_feed_link(info: Info, input: UpdateInput) -> UpdateFeedLinkPayload:  # noqa: A002  # the API's word
    try:
        async with changing(info, input.link_id) as change:
            await _update(change, input)
            feed, link = await change.described()
    except asyncpg.UniqueViolationError:
        taken = LinkNameTaken(message="The feed has another link of that name: choose another one.", path=["name"])
        raise Refused(taken) from None
    return UpdateFeedLinkPayload(feed=feed, link=link)


@answering(PauseFeedLinkPayload, "LINK_PAUSED")
async def pause_feed_link(info: Info, input: PauseInput) -> PauseFeedLinkPayload:  # noqa: A002  # the API's word
    async with changing(info, input.link_id) as change:
        by: PausedBy = "OWNER" if change.is_owners else "ADMINISTRATOR"
        if change.link.paused_at is None or (by == "ADMINISTRATOR" and change.link.paused_by != by):
            await pause_links(change.conn, change.link.account_id, [change.link.id], by, change.context.now)
            await change.audit("LINK_PAUSED")
        feed, link = await change.described()
    return PauseFeedLinkPayload(feed=feed, link=link)


@answering(ResumeFeedLinkPayload, "LINK_RESUMED")
async def resume_feed_link(info: Info, input: ResumeInput) -> ResumeFeedLinkPayload:  # noqa: A002  # the API's word
    async with changing(info, input.link_id) as change:
        link = change.link
        is_others = not change.is_owners if link.paused_by == "OWNER" else not change.caller.may("feeds:write")
        if link.paused_at and is_others:
            raise Refused(_paused_by_other(link))
        if link.paused_at or link.alarmed_at:
            await resume_links(change.conn, link.account_id, [link.id], change.context.now)
            await change.audit("LINK_RESUMED")
        feed, typed = await change.described()
    return ResumeFeedLinkPayload(feed=feed, link=typed)


@answering(RevokeFeedLinkPayload, "LINK_REVOKED")
async def revoke_feed_link(info: Info, input: RevokeInput) -> RevokeFeedLinkPayload:  # noqa: A002  # the API's word
    async with changing(info, input.link_id, revoked=True) as change:
        if change.link.revoked_at is None:
            await revoke_links(change.conn, change.link.account_id, [change.link.id], change.context.now)
            await change.audit("LINK_REVOKED")
        feed, link = await change.described()
    return RevokeFeedLinkPayload(feed=feed, link=link)


@asynccontextmanager
async def changing(info: Info, node_id: str, *, revoked: bool = False) -> AsyncIterator[Change]:
    """A transaction on one link of the caller's own, or of anybody's for those who manage the account's links.

    To everybody else there is no such link. One that was revoked can only be `revoked` again.
    """
    caller, link_id = await info.context.caller("feeds:write"), node_uuid(node_id, "FeedLink")
    async with info.context.pool.acquire() as conn, conn.transaction():
        link = await lock_link(conn, caller.account_id, link_id) if link_id else None
        if link is None or not await _may_change(conn, caller, link, only_to_revoke=revoked):
            message = "There is no such link: use an id that the API gave you."
            raise Refused(LinkNotFound(message=message, path=["linkId"]))
        if link.revoked_at and not revoked:
            raise Refused(LinkRevoked(message="The link was revoked: generate a new one.", path=["linkId"]))
        yield Change(conn, info.context, caller, link)


async def _may_change(conn: Conn, caller: Caller, link: LinkRecord, *, only_to_revoke: bool) -> bool:
    if caller.may("feeds:write"):
        return True
    if caller.user is None or caller.user.id != link.user_id:
        return False
    return only_to_revoke or link.calendar_id is None or link.calendar_id in await visible_ids(conn, caller.user)


async def _update(change: Change, wanted: UpdateFeedLinkInput) -> None:
    link, policy = change.link, await get_policy(change.conn, change.link.account_id)
    check_options(wanted.options or None, policy)
    options = (wanted.options or FeedOptionsInput()).applied_to(FeedOptions.parse(link.options)).kept()
    name = wanted.name if isinstance(wanted.name, str) else link.name
    expires_at = link.expires_at
    if wanted.expires_at is None or isinstance(wanted.expires_at, datetime):
        expires_at = checked_expiry(policy, link.made_at, wanted.expires_at, change.context.now)
        _check_limit(change, expires_at)
    if name != link.name:
        check_name(name)
        if "" in (name, link.name):
            message = "The default link has no name: generate a link with a name."
            raise Refused(LinkNameInvalid(message=message, path=["name"]))
    await update(change, name, options, expires_at)


def _check_limit(change: Change, expires_at: datetime | None) -> None:
    """Refuse to put off the end that an administrator chose."""
    link = change.link
    is_later = link.expires_at is not None and (expires_at is None or expires_at > link.expires_at)
    if link.expires_by == "ADMINISTRATOR" and is_later and not change.caller.may("feeds:write"):
        message = "An administrator limited the link to its end: choose an earlier one, or generate a new URL."
        raise Refused(LinkLimitedByOther(message=message, path=["expiresAt"]))


async def update(change: Change, name: str, options: Mapping[str, Any], expires_at: datetime | None) -> None:
    """Keep these with the link; the audit log has what they were and are."""
    link, end = change.link, expires_at and expires_at.isoformat()
    values: dict[str, list[Any]] = {
        "name": [link.name, name],
        "options": [camel_cased(link.options), camel_cased(options)],
        "expiresAt": [link.expires_at and link.expires_at.isoformat(), end],
    }
    if changed := {word: [was, is_] for word, (was, is_) in values.items() if was != is_}:
        by: ExpiresBy = "OWNER" if change.is_owners else "ADMINISTRATOR"
        await update_link(change.conn, link.account_id, link.id, name, options, expires_at, by)
        await change.audit("LINK_UPDATED", **changed)


async def reset(
    conn: Conn,
    context: Context,
    caller: Caller,
    links: Sequence[LinkRecord],
    grace_hours: int | None,
    request_id: str | None,
) -> list[LinkRecord]:
    """Give the links new URLs, signed with the newest key, unless this very request has done so before."""
    if request_id is not None and any(link.request_id == request_id for link in links):
        return list(links)  # it was one transaction: what is not of it was made or reset later
    ids = [link.id for link in links]
    details = {"graceHours": grace_hours} if grace_hours else {}
    await audit_links(conn, context, caller, "LINK_RESET", ids, **details)
    return await reset_links(
        conn,
        caller.account_id,
        ids,
        context.keyring.newest,
        context.now,
        grace_until=context.now + timedelta(hours=grace_hours) if grace_hours else None,
        request_id=request_id,
    )


def camel_cased(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the names that the API has for them."""
    return {to_camel_case(name): value for name, value in options.items()}


async def audit_links(
    conn: Conn, context: Context, caller: Caller, action: str, link_ids: list[UUID], **details: Any
) -> None:
    await add_audit_entries(
        conn, caller.account_id, action, link_ids, actor=caller.actor, now=context.now, details=details
    )


async def visible_ids(conn: Conn, user: UserRecord) -> set[UUID]:
    return {calendar.id for calendar in await list_visible_calendars(conn, user.account_id, user.id)}


async def find_user(conn: Conn, account_id: UUID, node_id: str) -> UserRecord | None:
    user_id = node_uuid(node_id, "User")
    return await get_user(conn, account_id, user_id) if user_id else None


def _paused_by_other(link: LinkRecord) -> UserError:
    messages = {
        "OWNER": "Its user paused the link: ask them to resume it.",
        "ADMINISTRATOR": "An administrator paused the link: ask them to resume it.",
        "ALARM": "The link was paused because others seem to have its URL: reset it, and it serves at its new URL.",
    }
    return LinkPausedByOther(message=messages[link.paused_by or "OWNER"], path=["linkId"])

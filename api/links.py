"""The life of one link: generated, updated, paused, resumed, revoked. Each mutation is one transaction."""

import unicodedata
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from api.context import Caller, Context, Info
from api.errors import (
    CalendarNotFound,
    ExpiryInvalid,
    FeedsDisabled,
    ForbiddenByPolicy,
    LinkNameInvalid,
    LinkNameTaken,
    LinkNotFound,
    LinkPausedByOther,
    LinkRevoked,
    Refused,
    TooManyLinks,
    UserError,
    ValueInvalid,
)
from api.feeds import CalendarFeed, FeedLink, list_feeds, managed_link
from api.link_inputs import (
    LONGEST_GRACE_HOURS,
    LONGEST_REQUEST_ID,
    GenerateCalendarUrlInput,
    GenerateCalendarUrlPayload,
    GenerateInput,
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
from api.nodes import node_uuid
from api.options import FeedOptionsInput
from api.refusals import answering
from db.accounts import PolicyRecord, get_policy
from db.audit import add_audit_entries
from db.calendars import list_visible_calendars
from db.links import (
    LinkRecord,
    PausedBy,
    add_link,
    count_links,
    get_link,
    get_owned_link,
    lock_link,
    pause_links,
    reset_links,
    resume_links,
    revoke_links,
    update_link,
)
from db.pool import Conn
from db.users import UserRecord, get_user, lock_user
from feed.options import DEFAULTS, FeedOptions
from feed.policy import allowed_options

LONGEST_NAME = 100


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


@answering(GenerateCalendarUrlPayload, "LINK_GENERATED")
async def generate_calendar_url(info: Info, input: GenerateInput) -> GenerateCalendarUrlPayload:  # noqa: A002  # the API's word
    viewer = await info.context.viewer()
    caller, name = await info.context.caller(), input.name or ""
    check_name(name)
    check_request(input.grace_hours, input.request_id)
    calendar_id = None if input.calendar_id is None else node_uuid(input.calendar_id, "Calendar")
    async with info.context.pool.acquire() as conn, conn.transaction():
        if input.calendar_id is not None and calendar_id not in await visible_ids(conn, viewer):
            raise Refused(calendar_not_found("calendarId"))
        policy = await get_policy(conn, viewer.account_id)
        if policy.feeds_disabled_at:
            raise Refused(FeedsDisabled(message="Calendar feeds are switched off in your account.", path=[]))
        _check_options(input.options, policy)
        link = await _generate(conn, info.context, caller, viewer, calendar_id, name, input, policy)
        feed, typed = await Change(conn, info.context, caller, link).described()
    return GenerateCalendarUrlPayload(feed=feed, link=typed, url=typed.url)


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
        if link.paused_by not in (None, "OWNER") and not change.caller.may("feeds:write"):
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
    caller, link_id = await info.context.caller(), node_uuid(node_id, "FeedLink")
    async with info.context.pool.acquire() as conn, conn.transaction():
        link = await lock_link(conn, caller.account_id, link_id) if link_id else None
        if link is None or not await _may_change(conn, caller, link):
            message = "There is no such link: use an id that the API gave you."
            raise Refused(LinkNotFound(message=message, path=["linkId"]))
        if link.revoked_at and not revoked:
            raise Refused(LinkRevoked(message="The link was revoked: generate a new one.", path=["linkId"]))
        yield Change(conn, info.context, caller, link)


async def _may_change(conn: Conn, caller: Caller, link: LinkRecord) -> bool:
    if caller.may("feeds:write"):
        return True
    if caller.user is None or caller.user.id != link.user_id:
        return False
    return link.calendar_id is None or link.calendar_id in await visible_ids(conn, caller.user)


async def _generate(
    conn: Conn,
    context: Context,
    caller: Caller,
    viewer: UserRecord,
    calendar_id: UUID | None,
    name: str,
    wanted: GenerateCalendarUrlInput,
    policy: PolicyRecord,
) -> LinkRecord:
    """The link of that name: made if there is none, reset if asked for or if its key was dropped, else as it is."""
    key = (viewer.account_id, viewer.id, calendar_id, name)
    if not await get_link(conn, *key):
        await lock_user(conn, viewer.account_id, viewer.id)  # of two calls at once one makes it, and both count right
    found = await get_link(conn, *key)
    if found is None:
        return await _add(conn, context, caller, key, wanted, policy)
    link = await lock_link(conn, viewer.account_id, found.id) or found
    is_repeated = wanted.request_id is not None and wanted.request_id == link.request_id
    if (not wanted.regenerate or is_repeated) and link.key_id in context.keyring:
        return link
    if wanted.regenerate:
        await _renew(conn, context, caller, link, wanted, policy)
    return (await reset(conn, context, caller, [link], wanted.grace_hours, wanted.request_id))[0]


async def _renew(
    conn: Conn,
    context: Context,
    caller: Caller,
    link: LinkRecord,
    wanted: GenerateCalendarUrlInput,
    policy: PolicyRecord,
) -> None:
    """Give the link the options and the expiry that were asked for; an expiry that has passed ends no new URL."""
    kept = link.expires_at if link.expires_at and link.expires_at > context.now else None
    expires_at = checked_expiry(policy, context.now, wanted.expires_at, context.now) or kept
    options = (wanted.options or FeedOptionsInput()).applied_to(FeedOptions.parse(link.options)).kept()
    if (options, expires_at) != (link.options, link.expires_at):
        await update_link(conn, link.account_id, link.id, link.name, options, expires_at)
        await audit_links(conn, context, caller, "LINK_UPDATED", [link.id])


async def _add(
    conn: Conn,
    context: Context,
    caller: Caller,
    key: tuple[UUID, UUID, UUID | None, str],
    wanted: GenerateCalendarUrlInput,
    policy: PolicyRecord,
) -> LinkRecord:
    account_id, user_id, _, _ = key
    most = context.links_per_user if policy.most_links is None else min(policy.most_links, context.links_per_user)
    if await count_links(conn, account_id, user_id) >= most:
        message = f"You may have {most} links, and have as many: revoke one that you do not need."
        raise Refused(TooManyLinks(message=message, path=[]))
    expires_at = checked_expiry(policy, context.now, wanted.expires_at, context.now)
    options = (wanted.options or FeedOptionsInput()).applied_to(DEFAULTS).kept()
    link = await add_link(conn, *key, context.keyring.newest, context.now, options, expires_at)
    assert link is not None  # the user is locked
    await audit_links(conn, context, caller, "LINK_GENERATED", [link.id])
    return link


async def _update(change: Change, wanted: UpdateFeedLinkInput) -> None:
    link, policy = change.link, await get_policy(change.conn, change.link.account_id)
    _check_options(wanted.options or None, policy)
    options = (wanted.options or FeedOptionsInput()).applied_to(FeedOptions.parse(link.options)).kept()
    name = wanted.name if isinstance(wanted.name, str) else link.name
    expires_at = link.expires_at
    if wanted.expires_at is None or isinstance(wanted.expires_at, datetime):
        expires_at = checked_expiry(policy, link.made_at, wanted.expires_at, change.context.now)
    if name != link.name:
        check_name(name)
        if "" in (name, link.name):
            message = "The default link has no name: generate a link with a name."
            raise Refused(LinkNameInvalid(message=message, path=["name"]))
    if (name, options, expires_at) != (link.name, link.options, link.expires_at):
        await update_link(change.conn, link.account_id, link.id, name, options, expires_at)
        await change.audit("LINK_UPDATED")


async def reset(
    conn: Conn,
    context: Context,
    caller: Caller,
    links: Collection[LinkRecord],
    grace_hours: int | None,
    request_id: str | None,
) -> list[LinkRecord]:
    """Give the links new URLs, signed with the newest key, but for those that this very request has reset before."""
    repeated = [link for link in links if request_id is not None and link.request_id == request_id]
    ids = [link.id for link in links if link not in repeated]
    grace_until = context.now + timedelta(hours=grace_hours) if grace_hours else None
    await audit_links(conn, context, caller, "LINK_RESET", ids, **({"graceHours": grace_hours} if grace_hours else {}))
    key_id, account_id = context.keyring.newest, caller.account_id
    fresh = await reset_links(
        conn, account_id, ids, key_id, context.now, grace_until=grace_until, request_id=request_id
    )
    return repeated + fresh


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


def check_name(name: str) -> None:
    if len(name) > LONGEST_NAME or any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name):
        message = f"Give the link a name of at most {LONGEST_NAME} characters, without line breaks."
        raise Refused(LinkNameInvalid(message=message, path=["name"]))


def check_request(grace_hours: int | None, request_id: str | None) -> None:
    if not 0 <= (grace_hours or 0) <= LONGEST_GRACE_HOURS:
        message = f"Give a number from 0 to {LONGEST_GRACE_HOURS}."
        raise Refused(ValueInvalid(message=message, path=["graceHours"]))
    if request_id is not None and not (0 < len(request_id) <= LONGEST_REQUEST_ID and request_id.isprintable()):
        message = f"Give a text of 1 to {LONGEST_REQUEST_ID} printable characters, such as a UUID."
        raise Refused(ValueInvalid(message=message, path=["requestId"]))


def checked_expiry(
    policy: PolicyRecord, made_at: datetime, expires_at: datetime | None, now: datetime
) -> datetime | None:
    """The moment, if a URL made then may end at it."""
    if expires_at is None:
        return None
    latest = policy.longest_days and made_at + timedelta(days=policy.longest_days)
    if expires_at <= now:
        raise Refused(ExpiryInvalid(message="Name a moment in the future.", path=["expiresAt"]))
    if latest and expires_at > latest:
        message = f"Your account allows links {policy.longest_days} days: name a moment until {latest:%Y-%m-%dT%H:%MZ}."
        raise Refused(ExpiryInvalid(message=message, path=["expiresAt"]))
    return expires_at


def _check_options(wanted: FeedOptionsInput | None, policy: PolicyRecord) -> None:
    """Refuse options that nobody can have, and those that the account's policy would override."""
    if not wanted:
        return
    if errors := wanted.errors():
        raise Refused(*errors)
    chosen = wanted.applied_to(DEFAULTS)
    allowed, errors = allowed_options(policy, chosen), list[UserError]()
    if wanted.detail and chosen.detail != allowed.detail:
        message = f"Your account allows only {allowed.detail}."
        errors.append(ForbiddenByPolicy(message=message, path=["options", "detail"]))
    if wanted.activity_types and chosen.activity_types != allowed.activity_types:
        message = f"Your account allows only {', '.join(policy.allowed_types or ())}."
        errors.append(ForbiddenByPolicy(message=message, path=["options", "activityTypes"]))
    if errors:
        raise Refused(*errors)


def _paused_by_other(link: LinkRecord) -> UserError:
    message = "An administrator paused the link: ask them to resume it."
    if link.paused_by == "ALARM":
        message = "The link was paused because others seem to have its URL: reset it, and it serves at its new URL."
    return LinkPausedByOther(message=message, path=["linkId"])


def calendar_not_found(*path: str) -> UserError:
    message = "There is no such calendar among yours: use an id that `calendarFeeds` gave you."
    return CalendarNotFound(message=message, path=list(path))

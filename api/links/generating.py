"""`generateCalendarUrl`: a link made if there is none, reset if asked for, else returned as it is."""

from dataclasses import dataclass
from uuid import UUID

from api.context import Caller, Context, Info
from api.errors import FeedsDisabled, Refused, TooManyLinks
from api.links.changes import Change, audit_links, camel_cased, reset, update, visible_ids
from api.links.checks import calendar_not_found, check_name, check_options, check_request, checked_expiry
from api.links.inputs import GenerateCalendarUrlInput, GenerateCalendarUrlPayload, GenerateInput
from api.links.options import FeedOptionsInput
from api.nodes import node_uuid
from api.refusals import answering
from db.accounts import PolicyRecord, get_policy
from db.links import LinkRecord, add_link, count_links, get_link, lock_link
from db.pool import Conn
from db.users import UserRecord, lock_user
from feed.options import DEFAULTS, FeedOptions


@answering(GenerateCalendarUrlPayload, "LINK_GENERATED")
async def generate_calendar_url(info: Info, input: GenerateInput) -> GenerateCalendarUrlPayload:  # noqa: A002  # the API's word
    viewer, caller = await info.context.viewer("feeds:write"), await info.context.caller()
    check_name(input.name or "")
    check_request(input.grace_hours, input.request_id)
    calendar_id = None if input.calendar_id is None else node_uuid(input.calendar_id, "Calendar")
    async with info.context.pool.acquire() as conn, conn.transaction():
        if input.calendar_id is not None and calendar_id not in await visible_ids(conn, viewer):
            raise Refused(calendar_not_found("calendarId"))
        policy = await get_policy(conn, viewer.account_id)
        if policy.feeds_disabled_at:
            raise Refused(FeedsDisabled(message="Calendar feeds are switched off in your account.", path=[]))
        check_options(input.options, policy)
        link = await Generation(conn, info.context, caller, viewer, policy, calendar_id, input).link()
        feed, typed = await Change(conn, info.context, caller, link).described()
    return GenerateCalendarUrlPayload(feed=feed, link=typed, url=typed.url)


@dataclass(frozen=True, slots=True)
class Generation:
    """A link that its user asks for, in a transaction."""

    conn: Conn
    context: Context
    caller: Caller
    viewer: UserRecord
    policy: PolicyRecord
    calendar_id: UUID | None
    wanted: GenerateCalendarUrlInput

    async def link(self) -> LinkRecord:
        """The link of that name: made if there is none, reset if asked for or if its key was dropped, else as it is."""
        link = await self._locked()
        if link is None:
            return await self._add()
        wanted = self.wanted
        is_repeated = wanted.request_id is not None and wanted.request_id == link.request_id
        if (not wanted.regenerate or is_repeated) and link.key_id in self.context.keyring:
            return link
        (fresh,) = await reset(self.conn, self.context, self.caller, [link], wanted.grace_hours, wanted.request_id)
        if wanted.regenerate:
            await self._renew(fresh)
        return fresh

    async def _locked(self) -> LinkRecord | None:
        """The link of that name, locked; None if there is none, and then nobody else makes one meanwhile."""
        for lock_first in (False, True):  # the user, so that of two calls at once one makes the link
            if lock_first:
                await lock_user(self.conn, self.viewer.account_id, self.viewer.id)
            found = await self._find()
            link = await lock_link(self.conn, found.account_id, found.id) if found else None
            if link and (link.name, link.revoked_at) == (self.wanted.name or "", None):  # still, after waiting for it
                return link
        return None

    async def _find(self) -> LinkRecord | None:
        name = self.wanted.name or ""
        return await get_link(self.conn, self.viewer.account_id, self.viewer.id, self.calendar_id, name)

    async def _add(self) -> LinkRecord:
        await self._check_number()
        context, key = self.context, (self.viewer.account_id, self.viewer.id, self.calendar_id, self.wanted.name or "")
        expires_at = checked_expiry(self.policy, context.now, self.wanted.expires_at, context.now)
        options = (self.wanted.options or FeedOptionsInput()).applied_to(DEFAULTS).kept()
        request_id = self.wanted.request_id if self.wanted.regenerate else None
        link = await add_link(self.conn, *key, context.keyring.newest, context.now, options, expires_at, request_id)
        assert link is not None  # the user is locked
        said = {"name": link.name, "options": camel_cased(options), "expiresAt": expires_at and expires_at.isoformat()}
        told = {word: value for word, value in said.items() if value}
        await audit_links(self.conn, context, self.caller, "LINK_GENERATED", [link.id], **told)
        return link

    async def _check_number(self) -> None:
        most = self.context.most_links(self.policy)
        if await count_links(self.conn, self.viewer.account_id, self.viewer.id) >= most:
            message = f"The limit of links is {most}, and you have as many: revoke one that you do not need."
            raise Refused(TooManyLinks(message=message, path=[]))

    async def _renew(self, link: LinkRecord) -> None:
        """Give the link the options and the expiry that were asked for; one that has passed ends no new URL."""
        wanted, now = self.wanted, self.context.now
        kept = link.expires_at if link.expires_at and link.expires_at > now else None
        expires_at = checked_expiry(self.policy, now, wanted.expires_at, now) or kept
        options = (wanted.options or FeedOptionsInput()).applied_to(FeedOptions.parse(link.options)).kept()
        await update(Change(self.conn, self.context, self.caller, link), link.name, options, expires_at)

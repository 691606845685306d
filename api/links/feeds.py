"""Calendar feeds and their links as the schema says them, made from records."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated

import strawberry
from strawberry import relay

from api.context import Context, Info
from api.errors import Forbidden, InvalidArgument
from api.links.clients import FeedClient
from api.links.options import FeedOptionsInput, FeedOptionsType
from api.links.preview import MOST, FeedPreview, preview
from api.people.types import Calendar, User
from api.refusals import note_refusal
from db.accounts import PolicyRecord, get_policy
from db.calendars import CalendarRecord, list_visible_calendars
from db.links import LinkRecord, OwnedLink, list_links
from db.pool import Conn
from db.users import UserRecord
from feed.feeds import all_calendars, kept_options, user_feed
from feed.options import FeedOptions
from feed.policy import allowed_options, expiry
from feed.urls import link_url, subscribe_links, webcal_url
from feed.words import words

MOST_LISTED = 50  # unless a preview asks for more
First = Annotated[
    int | None,
    strawberry.argument(description=f"So many activities are listed, and so many that are left out; at most {MOST}."),
]


Tried = Annotated[
    FeedOptionsInput | None,
    strawberry.argument(description="Options to try, which are not kept; what is left out is as the link has it."),
]


@strawberry.enum(description="Whether a link serves its feed.")
class FeedLinkStatus(Enum):
    ACTIVE = strawberry.enum_value("active", description="The link serves its feed.")
    PAUSED = strawberry.enum_value("paused", description="The link is switched off for now.")
    EXPIRED = strawberry.enum_value("expired", description="The link's time is over.")
    REVOKED = strawberry.enum_value("revoked", description="The link was ended for good.")
    NO_ACCESS = strawberry.enum_value(
        "no access", description="Its user was deactivated, or may not see the calendar any more."
    )
    KEY_DROPPED = strawberry.enum_value(
        "key dropped", description="The key that signed its URL is no longer in use: generate it again for a new URL."
    )
    DISABLED = strawberry.enum_value("disabled", description="The account's policy switches calendar feeds off.")


@strawberry.enum(description="Who paused a link.")
class FeedLinkPausedBy(Enum):
    OWNER = strawberry.enum_value("OWNER", description="The link's user, who can resume it.")
    ADMINISTRATOR = strawberry.enum_value("ADMINISTRATOR", description="An administrator, or an integrator's key.")
    ALARM = strawberry.enum_value("ALARM", description="The link's alarm, by the account's policy: a reset resumes it.")


@strawberry.type(
    description="Addresses that open a calendar program's own way to subscribe; null where the feed's URL is."
)
class SubscribeLinks:
    google: str | None = strawberry.field(
        description="Opens Google Calendar; if it refuses, paste the URL there: Other calendars, +, From URL."
    )
    apple: str | None = strawberry.field(description="Opens Apple's Calendar on a Mac, an iPhone or an iPad (webcal).")
    outlook: str | None = strawberry.field(description="Opens Outlook.com.")
    outlook_office: str | None = strawberry.field(description="Opens Outlook of Microsoft 365.")


@dataclass(frozen=True, slots=True)
class FeedSource:
    """What a feed of the schema was made from."""

    user: UserRecord
    calendars: list[CalendarRecord]  # that the user may see
    calendar: CalendarRecord | None  # None: all of them in one feed
    policy: PolicyRecord
    is_viewers: bool  # whether the user is the viewer
    has_access: bool = True  # whether the user may see it now

    @property
    def name(self) -> str:
        return self.calendar.name if self.calendar else all_calendars(words(self.user.locale))

    async def preview(
        self, info: Info, link: LinkRecord | None, first: int | None, tried: FeedOptionsInput | None
    ) -> FeedPreview:
        if not self.is_viewers:
            await note_refusal(info, "FEED_PREVIEWED", [Forbidden.code], relay.to_base64("User", str(self.user.id)))
            raise Forbidden("Only its owner may preview a feed.")
        if tried and (errors := tried.errors()):
            raise InvalidArgument(errors[0].message)
        options = tried.applied_to(kept_options(link)) if tried else None
        feed = user_feed(self.user, self.calendars, self.calendar, link, self.policy, info.context.now, options)
        async with info.context.previewing:
            return await preview(info.context, feed, MOST_LISTED if first is None else first)


@strawberry.type(description="A private URL to a calendar feed. Whoever has it can read the feed.")
class FeedLink(relay.Node):
    id: relay.NodeID[str]
    name: str = strawberry.field(description='What the link is for, like "iPhone"; "" for the default link.')
    status: FeedLinkStatus = strawberry.field(description="Whether the link serves its feed.")
    url: str | None = strawberry.field(description="The private URL; null for anyone but its owner.")
    options: FeedOptionsType = strawberry.field(
        description="What the link shows, and how; what the account's policy forces is in it."
    )
    created_at: datetime = strawberry.field(description="When the link was generated.")
    reset_at: datetime | None = strawberry.field(
        description="When the link was last reset; earlier URLs are dead since, but for a grace."
    )
    grace_ends_at: datetime | None = strawberry.field(
        description="Until when the URL before the present one serves as well; null: it does not."
    )
    expires_at: datetime | None = strawberry.field(
        description="When the link ends by itself, chosen or by the account's policy, whichever is first; null: never."
    )
    paused_at: datetime | None = strawberry.field(description="Since when the link is paused; null: it is not.")
    paused_by: FeedLinkPausedBy | None = strawberry.field(description="Who paused it.")
    alarmed_at: datetime | None = strawberry.field(
        description="Since when unusually many programs or networks poll the link, as if it were in other hands."
    )
    source: strawberry.Private[FeedSource]
    record: strawberry.Private[LinkRecord]

    @strawberry.field(description="The user whose link it is.")
    def user(self) -> User:
        return User.of(self.source.user)

    @strawberry.field(description="The calendar that it is of; null: all the user's calendars.")
    def calendar(self) -> Calendar | None:
        return Calendar.of(self.source.calendar) if self.source.calendar else None

    @strawberry.field(description="The URL with the scheme webcal, which Apple's programs open as a subscription.")
    def webcal_url(self) -> str | None:
        return webcal_url(self.url) if self.url else None

    @strawberry.field(description="Addresses to tap, one for each calendar program.")
    def subscribe(self) -> SubscribeLinks:
        links = subscribe_links(self.url, self.source.name) if self.url else {}
        return SubscribeLinks(**{name: links.get(name) for name in ("google", "apple", "outlook", "outlook_office")})

    @strawberry.field(description="The URL as a QR code, an SVG element for the phone's camera; null where the URL is.")
    async def qr_code_svg(self, info: Info) -> str | None:
        return await info.context.qr_codes.load(self.url) if self.url else None

    @strawberry.field(description="When any program last polled the link; null: none ever did.")
    async def last_polled_at(self, info: Info) -> datetime | None:
        polls = await info.context.polls.load(self.record.id)
        return max((poll.last_polled_at for poll in polls), default=None)

    @strawberry.field(description="The calendar programs that poll the link, the latest first.")
    async def clients(self, info: Info) -> list[FeedClient]:
        polls = await info.context.polls.load(self.record.id)
        latest_first = sorted(polls, key=lambda poll: poll.last_polled_at, reverse=True)
        return [FeedClient.of(poll, info.context.now) for poll in latest_first]

    @strawberry.field(
        description="What a subscriber of the link gets today, while it serves, and why the rest is left out."
    )
    async def preview(self, info: Info, first: First = MOST_LISTED, options: Tried = None) -> FeedPreview:
        return await self.source.preview(info, self.record, first, options)

    @classmethod
    def of(cls, link: LinkRecord, source: FeedSource, context: Context) -> "FeedLink":
        shows_url = source.is_viewers and link.revoked_at is None
        grace_until = link.grace_until
        return cls(
            id=str(link.id),
            name=link.name,
            status=link_status(link, source, context),
            url=link_url(context.keyring, context.public_url, link, source.name) if shows_url else None,
            options=FeedOptionsType.of(allowed_options(source.policy, FeedOptions.parse(link.options))),
            created_at=link.created_at,
            reset_at=link.reset_at,
            grace_ends_at=grace_until if grace_until and grace_until > context.now else None,
            expires_at=expiry(source.policy, link.made_at, link.expires_at),
            paused_at=link.paused_at,
            paused_by=FeedLinkPausedBy(link.paused_by or "OWNER") if link.paused_at else None,
            alarmed_at=link.alarmed_at,
            source=source,
            record=link,
        )


@strawberry.type(description="What a user can subscribe to: one of their calendars, or all of them together.")
class CalendarFeed(relay.Node):
    id: relay.NodeID[str]
    name: str = strawberry.field(description="The name that calendar programs show.")
    calendar: Calendar | None = strawberry.field(
        description="The calendar; null: all the user's calendars in one feed."
    )
    links: list[FeedLink] = strawberry.field(description="The default link, if generated, and the named ones.")
    source: strawberry.Private[FeedSource]

    @strawberry.field(description="The default link's URL; null until generated, and for anyone but its owner.")
    def url(self) -> str | None:
        return next((link.url for link in self.links if link.name == ""), None)

    @strawberry.field(description="The default link's URL with the scheme webcal.")
    def webcal_url(self) -> str | None:
        url = next((link.url for link in self.links if link.name == ""), None)
        return webcal_url(url) if url else None

    @strawberry.field(
        description="What a subscriber of the default link gets today, and why the rest is left out; for its owner."
    )
    async def preview(self, info: Info, first: First = MOST_LISTED, options: Tried = None) -> FeedPreview:
        default = next((link.record for link in self.links if link.name == ""), None)
        return await self.source.preview(info, default, first, options)


def link_status(link: LinkRecord, source: FeedSource, context: Context) -> FeedLinkStatus:
    expires_at = expiry(source.policy, link.made_at, link.expires_at)
    reasons = {
        FeedLinkStatus.REVOKED: link.revoked_at is not None,
        FeedLinkStatus.NO_ACCESS: not (source.has_access and source.user.active),
        FeedLinkStatus.DISABLED: source.policy.feeds_disabled_at is not None,
        FeedLinkStatus.KEY_DROPPED: link.key_id not in context.keyring,
        FeedLinkStatus.EXPIRED: expires_at is not None and expires_at <= context.now,
        FeedLinkStatus.PAUSED: link.paused_at is not None,
    }
    return next((status for status, holds in reasons.items() if holds), FeedLinkStatus.ACTIVE)


async def list_feeds(conn: Conn, context: Context, user: UserRecord, *, with_urls: bool) -> list[CalendarFeed]:
    """ "All my calendars" first, then a feed for each calendar that the user may see, by name."""
    calendars = await list_visible_calendars(conn, user.account_id, user.id)
    links = await list_links(conn, user.account_id, user.id)
    policy = await get_policy(conn, user.account_id)
    sources = [FeedSource(user, calendars, calendar, policy, with_urls) for calendar in (None, *calendars)]
    return [_feed(context, source, links) for source in sources]


def managed_link(owned: OwnedLink, policy: PolicyRecord, context: Context) -> FeedLink:
    """A link for those who manage it, without its URL."""
    source = FeedSource(owned.user, [], owned.calendar, policy, is_viewers=False, has_access=owned.has_access)
    return FeedLink.of(owned.link, source, context)


def _feed(context: Context, source: FeedSource, links: list[LinkRecord]) -> CalendarFeed:
    calendar_id = source.calendar.id if source.calendar else None
    return CalendarFeed(
        id=f"{source.user.id}:{calendar_id or 'all'}",
        name=source.name,
        calendar=Calendar.of(source.calendar) if source.calendar else None,
        links=[FeedLink.of(link, source, context) for link in links if link.calendar_id == calendar_id],
        source=source,
    )

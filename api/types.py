"""The types of the schema, made from records."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, NewType

import strawberry
from strawberry import relay

from api.context import Context, Info
from api.errors import Forbidden
from api.options import FeedOptionsType
from api.preview import MOST, FeedPreview, preview
from db.calendars import CalendarRecord, list_visible_calendars
from db.links import LinkRecord, list_links
from db.pool import Conn
from db.users import UserRecord
from feed.feeds import all_calendars, user_feed
from feed.options import FeedOptions
from feed.urls import link_url, qr_code_svg, subscribe_links, webcal_url
from feed.words import words

TimeZone = NewType("TimeZone", str)
MOST_LISTED = 50  # unless a preview asks for more
First = Annotated[
    int | None,
    strawberry.argument(description=f"So many activities are listed, and so many that are left out; at most {MOST}."),
]


@strawberry.type(description="A staff member.")
class User(relay.Node):
    id: relay.NodeID[str]
    external_id: str | None = strawberry.field(description="The CRM's own key of the user.")
    name: str = strawberry.field(description="The user's full name.")
    email: str | None = strawberry.field(description="The user's e-mail address.")
    administrator: bool = strawberry.field(
        description="Whether the user may manage the links of others in the account."
    )
    active: bool = strawberry.field(
        description="False once the user was deactivated: their links are dead from then on."
    )
    time_zone: TimeZone = strawberry.field(description="The zone in which the user's days begin and end.")
    locale: str = strawberry.field(description='The language of the user, like "de" or "en-GB".')

    @classmethod
    def of(cls, user: UserRecord) -> "User":
        return cls(
            id=str(user.id),
            external_id=user.external_id,
            name=user.name,
            email=user.email,
            administrator=user.administrator,
            active=user.active,
            time_zone=TimeZone(user.time_zone),
            locale=user.locale,
        )


@strawberry.type(description="A named, coloured collection of activities: a person's, a team's, a project's.")
class Calendar(relay.Node):
    id: relay.NodeID[str]
    external_id: str | None = strawberry.field(description="The CRM's own key of the calendar.")
    name: str = strawberry.field(description="The calendar's name, as subscribers see it.")
    color: str | None = strawberry.field(description='The calendar\'s colour, like "#4682B4".')
    changed_at: datetime = strawberry.field(description="When a subscriber could last see a change in the calendar.")

    @classmethod
    def of(cls, calendar: CalendarRecord) -> "Calendar":
        return cls(
            id=str(calendar.id),
            external_id=calendar.external_id,
            name=calendar.name,
            color=calendar.color,
            changed_at=calendar.changed_at,
        )


@strawberry.enum(description="Whether a link serves its feed.")
class FeedLinkStatus(Enum):
    ACTIVE = strawberry.enum_value("active", description="The link serves its feed.")
    PAUSED = strawberry.enum_value("paused", description="The link is switched off for now.")
    EXPIRED = strawberry.enum_value("expired", description="The link's time is over.")
    REVOKED = strawberry.enum_value("revoked", description="The link was ended for good.")


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
    is_viewers: bool  # whether the user is the viewer

    @property
    def name(self) -> str:
        return self.calendar.name if self.calendar else all_calendars(words(self.user.locale))

    async def preview(self, info: Info, link: LinkRecord | None, first: int | None) -> FeedPreview:
        if not self.is_viewers:
            raise Forbidden("Only its owner may preview a feed.")
        feed = user_feed(self.user, self.calendars, self.calendar, link, info.context.now)
        return await preview(info.context, feed, MOST_LISTED if first is None else first)


@strawberry.type(description="A private URL to a calendar feed. Whoever has it can read the feed.")
class FeedLink(relay.Node):
    id: relay.NodeID[str]
    name: str = strawberry.field(description='What the link is for, like "iPhone"; "" for the default link.')
    status: FeedLinkStatus = strawberry.field(description="Whether the link serves its feed.")
    url: str | None = strawberry.field(description="The private URL; null for anyone but its owner.")
    options: FeedOptionsType = strawberry.field(description="What the link shows, and how.")
    created_at: datetime = strawberry.field(description="When the link was generated.")
    reset_at: datetime | None = strawberry.field(
        description="When the link was last reset; earlier URLs are dead since."
    )
    expires_at: datetime | None = strawberry.field(description="When the link ends by itself; null: never.")
    source: strawberry.Private[FeedSource]
    record: strawberry.Private[LinkRecord]

    @strawberry.field(description="The URL with the scheme webcal, which Apple's programs open as a subscription.")
    def webcal_url(self) -> str | None:
        return webcal_url(self.url) if self.url else None

    @strawberry.field(description="Addresses to tap, one for each calendar program.")
    def subscribe(self) -> SubscribeLinks:
        links = subscribe_links(self.url, self.source.name) if self.url else {}
        return SubscribeLinks(**{name: links.get(name) for name in ("google", "apple", "outlook", "outlook_office")})

    @strawberry.field(description="The URL as a QR code, an SVG element for the phone's camera; null where the URL is.")
    def qr_code_svg(self) -> str | None:
        return qr_code_svg(self.url) if self.url else None

    @strawberry.field(description="What a subscriber of the link gets today, and why the rest is left out.")
    async def preview(self, info: Info, first: First = MOST_LISTED) -> FeedPreview:
        return await self.source.preview(info, self.record, first)

    @classmethod
    def of(cls, link: LinkRecord, source: FeedSource, context: Context) -> "FeedLink":
        url = link_url(context.keyring, context.public_url, link, source.name) if source.is_viewers else None
        return cls(
            id=str(link.id),
            name=link.name,
            status=link_status(link, context.now),
            url=url,
            options=FeedOptionsType.of(FeedOptions.parse(link.options)),
            created_at=link.created_at,
            reset_at=link.reset_at,
            expires_at=link.expires_at,
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
    async def preview(self, info: Info, first: First = MOST_LISTED) -> FeedPreview:
        default = next((link.record for link in self.links if link.name == ""), None)
        return await self.source.preview(info, default, first)


def link_status(link: LinkRecord, now: datetime) -> FeedLinkStatus:
    if link.expires_at and link.expires_at <= now:
        return FeedLinkStatus.EXPIRED
    return FeedLinkStatus.PAUSED if link.paused_at else FeedLinkStatus.ACTIVE


async def list_feeds(conn: Conn, context: Context, user: UserRecord, *, with_urls: bool) -> list[CalendarFeed]:
    """ "All my calendars" first, then a feed for each calendar that the user may see, by name."""
    calendars = await list_visible_calendars(conn, user.account_id, user.id)
    links = await list_links(conn, user.account_id, user.id)
    sources = [FeedSource(user, calendars, calendar, with_urls) for calendar in (None, *calendars)]
    return [_feed(context, source, links) for source in sources]


def _feed(context: Context, source: FeedSource, links: list[LinkRecord]) -> CalendarFeed:
    calendar_id = source.calendar.id if source.calendar else None
    return CalendarFeed(
        id=f"{source.user.id}:{calendar_id or 'all'}",
        name=source.name,
        calendar=Calendar.of(source.calendar) if source.calendar else None,
        links=[FeedLink.of(link, source, context) for link in links if link.calendar_id == calendar_id],
        source=source,
    )

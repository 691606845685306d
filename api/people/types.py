"""Users and calendars as the schema says them, made from records."""

from datetime import datetime
from typing import NewType
from uuid import UUID

import strawberry
from strawberry import relay

from api.context import Info
from api.nodes import After, First, connection, cursor_id, id_of, page_size
from db.calendars import CalendarRecord
from db.users import UserRecord

TimeZone = NewType("TimeZone", str)


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
    changed_at: datetime = strawberry.field(
        description="When the user was last changed, or was given a calendar, or lost one."
    )

    @strawberry.field(
        description="The calendars that the user may see, the oldest first; null for all but the user, administrators,"
        " and API keys with the scope calendars:read."
    )
    async def calendars(
        self, info: Info, first: First = None, after: After = None
    ) -> relay.Connection["Calendar"] | None:
        caller = await info.context.caller()
        is_own = caller.user is not None and str(caller.user.id) == self.id
        if not (caller.may("calendars:read") or (is_own and caller.has("calendars:read"))):
            return None
        size = page_size(first)
        rows = await info.context.user_calendars.load((UUID(self.id), size + 1, cursor_id(after)))
        page: relay.Connection[Calendar] = connection(rows, size, Calendar.of, id_of, after=after is not None)
        return page

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
            changed_at=user.changed_at,
        )


@strawberry.type(description="A named, coloured collection of activities: a person's, a team's, a project's.")
class Calendar(relay.Node):
    id: relay.NodeID[str]
    external_id: str | None = strawberry.field(description="The CRM's own key of the calendar.")
    name: str = strawberry.field(description="The calendar's name, as subscribers see it.")
    color: str | None = strawberry.field(description='The calendar\'s colour, like "#4682B4".')
    deleted: bool = strawberry.field(description="True once the calendar was deleted: its links are dead from then on.")
    changed_at: datetime = strawberry.field(description="When a subscriber could last see a change in the calendar.")

    @strawberry.field(
        description="Who may see the calendar, the oldest first, deactivated users too; null for all but"
        " administrators, and API keys with the scope users:read."
    )
    async def users(self, info: Info, first: First = None, after: After = None) -> relay.Connection[User] | None:
        if not (await info.context.caller()).may("users:read"):
            return None
        size = page_size(first)
        rows = await info.context.calendar_users.load((UUID(self.id), size + 1, cursor_id(after)))
        page: relay.Connection[User] = connection(rows, size, User.of, id_of, after=after is not None)
        return page

    @classmethod
    def of(cls, calendar: CalendarRecord) -> "Calendar":
        return cls(
            id=str(calendar.id),
            external_id=calendar.external_id,
            name=calendar.name,
            color=calendar.color,
            deleted=calendar.deleted_at is not None,
            changed_at=calendar.changed_at,
        )

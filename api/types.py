"""Users and calendars as the schema says them, made from records."""

from datetime import datetime
from typing import NewType

import strawberry
from strawberry import relay

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

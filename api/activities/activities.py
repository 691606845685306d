"""Activities as the schema says them, and who is told what of them: `activities`, and one by its node id."""

from dataclasses import replace
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

import strawberry
from strawberry import relay

from api.activities.inputs import (
    ADDRESS,
    DESCRIPTION,
    DUE_AT,
    DUE_ON,
    ENDS_AT,
    ENDS_ON,
    LOCATION,
    PARTICIPANTS,
    PRIORITY,
    PRIVATE,
    STARTS_AT,
    STARTS_ON,
    STATUS,
    ActivityPriority,
    ActivityStatus,
)
from api.activities.scalars import URL
from api.activities.series import ParticipantType, Recurrence, member, series_of
from api.context import Info
from api.errors import InvalidArgument, NotFound
from api.links.options import ActivityType
from api.nodes import After, First, connection, cursor_id, id_of, node_uuid, page_size
from api.people.types import Calendar, TimeZone, User
from api.refusals import note_refusal, noting_refusal
from api.texts import text_error
from db.activities import ActivityFilter, ActivityRecord, get_visible_activity, page_activities
from db.calendars import is_visible_calendar
from db.users import UserRecord
from feed.words import words

SCOPE = "activities:read"
LONGEST_KEY = 2_000
# What nobody is told of somebody else's private activity; its title is "Busy".
UNTOLD: dict[str, Any] = {
    **dict.fromkeys(("external_id", "owner_id", "description", "location", "url", "priority")),
    "status": "",
    "participants": (),
}
CalendarId = Annotated[
    strawberry.ID,
    strawberry.argument(description="The calendar: of users one that they may see, of integrators any."),
]


@strawberry.type(
    description="A meeting, call, task or note. Of somebody else's private one a user is told when it is, that it is"
    ' "Busy", and what type it is; all else is null or empty. API keys that act for nobody are told everything.'
)
class Activity(relay.Node):
    id: relay.NodeID[str]
    external_id: str | None = strawberry.field(description="The CRM's own key of the activity.")
    type: ActivityType = strawberry.field(description="What it is.")
    title: str = strawberry.field(description="What it is about.")
    description: str | None = strawberry.field(description=DESCRIPTION)
    location: str | None = strawberry.field(description=LOCATION)
    url: URL | None = strawberry.field(description=ADDRESS)
    starts_at: datetime | None = strawberry.field(description=STARTS_AT)
    ends_at: datetime | None = strawberry.field(description=ENDS_AT)
    starts_on: date | None = strawberry.field(description=STARTS_ON)
    ends_on: date | None = strawberry.field(description=ENDS_ON)
    due_at: datetime | None = strawberry.field(description=DUE_AT)
    due_on: date | None = strawberry.field(description=DUE_ON)
    time_zone: TimeZone | None = strawberry.field(
        description="The zone in which it was planned, and by whose clock a series runs."
    )
    recurrence: Recurrence | None = strawberry.field(description="How it repeats; null: it takes place once.")
    status: ActivityStatus | None = strawberry.field(description=STATUS)
    priority: ActivityPriority | None = strawberry.field(description=PRIORITY)
    participants: list[ParticipantType] = strawberry.field(description=PARTICIPANTS)
    private: bool = strawberry.field(description=PRIVATE)
    revision: int | None = strawberry.field(description="How often what feeds say of it has changed.")
    created_at: datetime | None = strawberry.field(description="When it was added here.")
    changed_at: datetime | None = strawberry.field(description="When what feeds say of it changed last.")
    record: strawberry.Private[ActivityRecord]  # without what is not told

    @strawberry.field(description="The calendars that it stands in, by name; of users those that they may see.")
    async def calendars(self, info: Info) -> list[Calendar]:
        if self.revision is None:
            return []
        return [Calendar.of(each) for each in await info.context.activity_calendars.load(self.record.id)]

    @strawberry.field(description="Whose it is.")
    async def owner(self, info: Info) -> User | None:
        owner_id = self.record.owner_id
        user = await info.context.users.load(owner_id) if owner_id else None
        return User.of(user) if user else None

    @classmethod
    def of(cls, activity: ActivityRecord, viewer: UserRecord | None) -> "Activity":
        """As the user is told it; None is an integrator, who is told everything."""
        busy = None if viewer is None or activity.owner_id == viewer.id else words(viewer.locale)("Busy")
        told = activity if busy is None or not activity.private else replace(activity, **UNTOLD, title=busy)
        is_told = told is activity
        return cls(
            id=str(told.id),
            external_id=told.external_id,
            type=ActivityType[told.type],
            title=told.title,
            description=told.description,
            location=told.location,
            url=URL(told.url) if told.url else None,
            starts_at=told.starts_at,
            ends_at=told.ends_at,
            starts_on=told.starts_on,
            ends_on=told.ends_on,
            due_at=told.due_at,
            due_on=told.due_on,
            time_zone=TimeZone(told.time_zone) if told.time_zone and (is_told or told.recurrence) else None,
            recurrence=series_of(told, busy),
            status=member(ActivityStatus, told.status),
            priority=member(ActivityPriority, told.priority),
            participants=[ParticipantType.of(person) for person in told.participants],
            private=told.private,
            revision=told.revision if is_told else None,
            created_at=told.created_at if is_told else None,
            changed_at=told.changed_at if is_told else None,
            record=told,
        )


@strawberry.input(
    name="ActivityFilter",
    description="Which activities. All that is named must fit. What a user is not told of an activity finds it not.",
)
class ActivityFilterInput:
    types: list[ActivityType] | None = strawberry.field(default=None, description="Only of these types.")
    changed_since: datetime | None = strawberry.field(
        default=None,
        description="Only those that were changed, or put into or taken out of calendars, then or later. What was being"
        " written at that moment may be missed: name one some minutes before the last look.",
    )
    from_: datetime | None = strawberry.field(
        default=None,
        name="from",
        description="Only those that start then or later, or else are due then or later: of days about midnight in UTC,"
        " of a series its first start.",
    )
    until: datetime | None = strawberry.field(default=None, description="Only those that start or are due before.")
    owner_id: strawberry.ID | None = strawberry.field(default=None, description="Only those of this user.")
    external_ids: list[str] | None = strawberry.field(
        default=None, description="Only those with these keys of the CRM."
    )

    def record(self) -> ActivityFilter:
        owner_id = node_uuid(self.owner_id, "User") if self.owner_id is not None else None
        if self.owner_id is not None and owner_id is None:
            raise InvalidArgument("where.ownerId: give a user's id that the API gave you.")
        ids = self.external_ids
        return ActivityFilter(
            types=None if self.types is None else [kind.name for kind in self.types],
            changed_since=self.changed_since,
            since=self.from_,
            until=self.until,
            owner_id=owner_id,
            external_ids=None if ids is None else [id_ for id_ in ids if text_error(id_, LONGEST_KEY) is None],
        )


Where = Annotated[ActivityFilterInput | None, strawberry.argument(description="Which of them; left out: all.")]


async def activities(
    info: Info, calendar_id: CalendarId, where: Where = None, first: First = None, after: After = None
) -> relay.Connection[Activity]:
    async with noting_refusal(info, "ACTIVITIES_LISTED", calendar_id):
        viewer = await _viewer(info)
    account_id, viewer_id = (await info.context.caller()).account_id, viewer.id if viewer else None
    size, wanted, place = page_size(first), where.record() if where else ActivityFilter(), cursor_id(after)
    calendar = node_uuid(calendar_id, "Calendar")
    async with info.context.pool.acquire() as conn:
        is_there = calendar is not None and await is_visible_calendar(conn, account_id, viewer_id, calendar)
        rows = (
            await page_activities(conn, account_id, viewer_id, calendar, wanted, size + 1, place)
            if calendar and is_there
            else []
        )
    if not is_there:
        await note_refusal(info, "ACTIVITIES_LISTED", [NotFound.code], calendar_id)
        raise NotFound("There is no such calendar among those that you may see.")
    page: relay.Connection[Activity] = connection(
        rows, size, lambda row: Activity.of(row, viewer), id_of, after=after is not None
    )
    return page


async def activity_node(info: Info, activity_id: UUID) -> Activity | None:
    """The activity as whoever calls is told it; None if they may not know of it, or there is none."""
    viewer, account_id = await _viewer(info), (await info.context.caller()).account_id
    async with info.context.pool.acquire() as conn:
        found = await get_visible_activity(conn, account_id, viewer.id if viewer else None, activity_id)
    return Activity.of(found, viewer) if found else None


async def _viewer(info: Info) -> UserRecord | None:
    """The user who looks, or for whom a key does; None is a key of its own, which sees the whole account."""
    return (await info.context.caller(SCOPE)).user

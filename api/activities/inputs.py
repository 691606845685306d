"""What the mutations of activities take and answer."""

from datetime import date, datetime
from enum import Enum
from typing import Annotated

import strawberry
from strawberry import Maybe

from api.activities.scalars import URL, DateOrDateTime
from api.errors import UserError
from api.items import MOST_ITEMS
from api.links.options import ActivityType
from api.people.types import TimeZone
from feed.wording import LONGEST_LINE, LONGEST_URL

MOST_CALENDARS = 20
MOST_PARTICIPANTS = 500
MOST_EXCEPTIONS = 500  # excluded dates of a series, and as many overrides
LONGEST_DESCRIPTION = 65_536  # feeds show the beginning
LONGEST_EMAIL = 254
LONGEST_WINDOW_DAYS = 3_660


@strawberry.enum(description="How certain it is that something takes place, or how far a task is.")
class ActivityStatus(Enum):
    CONFIRMED = strawberry.enum_value("CONFIRMED", description="It takes place. Not of tasks.")
    TENTATIVE = strawberry.enum_value("TENTATIVE", description="It may take place. Not of tasks.")
    CANCELLED = strawberry.enum_value("CANCELLED", description="It does not take place, or need not be done.")
    NEEDS_ACTION = strawberry.enum_value("NEEDS_ACTION", description="The task is not begun yet.")
    IN_PROCESS = strawberry.enum_value("IN_PROCESS", description="The task is begun.")
    COMPLETED = strawberry.enum_value("COMPLETED", description="The task is done.")


@strawberry.enum(description="How important an activity is.")
class ActivityPriority(Enum):
    HIGH = strawberry.enum_value("HIGH", description="More than others.")
    NORMAL = strawberry.enum_value("NORMAL", description="Like others.")
    LOW = strawberry.enum_value("LOW", description="Less than others.")


@strawberry.enum(description="What somebody answered to an invitation.")
class ParticipantResponse(Enum):
    ACCEPTED = strawberry.enum_value("ACCEPTED", description="They come.")
    DECLINED = strawberry.enum_value("DECLINED", description="They do not come.")
    TENTATIVE = strawberry.enum_value("TENTATIVE", description="They may come.")
    NEEDS_ACTION = strawberry.enum_value("NEEDS_ACTION", description="They have not answered.")


NAME = f"The name; at most {LONGEST_LINE:,} characters."
EMAIL = "The e-mail address."
RESPONSE = "The answer to the invitation; null: nobody knows."
TITLE = f"What it is about; at most {LONGEST_LINE:,} characters."
DESCRIPTION = f"What else there is to say; at most {LONGEST_DESCRIPTION:,} characters, of which feeds show the first."
LOCATION = f"Where it is; at most {LONGEST_LINE:,} characters."
ADDRESS = f"Its page in the CRM, to which feeds link; at most {LONGEST_URL:,} characters."
STARTS_AT = "When it begins, if it has a time of day."
ENDS_AT = "When it ends; needs `startsAt`."
STARTS_ON = "The first day of what lasts whole days."
ENDS_ON = "The day after the last one; needs `startsOn`."
DUE_AT = "The moment by which a task is to be done."
DUE_ON = "The day by the end of which a task is to be done."
STATUS = "How certain it is, or how far the task is."
PRIORITY = "How important it is."
PARTICIPANTS = "Who takes part, in this order."
PRIVATE = 'Whether everybody but its owner sees nothing but times and "Busy".'


@strawberry.input(description="Somebody who takes part; has a name or an e-mail address, or both.")
class ParticipantInput:
    name: str | None = strawberry.field(default=None, description=NAME)
    email: str | None = strawberry.field(default=None, description=EMAIL)
    response: ParticipantResponse | None = strawberry.field(default=None, description=RESPONSE)


@strawberry.input(
    description="One occurrence of a series that differs from the others. What it does not say it has from the series"
    " as it is when this is written; null is none, but of a time."
)
class OccurrenceOverrideInput:
    occurrence: DateOrDateTime = strawberry.field(
        description="Which one: the start that the rule gives it; a day stands for what begins on it by the series'"
        " clock."
    )
    starts_at: datetime | None = strawberry.field(default=None, description="When it begins instead.")
    ends_at: datetime | None = strawberry.field(
        default=None, description="When it ends instead; left out: it is as long as the others."
    )
    starts_on: date | None = strawberry.field(
        default=None, description="The first day instead, if it lasts whole days."
    )
    ends_on: date | None = strawberry.field(default=None, description="The day after the last one instead.")
    due_at: datetime | None = strawberry.field(default=None, description="When the task is due instead.")
    due_on: date | None = strawberry.field(default=None, description="The day on which the task is due instead.")
    status: Maybe[ActivityStatus | None] = strawberry.field(
        description=f"{STATUS} CANCELLED: this occurrence does not take place."
    )
    title: Maybe[str | None] = strawberry.field(description=TITLE)
    description: Maybe[str | None] = strawberry.field(description=DESCRIPTION)
    location: Maybe[str | None] = strawberry.field(description=LOCATION)
    url: Maybe[URL | None] = strawberry.field(description=ADDRESS)
    priority: Maybe[ActivityPriority | None] = strawberry.field(description=PRIORITY)
    participants: Maybe[list[ParticipantInput] | None] = strawberry.field(description=PARTICIPANTS)
    private: Maybe[bool | None] = strawberry.field(description=f"{PRIVATE} All of a private series are.")


@strawberry.input(
    description="How an activity repeats, from its start on. Give it whole: what is not named here is not excluded or"
    " changed any more."
)
class RecurrenceInput:
    rule: str = strawberry.field(
        description="The rule as RRULE of RFC 5545, like FREQ=WEEKLY;BYDAY=MO. It counts by the clock of the"
        " activity's `timeZone`."
    )
    exdates: list[DateOrDateTime] | None = strawberry.field(
        default=None,
        description="The starts of occurrences that are left out; a day stands for what begins on it. At most"
        f" {MOST_EXCEPTIONS}.",
    )
    overrides: list[OccurrenceOverrideInput] | None = strawberry.field(
        default=None, description=f"The occurrences that differ; at most {MOST_EXCEPTIONS}."
    )


@strawberry.input(
    description="A meeting, call, task or note as it is to be. What is left out stays as it is, or has its default in a"
    " new one; null clears it."
)
class ActivityInput:
    external_id: str = strawberry.field(
        description="The CRM's own key of the activity, by which it is found again; one for each type."
    )
    calendar_external_ids: list[str] = strawberry.field(
        description="The CRM's own keys of all calendars that it stands in afterwards, from 1 to"
        f" {MOST_CALENDARS}: it is taken out of others."
    )
    owner_external_id: Maybe[str | None] = strawberry.field(
        description="The CRM's own key of the user whose it is, who sees it in full if it is private."
    )
    type: ActivityType = strawberry.field(description="What it is. With another type it is another activity.")
    title: str = strawberry.field(description=TITLE)
    description: Maybe[str | None] = strawberry.field(description=DESCRIPTION)
    location: Maybe[str | None] = strawberry.field(description=LOCATION)
    url: Maybe[URL | None] = strawberry.field(description=ADDRESS)
    starts_at: Maybe[datetime | None] = strawberry.field(description=STARTS_AT)
    ends_at: Maybe[datetime | None] = strawberry.field(description=ENDS_AT)
    starts_on: Maybe[date | None] = strawberry.field(description=STARTS_ON)
    ends_on: Maybe[date | None] = strawberry.field(description=ENDS_ON)
    due_at: Maybe[datetime | None] = strawberry.field(description=DUE_AT)
    due_on: Maybe[date | None] = strawberry.field(description=DUE_ON)
    time_zone: Maybe[TimeZone | None] = strawberry.field(
        description="The zone in which it was planned; a series runs by its clock, without one by that of UTC."
    )
    recurrence: Maybe[RecurrenceInput | None] = strawberry.field(
        description="How it repeats; null: it takes place once."
    )
    status: Maybe[ActivityStatus | None] = strawberry.field(
        description=f"{STATUS} The default is CONFIRMED, of a task NEEDS_ACTION."
    )
    priority: Maybe[ActivityPriority | None] = strawberry.field(description=PRIORITY)
    participants: Maybe[list[ParticipantInput] | None] = strawberry.field(
        description=f"{PARTICIPANTS} At most {MOST_PARTICIPANTS}."
    )
    private: Maybe[bool | None] = strawberry.field(description=f"{PRIVATE} The default is false.")


@strawberry.input(description="Activities to be added or changed, all of them or none.")
class UpsertActivitiesInput:
    activities: list[ActivityInput] = strawberry.field(
        description=f"The activities, at most {MOST_ITEMS:,}, each once. Pass them in a variable: a query that spells"
        " them out is too long."
    )


@strawberry.input(description="Activities to be deleted, all that are there.")
class DeleteActivitiesInput:
    external_ids: list[str] = strawberry.field(
        description=f"The CRM's own keys of the activities, at most {MOST_ITEMS:,}, each once."
    )
    type: ActivityType | None = strawberry.field(default=None, description="Only of this type; left out: of any.")


@strawberry.input(
    description="What a calendar is to hold in a window of time. An activity lies in the window if its start does, or"
    " else its deadline: of days about midnight in UTC, of a series its first start."
)
class SyncCalendarInput:
    calendar_external_id: str = strawberry.field(description="The CRM's own key of the calendar.")
    from_: datetime = strawberry.field(name="from", description="Where the window begins.")
    until: datetime = strawberry.field(
        description=f"Where the window ends, exclusive; at most {LONGEST_WINDOW_DAYS:,} days later."
    )
    activities: list[ActivityInput] = strawberry.field(
        description=f"The activities to be added or changed, at most {MOST_ITEMS:,}, each once and each with this"
        " calendar among its own. All others that lie in the window and have an external id are taken out of the"
        " calendar."
    )
    dry_run: bool | None = strawberry.field(
        default=False, description="True: nothing is changed, and the answer says what would be."
    )


@strawberry.type
class CountsPayload:
    """What the payloads of mutations that write activities have in common; not a type of the schema."""

    created: int = strawberry.field(default=0, description="How many activities are new.")
    updated: int = strawberry.field(
        default=0, description="How many were changed, or stand in other calendars than before."
    )
    unchanged: int = strawberry.field(default=0, description="How many were the same already, and were left alone.")


@strawberry.type(description="What became of the activities, or why nothing was done.")
class UpsertActivitiesPayload(CountsPayload):
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="What the caller has to mend in which activity; then nothing was changed."
    )


@strawberry.type(description="What became of the activities that were to be deleted.")
class DeleteActivitiesPayload:
    deleted: int = strawberry.field(default=0, description="How many activities are gone now.")
    absent: int = strawberry.field(default=0, description="How many of the keys no activity had any more, or ever.")
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="What the caller has to mend; then nothing was deleted."
    )


@strawberry.type(description="What became of the calendar's activities, or why nothing was done.")
class SyncCalendarPayload(CountsPayload):
    deleted: int = strawberry.field(
        default=0,
        description="How many were taken out of the calendar; those that then stood in no other are gone.",
    )
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="What the caller has to mend; then nothing was changed."
    )


UpsertInput = Annotated[UpsertActivitiesInput, strawberry.argument(description="Which activities.")]
DeleteInput = Annotated[DeleteActivitiesInput, strawberry.argument(description="Which activities.")]
SyncInput = Annotated[SyncCalendarInput, strawberry.argument(description="Which calendar, and what it is to hold.")]

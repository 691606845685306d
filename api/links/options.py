"""What a link shows and how, as the schema says it: `FeedOptions` and its input, made from `feed.options`."""

from collections.abc import Iterator
from dataclasses import fields, replace
from enum import Enum
from typing import Any

import strawberry
from strawberry.utils.str_converters import to_camel_case

from api.errors import FeedOptionsInvalid, UserError
from feed.options import DEFAULTS, NUMBERS, FeedOptions

MOST_DAYS, MOST_MINUTES = NUMBERS["days_back"][-1], NUMBERS["reminder_minutes"][-1]


@strawberry.enum(description="What an activity is.")
class ActivityType(Enum):
    MEETING = strawberry.enum_value("MEETING", description="People meet, at a place or online.")
    CALL = strawberry.enum_value("CALL", description="A telephone call.")
    TASK = strawberry.enum_value("TASK", description="Something to be done, by its deadline.")
    NOTE = strawberry.enum_value("NOTE", description="A note: kept, but never in a feed.")


@strawberry.enum(description="What tasks are in a feed.")
class TasksAs(Enum):
    EVENT = strawberry.enum_value("EVENT", description="Events at their deadline, free: every calendar program.")
    TODO = strawberry.enum_value(
        "TODO", description="To-dos (VTODO): Thunderbird, Evolution, Nextcloud; Google, Apple and Outlook show none."
    )


@strawberry.enum(description="How much a feed tells.")
class FeedDetail(Enum):
    FULL = strawberry.enum_value("FULL", description="All that the link's owner may see.")
    BUSY = strawberry.enum_value("BUSY", description='When somebody is busy: nothing but times and "Busy".')


@strawberry.enum(description="How the time of what happens once is written.")
class TimeStyle(Enum):
    UTC = strawberry.enum_value("UTC", description="In UTC, which no program misreads.")
    ZONED = strawberry.enum_value(
        "ZONED", description="In the owner's time zone: for Outlook on Windows, which shows UTC times as such."
    )


@strawberry.enum(description="How the people who take part are in a feed.")
class ParticipantsAs(Enum):
    DESCRIPTION = strawberry.enum_value("DESCRIPTION", description="By name in the description.")
    ATTENDEE = strawberry.enum_value(
        "ATTENDEE", description="As attendees, who can be invited: some programs write to them. For your own use."
    )


@strawberry.enum(description="What becomes of what is over with.")
class Ended(Enum):
    MARK = strawberry.enum_value("MARK", description="It stays, and is marked as what it is.")
    OMIT = strawberry.enum_value("OMIT", description="It is left out.")


@strawberry.enum(description="Whose name stands before each title.")
class TitleWith(Enum):
    NOTHING = strawberry.enum_value("NOTHING", description="The title alone.")
    CALENDAR = strawberry.enum_value("CALENDAR", description="The calendar's name.")
    OWNER = strawberry.enum_value("OWNER", description="The name of the activity's owner: for feeds of a team.")


TYPES = "The types of activities shown. A note is never shown."
TASKS = "Whether tasks are events or to-dos."
DETAIL = "Everything, or nothing but when somebody is busy."
BACK = "How many whole days before today are shown, by the owner's clock."
AHEAD = "How many whole days after today are shown."
TIMES = "How the times of what happens once are written; a series is in its own zone."
PARTICIPANTS = "Whether participants are words or attendees."
COMPLETED = "Whether completed tasks are marked or left out."
CANCELLED = "Whether what is cancelled is marked or left out; Google shows nothing that is cancelled in any case."
REMINDER = "Minutes before the start at which calendar programs remind; null: they do not."
TITLE = "Whose name stands before each title."


@strawberry.type(name="FeedOptions", description="What a link shows, and how.")
class FeedOptionsType:
    activity_types: list[ActivityType] = strawberry.field(description=TYPES)
    tasks_as: TasksAs = strawberry.field(description=TASKS)
    detail: FeedDetail = strawberry.field(description=DETAIL)
    days_back: int = strawberry.field(description=BACK)
    days_ahead: int = strawberry.field(description=AHEAD)
    time_style: TimeStyle = strawberry.field(description=TIMES)
    participants: ParticipantsAs = strawberry.field(description=PARTICIPANTS)
    completed_tasks: Ended = strawberry.field(description=COMPLETED)
    cancelled: Ended = strawberry.field(description=CANCELLED)
    reminder_minutes: int | None = strawberry.field(description=REMINDER)
    title_with: TitleWith = strawberry.field(description=TITLE)

    @classmethod
    def of(cls, options: FeedOptions) -> "FeedOptionsType":
        return cls(
            activity_types=[ActivityType(kind) for kind in options.activity_types],
            tasks_as=TasksAs(options.tasks_as),
            detail=FeedDetail(options.detail),
            days_back=options.days_back,
            days_ahead=options.days_ahead,
            time_style=TimeStyle(options.time_style),
            participants=ParticipantsAs(options.participants),
            completed_tasks=Ended(options.completed_tasks),
            cancelled=Ended(options.cancelled),
            reminder_minutes=options.reminder_minutes,
            title_with=TitleWith(options.title_with),
        )


def _chosen(description: str) -> Any:
    return strawberry.field(default=strawberry.UNSET, description=description)


@strawberry.input(
    description="Options to set. What is left out stays as it is, in a new link the default; null is the default."
)
class FeedOptionsInput:
    activity_types: list[ActivityType] | None = _chosen(TYPES)
    tasks_as: TasksAs | None = _chosen(TASKS)
    detail: FeedDetail | None = _chosen(DETAIL)
    days_back: int | None = _chosen(f"{BACK} At most {MOST_DAYS}.")
    days_ahead: int | None = _chosen(f"{AHEAD} At most {MOST_DAYS}.")
    time_style: TimeStyle | None = _chosen(TIMES)
    participants: ParticipantsAs | None = _chosen(PARTICIPANTS)
    completed_tasks: Ended | None = _chosen(COMPLETED)
    cancelled: Ended | None = _chosen(CANCELLED)
    reminder_minutes: int | None = _chosen(f"{REMINDER} At most {MOST_MINUTES}.")
    title_with: TitleWith | None = _chosen(TITLE)

    def applied_to(self, options: FeedOptions) -> FeedOptions:
        """The options with those that are set here; call only where `errors` finds nothing."""
        return replace(options, **{name: _kept(name, value) for name, value in self._set()})

    def errors(self) -> list[UserError]:
        return [
            FeedOptionsInvalid(message=message, path=["options", to_camel_case(name)])
            for name, value in self._set()
            if (message := _mistake(name, value))
        ]

    def _set(self) -> Iterator[tuple[str, Any]]:
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return ((name, value) for name, value in values if value is not strawberry.UNSET)


def _kept(name: str, value: Any) -> Any:
    match value:
        case None:
            return getattr(DEFAULTS, name)
        case list():
            return tuple(kind for kind in DEFAULTS.activity_types if ActivityType(kind) in value)
        case Enum():
            return value.value
    return value


def _mistake(name: str, value: Any) -> str | None:
    if name == "activity_types" and value is not None:
        if ActivityType.NOTE in value:
            return "Leave NOTE out: notes are never in a feed."
        return None if value else "Name at least one type: MEETING, CALL or TASK."
    if name in NUMBERS and value is not None and value not in NUMBERS[name]:
        return f"Give a number from 0 to {NUMBERS[name][-1]}."
    return None

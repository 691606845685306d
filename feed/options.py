"""What a link's user chose to see, and how: kept as JSON with the link, defaults left out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

ActivityType = Literal["MEETING", "CALL", "TASK"]  # that can be in a feed: notes never are
TasksAs = Literal["EVENT", "TODO"]
Detail = Literal["FULL", "BUSY"]
TimeStyle = Literal["UTC", "ZONED"]
ParticipantsAs = Literal["DESCRIPTION", "ATTENDEE"]
Ended = Literal["MARK", "OMIT"]
TitleWith = Literal["NOTHING", "CALENDAR", "OWNER"]

MOST_DAYS = 3_650
MOST_REMINDER_MINUTES = 40_320  # four weeks
NUMBERS = {
    "days_back": range(MOST_DAYS + 1),
    "days_ahead": range(MOST_DAYS + 1),
    "reminder_minutes": range(MOST_REMINDER_MINUTES + 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedOptions:
    """The options of a link. The defaults are what calendar programs take best."""

    activity_types: tuple[ActivityType, ...] = ("MEETING", "CALL", "TASK")
    tasks_as: TasksAs = "EVENT"  # few programs show VTODO
    detail: Detail = "FULL"
    days_back: int = 90
    days_ahead: int = 365
    time_style: TimeStyle = "UTC"  # of what happens once; ZONED for Outlook on Windows
    participants: ParticipantsAs = "DESCRIPTION"
    completed_tasks: Ended = "MARK"
    cancelled: Ended = "OMIT"
    reminder_minutes: int | None = None  # before the start; None: no reminder
    title_with: TitleWith = "NOTHING"  # the calendar's or the owner's name before the title, for feeds of a team

    @classmethod
    def parse(cls, kept: Mapping[str, Any]) -> "FeedOptions":
        """The options that a link keeps; what is not one of ours, whoever wrote it, is the default."""
        known = {field.name: kept[field.name] for field in fields(cls) if field.name in kept}
        return cls(**{name: _value(name, value) for name, value in known.items() if _is_valid(name, value)})

    def kept(self) -> dict[str, Any]:
        """What differs from the defaults, to be kept with the link."""
        return {name: value for name, value in asdict(self).items() if value != getattr(DEFAULTS, name)}


DEFAULTS = FeedOptions()
WORDS: dict[str, tuple[str, ...]] = {
    name: get_args(hint) for name, hint in get_type_hints(FeedOptions).items() if name not in NUMBERS
} | {"activity_types": get_args(ActivityType)}


def _is_valid(name: str, value: object) -> bool:
    if name in NUMBERS:
        is_number = isinstance(value, int) and not isinstance(value, bool) and value in NUMBERS[name]
        return is_number or (name == "reminder_minutes" and value is None)
    if name == "activity_types":
        return isinstance(value, list | tuple) and bool(value) and all(kind in WORDS[name] for kind in value)
    return value in WORDS[name]


def _value(name: str, value: Any) -> Any:
    return tuple(kind for kind in WORDS[name] if kind in value) if name == "activity_types" else value

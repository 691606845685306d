"""The values of activities in inputs: read one by one into what the database keeps, each mistake named by its path."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from functools import partial
from typing import Any

from strawberry import Some
from strawberry.utils.str_converters import to_camel_case

from api.activities.inputs import (
    LONGEST_DESCRIPTION,
    LONGEST_EMAIL,
    MOST_PARTICIPANTS,
    ActivityPriority,
    ActivityStatus,
    ParticipantInput,
    ParticipantResponse,
)
from api.errors import UserError, ValueInvalid
from api.links.options import ActivityType
from api.texts import text_error
from db.activities import Activity, Participant
from feed.importing.values import YEARS
from feed.importing.zones import iana_name
from feed.wording import LONGEST_LINE, LONGEST_URL, ascii_url

WORDS: dict[Enum, str] = {
    each: each.name for kind in (ActivityType, ActivityStatus, ActivityPriority, ParticipantResponse) for each in kind
}
EMAIL = re.compile(r'[^\s@<>()\[\],;:\\"]+@[^\s@<>()\[\],;:\\"]+')
EVENT_STATUSES = ("CONFIRMED", "TENTATIVE", "CANCELLED")
TASK_STATUSES = ("NEEDS_ACTION", "IN_PROCESS", "COMPLETED", "CANCELLED")


@dataclass(frozen=True, slots=True)
class Mistakes:
    """What is wrong below one place of the input; `found` is shared by all places."""

    found: list[UserError] = field(default_factory=list)
    path: tuple[str, ...] = ()

    def at(self, *path: str | int) -> "Mistakes":
        return Mistakes(self.found, (*self.path, *map(str, path)))

    def add(self, message: str, *path: str | int, kind: type[UserError] = ValueInvalid) -> None:
        self.found.append(kind(message=message, path=[*self.path, *map(str, path)]))

    def note(self, error: UserError | None) -> bool:
        """Take up what a check has found; whether it has."""
        if error is not None:
            self.found.append(error)
        return error is not None


def statuses(activity_type: str) -> tuple[str, ...]:
    """Those that it may have, first the one that it has where none is named."""
    return TASK_STATUSES if activity_type == "TASK" else EVENT_STATUSES


def said_values(given: object, mistakes: Mistakes) -> dict[str, Any]:
    """What an input says of an activity, by column: what null clears a value to, of a status None."""
    return {
        name: read(some.value, mistakes, key)
        for name, (key, read) in READERS.items()
        if isinstance(some := getattr(given, name, None), Some)
    }


def read_text(longest: int, value: str | None, mistakes: Mistakes, *key: str) -> str | None:
    """The text; None of an empty one."""
    if value and text_error(value, longest):
        mistakes.note(text_error(value, longest, *mistakes.path, *key))
    return value or None


def read_url(value: str | None, mistakes: Mistakes, key: str) -> str | None:
    if value and text_error(value, LONGEST_URL):
        mistakes.note(text_error(value, LONGEST_URL, *mistakes.path, key))
    elif value and ascii_url(value) is None:
        message = f"Give a whole web address that begins with http:// or https://, at most {LONGEST_URL:,} characters."
        mistakes.add(message, key)
    return value or None


def read_time(value: date | None, mistakes: Mistakes, key: str) -> date | None:
    """A day or a moment."""
    if value is not None and value.year not in YEARS:
        mistakes.add(f"Give a time in the years {YEARS[0]} to {YEARS[-1]}, or null for none.", key)
    return value


def read_zone(value: str | None, mistakes: Mistakes, key: str) -> str | None:
    if value is None:
        return None
    name = iana_name(value[:LONGEST_LINE])
    if name != value:
        meant = f"{name}, if that is meant" if name else "like Europe/Berlin"
        mistakes.add(f"Give the name of a zone in the IANA database: {meant}.", key)
    return value


def read_participants(
    value: Sequence[ParticipantInput] | None, mistakes: Mistakes, key: str
) -> tuple[Participant, ...]:
    if value and len(value) > MOST_PARTICIPANTS:
        mistakes.add(f"Name at most {MOST_PARTICIPANTS} participants: these are {len(value):,}.", key)
        return ()
    return tuple(_participant(person, mistakes, key, str(place)) for place, person in enumerate(value or ()))


def _participant(given: ParticipantInput, mistakes: Mistakes, *path: str) -> Participant:
    name, email = read_text(LONGEST_LINE, given.name, mistakes, *path, "name"), given.email or None
    if email and not (len(email) <= LONGEST_EMAIL and email.isprintable() and EMAIL.fullmatch(email)):
        mistakes.add("Give an e-mail address like ana@example.com, or null.", *path, "email")
    if not email and not (name or "").strip():
        mistakes.add("Give a name or an e-mail address.", *path)
    return Participant(name, email, word(given.response))


def word(value: Enum | None, *_: object) -> str | None:
    return None if value is None else WORDS[value]


Read = Callable[[Any, Mistakes, str], Any]

READ: dict[str, Read] = {
    "title": partial(read_text, LONGEST_LINE),
    "description": partial(read_text, LONGEST_DESCRIPTION),
    "location": partial(read_text, LONGEST_LINE),
    "url": read_url,
    "starts_at": read_time,
    "ends_at": read_time,
    "starts_on": read_time,
    "ends_on": read_time,
    "due_at": read_time,
    "due_on": read_time,
    "time_zone": read_zone,
    "status": word,
    "priority": word,
    "participants": read_participants,
    "private": lambda value, *_: bool(value),
}
READERS: dict[str, tuple[str, Read]] = {name: (to_camel_case(name), read) for name, read in READ.items()}


def check_whole(activity: Activity, mistakes: Mistakes) -> None:
    """What only shows when all of an activity is together: its times in order, and of the kind that its type has."""
    if activity.status not in statuses(activity.type):
        *others, last = statuses(activity.type)
        mistakes.add(f"Give a status that a {activity.type} has: {', '.join(others)} or {last}.", "status")
    for key, message in _time_mistakes(activity):
        mistakes.add(message, key)


def _time_mistakes(activity: Activity) -> Iterator[tuple[str, str]]:
    starts_at, ends_at, starts_on, ends_on = activity.starts_at, activity.ends_at, activity.starts_on, activity.ends_on
    if starts_at and starts_on:
        yield "startsOn", "Give startsAt for a time of day or startsOn for whole days, and null for the other."
    if ends_at and starts_at is None:
        yield "endsAt", "Give startsAt as well, or null here."
    if ends_at and starts_at and ends_at < starts_at:
        yield "endsAt", "It ends before it starts: give a moment that is not before startsAt."
    if ends_on and starts_on is None:
        yield "endsOn", "Give startsOn as well, or null here."
    if ends_on and starts_on and ends_on <= starts_on:
        yield "endsOn", "Give the day after the last one, which is later than startsOn."
    for key, due in (("dueAt", activity.due_at), ("dueOn", activity.due_on)):
        if due and activity.type != "TASK":
            yield key, "Only a task has a deadline: give startsAt or startsOn, and null here."
    if activity.type == "TASK" and activity.due_at and activity.due_on:
        yield "dueOn", "Give dueAt for a time of day or dueOn for a whole day, and null for the other."

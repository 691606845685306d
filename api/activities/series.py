"""Participants and series as the schema says them, made from what an activity keeps (`feed.importing.recurrence`).

What is kept may have been written by anybody: what cannot be read of it is left out.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime
from enum import Enum
from typing import Any, TypeVar

import strawberry

from api.activities.inputs import (
    ADDRESS,
    DESCRIPTION,
    DUE_AT,
    DUE_ON,
    EMAIL,
    ENDS_AT,
    ENDS_ON,
    LOCATION,
    NAME,
    PARTICIPANTS,
    PRIORITY,
    PRIVATE,
    RESPONSE,
    STARTS_AT,
    STARTS_ON,
    STATUS,
    ActivityPriority,
    ActivityStatus,
    ParticipantResponse,
)
from api.activities.scalars import URL, DateOrDateTime
from db.activities import ActivityRecord, Participant

E = TypeVar("E", bound=Enum)
NO_TIMES = dict.fromkeys(("starts_at", "starts_on", "ends_at", "ends_on", "due_at", "due_on"))


@strawberry.type(name="Participant", description="Somebody who takes part.")
class ParticipantType:
    name: str | None = strawberry.field(description=NAME)
    email: str | None = strawberry.field(description=EMAIL)
    response: ParticipantResponse | None = strawberry.field(description=RESPONSE)

    @classmethod
    def of(cls, person: Participant) -> "ParticipantType":
        return cls(name=person.name, email=person.email, response=member(ParticipantResponse, person.response))


@strawberry.type(description="One occurrence of a series that differs from the others.")
class OccurrenceOverride:
    occurrence: DateOrDateTime = strawberry.field(
        description="Which one: the start that the rule gives it, or a day for what begins on it."
    )
    this_and_future: bool = strawberry.field(
        description="Whether all later ones differ likewise; only of what was imported."
    )
    starts_at: datetime | None = strawberry.field(description=f"{STARTS_AT} No time at all: it is when the rule says.")
    ends_at: datetime | None = strawberry.field(description=ENDS_AT)
    starts_on: date | None = strawberry.field(description=STARTS_ON)
    ends_on: date | None = strawberry.field(description=ENDS_ON)
    due_at: datetime | None = strawberry.field(description=DUE_AT)
    due_on: date | None = strawberry.field(description=DUE_ON)
    status: ActivityStatus | None = strawberry.field(description=STATUS)
    title: str = strawberry.field(description="What it is about.")
    description: str | None = strawberry.field(description=DESCRIPTION)
    location: str | None = strawberry.field(description=LOCATION)
    url: URL | None = strawberry.field(description=ADDRESS)
    priority: ActivityPriority | None = strawberry.field(description=PRIORITY)
    participants: list[ParticipantType] = strawberry.field(description=PARTICIPANTS)
    private: bool = strawberry.field(description=PRIVATE)


@strawberry.type(description="How an activity repeats, from its start on.")
class Recurrence:
    rule: str | None = strawberry.field(
        description="The rule (RFC 5545), as `RecurrenceInput` takes it; null if there is none, or more than one."
    )
    rules: list[str] = strawberry.field(description="All rules; only what was imported has another number than one.")
    exclusion_rules: list[str] = strawberry.field(
        description="Rules of what is left out (EXRULE); only of what was imported."
    )
    dates: list[DateOrDateTime] = strawberry.field(description="Further starts (RDATE); only of what was imported.")
    exdates: list[DateOrDateTime] = strawberry.field(description="The starts of occurrences that are left out.")
    overrides: list[OccurrenceOverride] = strawberry.field(description="The occurrences that differ.")


def series_of(activity: ActivityRecord, busy: str | None) -> Recurrence | None:
    """How the activity repeats. `busy` is the title of what is private; None to whom all may be told."""
    if activity.recurrence is None:
        return None
    kept, rules = activity.recurrence, _texts(activity.recurrence, "rules")
    dates = [each["starts"] for each in _objects(kept, "dates") if isinstance(each.get("starts"), str)]
    return Recurrence(
        rule=rules[0] if len(rules) == 1 else None,
        rules=rules,
        exclusion_rules=_texts(kept, "exclusion_rules"),
        dates=list(map(DateOrDateTime, dates)),
        exdates=list(map(DateOrDateTime, _texts(kept, "excluded_dates"))),
        overrides=[
            _override(each, activity, busy if activity.private or each.get("private") else None)
            for each in _objects(kept, "overrides")
            if isinstance(each.get("recurrence_id"), str)
        ],
    )


def member(kind: type[E], name: object) -> E | None:
    """The value of the enum; None for what is none of it."""
    return next((each for each in kind if each.name == name), None)


def _override(kept: Mapping[str, Any], series: ActivityRecord, busy: str | None) -> OccurrenceOverride:
    status, said = kept.get("status", series.status), kept if busy is None else {"title": busy}
    url = _text(said, "url")
    return OccurrenceOverride(
        occurrence=DateOrDateTime(kept["recurrence_id"]),
        this_and_future=bool(kept.get("this_and_future")),
        **_times(kept, "due" if series.type == "TASK" else "ends"),
        status=member(ActivityStatus, status) if busy is None or status == "CANCELLED" else None,
        title=_text(said, "title") or "",
        description=_text(said, "description"),
        location=_text(said, "location"),
        url=URL(url) if url else None,
        priority=member(ActivityPriority, said.get("priority")),
        participants=[_person(person) for person in _objects(said, "participants")],
        private=series.private or bool(kept.get("private")),
    )


def _times(kept: Mapping[str, Any], last: str) -> dict[str, Any]:
    times: dict[str, Any] = {}
    for name, text in (("starts", _text(kept, "starts")), (last, _text(kept, "ends"))):
        with suppress(ValueError):
            is_day = text is not None and len(text) == len("2026-03-09")
            times[f"{name}_on"] = date.fromisoformat(text) if text and is_day else None
            times[f"{name}_at"] = datetime.fromisoformat(text) if text and not is_day else None
    return {**NO_TIMES, **times}


def _person(kept: Mapping[str, Any]) -> ParticipantType:
    return ParticipantType.of(Participant(*(_text(kept, name) for name in Participant.__slots__)))


def _text(kept: Mapping[str, Any], name: str) -> str | None:
    value = kept.get(name)
    return value if isinstance(value, str) else None


def _texts(kept: Mapping[str, Any], name: str) -> list[str]:
    return [each for each in _list(kept, name) if isinstance(each, str)]


def _objects(kept: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return [each for each in _list(kept, name) if isinstance(each, dict)]


def _list(kept: Mapping[str, Any], name: str) -> list[Any]:
    value = kept.get(name)
    return value if isinstance(value, list) else []

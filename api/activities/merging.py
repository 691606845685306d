"""What an integrator says of activities, merged with what is there: how each is to be, or what is wrong with which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from api.activities.inputs import MOST_CALENDARS, ActivityInput
from api.activities.recurrences import Kept, check_all, kept_series, moved_series
from api.activities.values import WORDS, Mistakes, check_whole, read_text, said_values, statuses
from api.errors import CalendarNotFound, ItemRepeated, UserNotFound
from api.items import refuse
from api.texts import external_id_error
from db.activities import Activity, ActivityRecord, Key
from db.placements import Placement
from feed.wording import LONGEST_LINE

NO_CALENDAR = "There is no calendar with this external id in your account: add it with upsertCalendars first."
NO_OWNER = "There is no user with this external id in your account: add them with upsertUsers first."


@dataclass(frozen=True, slots=True)
class Names:
    """What the external ids in a call stand for."""

    users: Mapping[str, UUID]
    calendars: Mapping[str, UUID]


@dataclass(frozen=True, slots=True)
class There:
    """Activities that the account has, and the calendars that each stands in."""

    activities: Sequence[ActivityRecord]
    placings: Mapping[UUID, frozenset[UUID]]

    def calendar_ids(self, record: ActivityRecord) -> frozenset[UUID]:
        return self.placings.get(record.id, frozenset())

    def placement(self, record: ActivityRecord, activity: Activity, calendar_ids: frozenset[UUID]) -> Placement:
        before = self.calendar_ids(record)
        return Placement(
            activity=activity, calendar_ids=calendar_ids, before=record, calendar_ids_before=before, id=record.id
        )


def key_of(activity: ActivityInput) -> Key:
    return WORDS[activity.type], activity.external_id


def merged(
    given: Sequence[ActivityInput], names: Names, there: There, now: datetime, mistakes: Mistakes
) -> list[Placement]:
    """The activities as they are to be; `Refused` if anything is wrong with any of them."""
    before = {(record.type, record.external_id): record for record in there.activities}
    placements, series = list[Placement](), list[tuple[Kept, Mistakes]]()
    seen: dict[Key, int] = {}
    for place, item in enumerate(given):
        below, key = mistakes.at("activities", place), key_of(item)
        if (first := seen.setdefault(key, place)) != place:
            message = f"Activity {first} of this call has the same type and external id: give one of the two."
            below.add(message, "externalId", kind=ItemRepeated)
        if external_id_error(item.external_id):
            below.note(external_id_error(item.external_id, *below.path, "externalId"))
        calendar_ids = _calendar_ids(item, names, below)
        record = before.get(key)
        activity = _activity(item, key, names, record, below)
        if activity.recurrence and (record is None or activity.recurrence != record.recurrence):
            series.append((activity.recurrence, below.at("recurrence")))
        placements.append(
            there.placement(record, activity, calendar_ids)
            if record
            else Placement(activity=activity, calendar_ids=calendar_ids)
        )
    check_all(series, now)
    refuse(mistakes.found)
    return placements


def _calendar_ids(item: ActivityInput, names: Names, mistakes: Mistakes) -> frozenset[UUID]:
    wanted, key = item.calendar_external_ids, "calendarExternalIds"
    found = frozenset(id_ for external_id in wanted if (id_ := names.calendars.get(external_id)))
    if 1 <= len(found) == len(wanted) <= MOST_CALENDARS:
        return found
    if len(wanted) not in range(1, MOST_CALENDARS + 1):
        mistakes.add(f"Name from 1 to {MOST_CALENDARS} calendars: these are {len(wanted):,}.", key)
        return found
    for place, external_id in enumerate(wanted):
        if external_id not in names.calendars:
            mistakes.add(NO_CALENDAR, key, place, kind=CalendarNotFound)
        elif external_id in wanted[:place]:
            mistakes.add("Name each calendar once.", key, place, kind=ItemRepeated)
    return found


def _activity(
    item: ActivityInput, key: Key, names: Names, before: ActivityRecord | None, mistakes: Mistakes
) -> Activity:
    """The activity without its calendars; its series is not looked at where something else is wrong already."""
    wrong_before = len(mistakes.found)
    said = said_values(item, mistakes)
    said["title"] = read_text(LONGEST_LINE, item.title, mistakes, "title") or ""
    said |= _owner(item, names, mistakes)
    if before is None or "status" in said:
        said["status"] = said.get("status") or statuses(key[0])[0]
    activity = replace(before, **said) if before else Activity(type=key[0], external_id=key[1], **said)
    check_whole(activity, mistakes)
    if len(mistakes.found) > wrong_before or not (item.recurrence or activity.recurrence):
        return activity
    return replace(activity, recurrence=_series(item, activity, before, mistakes.at("recurrence")))


def _owner(item: ActivityInput, names: Names, mistakes: Mistakes) -> dict[str, UUID | None]:
    if item.owner_external_id is None:
        return {}
    external_id = item.owner_external_id.value
    if external_id is not None and external_id not in names.users:
        mistakes.add(NO_OWNER, "ownerExternalId", kind=UserNotFound)
    return {"owner_id": names.users.get(external_id or "")}


def _series(item: ActivityInput, activity: Activity, before: ActivityRecord | None, mistakes: Mistakes) -> Kept | None:
    if item.recurrence is None:
        kept = before.recurrence if before else None
        return moved_series(kept, activity, before, mistakes) if kept and before else None
    return kept_series(item.recurrence.value, activity, mistakes) if item.recurrence.value else None

"""Activities from integrators, by external id: pushed, deleted, or a calendar's window replaced; all or nothing."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import timedelta
from uuid import UUID

from api.activities.inputs import (
    LONGEST_WINDOW_DAYS,
    ActivityInput,
    DeleteActivitiesPayload,
    DeleteInput,
    SyncCalendarPayload,
    SyncInput,
    UpsertActivitiesPayload,
    UpsertInput,
)
from api.activities.merging import NO_CALENDAR, Names, There, key_of, merged
from api.activities.values import Mistakes
from api.context import Info
from api.errors import CalendarNotFound, ItemRepeated
from api.items import MOST_ITEMS, check_count, refuse
from api.links.options import ActivityType
from api.refusals import answering
from api.texts import text_error
from db.activities import Key, lock_activities
from db.calendars import lock_calendar_ids
from db.placements import list_placings, list_window, save_placements, upsert_counts
from db.pool import Conn
from db.users import lock_user_ids

LONGEST_UID = 2_000  # of what was imported


@answering(UpsertActivitiesPayload, "ACTIVITIES_WRITTEN")
async def upsert_activities(info: Info, input: UpsertInput) -> UpsertActivitiesPayload:  # noqa: A002  # the API's word
    caller, now, given = await info.context.manager("activities:write"), info.context.now, input.activities
    check_count(given, MOST_ITEMS, "activities", "activities")
    async with info.context.writing() as conn:
        names = await _find_names(conn, caller.account_id, given)
        there = await _lock_there(conn, caller.account_id, map(key_of, given))
        placements = await asyncio.to_thread(merged, given, names, there, now, Mistakes())
        await save_placements(conn, caller.account_id, placements, now)
    return UpsertActivitiesPayload(**asdict(upsert_counts(placements)))


@answering(DeleteActivitiesPayload, "ACTIVITIES_WRITTEN")
async def delete_activities(info: Info, input: DeleteInput) -> DeleteActivitiesPayload:  # noqa: A002  # the API's word
    caller, external_ids = await info.context.manager("activities:write"), input.external_ids
    check_count(external_ids, MOST_ITEMS, "external ids", "externalIds")
    _check_ids(external_ids)
    types = [kind.name for kind in ([input.type] if input.type else ActivityType)]
    keys = [(kind, external_id) for kind in types for external_id in external_ids]
    async with info.context.writing() as conn:
        there = await _lock_there(conn, caller.account_id, keys)
        gone = [there.placement(record, record, frozenset()) for record in there.activities]
        await save_placements(conn, caller.account_id, gone, info.context.now)
    found = {record.external_id for record in there.activities}
    return DeleteActivitiesPayload(deleted=len(gone), absent=len(external_ids) - len(found))


@answering(SyncCalendarPayload, "ACTIVITIES_WRITTEN")
async def sync_calendar(info: Info, input: SyncInput) -> SyncCalendarPayload:  # noqa: A002  # the API's word
    caller, now, given = await info.context.manager("activities:write"), info.context.now, input.activities
    account_id, mistakes = caller.account_id, Mistakes()
    check_count(given, MOST_ITEMS, "activities", "activities")
    _check_sync(input, mistakes)
    async with info.context.writing() as conn:
        names = await _find_names(conn, account_id, given, input.calendar_external_id)
        calendar_id = names.calendars.get(input.calendar_external_id)
        if calendar_id is None:
            mistakes.add(NO_CALENDAR, "calendarExternalId", kind=CalendarNotFound)
        there = await _lock_there(
            conn, account_id, map(key_of, given), await _window(conn, account_id, calendar_id, input)
        )
        placements = await asyncio.to_thread(merged, given, names, there, now, mistakes)
        window = set(await _window(conn, account_id, calendar_id, input)) - {each.id for each in placements}
        gone = [
            there.placement(record, record, there.calendar_ids(record) - {calendar_id})
            for record in there.activities
            if record.id in window
        ]
        if not input.dry_run:
            await save_placements(conn, account_id, [*placements, *gone], now)
    return SyncCalendarPayload(**asdict(upsert_counts(placements)), deleted=len(gone))


async def _find_names(conn: Conn, account_id: UUID, given: Sequence[ActivityInput], *calendars: str) -> Names:
    """What the external ids stand for. The calendars are locked: who writes the same ones takes turns."""
    owners = {said.value for activity in given if (said := activity.owner_external_id) and said.value}
    wanted = {external_id for activity in given for external_id in activity.calendar_external_ids}
    users = await lock_user_ids(conn, account_id, _storable(owners))
    return Names(users, await lock_calendar_ids(conn, account_id, _storable(wanted.union(calendars))))


async def _lock_there(conn: Conn, account_id: UUID, keys: Iterable[Key], ids: Sequence[UUID] = ()) -> There:
    """Those of the activities that there are; their calendars are read once nobody else can move them."""
    sane = [(kind, external_id) for kind, external_id in keys if text_error(external_id, LONGEST_UID) is None]
    records = await lock_activities(conn, account_id, sane, ids)
    return There(records, await list_placings(conn, account_id, [record.id for record in records]))


async def _window(conn: Conn, account_id: UUID, calendar_id: UUID | None, asked: SyncInput) -> list[UUID]:
    return await list_window(conn, account_id, calendar_id, asked.from_, asked.until) if calendar_id else []


def _storable(texts: Iterable[str]) -> list[str]:
    """Those that a database can be asked for."""
    return [text for text in texts if text_error(text, LONGEST_UID) is None]


def _check_ids(external_ids: Sequence[str]) -> None:
    mistakes, seen = Mistakes(), dict[str, int]()
    for place, external_id in enumerate(external_ids):
        mistakes.note(text_error(external_id, LONGEST_UID, "externalIds", str(place)))
        if (first := seen.setdefault(external_id, place)) != place:
            message = f"This is the same as number {first}: give one of the two."
            mistakes.add(message, "externalIds", place, kind=ItemRepeated)
    refuse(mistakes.found)


def _check_sync(asked: SyncInput, mistakes: Mistakes) -> None:
    if asked.until <= asked.from_:
        mistakes.add("Give a moment after `from`.", "until")
    elif asked.until - asked.from_ > timedelta(days=LONGEST_WINDOW_DAYS):
        mistakes.add(f"Give a moment at most {LONGEST_WINDOW_DAYS:,} days after `from`.", "until")
    for place, activity in enumerate(asked.activities):
        if asked.calendar_external_id not in activity.calendar_external_ids:
            message = "Name the calendar of this call among the activity's own, or leave the activity out."
            mistakes.add(message, "activities", place, "calendarExternalIds")

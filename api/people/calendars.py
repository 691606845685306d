"""Calendars: written by integrators (`upsertCalendars`), and read back (`calendars`)."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import strawberry
from strawberry import relay

from api.context import Caller, Info
from api.errors import UserError, ValueInvalid
from api.items import (
    MOST_ITEMS,
    UPSERTED,
    Item,
    UpsertPayload,
    Write,
    check_count,
    counts,
    filter_ids,
    given,
    item_errors,
    name_error,
    read_items,
    refuse,
)
from api.nodes import After, First, connection, cursor_id, id_of, page_size
from api.people.types import Calendar
from api.refusals import answering, noting_refusal
from api.texts import external_id_error
from db.accounts import lock_account
from db.audit import add_audit_entries, name_actor
from db.calendars import CalendarRecord, WantedCalendars, lock_calendars, page_calendars, save_calendars
from db.ids import new_id
from db.pool import Conn

COLOR = re.compile(r"#[0-9A-Fa-f]{6}")
FIELDS = ("name", "color", "deleted")
CLEARED: dict[str, Any] = {"color": None}


@strawberry.input(
    description="A calendar as the CRM knows it. What is left out stays as it is, or is the default of a new calendar;"
    " null clears a colour."
)
class CalendarInput:
    external_id: str = strawberry.field(description="The CRM's own key of the calendar.")
    name: strawberry.Maybe[str | None] = given(
        "The calendar's name, as subscribers see it. A new calendar needs one; nobody may see it yet."
    )
    color: strawberry.Maybe[str | None] = given('The calendar\'s colour, like "#4682B4". By default none.')
    deleted: strawberry.Maybe[bool | None] = given(
        "True ends the calendar: its links serve the notice, and the feeds of all calendars show it no more. Nothing"
        " happens where there is no such calendar. False brings it back, with the access that it had. By default false."
    )


@strawberry.input(description="Calendars to be written, found by the CRM's own keys.")
class UpsertCalendarsInput:
    calendars: list[CalendarInput] = strawberry.field(description=f"The calendars. {UPSERTED}")


@strawberry.type(description="How many calendars were written, or why none was.")
class UpsertCalendarsPayload(UpsertPayload):
    pass


@strawberry.input(description="Which calendars. All that is named must fit.")
class CalendarFilter:
    changed_since: datetime | None = strawberry.field(
        default=None,
        description="Calendars in which a subscriber could see a change then or later: of the name, the colour, or an"
        " activity. What was being written at that moment may be missed: name one some minutes before the last look.",
    )
    external_ids: list[str] | None = strawberry.field(
        default=None, description=f"Calendars with these keys of the CRM, at most {MOST_ITEMS:,}."
    )
    deleted: bool | None = strawberry.field(
        default=False, description="True: deleted calendars in place of those that are there; managers only."
    )

    def record(self, visible_to: UUID | None) -> WantedCalendars:
        """The filter for the data layer; keys that are none match nothing."""
        return WantedCalendars(
            external_ids=filter_ids(self.external_ids),
            changed_since=self.changed_since,
            deleted=bool(self.deleted),
            visible_to=visible_to,
        )


UpsertInput = Annotated[UpsertCalendarsInput, strawberry.argument(description="The calendars.")]
Where = Annotated[
    CalendarFilter | None, strawberry.argument(description="Which calendars; left out: all that are there.")
]


async def calendars(
    info: Info, where: Where = None, first: First = None, after: After = None
) -> relay.Connection[Calendar]:
    async with noting_refusal(info, "CALENDARS_LISTED"):
        caller = await info.context.caller("calendars:read")
    size, wanted = page_size(first), (where or CalendarFilter()).record(visible_to(caller))
    async with info.context.pool.acquire() as conn:
        rows = await page_calendars(conn, caller.account_id, wanted, size + 1, cursor_id(after))
    page: relay.Connection[Calendar] = connection(rows, size, Calendar.of, id_of, after=after is not None)
    return page


def visible_to(caller: Caller) -> UUID | None:
    """To whom a calendar must be visible, that the caller may know of it; None: to nobody, as they see all."""
    return None if caller.user is None or caller.may("calendars:read") else caller.user.id


@answering(UpsertCalendarsPayload, "CALENDAR_ADDED")
async def upsert_calendars(info: Info, input: UpsertInput) -> UpsertCalendarsPayload:  # noqa: A002  # the API's word
    caller, now = await info.context.manager("calendars:write"), info.context.now
    check_count(input.calendars, MOST_ITEMS, "calendars", "calendars")
    items = read_items(input.calendars, "calendars", FIELDS, CLEARED, _error)
    async with info.context.writing() as conn:
        await name_actor(conn, caller.actor)
        await lock_account(conn, caller.account_id)
        writes = await _writes(conn, caller.account_id, items, now)
        refuse(item_errors(items, writes))
        changes = [write for write in writes if write.is_change]
        if changes:
            await save_calendars(conn, caller.account_id, [write.after for write in changes], now)
        if added := [write.after.id for write in changes if write.before is None]:
            await add_audit_entries(conn, caller.account_id, "CALENDAR_ADDED", added, actor=caller.actor, now=now)
    return UpsertCalendarsPayload(**counts(writes))


def _error(name: str, value: Any, *path: str) -> UserError | None:
    """Why the field cannot have the value."""
    if name == "name":
        return name_error(value, *path)
    if name == "color" and not COLOR.fullmatch(value):
        message = 'Give red, green and blue as six hexadecimal digits, like "#4682B4", or null for no colour.'
        return ValueInvalid(message=message, path=list(path))
    return None


async def _writes(conn: Conn, account_id: UUID, items: Sequence[Item], now: datetime) -> list[Write[CalendarRecord]]:
    """What becomes of each calendar; those that are there are locked."""
    ids = [item.external_id for item in items if not external_id_error(item.external_id)]
    there = {calendar.external_id: calendar for calendar in await lock_calendars(conn, account_id, ids)}
    return [_write(there.get(item.external_id), account_id, item, now) for item in items]


def _write(calendar: CalendarRecord | None, account_id: UUID, item: Item, now: datetime) -> Write[CalendarRecord]:
    if calendar:
        return Write(item, calendar, _written(calendar, item, now))
    blank = CalendarRecord(
        account_id=account_id,
        id=new_id(),
        external_id=item.external_id,
        name="",
        color=None,
        deleted_at=None,
        changed_at=now,
    )
    if item.said.get("deleted"):
        return Write(item, blank, blank)  # it never was here, so is as it shall be
    return Write(item, None, _written(blank, item, now))


def _written(calendar: CalendarRecord, item: Item, now: datetime) -> CalendarRecord:
    """The calendar as the item wants it."""
    said = dict(item.said)
    if said.get("color"):
        said["color"] = said["color"].upper()
    is_deleted = calendar.deleted_at is not None
    deleted = said.pop("deleted", is_deleted)
    if deleted != is_deleted:
        said["deleted_at"] = now if deleted else None
    return replace(calendar, **said)

"""Access: who may see which calendar, set by integrators (`setCalendarAccess`)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

from api.context import Info
from api.errors import CalendarNotFound, UserError, UserNotFound
from api.items import MOST_ITEMS, check_count, id_errors, refuse
from api.refusals import answering
from api.texts import external_id_error
from db.access import Pair, grant_pairs, list_access, plan_anew, withdraw_pairs
from db.accounts import lock_account
from db.audit import name_actor
from db.calendars import find_calendars
from db.pool import Conn
from db.users import find_users, lock_many_users

MOST_PAIRS = 20_000


@strawberry.input(description="Who may see a calendar.")
class CalendarAccessInput:
    calendar_external_id: str = strawberry.field(description="The CRM's own key of the calendar.")
    user_external_ids: list[str] = strawberry.field(
        description="The CRM's own keys of all users who may see it, deactivated ones too: they see it once they are"
        " active. Whoever is not named may see it no more, also users without a key of the CRM, who cannot be named. To"
        " name nobody is no error where the calendar is deleted, or never was."
    )


@strawberry.input(description="Who may see which calendars. Calendars that are not named keep their access.")
class SetCalendarAccessInput:
    calendars: list[CalendarAccessInput] = strawberry.field(
        description=f"At most {MOST_ITEMS:,} calendars, with {MOST_PAIRS:,} users in all. All are set or none, and"
        " access that is the same already is left untouched: the same call may be sent again."
    )


@strawberry.type(description="How much access was changed, or why none was.")
class SetCalendarAccessPayload:
    granted: int = strawberry.field(default=0, description="How often a user may see a calendar who could not before.")
    withdrawn: int = strawberry.field(
        default=0, description="How often a user may see a calendar no more: their links to it serve the notice."
    )
    unchanged: int = strawberry.field(default=0, description="How often a user may see a calendar as before.")
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="What the caller has to mend in which item; then nothing was changed."
    )


SetInput = Annotated[SetCalendarAccessInput, strawberry.argument(description="The calendars and their users.")]


@answering(SetCalendarAccessPayload, "ACCESS_GRANTED")
async def set_calendar_access(info: Info, input: SetInput) -> SetCalendarAccessPayload:  # noqa: A002  # the API's word
    caller, now = await info.context.manager("access:write"), info.context.now
    check_count(input.calendars, MOST_ITEMS, "calendars", "calendars")
    named = [user_id for item in input.calendars for user_id in item.user_external_ids]
    check_count(named, MOST_PAIRS, "users", "calendars")
    async with info.context.writing() as conn:
        await name_actor(conn, caller.actor)
        await lock_account(conn, caller.account_id)
        ids = [item.calendar_external_id for item in input.calendars]
        ended = [item.calendar_external_id for item in input.calendars if not item.user_external_ids]
        calendars = await find_calendars(conn, caller.account_id, _keys(ids), _keys(ended))
        users = await find_users(conn, caller.account_id, _keys(named))
        wrong_ids = id_errors(ids, "calendars", "calendarExternalId")
        refuse([*wrong_ids, *_unknown(input.calendars, calendars, users)])
        wanted = {(calendars[i.calendar_external_id], users[u]) for i in input.calendars for u in i.user_external_ids}
        there = await list_access(conn, caller.account_id, list(calendars.values()))
        await _change(conn, caller.account_id, wanted - there, there - wanted, now)
    return SetCalendarAccessPayload(
        granted=len(wanted - there), withdrawn=len(there - wanted), unchanged=len(wanted & there)
    )


async def _change(conn: Conn, account_id: UUID, granted: set[Pair], withdrawn: set[Pair], now: datetime) -> None:
    if granted or withdrawn:
        await lock_many_users(conn, account_id, list({user_id for _, user_id in granted | withdrawn}))
    if granted:
        await plan_anew(conn)
        await grant_pairs(conn, account_id, granted, now)
    if withdrawn:
        await plan_anew(conn)
        await withdraw_pairs(conn, account_id, withdrawn, now)


def _keys(external_ids: Sequence[str]) -> list[str]:
    """Those that can be keys, once each: of others there is nothing in the account."""
    return [external_id for external_id in set(external_ids) if not external_id_error(external_id)]


def _unknown(
    items: Sequence[CalendarAccessInput], calendars: Mapping[str, UUID], users: Mapping[str, UUID]
) -> Iterator[UserError]:
    no_calendar = "There is no such calendar in your account, or it is deleted: write it with `upsertCalendars` first."
    no_user = "There is no such user in your account: write them with `upsertUsers` first."
    for place, item in enumerate(items):
        path = ["calendars", str(place)]
        is_missed = item.user_external_ids and item.calendar_external_id not in calendars
        if is_missed and not external_id_error(item.calendar_external_id):
            yield CalendarNotFound(message=no_calendar, path=[*path, "calendarExternalId"])
        for number, external_id in enumerate(item.user_external_ids):
            if external_id not in users:
                yield UserNotFound(message=no_user, path=[*path, "userExternalIds", str(number)])

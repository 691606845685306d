"""Users: written by integrators (`upsertUsers`), and read back (`users`)."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import strawberry
from babel import Locale
from babel.core import get_global
from strawberry import relay

from api.context import Info
from api.errors import EmailTaken, InvalidArgument, UserError, ValueInvalid
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
from api.people.types import TimeZone, User
from api.refusals import answering, noting_refusal
from api.texts import external_id_error, text_error
from api.token_users import EMAIL, LONGEST_EMAIL
from db.accounts import lock_account
from db.audit import add_audit_entries, name_actor
from db.ids import new_id
from db.pool import Conn
from db.users import UserRecord, WantedUsers, clear_emails, compare_emails, lock_users, page_users, save_users
from feed.importing.zones import iana_name

LONGEST_LOCALE, LONGEST_ZONE, LONGEST_SEARCH = 35, 64, 255
LOCALE = re.compile(r"([A-Za-z]{2,3})([-_][A-Za-z0-9]{1,8})*")
LANGUAGES = frozenset((*Locale("en").languages, *get_global("language_aliases")))
FIELDS = ("name", "email", "administrator", "active", "time_zone", "locale")
CLEARED: dict[str, Any] = {"email": None, "time_zone": "UTC", "locale": "en"}


@strawberry.input(
    description="A user as the CRM knows them. What is left out stays as it is, or is the default of a new user; null"
    " clears an e-mail address, and is the default of a time zone or a locale."
)
class UserInput:
    external_id: str = strawberry.field(description="The CRM's own key of the user.")
    name: strawberry.Maybe[str | None] = given("The user's full name. A new user needs one.")
    email: strawberry.Maybe[str | None] = given(
        "The user's e-mail address, which nobody else in the account has, letter case aside. By default none."
    )
    administrator: strawberry.Maybe[bool | None] = given(
        "Whether the user may manage the links of others in the account. By default false."
    )
    active: strawberry.Maybe[bool | None] = given(
        "False deactivates the user: their links are dead at once. Nothing happens where there is no such user and no"
        " name is given. True activates them again. By default true."
    )
    time_zone: strawberry.Maybe[TimeZone | None] = given("The zone in which the user's days begin. By default UTC.")
    locale: strawberry.Maybe[str | None] = given(
        'The language of the user\'s feeds (BCP 47), like "de" or "en-GB"; English where we do not speak it.'
        ' By default "en".'
    )


@strawberry.input(description="Users to be written, found by the CRM's own keys.")
class UpsertUsersInput:
    users: list[UserInput] = strawberry.field(description=f"The users. {UPSERTED}")


@strawberry.type(description="How many users were written, or why none was.")
class UpsertUsersPayload(UpsertPayload):
    pass


@strawberry.input(description="Which users. All that is named must fit.")
class UserFilter:
    active: bool | None = strawberry.field(default=None, description="Active users, or deactivated ones.")
    administrator: bool | None = strawberry.field(default=None, description="Administrators, or all others.")
    changed_since: datetime | None = strawberry.field(
        default=None,
        description="Users that were changed then or later, or were given or lost a calendar. What was being written"
        " at that moment may be missed: name one some minutes before the last look.",
    )
    external_ids: list[str] | None = strawberry.field(
        default=None, description=f"Users with these keys of the CRM, at most {MOST_ITEMS:,}."
    )
    search: str | None = strawberry.field(
        default=None, description="Users with this text in their name or e-mail address, letter case aside."
    )

    def record(self) -> WantedUsers:
        """The filter for the data layer; keys that are none match nothing."""
        if self.search is not None and (error := text_error(self.search, LONGEST_SEARCH)):
            raise InvalidArgument(f"where.search: {error.message}")
        return WantedUsers(
            active=self.active,
            administrator=self.administrator,
            changed_since=self.changed_since,
            external_ids=filter_ids(self.external_ids),
            search=self.search,
        )


UpsertInput = Annotated[UpsertUsersInput, strawberry.argument(description="The users.")]
Where = Annotated[UserFilter | None, strawberry.argument(description="Which users; left out: all.")]


async def users(info: Info, where: Where = None, first: First = None, after: After = None) -> relay.Connection[User]:
    async with noting_refusal(info, "USERS_LISTED"):
        caller = await info.context.manager("users:read")
    size, wanted = page_size(first), where.record() if where else WantedUsers()
    async with info.context.pool.acquire() as conn:
        rows = await page_users(conn, caller.account_id, wanted, size + 1, cursor_id(after))
    page: relay.Connection[User] = connection(rows, size, User.of, id_of, after=after is not None)
    return page


@answering(UpsertUsersPayload, "USER_ADDED")
async def upsert_users(info: Info, input: UpsertInput) -> UpsertUsersPayload:  # noqa: A002  # the API's word
    caller, now = await info.context.manager("users:write"), info.context.now
    check_count(input.users, MOST_ITEMS, "users", "users")
    items = read_items(input.users, "users", FIELDS, CLEARED, _error)
    async with info.context.writing() as conn:
        await name_actor(conn, caller.actor)
        await lock_account(conn, caller.account_id)
        writes = await _writes(conn, caller.account_id, items, now)
        refuse([*item_errors(items, writes), *await _taken_emails(conn, caller.account_id, writes)])
        await _save(conn, caller.account_id, writes, now)
        if added := [write.after.id for write in writes if write.before is None]:
            await add_audit_entries(conn, caller.account_id, "USER_ADDED", added, actor=caller.actor, now=now)
    return UpsertUsersPayload(**counts(writes))


def _error(name: str, value: Any, *path: str) -> UserError | None:
    """Why the field cannot have the value."""
    match name:
        case "name":
            return name_error(value, *path)
        case "email":
            return _email_error(value, *path)
        case "time_zone":
            return _zone_error(value, *path)
        case "locale":
            return _locale_error(value, *path)
    return None


def _email_error(value: str, *path: str) -> UserError | None:
    if error := text_error(value, LONGEST_EMAIL, *path):
        return error
    if EMAIL.fullmatch(value) and value.isprintable():
        return None
    message = 'Give one address and nothing else, like "anna@example.com", or null for none.'
    return ValueInvalid(message=message, path=list(path))


def _zone_error(value: str, *path: str) -> UserError | None:
    meant = iana_name(value) if len(value) <= LONGEST_ZONE else None
    if value == meant:
        return None
    message = f'Use "{meant}".' if meant else 'Use a name of the IANA database, like "Europe/Berlin".'
    return ValueInvalid(message=message, path=list(path))


def _locale_error(value: str, *path: str) -> UserError | None:
    found = LOCALE.fullmatch(value)
    if found and len(value) <= LONGEST_LOCALE and found[1].lower() in LANGUAGES:
        return None
    message = 'Use a language tag (BCP 47), like "de" or "en-GB".'
    return ValueInvalid(message=message, path=list(path))


async def _writes(conn: Conn, account_id: UUID, items: Sequence[Item], now: datetime) -> list[Write[UserRecord]]:
    """What becomes of each user; those that are there are locked."""
    ids = [item.external_id for item in items if not external_id_error(item.external_id)]
    there = {user.external_id: user for user in await lock_users(conn, account_id, ids)}
    return [_write(there.get(item.external_id), account_id, item, now) for item in items]


def _write(user: UserRecord | None, account_id: UUID, item: Item, now: datetime) -> Write[UserRecord]:
    if user:
        return Write(item, user, _written(user, item, now))
    blank = _blank(account_id, item.external_id, now)
    if item.said.get("active") is False and not item.is_named:
        return Write(item, blank, blank)  # nobody is there to be deactivated
    return Write(item, None, _written(blank, item, now))


def _blank(account_id: UUID, external_id: str, now: datetime) -> UserRecord:
    """A new user before anything is said of them."""
    return UserRecord(
        account_id=account_id,
        id=new_id(),
        external_id=external_id,
        name="",
        administrator=False,
        deactivated_at=None,
        changed_at=now,
        **CLEARED,
    )


def _written(user: UserRecord, item: Item, now: datetime) -> UserRecord:
    """The user as the item wants them."""
    said = dict(item.said)
    if "locale" in said:
        said["locale"] = said["locale"].replace("_", "-")  # de_DE, as many a CRM has it
    active = said.pop("active", user.active)
    if active != user.active:
        said["deactivated_at"] = None if active else now
    return replace(user, **said)


async def _taken_emails(conn: Conn, account_id: UUID, writes: Sequence[Write[UserRecord]]) -> list[UserError]:
    """Addresses that somebody else keeps, or that two items want; those that change hands in this call are free."""
    moving = [write for write in writes if _moves(write)]
    wanted = [(write, write.after.email) for write in moving if write.after.email is not None]
    movers = [write.before.id for write in moving if write.before]
    compared = await compare_emails(conn, account_id, [email for _, email in wanted], movers)
    first: dict[str, str] = {}
    errors: list[UserError] = []
    for (write, _), (folded, is_taken) in zip(wanted, compared, strict=True):
        earlier = first.setdefault(folded, write.item.place)
        if is_taken or earlier != write.item.place:
            whoever = "Another user of the account" if is_taken else f"The user of item {earlier}"
            message = f"{whoever} has this address: leave it out, or give that user another one in the same call."
            errors.append(EmailTaken(message=message, path=[*write.item.path, "email"]))
    return errors


def _moves(write: Write[UserRecord]) -> bool:
    """Whether the user gets another address, or loses it."""
    return write.after.email != (write.before.email if write.before else None)


async def _save(conn: Conn, account_id: UUID, writes: Sequence[Write[UserRecord]], now: datetime) -> None:
    changes = [write for write in writes if write.is_change]
    if freed := [write.before.id for write in changes if write.before and write.before.email and _moves(write)]:
        await clear_emails(conn, account_id, freed)  # first all, as each address has one user at any moment
    if changes:
        await save_users(conn, account_id, [write.after for write in changes], now)

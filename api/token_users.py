"""From what a bearer token says to whom it means: accounts by the CRM's own key, and users that are new here."""

import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from db.accounts import list_accounts_called
from db.audit import SERVICE, add_audit_entries
from db.pool import Conn
from db.users import UserRecord, add_user_if_new, get_acting_user
from feed.importing.zones import iana_name

KNOWN_SECONDS = 60.0  # that the account of a key is not asked for again
LONGEST_NAME, LONGEST_EMAIL = 255, 254
STANDARD = ("name", "given_name", "family_name", "preferred_username", "email", "zoneinfo", "locale")
EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
LOCALE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")


class AccountIds:
    """The ids of accounts by the CRM's own keys of them."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[UUID, float]] = {}

    async def find(self, conn: Conn, account: UUID | str) -> UUID | None:
        """None if no account has that key, or more than one: then nobody knows which is meant."""
        if isinstance(account, UUID):
            return account
        id_, until = self._known.get(account, (None, 0.0))
        if id_ is None or until < time.monotonic():
            self._known.pop(account, None)
            ids = await list_accounts_called(conn, account)
            if len(ids) != 1:
                return None
            (id_,) = ids
            self._known[account] = (id_, time.monotonic() + KNOWN_SECONDS)
        return id_


class Profile(TypedDict):
    """What is kept of a user who is new."""

    name: str
    email: str | None
    time_zone: str
    locale: str


async def provision_user(
    conn: Conn, account_id: UUID, external_id: str, claims: Mapping[str, Any], now: datetime
) -> UserRecord | None:
    """Add the user, who may see nothing yet; None if the account is suspended. Of two calls at once one adds them."""
    new = profile(claims, external_id)
    async with conn.transaction():
        added = await add_user_if_new(conn, account_id, now, external_id=external_id, **new)
        if added is None and new["email"]:  # which may be another user's
            without: Profile = {**new, "email": None}
            added = await add_user_if_new(conn, account_id, now, external_id=external_id, **without)
        if added:
            said = {"externalId": external_id}
            await add_audit_entries(conn, account_id, "USER_PROVISIONED", [added], actor=SERVICE, now=now, details=said)
    return await get_acting_user(conn, account_id, external_id)


def profile(claims: Mapping[str, Any], external_id: str) -> Profile:
    """What the standard claims say (OpenID Connect Core 1.0, section 5.1), as far as it makes sense."""
    said = {name: _line(claims.get(name)) for name in STANDARD}
    email = said["email"] if EMAIL.fullmatch(said["email"]) and claims.get("email_verified") is not False else ""
    whole = f"{said['given_name']} {said['family_name']}".strip()
    names = (said["name"], whole, said["preferred_username"], email, external_id)
    locale, zone = said["locale"].replace("_", "-"), said["zoneinfo"][:LONGEST_NAME]
    return Profile(
        name=next(name for name in names if 0 < len(name) <= LONGEST_NAME),
        email=email if 0 < len(email) <= LONGEST_EMAIL else None,
        time_zone=zone if zone == iana_name(zone) else "UTC",
        locale=locale if LOCALE.fullmatch(locale) else "en",
    )


def _line(value: Any) -> str:
    """The text on one line; "" if it is none, or has characters in it that nobody can read."""
    line = " ".join(value.split()) if isinstance(value, str) else ""
    return line if line.isprintable() else ""

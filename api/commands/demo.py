"""What `calendar-feeds demo` prints: for a newcomer, or as one JSON line for scripts."""

import json
import shlex
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from api.auth import Principal, issue_token
from api.commands.shared import InputError
from api.settings import PREFIX, Settings
from db.accounts import AccountRecord
from db.audit import OPERATOR, add_audit_entries
from db.links import add_link, get_link
from db.pool import Conn
from db.users import UserRecord
from feed.feeds import all_calendars
from feed.tokens import Keyring
from feed.urls import link_url
from feed.words import words

TOKEN_LIFETIME = timedelta(days=1)
SCREEN_LIFETIME = timedelta(hours=1)  # of a token that the screen gets for a sample user
QUERY = "{ calendarFeeds { name url } }"


@dataclass(frozen=True, slots=True)
class DemoAccount:
    record: AccountRecord
    users: list[UserRecord]


def demo_json(settings: Settings, accounts: list[DemoAccount], now: datetime) -> str:
    """One line: where it serves, and a bearer token for each user, valid for a day."""
    described = sample_users(settings, accounts, now, TOKEN_LIFETIME)
    return json.dumps({"url": settings.base_url, "graphqlUrl": f"{settings.base_url}/graphql", "accounts": described})


def sample_users(
    settings: Settings, accounts: list[DemoAccount], now: datetime, lifetime: timedelta
) -> list[dict[str, Any]]:
    """The accounts with their users, each with a bearer token."""
    return [
        {
            "name": account.record.name,
            "users": [
                {
                    "email": user.email,
                    "name": user.name,
                    "administrator": user.administrator,
                    "active": user.active,
                    "token": user_token(settings, account.record, user, now, lifetime),
                }
                for user in account.users
            ],
        }
        for account in accounts
    ]


def demo_text(settings: Settings, accounts: list[DemoAccount], link_url: str, now: datetime) -> str:
    """What a newcomer does next."""
    user = accounts[0].users[0]
    body = shlex.quote(json.dumps({"query": QUERY}))
    token = user_token(settings, accounts[0].record, user, now)
    return f"""calendar-feeds serves the sample account "{accounts[0].record.name}" on {settings.base_url}

  Open {settings.base_url}/ in a browser: the screen that staff members see. Or, without it:

  1. List the calendar feeds of {user.name}, its administrator:

curl -s {settings.base_url}/graphql -H 'Content-Type: application/json' \\
  -H 'Authorization: Bearer {token}' \\
  -d {body}

  2. Subscribe to all their calendars: paste this private link into a calendar program, or

curl -s {link_url}

  3. Try queries and mutations in the browser: {settings.base_url}/graphql
     (put the header {{"Authorization": "Bearer …"}} of the first command under Headers)

The data is kept in {settings.data_dir}. Stop with Ctrl-C.
"""


def user_token(
    settings: Settings, account: AccountRecord, user: UserRecord, now: datetime, lifetime: timedelta = TOKEN_LIFETIME
) -> str:
    """A bearer token for the user, with ids as the settings want them."""
    principal = Principal(account.account_id, user.id)
    if settings.jwt_ids == "EXTERNAL":
        fixed = settings.jwt_account_id  # whatever the token says
        principal = Principal(fixed or _external_id(account), _external_id(user))
    return issue_token(settings, principal, now, lifetime)


def _external_id(named: AccountRecord | UserRecord) -> str:
    if named.external_id is None:
        raise InputError(f"{named.name} has no external id, by which tokens name them: see {PREFIX}JWT_IDS.")
    return named.external_id


async def sample_link_url(conn: Conn, settings: Settings, keyring: Keyring, user: UserRecord, now: datetime) -> str:
    """The URL of the user's default link to all calendars, made if there is none."""
    key = (user.account_id, user.id, None, "")
    link = await get_link(conn, *key)
    if link is None and (link := await add_link(conn, *key, keyring.newest, now)):
        await add_audit_entries(conn, user.account_id, "LINK_GENERATED", [link.id], actor=OPERATOR, now=now)
    return (
        link and link_url(keyring, settings.base_url, link, all_calendars(words(user.locale)))
    ) or "(generate one in GraphiQL)"

"""Accounts as an operator adds and suspends them, and that nothing else is needed to begin."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from urllib.request import Request, urlopen
from uuid import UUID

import pytest

from db.accounts import list_accounts
from db.pool import Conn
from tests.process import fetch, free_port, run, running
from tests.seed import JWT_SECRET, SECRET_KEY

Command = Callable[..., CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path, dsn: str) -> Command:
    """Runs a command on the tests' database."""
    return lambda *arguments: run(tmp_path / "data", *arguments, database_url=dsn)


def said(done: CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(done: CompletedProcess[str]) -> str:
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


async def test_added_account_is_listed_with_the_id_that_was_printed(conn: Conn, command: Command) -> None:
    contoso = said(command("account", "add", "Contoso Ltd", "--external-id", "crm-7")).strip()
    fabrikam = said(command("account", "add", "Fabrikam")).strip()
    rows = [line.split("  ") for line in said(command("account", "list")).splitlines()]
    cells = [[cell.strip() for cell in row if cell] for row in rows]
    assert cells[0] == ["ID", "NAME", "EXTERNAL ID", "CREATED", "SUSPENDED"]
    assert all(datetime.strptime(row.pop(3), "%Y-%m-%d %H:%MZ") for row in cells[1:])  # noqa: DTZ007
    assert cells[1:] == [[contoso, "Contoso Ltd", "crm-7", "-"], [fabrikam, "Fabrikam", "-", "-"]]
    accounts = await list_accounts(conn)
    assert [(str(a.account_id), a.name, a.external_id) for a in accounts] == [
        (contoso, "Contoso Ltd", "crm-7"),
        (fabrikam, "Fabrikam", None),
    ]


@pytest.mark.parametrize(
    "second",
    [
        ("Contoso Ltd",),
        ("CONTOSO LTD", "--external-id", "crm-8"),
        ("Fabrikam", "--external-id", "crm-7"),
        ("Fabrikam", "--external-id", "contoso ltd"),
        ("Crm-7",),
    ],
)
async def test_account_whose_name_or_key_means_another_is_refused(
    conn: Conn, command: Command, second: tuple[str, ...]
) -> None:
    first = said(command("account", "add", "Contoso Ltd", "--external-id", "crm-7")).strip()
    message = f"calendar-feeds: There is an account of that name or key: 'Contoso Ltd' ({first}).\n"
    assert refused(command("account", "add", *second)) == message
    assert len(await list_accounts(conn)) == 1


async def test_of_two_operators_who_add_the_same_account_one_is_refused(conn: Conn, command: Command) -> None:
    adding = [asyncio.to_thread(command, "account", "add", "Contoso Ltd") for _ in range(2)]
    assert sorted(done.returncode for done in await asyncio.gather(*adding)) == [0, 1]
    assert len(await list_accounts(conn)) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((" Contoso",), "Give the account a name of 1 to 255 characters, without line breaks or blanks around it."),
        (("",), "Give the account a name of 1 to 255 characters, without line breaks or blanks around it."),
        (("two\nlines",), "Give the account a name of 1 to 255 characters, without line breaks or blanks around it."),
        (("C", "--external-id", " "), "--external-id: give 1 to 255 printable characters, not all of them blank."),
    ],
)
async def test_name_that_cannot_be_is_refused(
    conn: Conn, command: Command, arguments: tuple[str, ...], message: str
) -> None:
    assert refused(command("account", "add", *arguments)) == f"calendar-feeds: {message}\n"
    assert await list_accounts(conn) == []


async def test_account_is_suspended_and_resumed_by_any_of_its_names(conn: Conn, command: Command) -> None:
    id_ = said(command("account", "add", "Contoso Ltd", "--external-id", "crm-7")).strip()
    assert said(command("account", "suspend", "contoso ltd")) == f"Contoso Ltd ({id_}) is suspended.\n"
    assert said(command("account", "suspend", "crm-7")) == f"Contoso Ltd ({id_}) was suspended already.\n"
    (account,) = await list_accounts(conn)
    assert account.suspended_at is not None
    assert said(command("account", "resume", id_)) == f"Contoso Ltd ({id_}) serves again.\n"
    assert said(command("account", "resume", id_)) == f"Contoso Ltd ({id_}) was not suspended.\n"
    rows = await conn.fetch("SELECT action, actor_type, subject_id FROM audit_log ORDER BY at")
    assert [tuple(row) for row in rows] == [
        ("ACCOUNT_SUSPENDED", "OPERATOR", UUID(id_)),
        ("ACCOUNT_RESUMED", "OPERATOR", UUID(id_)),
    ]
    missing = "calendar-feeds: There is no account 'Fabrikam'; there is 'Contoso Ltd'.\n"
    assert refused(command("account", "suspend", "Fabrikam")) == missing


def ask(port: int, token: str, query: str, **variables: Any) -> Any:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    body = json.dumps({"query": query, "variables": variables}).encode()
    with urlopen(Request(f"http://127.0.0.1:{port}/graphql", body, headers), timeout=30) as answer:
        found = json.load(answer)
    assert "errors" not in found, found
    return found["data"]


async def test_operator_and_integrator_begin_without_sql(tmp_path: Path, empty_database: str) -> None:
    """From an empty database of one's own to a feed that a calendar program reads, by command and HTTP."""
    settings = {"database_url": empty_database, "secret_keys": SECRET_KEY, "jwt_secret": JWT_SECRET}

    def command(*arguments: str) -> str:
        done = run(tmp_path / "data", *arguments, **settings)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    command("migrate")
    command("account", "add", "Contoso Ltd", "--external-id", "contoso")
    scopes = [f"--scope={scope}" for scope in ("users:write", "calendars:write", "access:write", "calendars:read")]
    key = command("api-key", "add", "--account", "contoso", "--name", "CRM sync", *scopes)
    port = free_port()
    with running(tmp_path / "data", "serve", port=port, **settings):
        mutation = """
            mutation ($users: UpsertUsersInput!, $calendars: UpsertCalendarsInput!, $access: SetCalendarAccessInput!) {
              upsertUsers(input: $users) { created userErrors { message } }
              upsertCalendars(input: $calendars) { created userErrors { message } }
              setCalendarAccess(input: $access) { granted userErrors { message } }
            }"""
        email = "anna@contoso.example"
        done = ask(
            port,
            key,
            mutation,
            users={"users": [{"externalId": "7", "name": "Anna Müller", "email": email, "timeZone": "Europe/Berlin"}]},
            calendars={"calendars": [{"externalId": "c1", "name": "Viewings", "color": "#4682B4"}]},
            access={"calendars": [{"calendarExternalId": "c1", "userExternalIds": ["7"]}]},
        )
        assert done == {
            "upsertUsers": {"created": 1, "userErrors": []},
            "upsertCalendars": {"created": 1, "userErrors": []},
            "setCalendarAccess": {"granted": 1, "userErrors": []},
        }
        token = command("token", "--account", "Contoso Ltd", "--user", email)
        feeds = ask(port, token, "{ calendarFeeds { name calendar { externalId } } }")["calendarFeeds"]
        assert [feed["name"] for feed in feeds] == ["All my calendars", "Viewings"]
        query = "mutation { generateCalendarUrl(input: {}) { url } }"
        url = ask(port, token, query)["generateCalendarUrl"]["url"]
        status, feed = fetch(url)
        assert (status, "X-WR-CALNAME:All my calendars" in feed) == (200, True)
        command("account", "suspend", "contoso")
        assert "This calendar link no longer works" in fetch(url)[1]
        command("account", "resume", "contoso")
        assert "X-WR-CALNAME:All my calendars" in fetch(url)[1]

"""Operators' commands for accounts: `calendar-feeds account …`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from api.commands.shared import DatabaseUrl, InputError, find_account, moment, on_database, table
from api.items import name_error
from api.settings import load_settings
from api.texts import external_id_error
from db.accounts import AccountRecord, add_account, list_accounts, lock_accounts, suspend_account
from db.pool import Conn

Name = Annotated[str, typer.Argument(help="The account, by name, the CRM's own key or id.")]

account_app = typer.Typer(help="The accounts: customer organisations.", no_args_is_help=True)


@account_app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What the account is called.")],
    external_id: Annotated[
        str | None,
        typer.Option(help="The CRM's own key of the account, as bearer tokens name it.", show_default=False),
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Add an account and print its id."""
    if name != name.strip() or name_error(name):
        raise InputError("Give the account a name of 1 to 255 characters, without line breaks or blanks around it.")
    if external_id is not None and external_id_error(external_id):
        raise InputError("--external-id: give 1 to 255 printable characters, not all of them blank.")
    settings = load_settings(database_url=database_url)
    typer.echo(on_database(settings, lambda conn: _add(conn, name, external_id)).account_id)


@account_app.command("list")
def list_all(database_url: DatabaseUrl = None) -> None:
    """Show the accounts."""
    accounts = on_database(load_settings(database_url=database_url), list_accounts)
    head = ("ID", "NAME", "EXTERNAL ID", "CREATED", "SUSPENDED")
    typer.echo(table([head, *map(_row, accounts)]))


@account_app.command("suspend")
def suspend(name: Name, database_url: DatabaseUrl = None) -> None:
    """Let nothing of an account serve or answer: its links serve the notice, and nobody of it can call the API."""
    account, is_new = _set_suspended(name, database_url, datetime.now(UTC))
    typer.echo(f"{account.name} ({account.account_id}) {'is suspended' if is_new else 'was suspended already'}.")


@account_app.command("resume")
def resume(name: Name, database_url: DatabaseUrl = None) -> None:
    """Let a suspended account serve again, at the same URLs."""
    account, is_new = _set_suspended(name, database_url, None)
    typer.echo(f"{account.name} ({account.account_id}) {'serves again' if is_new else 'was not suspended'}.")


def _set_suspended(name: str, database_url: str | None, since: datetime | None) -> tuple[AccountRecord, bool]:
    """The account, and whether it was another way until now."""

    async def work(conn: Conn) -> tuple[AccountRecord, bool]:
        account = await find_account(conn, name)
        return account, await suspend_account(conn, account.account_id, since)

    return on_database(load_settings(database_url=database_url), work)


async def _add(conn: Conn, name: str, external_id: str | None) -> AccountRecord:
    """Add it, unless one of its names is another account's: each has to mean one, whatever it was given as."""
    async with conn.transaction():
        await lock_accounts(conn)
        wanted = {text.casefold() for text in (name, external_id) if text}
        for account in await list_accounts(conn):
            if wanted & {text.casefold() for text in (account.name, account.external_id) if text}:
                raise InputError(f"There is an account of that name or key: {account.name!r} ({account.account_id}).")
        return await add_account(conn, name, datetime.now(UTC), external_id)


def _row(account: AccountRecord) -> tuple[str, ...]:
    times = moment(account.created_at), moment(account.suspended_at)
    return str(account.account_id), account.name, account.external_id or "-", *times

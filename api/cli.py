"""The command `calendar-feeds`."""

import asyncio
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import uvloop

from api.commands.accounts import account_app
from api.commands.database import DatabaseError, database, ping, prepare
from api.commands.demo import (
    SCREEN_LIFETIME,
    DemoAccount,
    demo_json,
    demo_text,
    sample_link_url,
    sample_users,
    user_token,
)
from api.commands.directory import NotFoundError, pick
from api.commands.importing import NOTHING_DONE, import_files
from api.commands.keys import api_key_app, key_app
from api.commands.sample import fill_sample
from api.commands.shared import AccountName, DatabaseUrl, InputError, find_account, on_database, with_secrets
from api.logs import configure_logs
from api.schema import sdl
from api.server import serve as run_service
from api.server import serve_with_workers
from api.settings import PREFIX, Settings, SettingsError, has_kept_secrets, load_settings, with_kept_secrets
from db.embedded import EmbeddedPostgresError
from db.migrate import SchemaError, migrate
from db.pool import Conn, connect
from db.users import list_users
from feed.importing.zones import iana_name
from feed.tokens import Keyring

MOST_HOURS = 24 * 366  # of a token from the command line
USER_FACING = (SettingsError, DatabaseError, SchemaError, EmbeddedPostgresError, NotFoundError, InputError)
T = TypeVar("T")

app = typer.Typer(
    help="Private calendar subscription links for the meetings, calls and tasks of a CRM.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(account_app, name="account")
app.add_typer(key_app, name="key")
app.add_typer(api_key_app, name="api-key")
Port = Annotated[int | None, typer.Option(help=f"Port to listen on. [{PREFIX}PORT, 8080]", show_default=False)]


def main() -> None:
    """Run the command; what a user can mend is one sentence on standard error, and exit status 1."""
    try:
        app()
    except USER_FACING as exc:
        _complain(exc)
        sys.exit(1)


def _complain(exc: Exception) -> None:
    typer.echo(f"calendar-feeds: {exc}", err=True)


@app.command()
def demo(
    database_url: DatabaseUrl = None,
    port: Port = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON line with addresses and bearer tokens.")] = False,
) -> None:
    """Serve sample data: two agencies, their people, calendars and activities around today."""
    settings = with_kept_secrets(load_settings(database_url=database_url, port=port, graphiql=True))
    configure_logs(settings.log_level)
    with database(settings) as dsn:
        _run(_demo(settings, dsn, json=json))


@app.command()
def serve(
    database_url: DatabaseUrl = None,
    port: Port = None,
    workers: Annotated[int, typer.Option(help="Processes to serve in.", min=1)] = 1,
) -> None:
    """Serve the API and the feeds."""
    settings = load_settings(database_url=database_url, port=port)
    settings = with_secrets(settings, "secret_keys", *([] if settings.jwks else ["jwt_secret"]))
    configure_logs(settings.log_level)
    with database(settings) as dsn:
        _run(prepare(settings, dsn))
        started = partial(typer.echo, f"calendar-feeds serves on {settings.base_url}")
        if workers > 1:
            serve_with_workers(settings, dsn, workers, started)
        else:
            _run(run_service(settings, dsn, started))


@app.command("migrate")
def migrate_command(database_url: DatabaseUrl = None) -> None:
    """Bring the database to this release's schema."""
    with database(load_settings(database_url=database_url)) as dsn:
        _run(_migrate(dsn))
    typer.echo("The database has this release's schema.")


@app.command()
def token(
    account: AccountName,
    user: Annotated[str, typer.Option(help="The user, by e-mail address or id.")],
    hours: Annotated[float, typer.Option(help="For how long the token is valid.", min=0, max=MOST_HOURS)] = 24,
    database_url: DatabaseUrl = None,
) -> None:
    """Print a bearer token for a user."""
    settings = load_settings(database_url=database_url)
    if has_kept_secrets(settings):  # of a demo, whatever its database
        settings = with_kept_secrets(settings)
    settings = with_secrets(settings, "jwt_secret")
    typer.echo(on_database(settings, lambda conn: _token(conn, settings, account, user, timedelta(hours=hours))))


@app.command()
def schema() -> None:
    """Print the GraphQL schema (SDL)."""
    typer.echo(sdl(), nl=False)


def _zone(name: str) -> str:
    if name != iana_name(name):
        raise typer.BadParameter("use a name of the IANA database, like Europe/Berlin")
    return name


@app.command("import")
def import_command(
    files: Annotated[list[Path], typer.Argument(help="iCalendar files (.ics).")],
    account: AccountName,
    calendar: Annotated[str, typer.Option(help="The calendar, by name, external id or id.")],
    time_zone: Annotated[
        str, typer.Option(help="The zone of times that name none, unless the file does.", callback=_zone)
    ] = "UTC",
    owner: Annotated[
        str | None,
        typer.Option(
            help="The user, by e-mail address or id, who sees in full what is private;"
            " without it the one who alone may see the calendar.",
            show_default=False,
        ),
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Bring iCalendar files in as activities of a calendar; again, and only what changed is written.

    Exit status: 0 everything is in, 1 some components were refused, 2 nothing could be done.
    """
    try:
        settings = load_settings(database_url=database_url)
        with database(settings) as dsn:
            _run(prepare(settings, dsn))
            status = _run(import_files(dsn, files, account, calendar, time_zone, owner))
    except USER_FACING as exc:
        _complain(exc)
        status = NOTHING_DONE
    raise typer.Exit(status)


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def _demo(settings: Settings, dsn: str, *, json: bool) -> None:
    await ping(dsn)
    await migrate(dsn)
    now = datetime.now(UTC)
    assert settings.secret_keys is not None
    keyring = Keyring.parse(settings.secret_keys.get_secret_value())
    conn = await connect(dsn)
    try:
        accounts = [DemoAccount(a, await list_users(conn, a.account_id)) for a in await fill_sample(conn, now)]
        link_url = await sample_link_url(conn, settings, keyring, accounts[0].users[0], now)
    finally:
        await conn.close()
    said = demo_json(settings, accounts, now) if json else demo_text(settings, accounts, link_url, now)
    users = lambda: sample_users(settings, accounts, datetime.now(UTC), SCREEN_LIFETIME)  # noqa: E731  # asked at each visit
    await run_service(settings, dsn, lambda: typer.echo(said), users)


async def _migrate(dsn: str) -> None:
    await ping(dsn)
    await migrate(dsn)


async def _token(conn: Conn, settings: Settings, account: str, user: str, lifetime: timedelta) -> str:
    owner = await find_account(conn, account)
    users = [(u, (u.email or u.name, str(u.id))) for u in await list_users(conn, owner.account_id)]
    if settings.jwt_account_id not in (None, owner.account_id):
        raise InputError(f"{owner.name} is not the account that {PREFIX}JWT_ACCOUNT_ID fixes: tokens are for that one.")
    return user_token(settings, owner, pick("user", user, users), datetime.now(UTC), lifetime)


if __name__ == "__main__":
    main()

"""What commands share: their options, their secrets, and a connection for their work."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import typer
import uvloop

from api.commands.database import database, prepare
from api.commands.directory import pick
from api.settings import PREFIX, Settings, SettingsError, with_kept_secrets
from db.accounts import AccountRecord, list_accounts
from db.pool import Conn, connect

T = TypeVar("T")
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        help=f"PostgreSQL 15 or newer, in place of the embedded one. [{PREFIX}DATABASE_URL]", show_default=False
    ),
]
AccountName = Annotated[str, typer.Option(help="The account, by name, the CRM's own key or id.")]


class InputError(Exception):
    """What was said on the command line cannot be used; the message says what to say."""


def with_secrets(settings: Settings, *needed: str) -> Settings:
    """Beside the embedded database secrets are made and kept; a database of your own needs secrets of your own."""
    if settings.database_url is None:
        return with_kept_secrets(settings)
    missing = [f"{PREFIX}{name.upper()}" for name in needed if getattr(settings, name) is None]
    if missing:
        raise SettingsError(f"Set {' and '.join(missing)}: a database of your own needs secrets of your own.")
    return settings


def on_database(settings: Settings, work: Callable[[Conn], Awaitable[T]]) -> T:
    """Run the work on a connection to the settings' database, once that has this release's schema."""
    with database(settings) as dsn, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_on_connection(settings, dsn, work))


async def _on_connection(settings: Settings, dsn: str, work: Callable[[Conn], Awaitable[T]]) -> T:
    await prepare(settings, dsn)
    conn = await connect(dsn)
    try:
        return await work(conn)
    finally:
        await conn.close()


async def find_account(conn: Conn, name: str) -> AccountRecord:
    accounts = [(a, (a.name, a.external_id, str(a.account_id))) for a in await list_accounts(conn)]
    return pick("account", name, accounts)


def table(rows: Sequence[Sequence[str]]) -> str:
    """The rows as lines, with their columns one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def moment(time: datetime | None) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ") if time else "-"

"""Operators' commands for keys: `calendar-feeds key …` for those that sign links, `api-key …` for integrators'."""

import json
import re
import secrets
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer

from api.api_keys import LONGEST_KEY_NAME, Scope, is_key_name
from api.commands.directory import NotFoundError, pick
from api.commands.shared import (
    AccountName,
    DatabaseUrl,
    InputError,
    find_account,
    moment,
    on_database,
    table,
    with_secrets,
)
from api.integrators import end_key, make_key
from api.settings import PREFIX, SECRETS_FILE, Settings, has_kept_secrets, load_settings, with_kept_secrets
from db.accounts import AccountRecord, list_accounts
from db.audit import OPERATOR, add_audit_entries
from db.keys import (
    ApiKeyRecord,
    count_key_links,
    end_graces_off_key,
    list_api_keys,
    lock_links_off_key,
)
from db.links import reset_links
from db.pool import Conn
from db.webhooks import count_key_webhooks
from feed.tokens import Keyring

SETTING = f"{PREFIX}SECRET_KEYS"
MOST_DAYS = 36_500
NUMBERED = re.compile(r"k(\d{1,6})")

key_app = typer.Typer(help="The keys that sign feed links.", no_args_is_help=True)
api_key_app = typer.Typer(help="The API keys of integrators.", no_args_is_help=True)


@key_app.command("new")
def new_key() -> None:
    """Print a fresh key to put in front of the others; nothing is stored."""
    settings = load_settings()
    place = SETTING
    if settings.secret_keys is None and settings.database_url is None and has_kept_secrets(settings):
        place = f"{SETTING} in {settings.data_dir / SECRETS_FILE}"
        settings = with_kept_secrets(settings)
    key_ids = keyring_of(settings).key_ids if settings.secret_keys else ()
    typer.echo(f"{next_key_id(key_ids)}:{secrets.token_hex(32)}")
    what = f"Put it, and a comma, in front of the keys of {place}" if key_ids else f"Set {place} to it"
    typer.echo(f"{what}, then restart the service. It is stored nowhere yet.", err=True)


@key_app.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
    database_url: DatabaseUrl = None,
) -> None:
    """Show how many live links and webhooks are on each key, the newest key first; never the keys themselves."""
    settings = with_secrets(load_settings(database_url=database_url), "secret_keys")
    keyring = keyring_of(settings)
    links: Counter[str] = Counter()
    for counted in on_database(settings, count_key_links):
        links[counted.key_id] += counted.links
    webhooks = Counter(on_database(settings, count_key_webhooks))
    key_ids = [*keyring.key_ids, *sorted({*links, *webhooks} - set(keyring.key_ids))]
    if as_json:
        rows = [{"id": k, "links": links[k], "webhooks": webhooks[k], "configured": k in keyring} for k in key_ids]
        typer.echo(json.dumps(rows))
    else:
        counts = [(k, str(links[k]), str(webhooks[k]), _remark(k, keyring)) for k in key_ids]
        typer.echo(table([("KEY", "LINKS", "WEBHOOKS", ""), *counts]))


@key_app.command("roll")
def roll_keys(
    old: Annotated[
        str | None, typer.Option("--from", help="Only links on this key; without it, on any but the newest.")
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="Only this account's links, by name or id.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many links there are to reset.")] = False,
    database_url: DatabaseUrl = None,
) -> None:
    """Reset the links that are on older keys, so that those can be dropped: users are told to subscribe again."""
    settings = with_secrets(load_settings(database_url=database_url), "secret_keys")
    on_database(settings, lambda conn: _roll(conn, keyring_of(settings), old, account, dry_run=dry_run))


@api_key_app.command("add")
def add_key(
    account: AccountName,
    name: Annotated[str, typer.Option(help="What the key is for.")],
    scope: Annotated[list[str], typer.Option(help=f"What it may do: {', '.join(Scope)}. Repeat it for more.")],
    days: Annotated[
        int | None, typer.Option(help="After so many days it ends by itself.", min=1, max=MOST_DAYS, show_default=False)
    ] = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make an API key for an account and print it, this one time."""
    if not is_key_name(name):
        raise InputError(f"Give the key a name of 1 to {LONGEST_KEY_NAME} characters, without line breaks.")
    wanted = {pick("scope", said, [(known, (known.value,)) for known in Scope]) for said in scope}
    settings = load_settings(database_url=database_url)
    typer.echo(on_database(settings, lambda conn: _add(conn, account, name, wanted, days)))
    typer.echo("Keep it now: it is not stored, and cannot be shown again.", err=True)


@api_key_app.command("list")
def list_account_keys(account: AccountName, database_url: DatabaseUrl = None) -> None:
    """Show an account's API keys, never the keys themselves."""
    keys = on_database(load_settings(database_url=database_url), lambda conn: _list(conn, account))
    head = ("ID", "NAME", "SCOPES", "CREATED", "LAST USED", "EXPIRES", "REVOKED")
    rows = [(str(k.id), k.name, " ".join(k.scopes), *map(moment, _times(k))) for k in keys]
    typer.echo(table([head, *rows]))


@api_key_app.command("revoke")
def revoke_key(
    account: AccountName,
    key: Annotated[str, typer.Option(help="The key, by name or id.")],
    database_url: DatabaseUrl = None,
) -> None:
    """Let an API key open nothing from now on."""
    settings = load_settings(database_url=database_url)
    revoked, is_new = on_database(settings, lambda conn: _revoke(conn, account, key))
    typer.echo(f"{revoked.name} ({revoked.id}) {'is' if is_new else 'was already'} revoked.")


def keyring_of(settings: Settings) -> Keyring:
    assert settings.secret_keys is not None
    return Keyring.parse(settings.secret_keys.get_secret_value())


def next_key_id(key_ids: Sequence[str]) -> str:
    """ "k" and a number higher than all there: the id of a key that was dropped is not given again to the next."""
    numbers = [int(found[1]) for found in map(NUMBERED.fullmatch, key_ids) if found]
    return f"k{max(numbers, default=0) + 1}"


def _remark(key_id: str, keyring: Keyring) -> str:
    if key_id not in keyring:
        return f"not in {SETTING}: these links are dead, and these webhooks wait"
    return "signs new and reset links" if key_id == keyring.newest else ""


async def _roll(conn: Conn, keyring: Keyring, old: str | None, name: str | None, *, dry_run: bool) -> None:
    """Reset account by account, each in a transaction of its own: what was interrupted is taken up by the next run."""
    accounts = [await find_account(conn, name)] if name is not None else await list_accounts(conn)
    counted = [links for links in await count_key_links(conn) if links.key_id != keyring.newest]
    older = sorted({*keyring.key_ids, *(links.key_id for links in counted)} - {keyring.newest})
    if old is not None and old not in older:
        raise NotFoundError(f"There is no older key {old!r}; there is {', '.join(map(repr, older)) or 'none'}.")
    due: Counter[UUID] = Counter()
    for links in counted:
        if old in (None, links.key_id):
            due[links.account_id] += links.links
    total = 0
    for account in accounts:
        count = due[account.account_id] if dry_run else await _roll_account(conn, account, keyring.newest, old)
        if count:
            typer.echo(f"{account.name}: {_links(count)}")
        total += count
    typer.echo(f"{_links(total)} {'to be reset' if dry_run else 'reset'} to the key {keyring.newest}.")


async def _roll_account(conn: Conn, account: AccountRecord, newest: str, old: str | None) -> int:
    now = datetime.now(UTC)
    async with conn.transaction():
        link_ids = await lock_links_off_key(conn, account.account_id, newest, old)
        await reset_links(conn, account.account_id, link_ids, newest, now)
        graced = await end_graces_off_key(conn, account.account_id, newest, old, now)
        await add_audit_entries(conn, account.account_id, "LINK_RESET", link_ids, actor=OPERATOR, now=now)
        ended = {"graceUntil": now.isoformat()}
        await add_audit_entries(
            conn, account.account_id, "LINK_UPDATED", graced, actor=OPERATOR, now=now, details=ended
        )
    return len(link_ids)


def _links(count: int) -> str:
    return f"{count} link" if count == 1 else f"{count} links"


async def _add(conn: Conn, account_name: str, name: str, scopes: Collection[Scope], days: int | None) -> str:
    account, now = await find_account(conn, account_name), datetime.now(UTC)
    expires_at = now + timedelta(days=days) if days else None
    async with conn.transaction():
        _, text = await make_key(conn, account.account_id, OPERATOR, now, name, scopes, expires_at)
    return text


async def _list(conn: Conn, account_name: str) -> list[ApiKeyRecord]:
    return await list_api_keys(conn, (await find_account(conn, account_name)).account_id)


async def _revoke(conn: Conn, account_name: str, wanted: str) -> tuple[ApiKeyRecord, bool]:
    """The key, and whether it was live until now."""
    key = _find(await _list(conn, account_name), wanted)
    async with conn.transaction():
        return key, await end_key(conn, key, OPERATOR, datetime.now(UTC))


def _find(keys: Sequence[ApiKeyRecord], wanted: str) -> ApiKeyRecord:
    """The key of that name or id; a live one goes before revoked ones of the same name."""
    names = [(key, (key.name, str(key.id))) for key in keys]
    live = [(key, said) for key, said in names if key.revoked_at is None and key.name.casefold() == wanted.casefold()]
    return pick("API key", wanted, live or names)


def _times(key: ApiKeyRecord) -> tuple[datetime | None, ...]:
    return key.created_at, key.last_used_at, key.expires_at, key.revoked_at

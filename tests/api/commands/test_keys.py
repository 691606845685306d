"""The commands for keys, as an operator runs them."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from uuid import UUID

import pytest

from api.api_keys import API_KEY, Scope, hash_api_key, is_key_name, make_api_key, read_api_key
from api.commands.keys import next_key_id
from db.ids import new_id
from db.keys import add_api_key, get_api_key, list_api_keys, revoke_api_key, update_last_used
from db.links import add_link, list_links
from db.users import UserRecord
from db.webhooks import add_webhook
from feed.tokens import Keyring
from tests.process import Running, fetch, free_port, run, running
from tests.seed import JWT_SECRET, NOW, Seed, bearer, plant

K1, K2, K3 = ("k1:" + "1" * 64, "k2:" + "2" * 64, "k3:" + "3" * 64)
NEW_KEY = re.compile(r"(k\d+):([0-9a-f]{64})\n")
ENTRIES = """
    SELECT g.account_id, g.action, g.actor_type, g.actor_id, g.outcome, g.subject_id, g.details
      FROM audit_log g WHERE g.action = ANY ($1) ORDER BY g.at, g.id"""
Command = Callable[..., CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path, dsn: str) -> Command:
    """Runs a command on the tests' database with these signing keys."""

    def command(*arguments: str, keys: Sequence[str] = (K2, K1)) -> CompletedProcess[str]:
        return run(tmp_path / "data", *arguments, database_url=dsn, secret_keys=",".join(keys))

    return command


def said(done: CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(done: CompletedProcess[str]) -> str:
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


async def add_links(seed: Seed, user: UserRecord, *key_ids: str) -> None:
    for number, key_id in enumerate(key_ids):
        assert await add_link(seed.conn, seed.account_id, user.id, None, f"{key_id} {number}", key_id, NOW)


async def generations(seed: Seed, user: UserRecord) -> dict[str, tuple[str, int]]:
    return {link.name: (link.key_id, link.generation) for link in await list_links(seed.conn, seed.account_id, user.id)}


async def audited(seed: Seed, *actions: str) -> list[dict[str, Any]]:
    rows = await seed.conn.fetch(ENTRIES, actions)
    return [{**row, "details": json.loads(row["details"])} for row in rows]


# `key new`


@pytest.mark.parametrize(
    ("key_ids", "key_id"),
    [((), "k1"), (("k1",), "k2"), (("k2", "k1"), "k3"), (("k3",), "k4"), (("main", "k9", "k10x"), "k10")],
)
def test_next_key_id_is_one_that_no_key_has_or_had_before_it(key_ids: Sequence[str], key_id: str) -> None:
    assert next_key_id(key_ids) == key_id


def test_new_key_goes_in_front_of_the_others_and_is_another_each_time(tmp_path: Path) -> None:
    first, second = (run(tmp_path / "data", "key", "new", secret_keys=f"{K2},{K1}") for _ in range(2))
    found = NEW_KEY.fullmatch(first.stdout)
    assert found
    assert (found[1], first.returncode) == ("k3", 0)
    assert first.stderr == (
        "Put it, and a comma, in front of the keys of CALENDAR_FEEDS_SECRET_KEYS, then restart the service."
        " It is stored nowhere yet.\n"
    )
    assert Keyring.parse(f"{first.stdout.strip()},{K2},{K1}").key_ids == ("k3", "k2", "k1")
    assert first.stdout != second.stdout
    assert not (tmp_path / "data").exists()


def test_first_key_is_k1_and_nothing_is_stored(tmp_path: Path) -> None:
    done = run(tmp_path / "data", "key", "new")
    assert done.returncode == 0
    assert done.stdout.startswith("k1:")
    assert done.stderr == "Set CALENDAR_FEEDS_SECRET_KEYS to it, then restart the service. It is stored nowhere yet.\n"
    assert not (tmp_path / "data").exists()


def test_wrong_keys_are_told_and_not_repeated(tmp_path: Path) -> None:
    message = refused(run(tmp_path / "data", "key", "list", secret_keys="k1:short,k2"))
    remedy = "key 1 (k1) must have at least 32 characters: `openssl rand -hex 32`"
    assert message == f"calendar-feeds: CALENDAR_FEEDS_SECRET_KEYS: {remedy}\n"


# `key list`


async def test_list_shows_how_many_live_links_are_on_each_key(seed: Seed, command: Command) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    await add_links(seed, seed.anna, "k1", "k1", "k0")
    await add_links(other, other.ben, "k1", "k9")
    await seed.conn.execute("UPDATE feed_links SET revoked_at = $1 WHERE key_id = 'k9'", NOW)
    for key_id in ("k0", "k2", "k9"):
        await add_webhook(seed.conn, seed.account_id, key_id, NOW, url="https://crm.example", events=["link.reset"])
    await seed.conn.execute("UPDATE webhooks SET disabled_at = $1, removed_at = $1 WHERE key_id = 'k9'", NOW)
    assert said(command("key", "list", keys=(K3, K2, K1))) == (
        "KEY  LINKS  WEBHOOKS\n"
        "k3   0      0         signs new and reset links\n"
        "k2   0      1\n"
        "k1   3      0\n"
        "k0   1      1         not in CALENDAR_FEEDS_SECRET_KEYS: these links are dead, and these webhooks wait\n"
    )
    assert json.loads(said(command("key", "list", "--json", keys=(K2, K1)))) == [
        {"id": "k2", "links": 0, "webhooks": 1, "configured": True},
        {"id": "k1", "links": 3, "webhooks": 0, "configured": True},
        {"id": "k0", "links": 1, "webhooks": 1, "configured": False},
    ]


async def test_database_of_your_own_needs_the_keys_of_its_service(tmp_path: Path, dsn: str) -> None:
    remedy = "Set CALENDAR_FEEDS_SECRET_KEYS: a database of your own needs secrets of your own.\n"
    for name in ("list", "roll"):
        assert refused(run(tmp_path / "data", "key", name, database_url=dsn)) == f"calendar-feeds: {remedy}"


# `key roll`


async def test_roll_resets_every_live_link_that_is_not_on_the_newest_key(seed: Seed, command: Command) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    await plant(seed.conn, "No Links")
    await add_links(seed, seed.anna, "k0", "k1", "k2")
    await add_links(seed, seed.ben, "k1")
    await add_links(other, other.ben, "k1")
    dry = "Harbour Homes: 3 links\nBlackwood Investigations: 1 link\n"
    assert said(command("key", "roll", "--dry-run")) == f"{dry}4 links to be reset to the key k2.\n"
    assert await generations(seed, seed.ben) == {"k1 0": ("k1", 1)}
    assert await audited(seed, "LINK_RESET") == []
    assert said(command("key", "roll")) == f"{dry}4 links reset to the key k2.\n"
    assert Counter((entry["account_id"], entry["actor_type"]) for entry in await audited(seed, "LINK_RESET")) == {
        (seed.account_id, "OPERATOR"): 3,
        (other.account_id, "OPERATOR"): 1,
    }
    assert await generations(seed, seed.anna) == {"k0 0": ("k2", 2), "k1 1": ("k2", 2), "k2 2": ("k2", 1)}
    assert await generations(seed, seed.ben) == {"k1 0": ("k2", 2)}
    assert await generations(other, other.ben) == {"k1 0": ("k2", 2)}
    assert said(command("key", "roll")) == "0 links reset to the key k2.\n"


async def test_roll_can_keep_to_one_key_and_one_account(seed: Seed, command: Command) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    await add_links(seed, seed.anna, "k0", "k1")
    await add_links(other, other.anna, "k0", "k1")
    done = command("key", "roll", "--from", "k1", "--account", "harbour homes")
    assert said(done) == "Harbour Homes: 1 link\n1 link reset to the key k2.\n"
    assert await generations(seed, seed.anna) == {"k0 0": ("k0", 1), "k1 1": ("k2", 2)}
    assert await generations(other, other.anna) == {"k0 0": ("k0", 1), "k1 1": ("k1", 1)}
    done = command("key", "roll", "--from", "k0", "--dry-run")
    assert said(done) == "Harbour Homes: 1 link\nBlackwood Investigations: 1 link\n2 links to be reset to the key k2.\n"


async def test_roll_takes_expired_links_too_as_they_may_come_back_and_leaves_them_expired(
    seed: Seed, command: Command
) -> None:
    await add_links(seed, seed.anna, "k1", "k1")
    await seed.conn.execute("UPDATE feed_links SET expires_at = $1 WHERE name = 'k1 0'", NOW.replace(year=2020))
    await seed.conn.execute("UPDATE feed_links SET revoked_at = $1 WHERE name = 'k1 1'", NOW)
    assert said(command("key", "roll")) == "Harbour Homes: 1 link\n1 link reset to the key k2.\n"
    rows = await seed.conn.fetch("SELECT l.key_id, l.generation, l.expires_at FROM feed_links l ORDER BY l.name")
    assert [tuple(row) for row in rows] == [("k2", 2, NOW.replace(year=2020)), ("k1", 1, None)]


async def test_roll_from_a_key_that_is_not_older_names_those_that_are(seed: Seed, command: Command) -> None:
    await add_links(seed, seed.anna, "k0")
    message = "calendar-feeds: There is no older key 'k2'; there is 'k0', 'k1'.\n"
    assert refused(command("key", "roll", "--from", "k2")) == message
    message = "calendar-feeds: There is no account 'Nobody'; there is 'Harbour Homes'.\n"
    assert refused(command("key", "roll", "--account", "Nobody")) == message


# A whole rotation


@contextmanager
def serving(data_dir: Path, dsn: str, port: int, *keys: str) -> Iterator[Running]:
    given = {"port": port, "database_url": dsn, "secret_keys": ",".join(keys), "jwt_secret": JWT_SECRET}
    with running(data_dir, "serve", **given) as serve:
        yield replace(serve, said=json.dumps({"graphqlUrl": f"http://127.0.0.1:{port}/graphql"}))


def answer(url: str) -> tuple[int, str]:
    """The status, and whether it is the calendar, the notice or a refusal that is told."""
    status, body = fetch(url)
    said = "refusal" if status != 200 else "notice" if "UID:notice-" in body else "calendar"
    return status, said


async def test_rotation_moves_no_url_until_the_roll_which_tells_users(
    seed: Seed, dsn: str, command: Command, tmp_path: Path
) -> None:
    token, data_dir, port = bearer(seed.anna), tmp_path / "data", free_port()
    with serving(data_dir, dsn, port, K1) as serve:
        old = serve.generate(token)
        assert answer(old) == (200, "calendar")
    with serving(data_dir, dsn, port, K2, K1) as serve:
        assert answer(old) == (200, "calendar")
        assert serve.generate(token) == old
        assert said(command("key", "roll")) == "Harbour Homes: 1 link\n1 link reset to the key k2.\n"
        assert answer(old) == (200, "notice")
        new = serve.generate(token)
        assert new != old
        assert answer(new) == (200, "calendar")
        assert json.loads(said(command("key", "list", "--json")))[1]["links"] == 0
    with serving(data_dir, dsn, port, K2) as serve:
        assert answer(new) == (200, "calendar")
        assert answer(old) == (404, "refusal")
        assert serve.generate(token) == new


def test_rotation_beside_the_embedded_database_is_of_the_kept_keys(tmp_path: Path) -> None:
    data_dir, secrets_file = tmp_path / "data", tmp_path / "data" / "secrets.env"
    with running(data_dir, "demo", "--json") as demo:
        anna = demo.user("anna@harbour-homes.example")["token"]
        demo.generate(anna)
        done = run(data_dir, "key", "new")
        assert done.stdout.startswith("k2:")
        assert f"CALENDAR_FEEDS_SECRET_KEYS in {secrets_file}, then" in done.stderr
        kept = secrets_file.read_text()
        secrets_file.write_text(kept.replace("KEYS=k1:", f"KEYS={done.stdout.strip()},k1:"))
        rolled = said(run(data_dir, "key", "roll", "--account", "Harbour Homes"))
        count = int(rolled.splitlines()[-1].partition(" ")[0])
        assert count > 0
        assert json.loads(said(run(data_dir, "key", "list", "--json"))) == [
            {"id": "k2", "links": count, "webhooks": 0, "configured": True},
            {"id": "k1", "links": 0, "webhooks": 0, "configured": True},
        ]


# `api-key`

ADD = ("api-key", "add", "--account", "Harbour Homes", "--name", "CRM sync", "--scope", "feeds:write")
REVOKE = ("api-key", "revoke", "--account", "Harbour Homes", "--key")


async def test_api_key_is_printed_once_and_only_its_hash_is_kept(seed: Seed, command: Command) -> None:
    done = command(*ADD, "--scope", "audit:read", "--scope", "feeds:write", "--scope", "Feeds:Read")
    text = done.stdout.removesuffix("\n")
    assert done.returncode == 0
    assert done.stderr == "Keep it now: it is not stored, and cannot be shown again.\n"
    assert API_KEY.fullmatch(text)
    key = read_api_key(text)
    assert key is not None
    assert key.account_id == seed.account_id
    record = await get_api_key(seed.conn, key.account_id, key.key_id, NOW)
    assert record is not None
    assert key.matches(record.hash)
    assert record.hash == hashlib.sha256(text.encode()).digest()
    scopes = ["feeds:read", "feeds:write", "audit:read"]
    assert (record.name, record.scopes) == ("CRM sync", scopes)
    dump = [str(tuple(row)) for row in await seed.conn.fetch("SELECT * FROM api_keys")]
    dump += [str(tuple(row)) for row in await seed.conn.fetch("SELECT * FROM audit_log")]
    assert text[-43:] not in "".join(dump)
    (entry,) = await audited(seed, "KEY_ADDED")
    assert entry == {
        "account_id": seed.account_id,
        "action": "KEY_ADDED",
        "actor_type": "OPERATOR",
        "actor_id": None,
        "outcome": "DONE",
        "subject_id": key.key_id,
        "details": {"name": "CRM sync", "scopes": scopes},
    }


async def add_key(seed: Seed, name: str = "CRM sync") -> tuple[str, UUID]:
    """The text and the id of a new key."""
    key_id = new_id()
    text = make_api_key(seed.account_id, key_id)
    key_hash = hash_api_key(text)
    await add_api_key(seed.conn, seed.account_id, key_id, NOW, name=name, key_hash=key_hash, scopes=["feeds:write"])
    return text, key_id


async def test_api_keys_are_listed_without_the_key(seed: Seed, command: Command) -> None:
    (text, first), (_, second) = await add_key(seed), await add_key(seed, "Reports")
    await update_last_used(seed.conn, seed.account_id, first, NOW)
    await revoke_api_key(seed.conn, seed.account_id, second, NOW)
    moment = f"{NOW:%Y-%m-%d %H:%MZ}"
    listed = said(command("api-key", "list", "--account", str(seed.account_id)))
    assert listed == (
        f"ID{' ' * 36}NAME      SCOPES       CREATED            LAST USED          EXPIRES  REVOKED\n"
        f"{first}  CRM sync  feeds:write  {moment}  {moment}  -        -\n"
        f"{second}  Reports   feeds:write  {moment}  -                  -        {moment}\n"
    )
    assert text[-43:] not in listed


async def test_revoked_api_key_opens_nothing_and_revoking_it_again_is_fine(seed: Seed, command: Command) -> None:
    _, key_id = await add_key(seed)
    assert said(command(*REVOKE, "crm sync")) == f"CRM sync ({key_id}) is revoked.\n"
    assert await get_api_key(seed.conn, seed.account_id, key_id, NOW) is None
    assert said(command(*REVOKE, str(key_id))) == f"CRM sync ({key_id}) was already revoked.\n"
    (entry,) = await audited(seed, "KEY_REVOKED")
    assert (entry["actor_type"], entry["subject_id"]) == ("OPERATOR", key_id)
    assert entry["details"] == {"name": "CRM sync", "scopes": ["feeds:write"]}


async def test_api_key_may_end_by_itself(seed: Seed, command: Command) -> None:
    key = read_api_key(command(*ADD, "--days", "30").stdout.strip())
    assert key is not None
    end = (await list_api_keys(seed.conn, seed.account_id))[0].expires_at
    assert end is not None
    assert abs(end - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=5)
    assert await get_api_key(seed.conn, key.account_id, key.key_id, end - timedelta(seconds=1))
    assert await get_api_key(seed.conn, key.account_id, key.key_id, end) is None
    assert f"{end:%Y-%m-%d %H:%MZ}" in said(command("api-key", "list", "--account", "Harbour Homes"))


async def test_live_api_key_goes_before_revoked_ones_of_its_name(seed: Seed, command: Command) -> None:
    (_, first), (_, second) = await add_key(seed), await add_key(seed)
    await revoke_api_key(seed.conn, seed.account_id, first, NOW)
    assert said(command(*REVOKE, "CRM sync")) == f"CRM sync ({second}) is revoked.\n"
    message = f"More than one API key is called 'CRM sync': use the id, one of {first}, {second}."
    assert refused(command(*REVOKE, "CRM sync")) == f"calendar-feeds: {message}\n"


async def test_bad_input_for_api_keys_is_one_sentence(seed: Seed, command: Command) -> None:
    start = ("api-key", "add", "--account", "Harbour Homes", "--scope")
    message = f"There is no scope 'all'; there is {', '.join(repr(scope.value) for scope in Scope)}."
    assert refused(command(*start, "all", "--name", "x")) == f"calendar-feeds: {message}\n"
    message = "Give the key a name of 1 to 100 characters, without line breaks."
    assert refused(command(*start, "feeds:read", "--name", "a\nb")) == f"calendar-feeds: {message}\n"
    message = "There is no account 'Nobody'; there is 'Harbour Homes'."
    assert refused(command("api-key", "list", "--account", "Nobody")) == f"calendar-feeds: {message}\n"
    assert await list_api_keys(seed.conn, seed.account_id) == []


def test_name_of_an_api_key_is_one_line_without_spaces_around_it() -> None:
    assert [name for name in ("x", "CRM sync", "Bücher-Abgleich №1", "x" * 100) if not is_key_name(name)] == []
    assert [name for name in ("", " ", " x", "x ", "a\nb", "\u2028", "\udcff", "x" * 101) if is_key_name(name)] == []


async def test_api_key_of_one_account_is_not_found_from_another(seed: Seed, command: Command) -> None:
    await plant(seed.conn, "Blackwood Investigations")
    _, key_id = await add_key(seed)
    done = command("api-key", "revoke", "--account", "Blackwood Investigations", "--key", str(key_id))
    assert refused(done) == f"calendar-feeds: There is no API key '{key_id}'; there is none yet.\n"
    assert await get_api_key(seed.conn, seed.account_id, key_id, NOW)

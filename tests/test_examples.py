"""The sync scripts of `examples/` as an integrator runs them, and all that goes wrong meanwhile."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from api.api_keys import hash_api_key, make_api_key
from db.ids import new_id
from db.keys import add_api_key
from tests.clients.building import HERE, TSC, node
from tests.leaks import NET
from tests.seed import NOW, Seed, Service

EXAMPLES = Path(__file__).parents[1] / "examples"
SCOPES = ["users:write", "calendars:write", "access:write", "activities:write"]
USERS, MANY, SOME = 20, 5_000, 600

Item = dict[str, Any]
Line = dict[str, Item]  # of a file of the export, by external id


@dataclass(frozen=True)
class Script:
    """A sync script, how it is run, and what it is told."""

    command: list[str]
    url: str
    key: str = field(repr=False)

    async def start(self, folder: Path, *arguments: str, url: str | None = None) -> Process:
        given = {"PATH": os.environ["PATH"], "GRAPHQL_URL": url or self.url, "API_KEY": self.key}
        return await asyncio.create_subprocess_exec(
            *self.command, str(folder), *arguments, env=given, stdout=PIPE, stderr=PIPE
        )

    async def run(self, folder: Path, *arguments: str, url: str | None = None) -> tuple[int, str]:
        """Its exit status, and what it said."""
        return await ended(await self.start(folder, *arguments, url=url))


async def ended(process: Process) -> tuple[int, str]:
    out, err = await asyncio.wait_for(process.communicate(), 120)
    said = err.decode()
    NET.hear(said)
    assert out == b""
    assert process.returncode is not None
    return process.returncode, said


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script in TypeScript, which fits its types, as JavaScript: by the command that it names itself."""
    folder = tmp_path_factory.mktemp("compiled")
    (said,) = re.findall(r"npx tsc sync\.ts (.+) && node", (EXAMPLES / "sync.ts").read_text())
    options = f"{said} --strict --typeRoots {HERE}/node_modules/@types --outDir ."
    done = node(folder, f"{HERE}/{TSC}", f"{EXAMPLES}/sync.ts", *options.split())
    assert done.returncode == 0, done.stdout
    return folder / "sync.js"


@pytest.fixture(params=["Python", "TypeScript"])
async def script(request: pytest.FixtureRequest, seed: Seed, service: Service) -> Script:
    key_id = new_id()
    key = make_api_key(seed.account_id, key_id)
    await add_api_key(seed.conn, seed.account_id, key_id, NOW, name="CRM", key_hash=hash_api_key(key), scopes=SCOPES)
    if request.param == "Python":
        command = [sys.executable, str(EXAMPLES / "sync.py")]
    else:
        command = ["node", str(request.getfixturevalue("compiled"))]
    return Script(command, str(service.client.make_url("/graphql")), key)


@dataclass(frozen=True)
class Export:
    """A folder with a CRM's export."""

    folder: Path

    @property
    def known(self) -> dict[str, dict[str, str]]:
        """What the script takes for acknowledged."""
        found: dict[str, dict[str, str]] = json.loads((self.folder / ".sync-state.json").read_text())
        return found

    def items(self, name: str) -> list[Item]:
        return [json.loads(line) for line in (self.folder / f"{name}.jsonl").read_text().splitlines()]

    def write(self, name: str, items: list[Item]) -> None:
        (self.folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(item)}\n" for item in items))

    def change(self, name: str, place: int, **said: Any) -> None:
        items = self.items(name)
        items[place] |= said
        self.write(name, items)


def make_export(folder: Path, activities: int) -> Export:
    command = [sys.executable, EXAMPLES / "make_export.py", folder, "--users", USERS, "--activities", activities]
    subprocess.run([*map(str, command), "--today", f"{NOW.date()}"], check=True)
    return Export(folder)


async def rows(seed: Seed) -> dict[str, tuple[str, str, int]]:
    """What the service has of the export's activities: type, title and how often each was changed."""
    sql = "SELECT type, external_id, title, revision FROM activities WHERE account_id = $1"
    found = await seed.conn.fetch(sql, seed.account_id)
    assert len({row["external_id"] for row in found}) == len(found)
    return {row["external_id"]: (row["type"], row["title"], row["revision"]) for row in found}


async def entries(seed: Seed) -> Counter[str]:
    """How many activities each calendar has, by its external id."""
    sql = """
        SELECT c.external_id, count(*) AS n
          FROM calendar_entries e JOIN calendars c ON c.account_id = e.account_id AND c.id = e.calendar_id
         WHERE e.account_id = $1 GROUP BY c.external_id"""
    return Counter({row["external_id"]: row["n"] for row in await seed.conn.fetch(sql, seed.account_id)})


async def seen(seed: Seed) -> set[tuple[str, str]]:
    """Which calendar which active user may see, by external ids."""
    sql = """
        SELECT c.external_id AS calendar, u.external_id AS user
          FROM calendar_access x
          JOIN calendars c ON c.account_id = x.account_id AND c.id = x.calendar_id AND c.deleted_at IS NULL
          JOIN users u ON u.account_id = x.account_id AND u.id = x.user_id AND u.deactivated_at IS NULL
         WHERE x.account_id = $1 AND x.withdrawn_at IS NULL AND c.external_id IS NOT NULL"""
    return {(row["calendar"], row["user"]) for row in await seed.conn.fetch(sql, seed.account_id)}


async def versions(seed: Seed) -> list[tuple[Any, ...]]:
    """What every subscriber's ETag depends on."""
    sql = "SELECT calendar_id, version, changed_at FROM calendar_versions WHERE account_id = $1 ORDER BY calendar_id"
    return [tuple(row) for row in await seed.conn.fetch(sql, seed.account_id)]


def expected(export: Export, revision: int = 0) -> dict[str, tuple[str, str, int]]:
    return {item["externalId"]: (item["type"], item["title"], revision) for item in export.items("activities")}


async def assert_all_is_in(seed: Seed, export: Export) -> None:
    """Every item of the export once, written once, where it belongs, and seen by whom it should be."""
    assert await rows(seed) == expected(export)
    stand = (calendar for item in export.items("activities") for calendar in item["calendarExternalIds"])
    assert await entries(seed) == Counter(stand)
    pairs = {(item["calendarExternalId"], user) for item in export.items("access") for user in item["userExternalIds"]}
    assert await seen(seed) == pairs


async def count(seed: Seed) -> int:
    found: int = await seed.conn.fetchval("SELECT count(*) FROM activities WHERE account_id = $1", seed.account_id)
    return found


async def test_sync_that_is_killed_half_way_goes_on_where_it_was(script: Script, seed: Seed, tmp_path: Path) -> None:
    export = make_export(tmp_path / "export", MANY)
    process = await script.start(export.folder, "--batch", "250")
    async with asyncio.timeout(60):
        while await count(seed) < MANY // 3:
            await asyncio.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert (await ended(process))[0] == -signal.SIGKILL
    there = await count(seed)
    assert MANY // 3 <= there < MANY
    acknowledged = sum(1 for digest in export.known["activities"].values() if digest)
    assert there - 250 <= acknowledged <= there
    status, said = await script.run(export.folder, "--batch", "250")
    assert (status, said.splitlines()[-1]) == (0, f"{MANY - acknowledged} sent, 0 refused")
    await assert_all_is_in(seed, export)


async def test_second_sync_sends_nothing_and_one_of_all_changes_nothing(
    script: Script, seed: Seed, tmp_path: Path
) -> None:
    export = make_export(tmp_path / "export", SOME)
    everything = f"{SOME + USERS + 2 * (USERS + 1)} sent, 0 refused"
    status, said = await script.run(export.folder)
    assert (status, said.splitlines()[-1]) == (0, everything)
    before = await versions(seed)
    for arguments, sent in (((), "0 sent, 0 refused"), (("--all",), everything)):
        status, said = await script.run(export.folder, *arguments)
        assert (status, said.splitlines()[-1]) == (0, sent)
        assert await versions(seed) == before
        await assert_all_is_in(seed, export)


async def test_syncs_at_once_bring_in_all_once(script: Script, seed: Seed, tmp_path: Path) -> None:
    """Two of the same folder, and one from another machine."""
    export = make_export(tmp_path / "export", 2 * SOME)
    shutil.copytree(export.folder, tmp_path / "copy")
    folders = [export.folder, export.folder, tmp_path / "copy"]
    runs = await asyncio.gather(*(script.run(folder, "--batch", "100") for folder in folders))
    assert [(status, said.splitlines()[-1].split(", ")[1]) for status, said in runs] == [(0, "0 refused")] * 3
    await assert_all_is_in(seed, export)
    assert await script.run(export.folder) == (0, "0 sent, 0 refused\n")


@dataclass
class Network:
    """Lies between the script and the service, and does something to some of the calls, by their number."""

    url: str
    session: ClientSession
    harm: dict[int, str]
    calls: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        harm = self.harm.pop(self.calls, None)
        if harm in {"429", "503"}:
            return web.Response(status=int(harm), headers={"Retry-After": "0"})
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type")}
        body = await request.read()
        if harm == "request lost":
            return self.hang_up(request)
        async with self.session.post(self.url, data=body, headers=headers) as answer:
            said = await answer.read()
        if harm == "answer lost":
            return self.hang_up(request)
        response = web.StreamResponse(status=answer.status, headers={"Content-Length": str(len(said))})
        await response.prepare(request)
        await response.write(said[:5] if harm == "answer cut" else said)
        return self.hang_up(request) if harm == "answer cut" else response

    def hang_up(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


@asynccontextmanager
async def bad_network(url: str, harm: dict[int, str]) -> AsyncIterator[tuple[str, Network]]:
    async with ClientSession() as session:
        network = Network(url, session, harm)
        app = web.Application(client_max_size=2**25)
        app.router.add_post("/graphql", network.answer)
        async with TestServer(app) as server:
            yield str(server.make_url("/graphql")), network


async def test_sync_over_a_bad_network_brings_in_all_once(script: Script, seed: Seed, tmp_path: Path) -> None:
    export = make_export(tmp_path / "export", SOME)
    harm = {2: "request lost", 4: "answer lost", 7: "answer cut", 9: "429", 11: "503", 14: "answer lost"}
    async with bad_network(script.url, dict(harm)) as (url, network):
        status, said = await script.run(export.folder, "--batch", "100", url=url)
    assert (status, network.harm) == (0, {})
    assert network.calls == 3 + SOME // 100 + len(harm)
    assert said.count(": once more in ") == len(harm)
    again = ["HTTP 429: once more in 0 s", "HTTP 503: once more in 0 s"]
    assert [line for line in said.splitlines() if line.startswith("HTTP")] == again
    await assert_all_is_in(seed, export)


async def test_sync_without_a_service_ends_after_its_tries(script: Script, seed: Seed, tmp_path: Path) -> None:
    export = make_export(tmp_path / "export", 1)
    harm = dict.fromkeys(range(1, 11), "429")
    async with bad_network(script.url, harm) as (url, _):
        status, said = await script.run(export.folder, url=url)
        assert (status, said.splitlines()[-1]) == (2, "Stopped. The service did not answer in 10 tries.")
        assert (await script.run(export.folder, url=url))[0] == 0
    await assert_all_is_in(seed, export)


async def test_items_that_are_refused_are_told_and_all_others_go_in(script: Script, seed: Seed, tmp_path: Path) -> None:
    export = make_export(tmp_path / "export", SOME)
    good = {name: export.items(name) for name in ("users", "access", "activities")}
    export.write("users", [*good["users"], {"externalId": "mars", "name": "Mars", "timeZone": "Mars/Base"}])
    export.change("access", 3, userExternalIds=["user-3", "nobody"])
    export.change("activities", 0, endsAt="2020-01-01T00:00:00Z")
    export.change("activities", 1, startsAt="tomorrow")
    export.change("activities", 100, calendarExternalIds=["nowhere"])
    export.change("activities", 500, title="x" * 10_000, location="y" * 10_000)
    status, said = await script.run(export.folder, "--batch", "300")
    refused = [json.loads(line) for line in (export.folder / "refused.jsonl").read_text().splitlines()]
    keys = [one["item"].get("externalId", one["item"].get("calendarExternalId")) for one in refused]
    assert Counter(keys) == Counter(["mars", "of-user-3", *(f"activity-{n}" for n in (0, 1, 100, 500))])
    assert (status, said.splitlines()[-1]) == (1, f"{SOME + 3 * USERS + 2 - 5} sent, 6 refused")
    paths = {
        key: sorted(".".join(error["path"][2:]) for error in one["errors"])
        for key, one in zip(keys, refused, strict=True)
    }
    assert paths == {
        "mars": ["timeZone"],
        "of-user-3": ["userExternalIds.1"],
        "activity-0": ["endsAt"],
        "activity-1": ["startsAt"],
        "activity-100": ["calendarExternalIds.0"],
        "activity-500": ["location", "title"],
    }
    for key, one in zip(keys, refused, strict=True):
        for error in one["errors"]:
            assert f"{key}: {'.'.join(error['path'][2:])}: {error['message']}" in said
    assert (await rows(seed)).keys() == {f"activity-{n}" for n in range(SOME)} - set(keys)
    for name, items in good.items():
        export.write(name, items)
    status, said = await script.run(export.folder)
    assert status == 0
    assert not (export.folder / "refused.jsonl").exists()
    await assert_all_is_in(seed, export)


async def test_what_is_gone_from_the_export_is_ended_and_comes_back_with_it(
    script: Script, seed: Seed, tmp_path: Path
) -> None:
    export = make_export(tmp_path / "export", SOME)
    before = {name: export.items(name) for name in ("users", "calendars", "access", "activities")}
    assert (await script.run(export.folder))[0] == 0
    leaver, own = f"user-{USERS - 1}", f"of-user-{USERS - 1}"
    export.write("users", before["users"][:-1])
    export.write("calendars", [item for item in before["calendars"] if item["externalId"] != own])
    export.write("access", [item for item in before["access"] if item["calendarExternalId"] != own])
    export.change("access", USERS - 1, userExternalIds=[f"user-{n}" for n in range(USERS - 1)])
    kept = [item for item in before["activities"][10:] if item["ownerExternalId"] != leaver]
    export.write("activities", kept)
    export.change("activities", 0, type="CALL" if kept[0]["type"] == "MEETING" else "MEETING")
    status, said = await script.run(export.folder)
    assert (status, said.splitlines()[-1].split(", ")[1]) == (0, "0 refused")
    await assert_all_is_in(seed, export)
    sql = "SELECT u.external_id FROM users u WHERE u.account_id = $1 AND u.deactivated_at IS NOT NULL"
    assert await seed.conn.fetchval(sql, seed.account_id) == leaver
    sql = "SELECT c.external_id FROM calendars c WHERE c.account_id = $1 AND c.deleted_at IS NOT NULL"
    assert await seed.conn.fetchval(sql, seed.account_id) == own
    for name, items in before.items():
        export.write(name, items)
    assert (await script.run(export.folder))[0] == 0
    await assert_all_is_in(seed, export)


async def test_what_was_never_sent_and_is_gone_from_the_export_is_no_error(
    script: Script, seed: Seed, tmp_path: Path
) -> None:
    export = make_export(tmp_path / "export", SOME)
    lost = {"users": "late", "calendars": "of-late", "access": "of-late", "activities": "CALL late"}
    state = {name: {key: ""} for name, key in lost.items()}  # of a run that was killed before its first call
    (export.folder / ".sync-state.json").write_text(json.dumps(state))
    status, said = await script.run(export.folder)
    assert (status, said.splitlines()[-1].split(", ")[1]) == (0, "0 refused")
    assert not [name for name, key in lost.items() if key in export.known[name]]
    await assert_all_is_in(seed, export)


async def test_export_that_failed_deletes_nothing(script: Script, seed: Seed, tmp_path: Path) -> None:
    export = make_export(tmp_path / "export", SOME)
    assert (await script.run(export.folder))[0] == 0
    items = export.items("activities")
    export.write("activities", items[: SOME // 2])
    status, said = await script.run(export.folder)
    reason = f"Stopped. {SOME // 2} of {SOME} activities are gone: if that is so, say --delete-many."
    assert (status, said.splitlines()[-1]) == (2, reason)
    for name, text in (("users.jsonl", '{"externalId": "us'), ("access.jsonl", None)):
        there = (export.folder / name).read_text()
        (export.folder / name).unlink()
        if text:
            (export.folder / name).write_text(text)
        status, said = await script.run(export.folder)
        assert (status, name in said) == (2, True)
        (export.folder / name).write_text(there)
    assert await count(seed) == SOME
    assert await script.run(export.folder, "--delete-many") == (0, f"{SOME // 2} sent, 0 refused\n")
    await assert_all_is_in(seed, export)


async def test_batch_that_is_too_large_is_sent_in_parts(script: Script, seed: Seed, tmp_path: Path) -> None:
    export = make_export(tmp_path / "export", 200)
    export.write("activities", [{**item, "description": "x" * 60_000} for item in export.items("activities")])
    status, said = await script.run(export.folder, "--batch", "200")
    assert (status, said.splitlines()[-1].split(", ")[1]) == (0, "0 refused")
    await assert_all_is_in(seed, export)


async def test_item_that_no_call_can_hold_is_refused_and_all_others_go_in(
    script: Script, seed: Seed, tmp_path: Path
) -> None:
    export = make_export(tmp_path / "export", 12)
    whole = {name: export.items(name) for name in ("access", "activities")}
    export.change("access", 0, userExternalIds=["user-0"] * 20_001)
    export.change("activities", 4, description="x" * 9_500_000)
    export.change("activities", 5, title="Half a \ud83d")
    status = (await script.run(export.folder))[0]
    refused = [json.loads(line) for line in (export.folder / "refused.jsonl").read_text().splitlines()]
    names = [one["item"].get("externalId", one["item"].get("calendarExternalId")) for one in refused]
    assert (status, sorted(names)) == (1, ["activity-4", "activity-5", "of-user-0"])
    assert (await rows(seed)).keys() == {f"activity-{n}" for n in range(12)} - set(names)
    for name, items in whole.items():
        export.write(name, items)
    assert (await script.run(export.folder))[0] == 0
    await assert_all_is_in(seed, export)


@pytest.mark.parametrize("line", ["[1]", "null", "{", "7"])
async def test_export_with_a_line_that_is_no_item_stops_the_sync(tmp_path: Path, line: str) -> None:
    export = make_export(tmp_path / "export", 1)
    with (export.folder / "users.jsonl").open("a") as file:
        file.write(f"{line}\n")
    process = Script([sys.executable, str(EXAMPLES / "sync.py")], "http://127.0.0.1:9/graphql", "cfk_none")
    status, said = await process.run(export.folder)
    assert (status, said.startswith(f"Stopped. {export.folder}/users.jsonl cannot be read")) == (2, True)


async def test_field_that_is_cleared_in_the_crm_is_cleared(script: Script, seed: Seed, tmp_path: Path) -> None:
    export = make_export(tmp_path / "export", 1)
    (item,) = export.items("activities")
    assert (await script.run(export.folder))[0] == 0
    kept = ("externalId", "calendarExternalIds", "type", "title")
    export.write("activities", [{name: item[name] for name in kept}])
    assert await script.run(export.folder) == (0, "1 sent, 0 refused\n")
    sql = "SELECT owner_id, location, url, starts_at, participants, private FROM activities WHERE account_id = $1"
    (row,) = await seed.conn.fetch(sql, seed.account_id)
    assert tuple(row) == (None, None, None, None, "[]", False)


async def test_key_that_is_not_valid_stops_the_sync_at_once(script: Script, tmp_path: Path) -> None:
    export = make_export(tmp_path / "export", 1)
    status, said = await replace(script, key=make_api_key(new_id(), new_id())).run(export.folder)
    assert (status, said) == (2, "Stopped. The API key is not valid here.\n")

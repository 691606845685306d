"""docs/integrators.md: its commands run one after the other, from nothing to a feed, and its limits are the code's."""

import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from api.activities.inputs import (
    LONGEST_DESCRIPTION,
    LONGEST_WINDOW_DAYS,
    MOST_CALENDARS,
    MOST_EXCEPTIONS,
    MOST_PARTICIPANTS,
)
from api.http.bodies import MOST_VALUES
from api.items import MOST_ITEMS
from api.nodes import LONGEST_PAGE
from api.people.access import MOST_PAIRS
from api.settings import Settings
from api.texts import LONGEST_EXTERNAL_ID
from feed.wording import LONGEST_LINE
from tests.process import Running, fetch, running
from tests.test_docs import ROOT, blocks, shell

PAGE = "docs/integrators.md"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The service over an empty database."""
    with running(tmp_path_factory.mktemp("integrators") / "data", "serve") as served:
        yield served


def test_integrators_commands_run_from_nothing_to_a_feed(served: Running, tmp_path: Path) -> None:
    operator, users, calendars, access, activities, link, series, delete, window, *rest = blocks(PAGE, "sh")
    find_calendar, look, script, leave, find_user, reset, audit, add_key = rest
    given = {"GRAPHQL_URL": f"{served.said.split()[-1]}/graphql"}

    def run(command: str) -> str:
        return shell(command, tmp_path, served.data_dir, **given)

    def answer(command: str) -> Any:
        said = json.loads(run(command))
        assert "errors" not in said
        (payload,) = said["data"].values()
        assert payload.pop("userErrors", []) == []
        return payload

    def nodes(command: str) -> list[dict[str, Any]]:
        return [edge["node"] for edge in answer(command)["edges"]]

    (given["API_KEY"],) = re.findall(r"^cfk_\S+$", run(operator), re.MULTILINE)
    assert answer(users) == answer(calendars) == {"created": 2, "updated": 0, "unchanged": 0}
    assert answer(access) == {"granted": 3, "withdrawn": 0, "unchanged": 0}
    assert answer(activities) == {"created": 2, "updated": 0, "unchanged": 0}
    url = answer(link)["url"]
    day = datetime.now(UTC).astimezone().date()  # that the commands are about; where their users live it may be over
    mark = "!" if datetime.now(ZoneInfo("Europe/Berlin")).date() > day else "☐"
    assert titles(url) == {"Viewing", f"{mark} Send the contract"}

    assert answer(series) == {"created": 1, "updated": 0, "unchanged": 0}
    assert answer(users) == answer(activities) == {"created": 0, "updated": 0, "unchanged": 2}
    assert answer(delete) == {"deleted": 1, "absent": 1}
    assert answer(window) == {"created": 0, "updated": 1, "unchanged": 0, "deleted": 0}
    ((given["CALENDAR_ID"], name),) = [(node["id"], node["name"]) for node in nodes(find_calendar)]
    assert (name, [node["title"] for node in nodes(look)]) == ("Sales team", ["Viewing", "Pipeline"])

    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    run(script)
    assert not (tmp_path / "export" / "refused.jsonl").exists()

    assert answer(leave) == {"updated": 1}
    ((given["USER_ID"], active),) = [(node["id"], node["active"]) for node in nodes(find_user)]
    assert (active, answer(reset)) == (True, {"resetCount": 1})
    assert titles(url) == {"This calendar link no longer works: subscribe again"}
    assert {node["action"] for node in nodes(audit)} >= {"LINK_RESET", "USER_DEACTIVATED"}
    given["ADMIN_TOKEN"] = run("calendar-feeds token --account 'Mill Estates' --user anna@mill.example").strip()
    assert answer(add_key)["apiKey"]["scopes"] == ["FEEDS_READ", "FEEDS_WRITE", "USERS_ACT"]


def titles(url: str) -> set[str]:
    return set(re.findall(r"^SUMMARY:(.*)\r$", fetch(url)[1], re.MULTILINE))


def test_integrators_page_has_the_limits_of_the_code() -> None:
    page = (ROOT / PAGE).read_text()
    octets, seconds = (Settings.model_fields[name].default for name in ("max_request_bytes", "request_seconds"))
    for of, most in (
        ("items in a call", f"{MOST_ITEMS:,}; `setCalendarAccess` also {MOST_PAIRS:,} users in all"),
        ("a request", f"{octets:,} octets (`CALENDAR_FEEDS_MAX_REQUEST_BYTES`), {seconds} seconds "),
        ("values in a request", f"{MOST_VALUES:,}, "),
        ("an external id", f"{LONGEST_EXTERNAL_ID} characters |"),
        ("calendars of an activity", f"{MOST_CALENDARS} |"),
        ("participants", f"{MOST_PARTICIPANTS} |"),
        ("title, location", f"{LONGEST_LINE:,} characters |"),
        ("description", f"{LONGEST_DESCRIPTION:,} characters, "),
        ("`exdates`, `overrides` of a series", f"{MOST_EXCEPTIONS} each |"),
        ("window of `syncCalendar`", f"{LONGEST_WINDOW_DAYS:,} days |"),
        ("a page of a list", f"{LONGEST_PAGE} |"),
    ):
        assert f"\n| {of} | {most}" in page

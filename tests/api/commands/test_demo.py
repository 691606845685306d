"""`calendar-feeds demo` as a newcomer runs it, and what happens when its processes are killed."""

import json
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from ical.calendar_stream import IcsCalendarStream

from tests.process import Running, fetch, free_port, is_alive, run, running, until

ANNA, PETER = "anna@harbour-homes.example", "peter@harbour-homes.example"
VIEWER = "{ viewer { name } }"
LEFT_OUT = "{ calendarFeeds { preview(first: 100) { leftOut { title reason } } } }"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("demo") / "data", "demo", "--json") as demo:
        yield demo


def test_demo_describes_itself_in_one_json_line(demo: Running) -> None:
    described = demo.described
    assert set(described) == {"url", "graphqlUrl", "accounts"}
    assert described["graphqlUrl"] == f"{described['url']}/graphql"
    assert [account["name"] for account in described["accounts"]] == ["Harbour Homes", "Blackwood Investigations"]
    for account in described["accounts"]:
        users = account["users"]
        assert 3 <= len(users) <= 6
        assert [user["administrator"] for user in users].count(True) == 1
        assert [user["active"] for user in users].count(False) == 1
        assert {frozenset(user) for user in users} == {frozenset({"email", "name", "administrator", "active", "token"})}


def test_demo_tokens_open_the_api_for_active_users(demo: Running) -> None:
    for account in demo.described["accounts"]:
        for user in account["users"]:
            answer = demo.graphql(user["token"], VIEWER)
            expected = {"viewer": {"name": user["name"]}} if user["active"] else {"viewer": None}
            assert answer["data"] == expected


def test_demo_tokens_are_valid_for_a_day(demo: Running) -> None:
    claims = jwt.decode(demo.user(ANNA)["token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 24 * 60 * 60


def test_demo_lets_the_screen_be_anybody_of_the_sample_for_an_hour(demo: Running) -> None:
    url = demo.described["url"]
    assert '<meta name="chooser" content="chooser.js">' in fetch(f"{url}/")[1]
    assert fetch(f"{url}/web/chooser.js")[0] == 200
    offered = json.loads(fetch(f"{url}/users.json")[1])
    for account, printed in zip(offered, demo.described["accounts"], strict=True):
        for user, known in zip(account["users"], printed["users"], strict=True):
            claims, expected = (
                jwt.decode(one.pop("token"), options={"verify_signature": False}) for one in (user, dict(known))
            )
            assert (claims["account"], claims["sub"]) == (expected["account"], expected["sub"])
            assert claims["exp"] - claims["iat"] == 60 * 60
            assert user == {name: value for name, value in known.items() if name != "token"}


def test_demo_feeds_show_activities_of_every_kind(demo: Running) -> None:
    anna = demo.user(ANNA)
    status, body = fetch(demo.generate(anna["token"]))
    events = IcsCalendarStream.calendar_from_ics(body).events
    kinds = Counter(category for event in events for category in event.categories)
    assert status == 200
    calendars = {"Anna Müller", "Quayside development", "Sales team"}
    assert set(kinds) == {"Meeting", "Call", "Task"} | calendars
    assert min(kinds.values()) > 5
    titles = {event.summary for event in events}
    assert {"Dentist", "Trade fair", "! Renew the insurance", "Call: Overseas call across midnight"} <= titles
    assert r'Copy "C:\New folder", then <b>print</b>; sign, scan 🖨️👩‍👩‍👧‍👦' in titles
    assert {title[0] for title in titles if title and not title[0].isalpha()} == {"☐", "☑", "!"}
    assert {type(event.dtstart).__name__ for event in events} == {"date", "datetime"}


def test_demo_feeds_show_series_by_rule_and_by_occurrences(demo: Running) -> None:
    _, body = fetch(demo.generate(demo.user(ANNA)["token"]))
    events = IcsCalendarStream.calendar_from_ics(body).events
    rules = {event.summary: event.rrule.as_rrule_str() for event in events if event.rrule}
    assert rules == {
        "Team meeting": "FREQ=WEEKLY;BYDAY=MO",
        "Review of the month": "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        "Call: Onboarding": "FREQ=WEEKLY;COUNT=6",
        "Yoga": "FREQ=WEEKLY;BYDAY=TH",
    }
    assert len([event for event in events if event.summary == "Stand-up" and not event.rrule]) == 60
    assert [event.summary for event in events if event.recurrence_id].count("Team meeting with the bank") == 1


def test_preview_of_the_demo_tells_what_is_left_out_and_why(demo: Running) -> None:
    everything, *_ = demo.graphql(demo.user(ANNA)["token"], LEFT_OUT)["data"]["calendarFeeds"]
    left_out = {(one["reason"], one["title"].partition(" on ")[0]) for one in everything["preview"]["leftOut"]}
    assert left_out >= {
        ("NOTE", "Note of a talk"),
        ("CANCELLED", "Lunch with the bank"),
        ("OUTSIDE_WINDOW", "Foundation stone"),
        ("OUTSIDE_WINDOW", "Renew the lease"),
        ("NO_TIME", "Note"),
    }
    assert {reason for reason, _ in left_out} == {"NOTE", "CANCELLED", "OUTSIDE_WINDOW", "NO_TIME"}


def test_private_activities_of_the_sample_are_busy_in_the_team_feed(demo: Running) -> None:
    zoe = demo.user("zoe@harbour-homes.example")
    _, body = fetch(demo.generate(zoe["token"]))
    events = IcsCalendarStream.calendar_from_ics(body).events
    assert sorted(bool(event.rrule) for event in events if event.summary == "Bezet") == [False, True]
    assert "Dentist" not in body
    assert "Yoga" not in body


def test_second_process_uses_the_running_demo(demo: Running) -> None:
    """`token` and `import` work beside it: they find the server that it runs and leave it running."""
    token = run(demo.data_dir, "token", "--account", "Harbour Homes", "--user", ANNA)
    assert token.returncode == 0, token.stderr
    assert demo.graphql(token.stdout.strip(), VIEWER)["data"] == {"viewer": {"name": "Anna Müller"}}
    assert is_alive(demo.postmaster)


def test_port_that_is_taken_is_named_with_the_remedy(demo: Running, tmp_path: Path) -> None:
    port = demo.described["url"].rpartition(":")[2]
    second = run(tmp_path / "other", "demo", port=port)
    assert (second.returncode, second.stdout) == (1, "")
    remedy = "set CALENDAR_FEEDS_PORT to a free port, or stop what listens there."
    assert second.stderr.splitlines()[-1] == f"calendar-feeds: 127.0.0.1:{port} is taken: {remedy}"


def test_printed_commands_work_when_pasted(tmp_path: Path) -> None:
    with running(tmp_path / "data", "demo") as demo:
        assert demo.process.stdout
        text = demo.said
        while "Stop with Ctrl-C" not in text:
            text += demo.process.stdout.readline()
        list_feeds, poll = re.findall(r"^curl (?:.*\\\n)*.*$", text, re.MULTILINE)
        feeds = subprocess.run(["bash", "-c", list_feeds], capture_output=True, text=True, check=True).stdout
        calendar = subprocess.run(["bash", "-c", poll], capture_output=True, text=True, check=True).stdout
        graphiql = subprocess.run(
            ["curl", "-s", "-H", "Accept: text/html", re.findall(r"http://\S+/graphql", text)[-1]],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    assert '{"data":{"calendarFeeds":[{"name":"All my calendars","url":"http://127.0.0.1:' in feeds
    assert len(IcsCalendarStream.calendar_from_ics(calendar).events) > 50
    assert "graphiql" in graphiql
    assert str(tmp_path / "data") in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_demo_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path / "data", "demo", "--json") as demo:
        postmaster = demo.postmaster
        assert demo.stop(number) == 0
        assert not is_alive(postmaster)


def test_second_demo_on_the_same_folder_keeps_what_is_there(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path / "data", "demo", "--json", port=port) as demo:
        anna, peter = demo.user(ANNA)["token"], demo.user(PETER)["token"]
        url = demo.generate(anna, regenerate=True)
        before = fetch(url)
    with running(tmp_path / "data", "demo", "--json", port=port) as demo:
        assert fetch(url) == before
        assert demo.generate(anna) == url
        assert demo.graphql(peter, VIEWER)["data"] == {"viewer": None}


@pytest.mark.parametrize("victims", ["service", "postgres", "both"])
def test_killed_processes_lose_nothing_and_leave_nothing_behind(tmp_path: Path, victims: str) -> None:
    port = free_port()
    with running(tmp_path / "data", "demo", "--json", port=port) as demo:
        anna = demo.user(ANNA)["token"]
        url = demo.generate(anna, regenerate=True)
        before = fetch(url)
        postmaster = demo.postmaster
        if victims != "service":
            os.kill(postmaster, signal.SIGKILL)
        if victims == "postgres":
            assert fetch(url) == before  # the supervisor starts it again, and the poll waits for it
        else:
            demo.stop(signal.SIGKILL)
            until(lambda: not is_alive(postmaster))
    with running(tmp_path / "data", "demo", "--json", port=port):
        assert fetch(url) == before


def test_database_that_does_not_answer_is_one_sentence_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://someone:hunter2@127.0.0.1:1/nothing"
    for command in (["demo"], ["migrate"], ["serve"]):
        secrets = {"secret_keys": "k1:" + "x" * 32, "jwt_secret": "y" * 32}
        said = run(tmp_path / "data", *command, database_url=url, port=free_port(), **secrets)
        assert (said.returncode, said.stdout) == (1, "")
        assert said.stderr == (
            "calendar-feeds: PostgreSQL does not answer (ConnectionRefusedError):"
            " check CALENDAR_FEEDS_DATABASE_URL, or leave it out for the embedded one.\n"
        )


def test_demo_on_a_database_of_your_own_starts_no_embedded_one(tmp_path: Path, empty_database: str) -> None:
    with running(tmp_path / "data", "demo", "--json", "--database-url", empty_database) as demo:
        assert fetch(demo.generate(demo.user(ANNA)["token"]))[0] == 200
        assert not (tmp_path / "data" / "postgres").exists()

"""The command: what it prints, where it fails, and what its log never holds."""

import socket
from pathlib import Path
from urllib.parse import urlsplit

import jwt

from api.schema import sdl
from tests.process import fetch, run, running
from tests.seed import Seed

ANNA = "anna@harbour-homes.example"


def test_schema_prints_the_schema_and_needs_nothing(tmp_path: Path) -> None:
    said = run(tmp_path / "data", "schema")
    assert (said.returncode, said.stdout, said.stderr) == (0, sdl(), "")
    assert not (tmp_path / "data").exists()


def test_serve_and_token_need_secrets_beside_a_database_of_your_own(tmp_path: Path, empty_database: str) -> None:
    remedy = "a database of your own needs secrets of your own.\n"
    said = run(tmp_path / "data", "serve", database_url=empty_database)
    both = "CALENDAR_FEEDS_SECRET_KEYS and CALENDAR_FEEDS_JWT_SECRET"
    assert (said.returncode, said.stderr) == (1, f"calendar-feeds: Set {both}: {remedy}")
    said = run(tmp_path / "data", "token", "--account", "a", "--user", "u", database_url=empty_database)
    assert (said.returncode, said.stderr) == (1, f"calendar-feeds: Set CALENDAR_FEEDS_JWT_SECRET: {remedy}")


def test_token_finds_the_secrets_of_a_demo_on_a_database_of_your_own(tmp_path: Path, empty_database: str) -> None:
    with running(tmp_path / "data", "demo", "--json", database_url=empty_database) as demo:
        arguments = ("token", "--account", "Harbour Homes", "--user", ANNA)
        said = run(tmp_path / "data", *arguments, database_url=empty_database)
        assert demo.graphql(said.stdout.strip(), "{ viewer { name } }")["data"] == {"viewer": {"name": "Anna Müller"}}


PROVIDED = {"jwt_issuer": "https://login.example.com/", "jwt_audience": "feeds"}


def test_serve_needs_no_secret_of_tokens_where_a_provider_signs_them(tmp_path: Path, dsn: str) -> None:
    keys = {"secret_keys": "k1:" + "x" * 32, "jwks": tmp_path / "jwks.json", **PROVIDED}
    with running(tmp_path / "data", "serve", database_url=dsn, **keys) as serving:
        assert serving.said.startswith("calendar-feeds serves on ")
    assert "keys of the identity provider not read" in (tmp_path / "data.log").read_text()


def test_tokens_say_what_the_settings_ask_of_them(tmp_path: Path) -> None:
    claims = {"jwt_account_claim": "https://crm.example/account", "jwt_user_claim": "crm.user", "jwt_ids": "EXTERNAL"}
    with running(tmp_path / "data", "demo", "--json", **PROVIDED, **claims) as demo:
        arguments = ("token", "--account", "harbour homes", "--user", ANNA)
        printed = run(tmp_path / "data", *arguments, **PROVIDED, **claims).stdout.strip()
        for token in (printed, demo.user(ANNA)["token"]):
            assert demo.graphql(token, "{ viewer { name } }")["data"] == {"viewer": {"name": "Anna Müller"}}
        said = jwt.decode(printed, options={"verify_signature": False})
        assert said.pop("exp") - said.pop("iat") == 24 * 60 * 60
        assert said == {
            "iss": "https://login.example.com/",
            "aud": "feeds",
            "https://crm.example/account": "harbour-homes",
            "crm.user": "anna",
        }
        internal = run(tmp_path / "data", *arguments, **PROVIDED).stdout.strip()
        assert demo.graphql(internal, "{ viewer { name } }")["data"] == {"viewer": None}


async def test_token_that_would_open_nothing_is_not_printed(seed: Seed, dsn: str, tmp_path: Path) -> None:
    other = {"database_url": dsn, "jwt_secret": "y" * 32}
    arguments = ("token", "--account", "Harbour Homes", "--user", "anna@example.com")

    def refused(**said: str) -> str:
        done = run(tmp_path / "data", *arguments, **other, **said)
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr

    unnamed = "calendar-feeds: {} has no external id, by which tokens name them: see CALENDAR_FEEDS_JWT_IDS.\n"
    assert refused(jwt_ids="EXTERNAL") == unnamed.format("Harbour Homes")
    await seed.conn.execute("UPDATE accounts SET external_id = 'crm-1'")
    assert refused(jwt_ids="EXTERNAL") == unnamed.format("Anna Müller")
    assert refused(jwt_account_id=str(seed.own)) == (
        "calendar-feeds: Harbour Homes is not the account that CALENDAR_FEEDS_JWT_ACCOUNT_ID fixes: tokens are for"
        " that one.\n"
    )


def test_serve_refuses_a_database_without_the_schema(tmp_path: Path, empty_database: str) -> None:
    secrets = {"secret_keys": "k1:" + "x" * 32, "jwt_secret": "y" * 32}
    said = run(tmp_path / "data", "serve", database_url=empty_database, **secrets)
    message = "calendar-feeds: The database has schema none: run `calendar-feeds migrate` first.\n"
    assert (said.returncode, said.stderr) == (1, message)


def test_wrong_setting_is_one_line(tmp_path: Path) -> None:
    said = run(tmp_path / "data", "serve", port="http")
    assert said.returncode == 1
    assert said.stderr.startswith("calendar-feeds: CALENDAR_FEEDS_PORT: Input should be a valid integer")


def test_token_names_what_there_is_when_it_finds_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "data", "demo", "--json") as demo:
        said = run(demo.data_dir, "token", "--account", "Nobody", "--user", ANNA)
        there = "'Harbour Homes', 'Blackwood Investigations'"
        message = f"calendar-feeds: There is no account 'Nobody'; there is {there}.\n"
        assert (said.returncode, said.stdout, said.stderr) == (1, "", message)
        said = run(demo.data_dir, "token", "--account", "Blackwood Investigations", "--user", ANNA)
        there = ", ".join(f"'{name}@blackwood.example'" for name in ("dana", "olena", "sam", "lee"))
        message = f"calendar-feeds: There is no user '{ANNA}'; there is {there}.\n"
        assert (said.returncode, said.stdout, said.stderr) == (1, "", message)


def test_log_at_its_most_talkative_holds_no_secret(tmp_path: Path) -> None:
    with running(tmp_path / "data", "demo", "--json", log_level="DEBUG") as demo:
        token = demo.user(ANNA)["token"]
        url = demo.generate(token)
        for path in (url, url.replace("/feeds/cf1_", "/feeds/cf1_x"), url + "/more", url.replace("/feeds/", "/other/")):
            fetch(path)
        where = urlsplit(url)
        with socket.create_connection((where.hostname, where.port)) as malformed:
            malformed.sendall(f"GET {where.path} with spaces HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert malformed.recv(100).startswith(b"HTTP/1.0 400")
        demo.graphql(token, "{ calendarFeeds { name } }")
    log = (tmp_path / "data.log").read_text()
    secrets = (tmp_path / "data" / "secrets.env").read_text().split("\n")
    values = [line.partition("=")[2].removeprefix("k1:") for line in secrets if line]
    assert len(values) == 2
    for secret in (where.path.split("/")[2], token, *values, "Dentist"):
        assert secret not in log
    assert '"route": "/feeds/{token}/{name}.ics"' in log
    assert '"malformed request"' in log
    assert "Traceback" not in log


def test_import_without_a_database_says_that_nothing_could_be_done(tmp_path: Path) -> None:
    calendar = ("--account", "Harbour Homes", "--calendar", "Sales team")
    said = run(tmp_path / "data", "import", "a.ics", *calendar, database_url="postgresql://u:hunter2@127.0.0.1:1/n")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("calendar-feeds: PostgreSQL does not answer (ConnectionRefusedError): check ")
    assert "hunter2" not in said.stderr

"""Settings: named when they are wrong, never repeated, kept where they are made."""

import os
import stat
from pathlib import Path

import pytest

from api.settings import PREFIX, SettingsError, load_settings, with_kept_secrets
from feed.tokens import Keyring


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(PREFIX + "DATA_DIR", str(tmp_path / "data"))


URL_HINT = "write it like https://feeds.example.com, ASCII, at most 80 characters"
PAGE_HINT = "write it like https://crm.example.com/feeds, at most 500 characters"
PROXIES_HINT = "write addresses or networks with commas between, like 10.0.0.0/8,2001:db8::7"
ORIGINS_HINT = (
    "write each origin as browsers do, with commas between, like https://crm.example.com,http://localhost:5173:"
    " in lower case, without a path or a usual port; * is no origin"
)
REDIS_HINT = "write it like redis://:password@host:6379/0"
JWKS_HINT = (
    "write it like https://login.example.com/jwks.json, without a user name; http:// is for this machine only,"
    " and a file is a path"
)
KEY_HINT = "must have at least 32 characters: `openssl rand -hex 32`"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "http", "Input should be a valid integer, unable to parse string as an integer"),
        ("PORT", "70000", "Input should be less than or equal to 65535"),
        ("PUBLIC_URL", "feeds.example.com", URL_HINT),
        ("PUBLIC_URL", "https://feeds.example.com/?a=b", URL_HINT),
        ("PUBLIC_URL", "https://" + "h" * 80, URL_HINT),
        ("JWT_SECRET", "hunter2", KEY_HINT),
        ("SECRET_KEYS", "k1:hunter2", f"key 1 (k1) {KEY_HINT}"),
        ("SETTINGS_PAGE_URL", "crm.example.com/feeds", PAGE_HINT),
        ("SETTINGS_PAGE_URL", "https://crm.example.com/a b", PAGE_HINT),
        ("SETTINGS_PAGE_URL", "https://crm.example.com/" + "x" * 500, PAGE_HINT),
        ("PROXIES", "proxy.example.com", PROXIES_HINT),
        ("PROXIES", "10.0.0.0/33", PROXIES_HINT),
        ("WEBHOOK_NETWORKS", "10.0.0.0/8, crm.internal", PROXIES_HINT),
        ("CORS_ORIGINS", "*", ORIGINS_HINT),
        ("CORS_ORIGINS", "https://crm.example.com/", ORIGINS_HINT),
        ("SCREEN_ORIGINS", "*", ORIGINS_HINT),
        ("SCREEN_ORIGINS", "https://crm.example.com; script-src *", ORIGINS_HINT),
        ("CORS_ORIGINS", "https://anna:hunter2@crm.example.com", ORIGINS_HINT),
        ("REDIS_URL", "http://:hunter2@127.0.0.1", REDIS_HINT),
        ("REDIS_URL", "redis://:hunter2@127.0.0.1:port", REDIS_HINT),
        ("JWKS", "http://login.example.com/jwks.json", JWKS_HINT),
        ("JWKS", "http://127.0.0.1.example.com/jwks.json", JWKS_HINT),
        ("JWKS", "ftp://login.example.com/jwks.json", JWKS_HINT),
        ("JWKS", "https://", JWKS_HINT),
        ("JWKS", "https://crm:hunter2@login.example.com/jwks.json", JWKS_HINT),
        ("JWKS", "https://login.example.com:99999/jwks.json", JWKS_HINT),
        ("JWT_LEEWAY_SECONDS", "601", "Input should be less than or equal to 600"),
        ("JWT_IDS", "external", "Input should be 'INTERNAL' or 'EXTERNAL'"),
        ("JWT_ACCOUNT_ID", "harbour-homes", "give the account's id, a UUID, as our database has it"),
        ("LINK_POLLS_PER_MINUTE", "-1", "Input should be greater than or equal to 0"),
    ],
)
def test_wrong_setting_is_named_and_never_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value) == f"CALENDAR_FEEDS_{name}: {message}"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "CALENDAR_FEEDS_JWT_ISSUER and CALENDAR_FEEDS_JWT_AUDIENCE"),
        ({"JWT_AUDIENCE": "feeds"}, "CALENDAR_FEEDS_JWT_ISSUER"),
        ({"JWT_ISSUER": "https://login.example.com/"}, "CALENDAR_FEEDS_JWT_AUDIENCE"),
    ],
)
def test_keys_of_a_provider_need_its_name_and_ours(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], missing: str
) -> None:
    for name, value in {"JWKS": "https://login.example.com/jwks.json", **given}.items():
        monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert (
        str(refused.value) == f"Set {missing}: whose keys are in CALENDAR_FEEDS_JWKS may sign for other services, too."
    )


def test_users_are_provisioned_by_the_keys_of_the_crm_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "PROVISION_USERS", "true")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    remedy = "set CALENDAR_FEEDS_JWT_IDS=EXTERNAL, or leave it out: nobody but us knows our ids."
    assert str(refused.value) == f"CALENDAR_FEEDS_PROVISION_USERS: {remedy}"
    monkeypatch.setenv(PREFIX + "JWT_IDS", "EXTERNAL")
    assert load_settings().provision_users


@pytest.mark.parametrize(
    "location",
    ["https://login.example.com/keys?v=1", "http://localhost:8081/jwks", "http://[::1]/jwks", "http://127.0.0.2:1/"],
)
def test_keys_of_a_provider_are_fetched_safely_or_from_this_machine(
    monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    for name, value in {"JWKS": location, "JWT_ISSUER": "us", "JWT_AUDIENCE": "feeds"}.items():
        monkeypatch.setenv(PREFIX + name, value)
    assert load_settings().jwks == location


def test_keys_of_a_provider_may_be_a_file_of_this_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"JWKS": "jwks.json", "JWT_ISSUER": "us", "JWT_AUDIENCE": "feeds"}.items():
        monkeypatch.setenv(PREFIX + name, value)
    assert load_settings().jwks == str(tmp_path / "jwks.json")


@pytest.mark.parametrize(
    ("given", "page"),
    [
        ({}, None),
        ({"PUBLIC_URL": "https://feeds.example.com"}, "https://feeds.example.com/"),
        ({"PUBLIC_URL": "https://example.com/feeds/"}, "https://example.com/feeds/"),
        ({"PUBLIC_URL": "https://feeds.example.com", "SETTINGS_PAGE_URL": "https://crm.example.com/me"}, None),
    ],
)
def test_notices_name_the_screen_unless_there_is_another_page(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], page: str | None
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(PREFIX + name, value)
    assert load_settings().page_url == given.get("SETTINGS_PAGE_URL", page)


def test_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "DATABASE_URL", "")
    assert load_settings().database_url is None


def test_option_of_the_command_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "PORT", "9000")
    assert load_settings(port=None).port == 9000
    assert with_kept_secrets(load_settings(port=9001)).base_url == "http://127.0.0.1:9001"


def test_public_url_is_what_links_begin_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "PUBLIC_URL", "https://crm.example.com/calendar/")
    assert load_settings().base_url == "https://crm.example.com/calendar"


def test_secrets_are_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    first = with_kept_secrets(load_settings())
    assert with_kept_secrets(load_settings()) == first
    path = tmp_path / "data" / "secrets.env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["secrets.env"]
    assert first.secret_keys
    assert first.jwt_secret
    assert Keyring.parse(first.secret_keys.get_secret_value()).newest == "k1"
    assert first.jwt_secret.get_secret_value() not in repr(first)


def test_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file in the way")
    with pytest.raises(SettingsError) as refused:
        with_kept_secrets(load_settings())
    where = tmp_path / "data"
    assert str(refused.value) in {
        f"CALENDAR_FEEDS_DATA_DIR: {where} cannot be used ({why}): name a folder to write to."
        for why in ("File exists", "Not a directory")
    }


def test_given_secrets_win_over_those_that_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    with_kept_secrets(load_settings())
    monkeypatch.setenv(PREFIX + "JWT_SECRET", "given" * 8)
    jwt_secret = with_kept_secrets(load_settings()).jwt_secret
    assert jwt_secret
    assert jwt_secret.get_secret_value() == "given" * 8

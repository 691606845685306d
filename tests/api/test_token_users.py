"""Tokens that name account and user by the CRM's own keys, and users who are added at their first call."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api import token_users
from api.token_users import profile
from tests.api.provider import AUDIENCE, ISSUER, Key, Provider, claims, running_provider
from tests.seed import NOW, Seed, Service, plant, running_service

WHO = "{ viewer { name email administrator active timeZone locale externalId } calendarFeeds { name } }"
NOBODY = "The bearer token's user is not active here."
INVALID = "The bearer token is not valid here."
NEW = {"name": "Cy Dent", "email": "cy@example.com"}


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running_provider() as provider:
        yield provider


@pytest.fixture
def trust(provider: Provider) -> dict[str, Any]:
    return {"jwks": provider.url, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_ids": "EXTERNAL"}


@pytest.fixture
async def service(seed: Seed, dsn: str, trust: dict[str, Any]) -> AsyncIterator[Service]:
    """It knows the account as "crm-1" and Anna as "u-1", and adds whom it does not know."""
    await seed.conn.execute("UPDATE accounts SET external_id = 'crm-1'")
    await seed.conn.execute("UPDATE users SET external_id = 'u-1' WHERE id = $1", seed.anna.id)
    async with running_service(dsn, provision_users=True, **trust) as service:
        yield service


async def told(service: Service, user: Any, account: Any = "crm-1", **said: Any) -> dict[str, Any] | str:
    """Who the service says that is, or why nobody."""
    answer = await service.graphql(WHO, Key("first").sign({**claims("", ""), "sub": user, "account": account, **said}))
    if errors := answer.get("errors"):
        (message,) = {error["message"] for error in errors}
        return str(message)
    viewer: dict[str, Any] = answer["data"]["viewer"]
    return viewer


async def name(service: Service, user: Any, account: Any = "crm-1", **said: Any) -> str:
    found = await told(service, user, account, **said)
    return found if isinstance(found, str) else str(found["name"])


async def provisioned(seed: Seed) -> list[tuple[str, str, dict[str, Any]]]:
    """Who was added, by what kind of actor, and what the log says of it."""
    rows = await seed.conn.fetch(
        "SELECT u.external_id, g.actor_type, g.details FROM audit_log g JOIN users u ON u.id = g.subject_id"
        " WHERE g.action = 'USER_PROVISIONED' ORDER BY g.id"
    )
    return [(row["external_id"], row["actor_type"], json.loads(row["details"])) for row in rows]


# ---- by the CRM's own keys


async def test_account_and_user_are_found_by_the_keys_of_the_crm(seed: Seed, service: Service) -> None:
    assert await name(service, "u-1") == "Anna Müller"
    await seed.conn.execute("UPDATE accounts SET external_id = '4711'")
    await seed.conn.execute("UPDATE users SET external_id = '42' WHERE id = $1", seed.ben.id)
    assert await name(service, 42, 4711) == "Ben Okafor"


@pytest.mark.parametrize(
    "wrong", [None, "", " ", "x" * 256, "a\x00b", "a\nb", "\ud800", True, 1.5, [], ["u-1"], {"u-1": 1}]
)
async def test_key_that_is_none_is_refused(seed: Seed, service: Service, wrong: Any) -> None:
    assert await name(service, wrong) == INVALID
    assert await name(service, "u-1", wrong) == INVALID
    assert await provisioned(seed) == []


async def test_id_of_ours_is_no_key_of_the_crm(seed: Seed, service: Service) -> None:
    assert await name(service, "u-1", str(seed.account_id)) == NOBODY


async def test_key_that_two_accounts_have_opens_neither(
    seed: Seed, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_users, "KNOWN_SECONDS", 0.0)
    assert await name(service, "u-1") == "Anna Müller"
    other = await plant(seed.conn, "Blackwood Investigations")
    await seed.conn.execute("UPDATE accounts SET external_id = 'crm-1' WHERE account_id = $1", other.account_id)
    assert await name(service, "u-1") == NOBODY
    assert await name(service, "new") == NOBODY
    assert await provisioned(seed) == []


async def test_account_of_a_key_is_remembered_for_a_while_and_an_unknown_one_is_not(
    seed: Seed, service: Service
) -> None:
    assert await name(service, "u-1", "crm-2") == NOBODY
    await seed.conn.execute("UPDATE accounts SET external_id = 'crm-2'")
    assert await name(service, "u-1", "crm-2") == "Anna Müller"
    await seed.conn.execute("UPDATE accounts SET external_id = 'crm-3'")
    assert await name(service, "u-1", "crm-2") == "Anna Müller"
    await seed.conn.execute("UPDATE accounts SET suspended_at = $1", NOW)
    assert await name(service, "u-1", "crm-2") == NOBODY


async def test_user_of_the_same_key_in_another_account_is_somebody_else(seed: Seed, service: Service) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    await seed.conn.execute("UPDATE accounts SET external_id = 'crm-2' WHERE account_id = $1", other.account_id)
    await seed.conn.execute("UPDATE users SET external_id = 'u-1' WHERE id = $1", other.ben.id)
    assert [await name(service, "u-1", account) for account in ("crm-1", "crm-2")] == ["Anna Müller", "Ben Okafor"]


async def test_account_may_be_fixed_while_users_go_by_the_keys_of_the_crm(
    seed: Seed, dsn: str, trust: dict[str, Any], service: Service
) -> None:
    async with running_service(dsn, jwt_account_id=seed.account_id, **trust) as fixed:
        assert await name(fixed, "u-1", None) == "Anna Müller"
        assert await name(fixed, "new", None) == NOBODY


# ---- who is new


async def test_unknown_user_is_added_with_what_the_token_says_and_may_see_nothing(seed: Seed, service: Service) -> None:
    said = {**NEW, "email_verified": True, "zoneinfo": "Europe/Paris", "locale": "fr_CA", "administrator": True}
    for _ in range(2):
        assert await told(service, "new", **said) == {
            "name": "Cy Dent",
            "email": "cy@example.com",
            "administrator": False,
            "active": True,
            "timeZone": "Europe/Paris",
            "locale": "fr-CA",
            "externalId": "new",
        }
    assert await provisioned(seed) == [("new", "SERVICE", {"externalId": "new"})]
    assert (
        await seed.conn.fetchval(
            "SELECT count(*) FROM calendar_access x JOIN users u ON u.id = x.user_id AND u.external_id = 'new'"
        )
        == 0
    )


async def test_first_calls_at_once_add_one_user(seed: Seed, service: Service) -> None:
    assert set(await asyncio.gather(*(name(service, "new", **NEW) for _ in range(20)))) == {"Cy Dent"}
    assert await provisioned(seed) == [("new", "SERVICE", {"externalId": "new"})]


async def test_address_that_another_user_has_is_left_out(seed: Seed, service: Service) -> None:
    viewer = await told(service, "new", name="Ben the second", email="BEN@example.com")
    assert isinstance(viewer, dict)
    assert (viewer["name"], viewer["email"]) == ("Ben the second", None)
    newcomers = [name(service, f"new {number}", **NEW) for number in range(5)]
    assert set(await asyncio.gather(*newcomers)) == {"Cy Dent"}
    assert await seed.conn.fetchval("SELECT count(*) FROM users WHERE email = 'cy@example.com'") == 1


async def test_deactivated_user_is_not_revived(seed: Seed, service: Service) -> None:
    await seed.conn.execute("UPDATE users SET deactivated_at = $2 WHERE id = $1", seed.anna.id, NOW)
    before = await seed.conn.fetch("SELECT * FROM users ORDER BY id")
    assert await name(service, "u-1", **NEW) == NOBODY
    assert await seed.conn.fetch("SELECT * FROM users ORDER BY id") == before
    refused = "SELECT actor_id, action FROM audit_log WHERE outcome = 'REFUSED'"
    assert [tuple(row) for row in await seed.conn.fetch(refused)] == [(seed.anna.id, "API_CALLED")]


async def test_user_who_is_there_stays_as_they_are(seed: Seed, service: Service) -> None:
    assert await name(service, "u-1", name="Anna Other", email="other@example.com") == "Anna Müller"


async def test_nobody_is_added_to_an_account_that_is_suspended_or_unknown(seed: Seed, service: Service) -> None:
    assert await name(service, "new", "crm-9", **NEW) == NOBODY
    await seed.conn.execute("UPDATE accounts SET suspended_at = $1", NOW)
    assert await name(service, "new", **NEW) == NOBODY
    assert await seed.conn.fetchval("SELECT count(*) FROM users") == 2


async def test_nobody_is_added_by_a_token_that_is_not_good(seed: Seed, service: Service) -> None:
    said = {**claims("new", "crm-1"), **NEW}
    for text in (Key("stranger").sign(said), Key("first").sign({**said, "exp": 1})):
        assert (await service.graphql(WHO, text))["errors"]
    assert await seed.conn.fetchval("SELECT count(*) FROM users") == 2


async def test_nobody_is_added_unless_the_settings_say_so(
    seed: Seed, dsn: str, trust: dict[str, Any], service: Service
) -> None:
    async with running_service(dsn, **trust) as strict:
        assert await name(strict, "new", **NEW) == NOBODY
    assert await seed.conn.fetchval("SELECT count(*) FROM users") == 2


# ---- what is kept of their claims


def test_name_is_the_first_that_can_be_read() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"name": "  Cy \t Dent\u00a0 "}, "Cy Dent"),
        ({"name": "x" * 256, "given_name": "Cy", "family_name": "Dent"}, "Cy Dent"),
        ({"name": "a\x00b", "family_name": "Dent"}, "Dent"),
        ({"name": 7, "preferred_username": "cy"}, "cy"),
        ({"name": "\ud800", "email": "cy@example.com"}, "cy@example.com"),
        ({"name": "", "email": "cy"}, "u-9"),
        ({}, "u-9"),
    ]
    assert [profile(said, "u-9")["name"] for said, _ in cases] == [expected for _, expected in cases]


def test_address_zone_and_language_are_kept_where_they_make_sense() -> None:
    good = {"email": "cy@example.com", "zoneinfo": "Asia/Tokyo", "locale": "pt-BR"}
    kept = {"name": "u-9", "email": "cy@example.com", "time_zone": "Asia/Tokyo", "locale": "pt-BR"}
    assert profile({**good, "name": "u-9"}, "u-9") == kept
    for said in (
        {"email": "cy@", "zoneinfo": "Mars/Base", "locale": "x" * 40},
        {"email": "cy@", "zoneinfo": "localtime", "locale": "x"},
        {"email": "cy@example.com@example.com", "zoneinfo": "../../etc/passwd", "locale": "de; DROP"},
        {"email": ["cy@example.com"], "zoneinfo": ["UTC"], "locale": {"de": 1}},
        {"email": f"{'x' * 250}@example.com", "zoneinfo": "", "locale": ""},
        {"email": "", "zoneinfo": "localtime", "locale": "1"},
        {"email": "cy@example.com", "email_verified": False},
    ):
        assert profile({**said, "name": "N"}, "u-9") == {"name": "N", "email": None, "time_zone": "UTC", "locale": "en"}

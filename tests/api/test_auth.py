"""Who may ask: a bearer token of ours, in its time, of a user who may act at this moment."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strawberry.relay import to_base64

from api.auth import Bearers, NotAuthenticatedError
from tests.api.provider import by_hand
from tests.leaks import NET
from tests.seed import (
    HOUR,
    JWT_SECRET,
    NOW,
    Seed,
    Service,
    bearer,
    plant,
    running_service,
    settings,
    user_node,
)

VIEWER = "{ viewer { name } }"
LATER = datetime.now(UTC) + timedelta(hours=1)
INVALID = "The bearer token is not valid here."
EXPIRED = "The bearer token has expired: get a new one."
NOBODY = "The bearer token's user is not active here."


async def refusal(service: Service, authorization: str | None) -> str:
    headers = {"Authorization": authorization} if authorization is not None else {}
    async with service.client.post("/graphql", json={"query": VIEWER}, headers=headers) as answer:
        said = await answer.json()
    assert said["data"] == {"viewer": None}
    (error,) = said["errors"]
    assert error["extensions"] == {"code": "UNAUTHENTICATED"}
    return str(error["message"])


async def test_request_without_a_bearer_token_is_told_to_send_one(seed: Seed, service: Service) -> None:
    for authorization in (None, "", "Bearer", "Bearer ", "Basic eDp5", bearer(seed.anna)):
        assert await refusal(service, authorization) == "Send a bearer token: `Authorization: Bearer <token>`."


async def test_token_that_was_not_signed_here_is_refused(seed: Seed, service: Service) -> None:
    good = bearer(seed.anna)
    header, payload, _ = good.split(".")
    unsigned = jwt.encode(jwt.decode(good, options={"verify_signature": False}), "", "none")
    foreign = bearer(seed.anna, secret="x" * 32)
    for token in ("garbage", f"{header}.{payload}.", f"{header}.{payload}.AAAA", unsigned, foreign):
        assert await refusal(service, f"Bearer {token}") == "The bearer token is not valid here."


def wrong_claims(seed: Seed) -> list[dict[str, Any]]:
    good = {"sub": str(seed.anna.id), "account": str(seed.account_id), "exp": LATER}
    return [
        {**good, "sub": "anna"},
        {**good, "account": None},
        {**good, "exp": "soon"},
        *({name: value for name, value in good.items() if name != missing} for missing in good),
    ]


async def test_token_without_its_claims_is_refused(seed: Seed, service: Service) -> None:
    for claims in wrong_claims(seed):
        token = jwt.encode(claims, JWT_SECRET, "HS256")
        assert await refusal(service, f"Bearer {token}") == "The bearer token is not valid here."


async def test_expired_token_is_refused(seed: Seed, service: Service) -> None:
    expired = bearer(seed.anna, lifetime=-HOUR)
    assert await refusal(service, f"Bearer {expired}") == "The bearer token has expired: get a new one."


@pytest.mark.parametrize("change", ["UPDATE users SET deactivated_at = $1", "UPDATE accounts SET suspended_at = $1"])
async def test_user_who_may_no_longer_act_is_refused_at_once(seed: Seed, service: Service, change: str) -> None:
    token = f"Bearer {bearer(seed.anna)}"
    assert (await service.graphql(VIEWER, seed.anna))["data"] == {"viewer": {"name": "Anna Müller"}}
    await seed.conn.execute(change, NOW)
    assert await refusal(service, token) == "The bearer token's user is not active here."


async def test_user_of_one_account_is_nobody_in_another(seed: Seed, service: Service) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    for account, user in ((other.account_id, seed.anna.id), (uuid4(), seed.anna.id), (seed.account_id, uuid4())):
        token = jwt.encode({"sub": str(user), "account": str(account), "exp": LATER}, JWT_SECRET, "HS256")
        assert await refusal(service, f"Bearer {token}") == "The bearer token's user is not active here."


# ---- what a token has to say, by the settings


def said(seed: Seed, **more: Any) -> dict[str, Any]:
    """The claims of a good token of Anna's; what is None is left out."""
    claims = {"sub": str(seed.anna.id), "account": str(seed.account_id), "exp": LATER, **more}
    return {name: value for name, value in claims.items() if value is not None}


async def told(service: Service, claims: dict[str, Any]) -> str:
    """Who the service says that is, or why nobody."""
    answer = await service.graphql(VIEWER, by_hand({"alg": "HS256"}, claims, JWT_SECRET.encode()))
    return str(answer["errors"][0]["message"] if "errors" in answer else answer["data"]["viewer"]["name"])


async def test_clock_of_a_signer_may_be_wrong_by_the_leeway(seed: Seed, dsn: str) -> None:
    now, minute = datetime.now(UTC), timedelta(minutes=1)
    async with running_service(dsn, jwt_leeway_seconds=120) as service:
        for claims in ({"exp": now - minute}, {"nbf": now + minute}, {"iat": now + minute}):
            assert await told(service, said(seed, **claims)) == "Anna Müller"
        for claims in ({"nbf": now + 3 * minute}, {"iat": now + 3 * minute}):
            assert await told(service, said(seed, **claims)) == INVALID
        assert await told(service, said(seed, exp=now - 3 * minute)) == EXPIRED
    async with running_service(dsn, jwt_leeway_seconds=0) as service:
        assert await told(service, said(seed, exp=now - timedelta(seconds=1))) == EXPIRED


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["soon", [], {}, float("inf"), float("nan")])
async def test_time_that_is_none_is_refused(seed: Seed, service: Service, name: str, value: Any) -> None:
    assert await told(service, said(seed, **{name: value})) == INVALID


async def test_issuer_and_audience_of_the_settings_are_required(seed: Seed, dsn: str) -> None:
    async with running_service(dsn, jwt_issuer="https://crm.example/", jwt_audience="feeds") as service:
        good = {"iss": "https://crm.example/", "aud": "feeds"}
        assert await told(service, said(seed, **good)) == "Anna Müller"
        assert await told(service, said(seed, **{**good, "aud": ["other", "feeds"]})) == "Anna Müller"
        wrong: list[dict[str, Any]] = [
            {"iss": None}, {"iss": "https://crm.example"}, {"iss": ["https://crm.example/"]}, {"iss": ""},
            {"aud": None}, {"aud": "feed"}, {"aud": ["other"]}, {"aud": []}, {"aud": {"feeds": 1}}, {"aud": "FEEDS"},
        ]  # fmt: skip
        for claims in wrong:
            assert await told(service, said(seed, **{**good, **claims})) == INVALID
        own = bearer(seed.anna, jwt_issuer="https://crm.example/", jwt_audience="feeds")
        assert (await service.graphql(VIEWER, own))["data"] == {"viewer": {"name": "Anna Müller"}}


async def test_token_for_somebody_else_is_refused_where_we_have_no_name(seed: Seed, service: Service) -> None:
    assert await told(service, said(seed, aud="another service")) == INVALID
    assert await told(service, said(seed, iss="https://crm.example/")) == "Anna Müller"


async def test_claims_are_found_by_their_whole_name_or_by_a_path(seed: Seed, dsn: str) -> None:
    url, path = "https://crm.example/account", "crm.user.id"
    account, anna, ben = str(seed.account_id), str(seed.anna.id), str(seed.ben.id)
    async with running_service(dsn, jwt_account_claim=url, jwt_user_claim=path) as service:
        for claims, name in (
            ({url: account, "crm": {"user": {"id": anna}}}, "Anna Müller"),
            ({url: account, path: ben, "crm": {"user": {"id": anna}}}, "Ben Okafor"),
            ({url: account, "sub": anna, "crm": {"user": [anna]}}, INVALID),
            ({url: account, "sub": anna, "crm": "user"}, INVALID),
            ({url: account, path: None, "crm": {"user": {"id": anna}}}, INVALID),
            ({"https://crm": {"example/account": account}, path: anna}, "Anna Müller"),
            ({"account": account, path: anna}, INVALID),
        ):
            assert await told(service, {**claims, "exp": LATER}) == name, claims


async def test_ids_may_be_those_that_the_api_gives(seed: Seed, service: Service) -> None:
    account = to_base64("Account", str(seed.account_id))
    assert await told(service, said(seed, sub=user_node(seed.ben), account=account)) == "Ben Okafor"
    for claims in ({"sub": account}, {"account": user_node(seed.anna)}, {"sub": user_node(seed.ben).upper()}):
        assert await told(service, said(seed, **claims)) == INVALID


async def test_account_of_all_tokens_may_be_fixed(seed: Seed, dsn: str) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    async with running_service(dsn, jwt_account_id=seed.account_id) as service:
        for account in (None, str(other.account_id), "garbage"):
            assert await told(service, said(seed, account=account)) == "Anna Müller"
        assert await told(service, said(other, account=str(other.account_id))) == NOBODY


async def test_operators_are_told_why_a_token_was_refused_and_callers_are_not(seed: Seed, dsn: str) -> None:
    good = {"iss": "us", "aud": "feeds"}
    reasons = {
        "claims": said(seed, **good, account="none"),
        "audience": said(seed, **{**good, "aud": "x"}),
        "issuer": said(seed, **{**good, "iss": "x"}),
        "not valid yet": said(seed, **good, nbf=LATER),
    }
    async with running_service(dsn, jwt_issuer="us", jwt_audience="feeds") as service:
        NET.caught()
        for claims in reasons.values():
            assert await told(service, claims) == INVALID
        for text in ("garbage", bearer(seed.anna, secret="x" * 32), jwt.encode(said(seed), "x" * 64, "HS512")):
            await service.graphql(VIEWER, text)
    lines = [json.loads(line) for line in NET.heard().splitlines() if "bearer token refused" in line]
    assert [line["reason"] for line in lines] == [*reasons, "malformed", "signature", "algorithm"]
    assert {frozenset(line) for line in lines} == {frozenset({"event", "level", "timestamp", "reason"})}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
HEADER = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "zip"]), JSON | st.sampled_from(["HS256"])
)
CLAIMS = st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "sub", "account", "jti"]), JSON)


def read(text: str) -> object:
    """What the service takes the token for; None if it takes it for none."""
    try:
        return asyncio.run(Bearers(settings()).read(f"Bearer {text}"))
    except NotAuthenticatedError:
        return None


@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc"])) | st.just("a\udce9.b.c"))
def test_garbage_is_no_token(text: str) -> None:
    assert read(text) is None


@given(HEADER, CLAIMS | JSON)
def test_whatever_a_signed_token_says_nothing_breaks(header: Any, claims: Any) -> None:
    """A token says more than garbage only if it is good in all."""
    assert read(by_hand({"alg": "HS256", **header}, claims, JWT_SECRET.encode())) is None

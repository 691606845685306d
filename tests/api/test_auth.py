"""Who may ask: a bearer token of ours, in its time, of a user who may act at this moment."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest

from tests.seed import JWT_SECRET, NOW, Seed, Service, bearer, plant

VIEWER = "{ viewer { name } }"
LATER = datetime.now(UTC) + timedelta(hours=1)


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
    expired = bearer(seed.anna, lifetime=timedelta(seconds=-1))
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

"""Who calls the API: a bearer token (JWT, HS256) or an API key → principal."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import jwt

from api.api_keys import PREFIX, ApiKeyText, read_api_key

ALGORITHM = "HS256"
ACCOUNT_CLAIM = "account"


class NotAuthenticatedError(Exception):
    """The bearer token is missing, not signed by us, malformed, or out of its time."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A user of an account, as the token says; whether they may still act the database says."""

    account_id: UUID
    user_id: UUID


def issue_token(secret: str, principal: Principal, now: datetime, lifetime: timedelta) -> str:
    claims = {
        "sub": str(principal.user_id),
        ACCOUNT_CLAIM: str(principal.account_id),
        "iat": now,
        "exp": now + lifetime,
    }
    return jwt.encode(claims, secret, ALGORITHM)


def read_bearer(secret: str, authorization: str | None) -> Principal | ApiKeyText:
    """The principal of an `Authorization` header; raises `NotAuthenticatedError` with a message fit for the caller."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticatedError("Send a bearer token: `Authorization: Bearer <token>`.")
    if token.startswith(PREFIX):
        return _api_key(token.strip())
    try:
        claims = jwt.decode(token.strip(), secret, [ALGORITHM], options={"require": ["exp", "sub", ACCOUNT_CLAIM]})
        return Principal(UUID(claims[ACCOUNT_CLAIM]), UUID(claims["sub"]))
    except jwt.ExpiredSignatureError:
        raise NotAuthenticatedError("The bearer token has expired: get a new one.") from None
    except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError):
        raise NotAuthenticatedError("The bearer token is not valid here.") from None


def _api_key(text: str) -> ApiKeyText:
    key = read_api_key(text)
    if key is None:
        raise NotAuthenticatedError("The API key is not valid here.")
    return key

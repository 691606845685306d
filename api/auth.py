"""Who calls the API: a bearer token (JWT), by our secret or an identity provider's keys, or an API key → principal."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import structlog
from jwt.algorithms import AllowedPublicKeys

from api.api_keys import PREFIX, ApiKeyText, read_api_key
from api.jwks import ALGORITHMS, Jwks
from api.nodes import node_uuid
from api.settings import Settings
from api.texts import external_id_error

OURS = "HS256"  # the algorithm of our secret, and of nothing else
log = structlog.get_logger()


class NotAuthenticatedError(Exception):
    """The bearer token is missing, not signed by whom we trust, malformed, or out of its time."""


class UnknownKeyError(jwt.InvalidTokenError):
    """No key that we have can have signed it."""


class ClaimError(jwt.InvalidTokenError):
    """A claim that names the account or the user is missing, or cannot name one."""


# What operators are told; the most special first. Callers are told no more than that a token has expired.
REASONS: dict[type[Exception], str] = {
    jwt.ExpiredSignatureError: "expired",
    jwt.ImmatureSignatureError: "not valid yet",
    jwt.InvalidAudienceError: "audience",
    jwt.InvalidIssuerError: "issuer",
    jwt.InvalidSignatureError: "signature",
    jwt.InvalidAlgorithmError: "algorithm",
    jwt.MissingRequiredClaimError: "claims",
    UnknownKeyError: "unknown key",
    ClaimError: "claims",
    Exception: "malformed",
}


@dataclass(frozen=True, slots=True)
class Principal:
    """A user of an account, as the token says; whether they may still act the database says.

    Both are our ids or, as texts, the CRM's own keys.
    """

    account: UUID | str
    user: UUID | str
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)  # all that the token says


class Bearers:
    """Reads the header `Authorization` as the settings say."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._jwks = Jwks(settings.jwks) if settings.jwks else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        if self._jwks is None:
            yield
            return
        async with self._jwks.running():
            yield

    async def read(self, authorization: str | None) -> Principal | ApiKeyText:
        """Who the header says it is; raises `NotAuthenticatedError` with a message fit for the caller."""
        scheme, _, text = (authorization or "").partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or not text:
            raise NotAuthenticatedError("Send a bearer token: `Authorization: Bearer <token>`.")
        if text.startswith(PREFIX):
            return _api_key(text)
        try:
            return self._principal(await self._claims(text))
        except (jwt.PyJWTError, UnicodeEncodeError) as exc:
            refused = exc
        log.info("bearer token refused", reason=next(REASONS[kind] for kind in REASONS if isinstance(refused, kind)))
        has_expired = isinstance(refused, jwt.ExpiredSignatureError)
        said = "has expired: get a new one" if has_expired else "is not valid here"
        raise NotAuthenticatedError(f"The bearer token {said}.")

    async def _claims(self, token: str) -> dict[str, Any]:
        """What the token says, once its signature, times, issuer and audience are found good."""
        key, algorithms = await self._key(jwt.get_unverified_header(token))
        return jwt.decode(
            token,
            key,
            algorithms,
            options={"require": ["exp"], "verify_sub": False, "verify_jti": False},  # CRMs have numbers for ids
            audience=self._settings.jwt_audience,
            issuer=self._settings.jwt_issuer,
            leeway=self._settings.jwt_leeway_seconds,
        )

    async def _key(self, header: Mapping[str, Any]) -> tuple[AllowedPublicKeys | str, list[str]]:
        """With what to verify: our secret by its one algorithm, or a public key by those that are the key's own."""
        algorithm, secret = header.get("alg"), self._settings.jwt_secret
        if algorithm == OURS and secret:
            return secret.get_secret_value(), [OURS]
        if self._jwks is None or not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise jwt.InvalidAlgorithmError
        key = await self._jwks.find(header.get("kid"), algorithm)
        if key is None:
            raise UnknownKeyError
        return key.key, sorted(key.algorithms)

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        settings = self._settings
        account = settings.jwt_account_id or self._id("Account", claim(claims, settings.jwt_account_claim))
        return Principal(account, self._id("User", claim(claims, settings.jwt_user_claim)), claims)

    def _id(self, kind: str, said: Any) -> UUID | str:
        """The id that a claim says: the CRM's own, or ours as it is or as the API gives it."""
        text = str(said) if isinstance(said, str | int) and not isinstance(said, bool) else ""
        if self._settings.jwt_ids == "EXTERNAL":
            if external_id_error(text) is None:
                return text
            raise ClaimError
        try:
            return node_uuid(text, kind) or UUID(text)
        except ValueError:
            raise ClaimError from None


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of that name, dots and all (`https://crm.example/id`), else what is at that path (`crm.id`)."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def issue_token(settings: Settings, principal: Principal, now: datetime, lifetime: timedelta) -> str:
    """A bearer token that the settings' own secret signs."""
    assert settings.jwt_secret is not None
    claims = {
        settings.jwt_account_claim: str(principal.account),
        settings.jwt_user_claim: str(principal.user),
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "iat": now,
        "exp": now + lifetime,
    }
    said = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(said, settings.jwt_secret.get_secret_value(), OURS)


def _api_key(text: str) -> ApiKeyText:
    key = read_api_key(text)
    if key is None:
        raise NotAuthenticatedError("The API key is not valid here.")
    return key

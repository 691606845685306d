"""An identity provider of the tests' own: it signs tokens and serves its public keys, until it is told not to."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import AllowedPrivateKeys, get_default_algorithms

from tests.seed import HOUR

ISSUER, AUDIENCE = "https://login.example.com/", "calendar-feeds"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
KINDS: dict[str, Callable[[], AllowedPrivateKeys]] = {
    "RS": lambda: rsa.generate_private_key(65537, 2048),
    "PS": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
}


@dataclass(frozen=True)
class Key:
    """A key pair with its id; each key of a name is made once a run."""

    name: str
    algorithm: str = "ES256"

    @property
    def private(self) -> AllowedPrivateKeys:
        return made(self.name, self.algorithm[:2] if self.algorithm[:2] in KINDS else self.algorithm)

    def jwk(self, **said: Any) -> dict[str, Any]:
        """The public half; what is None in `said` is left out."""
        algorithm = get_default_algorithms()["EdDSA" if self.algorithm == "Ed448" else self.algorithm]
        public: dict[str, Any] = json.loads(algorithm.to_jwk(self.private.public_key()))
        public.pop("key_ops", None)
        values = {**public, "kid": self.name, "use": "sig", **said}
        return {name: value for name, value in values.items() if value is not None}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        algorithm = "EdDSA" if self.algorithm == "Ed448" else self.algorithm
        headers = {"kid": self.name, **header}
        return jwt.encode(claims, self.private, algorithm, {name: v for name, v in headers.items() if v is not None})


@cache
def made(_: str, kind: str) -> AllowedPrivateKeys:
    return KINDS[kind]()


def key_set(*keys: Key | dict[str, Any]) -> bytes:
    return json.dumps({"keys": [key.jwk() if isinstance(key, Key) else key for key in keys]}).encode()


def claims(user: object, account: object, **said: Any) -> dict[str, Any]:
    """What a good token says; what is None in `said` is left out."""
    now = datetime.now(UTC)
    good = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + HOUR, "sub": str(user), "account": str(account)}
    return {name: value for name, value in {**good, **said}.items() if value is not None}


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def by_hand(header: dict[str, Any], said: Any, secret: bytes) -> str:
    """A token signed with HMAC-SHA256, by whatever is taken for the secret."""
    if isinstance(said, dict):
        said = {name: value.timestamp() if isinstance(value, datetime) else value for name, value in said.items()}
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(said).encode())}"
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


@dataclass
class Provider:
    """`fetches` counts how often it was asked for its keys."""

    server: BaseTestServer | None = None
    keys: list[Key | dict[str, Any]] = field(default_factory=lambda: [Key("first")])
    answer: Answer | None = None  # in place of its keys
    fetches: int = 0

    @property
    def url(self) -> str:
        assert self.server
        return str(self.server.make_url("/jwks.json"))

    def rotate(self, name: str) -> Key:
        """Sign with a new key from now on, and withdraw the others."""
        key = Key(name)
        self.keys = [key]
        return key

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.fetches += 1
        if self.answer:
            return await self.answer(request)
        return web.Response(body=key_set(*self.keys), content_type="application/json")


@asynccontextmanager
async def running_provider() -> AsyncIterator[Provider]:
    provider, app = Provider(), web.Application()
    app.router.add_get("/jwks.json", provider.serve)
    async with TestServer(app) as server:
        provider.server = server
        yield provider

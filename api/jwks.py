"""The public keys of an identity provider (JWKS, RFC 7517): from its address or a file, kept and read again.

A token's `kid` only chooses among the keys, and each key says with which algorithms it verifies. What is read replaces
what was there, so a key that the provider withdraws opens nothing from the next reading on; what cannot be read
replaces nothing, so a provider that is away locks nobody out.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

import structlog
from aiohttp import ClientSession, ClientTimeout
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.algorithms import AllowedPublicKeys
from jwt.exceptions import PyJWTError

READ_AGAIN = 300.0  # seconds
MOST_SEARCHES, SEARCHES_WITHIN = 3, 30.0  # readings for key ids that nobody knows, and the seconds they are counted in
MOST_SECONDS = 5.0  # for a provider's answer
MOST_OCTETS = 256 * 1024
SHORTEST_RSA = 2048  # bits
RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA", "Ed448": "EdDSA"}
ALGORITHMS = RSA.union(CURVES.values())
PUBLIC = ("kty", "n", "e", "crv", "x", "y")  # a private part, which is there by mistake, is not looked at
UNREADABLE = (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, AttributeError)

log = structlog.get_logger()


class JwksError(Exception):
    """What was read is no key set with keys for us; the message says why, and nothing of what was read."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key with the algorithms of the signatures that it verifies."""

    id: str | None
    algorithms: frozenset[str]
    key: AllowedPublicKeys = field(repr=False)


class Source(Protocol):
    """Where the keys are."""

    async def read(self) -> bytes: ...

    def has_changed(self) -> bool:
        """Whether that is known to be different from what was last read."""


class Address:
    """A URL. It is asked alone, wherever it redirects to, and not for longer or more than is right for keys."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def read(self) -> bytes:
        timeout, read = ClientTimeout(total=MOST_SECONDS), b""
        async with ClientSession(timeout=timeout) as session, session.get(self._url, allow_redirects=False) as answer:
            if answer.status != HTTPStatus.OK:
                raise JwksError(f"the answer was HTTP {answer.status}")
            async for chunk in answer.content.iter_chunked(MOST_OCTETS):
                read += chunk
                if len(read) > MOST_OCTETS:
                    break
        return read

    def has_changed(self) -> bool:
        return False


class File:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[int, ...] | None = None

    async def read(self) -> bytes:
        self._read = self._state()
        with self._path.open("rb") as file:
            return file.read(MOST_OCTETS + 1)

    def has_changed(self) -> bool:
        return self._state() != self._read

    def _state(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


class Jwks:
    """The keys as they were last read."""

    def __init__(self, location: str) -> None:
        self._source: Source = Address(location) if "://" in location else File(Path(location))
        self._keys: Sequence[PublicKey] = ()
        self._reading: asyncio.Task[None] | None = None
        self._searches: deque[float] = deque(maxlen=MOST_SEARCHES)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read the keys now, and from time to time."""
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            for task in (keeping, self._reading):
                if task is not None:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task

    async def find(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        """The one key that can have made such a signature; the keys are read again if there is none."""
        if self._source.has_changed():
            await self._read_again()
        found = self._fitting(key_id, algorithm)
        if found is None and self._may_search():
            await self._read_again()
            found = self._fitting(key_id, algorithm)
        return found

    def _fitting(self, key_id: str | None, algorithm: str) -> PublicKey | None:
        keys = [key for key in self._keys if key_id in (None, key.id) and algorithm in key.algorithms]
        return keys[0] if len(keys) == 1 else None

    def _may_search(self) -> bool:
        """Whether to read the keys for a key id that is unknown: anyone can invent as many as they like."""
        if self._is_reading:
            return True
        now = time.monotonic()
        if len(self._searches) == MOST_SEARCHES and now - self._searches[0] < SEARCHES_WITHIN:
            return False
        self._searches.append(now)
        return True

    @property
    def _is_reading(self) -> bool:
        return self._reading is not None and not self._reading.done()

    async def _keep(self) -> None:
        while True:
            await self._read_again()
            await asyncio.sleep(READ_AGAIN)

    async def _read_again(self) -> None:
        """Read the keys, once for all who want them meanwhile, also if one of these goes away."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        try:
            keys = read_keys(await self._source.read())
        except Exception as exc:  # whatever a provider does, the keys that are here stay
            why = str(exc) if isinstance(exc, JwksError) else type(exc).__name__
            log.warning("keys of the identity provider not read", why=why, kept=len(self._keys))
            return
        if [(key.id, key.algorithms) for key in keys] != [(key.id, key.algorithms) for key in self._keys]:
            log.info("keys of the identity provider read", keys=[key.id for key in keys])
        self._keys = keys


def read_keys(octets: bytes) -> list[PublicKey]:
    """The keys of a JWK set that are for signatures and strong enough; `JwksError` if there is none."""
    if len(octets) > MOST_OCTETS:
        raise JwksError(f"there are more than {MOST_OCTETS:,} octets")
    try:
        said = json.loads(octets)
    except (ValueError, RecursionError):
        raise JwksError("it is no JSON") from None
    listed = said.get("keys") if isinstance(said, dict) else None
    if not isinstance(listed, list):
        raise JwksError("it is no JWK set")
    keys = [key for jwk in listed if isinstance(jwk, dict) and (key := read_key(jwk))]
    if not keys:
        raise JwksError("no key in it is for signatures, public and strong enough")
    return keys


def read_key(jwk: Mapping[str, Any]) -> PublicKey | None:
    """What the key verifies; None for a key of another use, of a kind that we do not take, or too short."""
    try:
        if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
            return None
        usable = RSA if jwk["kty"] == "RSA" else frozenset({CURVES[jwk["crv"]]})
        algorithms = usable & {jwk["alg"]} if "alg" in jwk else usable
        key = PyJWK({name: jwk[name] for name in PUBLIC if name in jwk}, min(algorithms)).key
    except UNREADABLE:
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < SHORTEST_RSA:
        return None
    key_id = jwk.get("kid")
    return PublicKey(key_id if isinstance(key_id, str) else None, algorithms, key)

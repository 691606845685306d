"""The keys of an identity provider: read, rotated, and kept when the provider is away, slow, or out of its mind."""

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from api import jwks
from api.jwks import Jwks, JwksError, read_key, read_keys
from tests.api.provider import AUDIENCE, ISSUER, Key, Provider, by_hand, claims, key_set, running_provider
from tests.leaks import NET
from tests.seed import JWT_SECRET, Seed, Service, bearer, running_service

VIEWER = "{ viewer { name } }"
ANNA = {"viewer": {"name": "Anna Müller"}}
INVALID = "The bearer token is not valid here."
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed448"]


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running_provider() as provider:
        yield provider


@asynccontextmanager
async def trusting(dsn: str, location: object, **said: Any) -> AsyncIterator[Service]:
    """A service that trusts the keys there."""
    async with running_service(dsn, jwks=str(location), jwt_issuer=ISSUER, jwt_audience=AUDIENCE, **said) as service:
        yield service


@pytest.fixture
async def trusted(seed: Seed, dsn: str, provider: Provider) -> AsyncIterator[Service]:
    """A service that trusts the provider, and knows its first key."""
    async with trusting(dsn, provider.url) as service:
        assert await told(service, token(seed, Key("first"))) == "Anna Müller"
        assert provider.fetches == 1
        yield service


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


def token(seed: Seed, key: Key, **header: Any) -> str:
    return key.sign(claims(seed.anna.id, seed.account_id), **header)


async def told(service: Service, text: str) -> str:
    """Who the service says that it is, or why nobody."""
    answer = await service.graphql(VIEWER, text)
    if "errors" in answer:
        assert answer["data"] == {"viewer": None}
        return str(answer["errors"][0]["message"])
    return str(answer["data"]["viewer"]["name"])


# ---- good keys


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("stated", [True, False], ids=["with alg", "without alg"])
async def test_key_of_every_kind_opens(seed: Seed, dsn: str, provider: Provider, algorithm: str, stated: bool) -> None:
    key = Key(f"key of {algorithm}", algorithm)
    said = {"RS": algorithm, "PS": algorithm, "ES": algorithm}.get(algorithm[:2], "EdDSA")
    provider.keys = [Key("another"), key.jwk(alg=said if stated else None)]
    async with trusting(dsn, provider.url) as service:
        assert await told(service, token(seed, key)) == "Anna Müller"


async def test_token_of_our_own_secret_opens_beside_the_provider(seed: Seed, trusted: Service) -> None:
    assert await told(trusted, bearer(seed.anna, jwt_issuer=ISSUER, jwt_audience=AUDIENCE)) == "Anna Müller"


async def test_token_without_a_key_id_opens_if_one_key_fits(seed: Seed, dsn: str, provider: Provider) -> None:
    rsa_key, other = Key("rsa", "RS256"), Key("other")
    provider.keys = [Key("first"), rsa_key.jwk(kid=None)]
    async with trusting(dsn, provider.url) as service:
        for key in (Key("first"), rsa_key):
            assert await told(service, token(seed, key, kid=None)) == "Anna Müller"
        provider.keys = [Key("first"), other]
        assert await told(service, token(seed, other)) == "Anna Müller"
        for key in (Key("first"), other):
            assert await told(service, token(seed, key, kid=None)) == INVALID


async def test_keys_of_one_id_are_told_apart_by_what_they_verify(seed: Seed, dsn: str, provider: Provider) -> None:
    curve, rsa_key = Key("curve"), Key("rsa", "RS256")
    provider.keys = [curve.jwk(kid="same"), rsa_key.jwk(kid="same")]
    async with trusting(dsn, provider.url) as service:
        for key in (curve, rsa_key):
            assert await told(service, token(seed, key, kid="same")) == "Anna Müller"


# ---- keys that change


async def test_new_key_is_fetched_once_and_a_withdrawn_one_opens_nothing(
    seed: Seed, provider: Provider, trusted: Service
) -> None:
    old = token(seed, Key("first"))
    assert await told(trusted, old) == "Anna Müller"
    new = token(seed, provider.rotate("second"))
    said = await asyncio.gather(*(told(trusted, new) for _ in range(50)))
    assert (set(said), provider.fetches) == ({"Anna Müller"}, 2)
    assert await told(trusted, old) == INVALID
    assert await told(trusted, token(seed, provider.rotate("third"))) == "Anna Müller"
    assert provider.fetches <= 4


async def test_keys_are_read_again_from_time_to_time(
    seed: Seed, dsn: str, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "READ_AGAIN", 0.05)
    async with trusting(dsn, provider.url) as service:
        assert await told(service, token(seed, Key("first"))) == "Anna Müller"
        provider.rotate("second")
        asked = provider.fetches
        await until(lambda: provider.fetches > asked + 1)
        assert await told(service, token(seed, Key("first"))) == INVALID


async def test_storm_of_invented_key_ids_makes_few_fetches_and_stops_nobody(
    seed: Seed, provider: Provider, trusted: Service
) -> None:
    good = token(seed, Key("first"))
    strangers = [token(seed, Key("stranger"), kid=f"invented {number}") for number in range(200)]
    for _ in range(2):
        said = await asyncio.gather(*(told(trusted, text) for text in [*strangers, good]))
        assert said == [INVALID] * 200 + ["Anna Müller"]
    assert provider.fetches <= 1 + jwks.MOST_SEARCHES


async def test_all_who_wait_for_an_unknown_key_share_one_fetch(provider: Provider) -> None:
    keys = Jwks(provider.url)
    wanted = [f"invented {number}" for number in range(200)] + ["first"]
    found = await asyncio.gather(*(keys.find(key_id, "ES256") for key_id in wanted))
    assert [key and key.id for key in found] == [None] * 200 + ["first"]
    assert provider.fetches == 1


async def test_search_for_a_key_is_free_again_after_a_while(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "SEARCHES_WITHIN", 0.2)
    keys = Jwks(provider.url)
    for _ in range(20):
        assert await keys.find("invented", "ES256") is None
    assert provider.fetches == jwks.MOST_SEARCHES
    key = provider.rotate("second")
    await asyncio.sleep(0.2)
    found = await keys.find(key.name, "ES256")
    assert found
    assert (found.id, set(found.algorithms)) == ("second", {"ES256"})


async def test_caller_who_goes_away_takes_the_fetch_from_nobody(provider: Provider) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slowly(_: web.Request) -> web.StreamResponse:
        begun.set()
        await may_end.wait()
        return web.Response(body=key_set(*provider.keys))

    provider.answer, keys = slowly, Jwks(provider.url)
    leaver, stayer = (asyncio.create_task(keys.find("first", "ES256")) for _ in range(2))
    await begun.wait()
    leaver.cancel()
    with suppress(asyncio.CancelledError):
        await leaver
    may_end.set()
    assert await stayer
    assert provider.fetches == 1


# ---- a provider that fails


async def answers(status: int = 200, body: bytes = b"", **said: Any) -> web.Response:
    return web.Response(status=status, body=body, **said)


async def hangs(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


async def drips(request: web.Request) -> web.StreamResponse:
    """A set of keys that never ends."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    with suppress(ConnectionError):
        await answer.write(b'{"keys": [')
        while True:
            await answer.write(b" " * 65536)
    return answer


async def hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.abort()
    return web.Response()


async def speaks_another_protocol(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.write(b"220 mail.example.com ESMTP\r\n")
    request.transport.close()
    return web.Response()


async def redirects(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/elsewhere.json")


BOMB = b"[" * 200_000
FAILURES: dict[str, tuple[Callable[[web.Request], Awaitable[web.StreamResponse]], str]] = {
    "error": (lambda _: answers(500, b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0"), "the answer was HTTP 500"),
    "empty": (lambda _: answers(), "it is no JSON"),
    "page": (lambda _: answers(body=b"<h1>Log in</h1>"), "it is no JSON"),
    "list": (lambda _: answers(body=b"[1, 2]"), "it is no JWK set"),
    "keys that are none": (lambda _: answers(body=b'{"keys": {"first": 1}}'), "it is no JWK set"),
    "no keys": (lambda _: answers(body=b'{"keys": []}'), "no key in it is for signatures, public and strong enough"),
    "deep": (lambda _: answers(body=BOMB), "it is no JSON"),
    "no text": (lambda _: answers(body=b"\xff\xfe\x00\xd8"), "it is no JSON"),
    "huge": (lambda _: answers(body=b" " * 300_000 + key_set(Key("evil"))), "there are more than 262,144 octets"),
    "endless": (drips, "there are more than 262,144 octets"),
    "hanging": (hangs, "TimeoutError"),
    "hanging up": (hangs_up, "ServerDisconnectedError"),
    "speaking SMTP": (speaks_another_protocol, "ClientResponseError"),
    "redirecting": (redirects, "the answer was HTTP 302"),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_provider_that_fails_locks_nobody_out(
    seed: Seed, provider: Provider, trusted: Service, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    if failure == "hanging":
        monkeypatch.setattr(jwks, "MOST_SECONDS", 0.3)
    old, new = token(seed, Key("first")), token(seed, Key("second"))
    provider.answer, why = FAILURES[failure]
    said = await asyncio.gather(*(told(trusted, text) for text in (new, old)))
    assert said == [INVALID, "Anna Müller"]
    (line,) = [line for line in NET.heard().splitlines() if "identity provider not read" in line]
    logged = json.loads(line)
    assert (logged["level"], logged["why"], logged["kept"]) == ("warning", why, 1)
    provider.answer = None
    provider.rotate("second")
    assert await told(trusted, new) == "Anna Müller"


async def test_service_starts_while_its_provider_is_away(seed: Seed, dsn: str, provider: Provider) -> None:
    provider.answer = FAILURES["error"][0]
    async with trusting(dsn, provider.url) as service:
        assert await told(service, token(seed, Key("first"))) == INVALID
        provider.answer = None
        assert await told(service, token(seed, Key("first"))) == "Anna Müller"


# ---- a file


async def test_file_is_read_again_when_it_changed(seed: Seed, dsn: str, tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(key_set(Key("first")))
    async with trusting(dsn, path) as service:
        assert await told(service, token(seed, Key("first"))) == "Anna Müller"
        draft = tmp_path / "draft"
        draft.write_bytes(key_set(Key("second")))
        draft.rename(path)
        assert await told(service, token(seed, Key("first"))) == INVALID
        assert await told(service, token(seed, Key("second"))) == "Anna Müller"
        for break_ in (lambda: path.write_text("half of"), path.unlink):
            break_()
            assert await told(service, token(seed, Key("second"))) == "Anna Müller"
        path.write_bytes(key_set(Key("third")))
        assert await told(service, token(seed, Key("third"))) == "Anna Müller"


async def test_file_that_stays_as_it_is_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(key_set(Key("first")))
    keys = Jwks(str(path))
    assert await keys.find("first", "ES256")
    read_at = path.stat().st_atime_ns
    os.utime(path, ns=(read_at - 10**12, path.stat().st_mtime_ns))
    for _ in range(3):
        assert await keys.find("first", "ES256")
    assert path.stat().st_atime_ns == read_at - 10**12


# ---- keys that are none of ours


def short_rsa() -> dict[str, Any]:
    public = rsa.generate_private_key(65537, 1024).public_key()
    return {**json.loads(RSAAlgorithm.to_jwk(public)), "kid": "short"}


def bitcoin() -> dict[str, Any]:
    return {**json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256K1()).public_key())), "kid": "bitcoin"}


USELESS: dict[str, Callable[[], dict[str, Any]]] = {
    "for encryption": lambda: Key("first").jwk(use="enc"),
    "for other operations": lambda: Key("first").jwk(use=None, key_ops=["encrypt"]),
    "of operations that are none": lambda: Key("first").jwk(key_ops=7),
    "symmetric": lambda: {"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode(), "alg": "HS256", "kid": "s"},
    "of an unknown kind": lambda: Key("first").jwk(kty="PQC"),
    "of an unknown curve": lambda: Key("first").jwk(crv="P-1"),
    "of a curve that nobody asked for": bitcoin,
    "too short": short_rsa,
    "of an algorithm of another kind": lambda: Key("first").jwk(alg="RS256"),
    "of a symmetric algorithm": lambda: Key("rsa", "RS256").jwk(alg="HS256"),
    "of no algorithm": lambda: Key("rsa", "RS256").jwk(alg="none"),
    "without its parts": lambda: Key("first").jwk(x=None),
    "of a point that is on no curve": lambda: Key("first").jwk(y="AAAA"),
    "of an exponent that proves nothing": lambda: Key("rsa", "RS256").jwk(e="AQ"),
}


@pytest.mark.parametrize("useless", USELESS)
def test_key_that_is_not_for_us_is_left_out(useless: str) -> None:
    kept = [key.id for key in read_keys(key_set(USELESS[useless](), Key("good")))]
    assert kept == ["good"]
    with pytest.raises(JwksError, match="no key in it is for signatures, public and strong enough"):
        read_keys(key_set(USELESS[useless]()))


def test_private_half_is_not_looked_at() -> None:
    whole = json.loads(ECAlgorithm.to_jwk(Key("first").private))  # type: ignore[arg-type]
    found = read_key({**whole, "kid": "first", "key_ops": None} | {"key_ops": ["verify"]})
    assert found
    assert isinstance(found.key, ec.EllipticCurvePublicKey)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = ["kty", "use", "key_ops", "alg", "kid", "n", "e", "crv", "x", "y"]


WORDS = st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB", "sig", "ES256"])


@given(st.dictionaries(st.sampled_from(MEMBERS), JSON | WORDS))
def test_nothing_that_stands_for_a_key_breaks_the_reader(jwk: dict[str, Any]) -> None:
    found = read_key(jwk)
    assert found is None or found.algorithms


@given(st.binary(max_size=100) | JSON.map(lambda value: json.dumps({"keys": value}).encode()))
def test_nothing_that_stands_for_a_set_breaks_the_reader(octets: bytes) -> None:
    with pytest.raises(JwksError):
        read_keys(octets)


# ---- tokens that want to be believed


@pytest.mark.parametrize("own_secret", [True, False], ids=["beside a secret", "without a secret"])
async def test_public_key_is_never_taken_for_a_secret(
    seed: Seed, dsn: str, provider: Provider, own_secret: bool
) -> None:
    key = Key("rsa", "RS256")
    provider.keys = [key]
    public, said = key.private.public_key(), claims(seed.anna.id, seed.account_id)
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    jwk = key.jwk()
    secrets = [pem, pem.strip(), json.dumps(jwk).encode(), base64.urlsafe_b64decode(jwk["n"] + "=="), b""]
    secret = {} if own_secret else {"jwt_secret": None}
    async with trusting(dsn, provider.url, **secret) as service:
        assert await told(service, token(seed, key)) == "Anna Müller"
        for algorithm in ("HS256", "HS384", "HS512", "none", "", None, 7, ["RS256"], {"RS256": 1}):
            for header in ({"alg": algorithm, "kid": "rsa"}, {"alg": algorithm}):
                for forged in secrets:
                    assert await told(service, by_hand(header, said, forged)) == INVALID


async def test_secret_is_refused_where_there_is_none(seed: Seed, dsn: str, provider: Provider) -> None:
    async with trusting(dsn, provider.url, jwt_secret=None) as service:
        assert await told(service, token(seed, Key("first"))) == "Anna Müller"
        assert await told(service, bearer(seed.anna, jwt_issuer=ISSUER, jwt_audience=AUDIENCE)) == INVALID


async def test_key_verifies_by_its_own_algorithm_only(seed: Seed, dsn: str, provider: Provider) -> None:
    strong = Key("rsa", "PS512")
    provider.keys = [strong.jwk(alg="PS512")]
    said = claims(seed.anna.id, seed.account_id)
    async with trusting(dsn, provider.url) as service:
        assert await told(service, strong.sign(said)) == "Anna Müller"
        for algorithm in ("RS256", "RS512", "PS256"):
            assert await told(service, jwt.encode(said, strong.private, algorithm, {"kid": "rsa"})) == INVALID


async def test_key_that_a_token_brings_along_is_not_looked_at(seed: Seed, provider: Provider, trusted: Service) -> None:
    evil = Key("evil")
    brought = {"jwk": evil.jwk(), "jku": f"{provider.url}?evil", "x5u": "https://evil.example/", "x5c": ["AAAA"]}
    for kid in ("first", "evil", "../../../dev/null", "' OR 1=1 --", None):
        assert await told(trusted, token(seed, evil, kid=kid, **brought)) == INVALID
    for crit in (["exp"], ["b64"], [], "exp"):
        assert await told(trusted, token(seed, Key("first"), crit=crit, exp=1)) == INVALID


async def test_token_that_was_changed_is_refused(seed: Seed, trusted: Service) -> None:
    header, payload, signature = token(seed, Key("first")).split(".")
    other = token(seed, Key("first"), typ="other").split(".")
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    for text in (
        f"{header}.{payload}.{flipped}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{other[0]}.{payload}.{signature}",
        f"{header}.{payload}.{signature}.{signature}",
        f"{header}.{payload}.{'A' * 86}",
        "..",
        "a.b.c",
    ):
        assert await told(trusted, text) == INVALID
    assert await told(trusted, f"  {header}.{payload}.{signature} ") == "Anna Müller"
    assert JWT_SECRET not in NET.heard()

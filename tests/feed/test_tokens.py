"""Tokens: what is signed here is read back, and nothing else is."""

import base64
import hmac
import string
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.tokens import CONTEXT, FEED_TOKEN, PREFIX, FeedToken, Keyring

NEW, OLD = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
KEYRING = Keyring.parse(f"k2:{NEW}, k1:{OLD}")
TOKEN = FeedToken("k1", UUID("01890000-0000-7000-8000-000000000001"), UUID("01890000-0000-7000-8000-000000000002"), 3)
LETTERS = string.ascii_letters + string.digits + "-_"

key_ids = st.text(LETTERS, min_size=1, max_size=8)
tokens = st.builds(FeedToken, st.sampled_from(["k1", "k2"]), st.uuids(), st.uuids(), st.integers(0, 2**32 - 1))
bodies = st.text(LETTERS + "=+/. ", max_size=120)


def octets_of(text: str) -> bytes:
    body = text.removeprefix(PREFIX)
    return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))


def text_of(octets: bytes) -> str:
    return PREFIX + base64.urlsafe_b64encode(octets).decode().rstrip("=")


@given(tokens)
def test_signed_token_is_read_back(token: FeedToken) -> None:
    assert KEYRING.verify(KEYRING.sign(token)) == token


def test_token_is_the_same_for_ever() -> None:
    """Links live for years in other people's clouds: this text must stay valid."""
    text = "cf1_AmsxAYkAAAAAcACAAAAAAAAAAQGJAAAAAHAAgAAAAAAAAAIAAAADPajzLu8zrowsJ5-HV6Y7ZQ"
    assert KEYRING.sign(TOKEN) == text
    assert KEYRING.verify(text) == TOKEN


@given(tokens)
@settings(max_examples=10)  # each is tried at every place
def test_token_with_any_one_bit_changed_is_refused(token: FeedToken) -> None:
    octets = octets_of(KEYRING.sign(token))
    for place in range(len(octets) * 8):
        flipped = bytearray(octets)
        flipped[place // 8] ^= 1 << place % 8
        assert KEYRING.verify(text_of(bytes(flipped))) is None


@given(tokens)
@settings(max_examples=10)  # each is tried at every place
def test_token_with_any_one_character_changed_is_refused(token: FeedToken) -> None:
    """Those too that spell the same octets: of the bits of the last character some are in none."""
    text = KEYRING.sign(token)
    for place, right in enumerate(text):
        for other in set(LETTERS + "=+/") - {right}:
            assert KEYRING.verify(text[:place] + other + text[place + 1 :]) is None


@given(tokens)
def test_truncated_token_is_refused_wherever_it_is_cut(token: FeedToken) -> None:
    text, octets = KEYRING.sign(token), octets_of(KEYRING.sign(token))
    for length in range(len(text)):
        assert KEYRING.verify(text[:length]) is None
        assert KEYRING.verify(text[length + 1 :]) is None
    for length in range(len(octets)):
        assert KEYRING.verify(text_of(octets[:length])) is None


@given(tokens, st.text(min_size=1))
def test_token_with_something_added_is_refused(token: FeedToken, more: str) -> None:
    text = KEYRING.sign(token)
    assert KEYRING.verify(text + more) is None
    assert KEYRING.verify(more + text) is None
    assert KEYRING.verify(text + "A" * 1_000_000) is None


@given(tokens, st.integers(0, 2**32 - 1))
def test_token_of_another_generation_is_refused(token: FeedToken, generation: int) -> None:
    octets = octets_of(KEYRING.sign(token))
    changed = text_of(octets[:-20] + generation.to_bytes(4, "big") + octets[-16:])
    assert KEYRING.verify(changed) == (token if generation == token.generation else None)


@given(st.text() | bodies)
def test_garbage_is_refused(text: str) -> None:
    assert KEYRING.verify(text) is None
    assert KEYRING.verify(PREFIX + text) is None


@given(st.binary(max_size=100) | st.binary(min_size=53, max_size=62))
def test_octets_that_were_not_signed_are_refused(octets: bytes) -> None:
    assert KEYRING.verify(text_of(octets)) is None
    assert KEYRING.verify(text_of(b"\x02k1" + octets)) is None


def test_token_of_another_key_is_refused() -> None:
    stranger = Keyring.parse(f"k1:{NEW}")
    assert KEYRING.verify(stranger.sign(TOKEN)) is None
    assert Keyring.parse(f"k3:{OLD}").verify(KEYRING.sign(TOKEN)) is None


def test_other_spelling_of_the_same_octets_is_refused() -> None:
    text = KEYRING.sign(TOKEN)
    assert "-" in text
    others = (
        text + "=",
        text + "==",
        text + "\n",
        " " + text,
        text.replace("-", "+"),
        text.replace(PREFIX, "CF1_"),
        text.replace("Q", "Ｑ"),
        text.removeprefix(PREFIX),
    )
    assert [other for other in others if KEYRING.verify(other)] == []


@given(st.data(), key_ids)
def test_only_one_spelling_of_its_octets_verifies(data: st.DataObject, key_id: str) -> None:
    """Of two octets more than three make, the last character has four bits to spare; of one, two."""
    keyring = Keyring.parse(f"{key_id}:{NEW}")
    text = keyring.sign(FeedToken(key_id, TOKEN.account_id, TOKEN.link_id, data.draw(st.integers(0, 2**32 - 1))))
    spellings = [text[:-1] + letter for letter in LETTERS]
    alike = [spelling for spelling in spellings if octets_of(spelling) == octets_of(text)]
    assert len(alike) == 4 ** (-len(octets_of(text)) % 3)
    assert [spelling for spelling in spellings if keyring.verify(spelling)] == [text]


REFUSED = {
    "empty": "",
    "garbage": "x" * 78,
    "prefix alone": PREFIX,
    "truncated": KEYRING.sign(TOKEN)[:-1],
    "a character short of an octet": PREFIX + "A" * 73,
    "overlong": KEYRING.sign(TOKEN) + "A" * 1_000_000,
    "not ASCII": KEYRING.sign(TOKEN)[:-1] + "é",
    "other spelling": KEYRING.sign(TOKEN)[:-1] + "R",
    "wrong length of the key id": text_of(b"\3" + octets_of(KEYRING.sign(TOKEN))[1:]),
    "flipped bit of the MAC": text_of(octets_of(KEYRING.sign(TOKEN))[:-1] + b"\0"),
    "foreign key": Keyring.parse(f"k1:{NEW}").sign(TOKEN),
    "unknown key id": Keyring.parse(f"k3:{OLD}").sign(FeedToken("k3", TOKEN.account_id, TOKEN.link_id, 3)),
    "unknown long key id": Keyring.parse(f"longest8:{OLD}").sign(
        FeedToken("longest8", TOKEN.account_id, TOKEN.link_id, 3)
    ),
    "key id that is none": text_of(b"\2\xff\xff" + octets_of(KEYRING.sign(TOKEN))[3:]),
    "other generation": text_of(octets_of(KEYRING.sign(TOKEN))[:-17] + b"\4" + octets_of(KEYRING.sign(TOKEN))[-16:]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refusal_is_one_hmac_and_one_comparison_whatever_the_kind(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    work = []

    def noted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any) -> Any:
            work.append((function.__name__, *(blocks(value) for value in values if isinstance(value, bytes))))
            return function(*values)

        return call

    monkeypatch.setattr(hmac, "digest", noted(hmac.digest))
    monkeypatch.setattr(hmac, "compare_digest", noted(hmac.compare_digest))
    assert KEYRING.verify(REFUSED[kind]) is None
    assert work == [("digest", 1, 2), ("compare_digest", 1, 1)]


def blocks(octets: bytes) -> int:
    """How many blocks of SHA-256 they fill, with the end mark and the length that it adds: its work counts in them."""
    return -(-(len(octets) + 9) // 64)


@pytest.mark.parametrize("guess", [b"", bytes(32), NEW.encode(), OLD.encode()])
def test_unknown_key_is_held_against_one_that_cannot_be_guessed(guess: bytes) -> None:
    payload = octets_of(KEYRING.sign(TOKEN))[:-16].replace(b"k1", b"k3")
    assert KEYRING.verify(text_of(payload + hmac.digest(guess, CONTEXT + payload, "sha256")[:16])) is None


@given(tokens, key_ids)
def test_every_token_is_what_secret_scanners_look_for(token: FeedToken, key_id: str) -> None:
    text = Keyring.parse(f"{key_id}:{NEW}").sign(FeedToken(key_id, token.account_id, token.link_id, token.generation))
    assert FEED_TOKEN.fullmatch(text)
    assert FEED_TOKEN.findall(f"GET /feeds/{text}/Sales-team.ics HTTP/1.1") == [text]


def test_shortest_and_longest_token_are_as_long_as_secret_scanners_expect() -> None:
    lengths = {}
    for size in range(1, 9):
        keyring = Keyring.parse(f"{'k' * size}:{NEW}")
        lengths[size] = len(keyring.sign(FeedToken("k" * size, TOKEN.account_id, TOKEN.link_id, 1))) - len(PREFIX)
    assert lengths == {1: 72, 2: 74, 3: 75, 4: 76, 5: 78, 6: 79, 7: 80, 8: 82}
    assert FEED_TOKEN.pattern == "cf1_[A-Za-z0-9_-]{72,82}"


def test_key_used_for_something_else_signs_nothing_here() -> None:
    assert CONTEXT.startswith(b"calendar-feeds ")
    assert CONTEXT.endswith(b"\0")


def test_newest_key_is_the_first_and_dropped_key_cannot_sign() -> None:
    assert KEYRING.newest == "k2"
    with pytest.raises(KeyError):
        Keyring.parse(f"k2:{NEW}").sign(TOKEN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "key 1 must be written id:key, the id of 1 to 8 letters, digits, - or _"),
        (NEW, "key 1 must be written id:key, the id of 1 to 8 letters, digits, - or _"),
        (f"a b:{NEW}", "key 1 must be written id:key, the id of 1 to 8 letters, digits, - or _"),
        (f"k1:{NEW},k2:short", "key 2 (k2) must have at least 32 characters: `openssl rand -hex 32`"),
        (f"k1:{NEW},k1:{OLD}", "the key id k1 stands twice"),
    ],
)
def test_wrong_keys_are_named_but_never_repeated(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="key") as refused:
        Keyring.parse(text)
    assert str(refused.value) == message
    assert NEW not in str(refused.value)


# The secrets of webhooks


def test_secret_of_a_webhook_is_the_same_for_ever() -> None:
    """Receivers keep it; and it is another one for each key, account, webhook and generation."""
    account_id, webhook_id = TOKEN.account_id, TOKEN.link_id
    secret = KEYRING.webhook_secret("k1", account_id, webhook_id, 1)
    assert secret.hex() == "e29eca700e53be14bbd041342e1ce50c447998b43aa9dd6bae7906380a2fb72d"
    others = [
        KEYRING.webhook_secret("k2", account_id, webhook_id, 1),
        KEYRING.webhook_secret("k1", webhook_id, webhook_id, 1),
        KEYRING.webhook_secret("k1", account_id, account_id, 1),
        KEYRING.webhook_secret("k1", account_id, webhook_id, 2),
    ]
    assert len({secret, *others}) == 5


def test_secret_of_a_webhook_signs_no_token() -> None:
    """Not even for the link of the same id."""
    secret = KEYRING.webhook_secret(TOKEN.key_id, TOKEN.account_id, TOKEN.link_id, TOKEN.generation)
    assert octets_of(KEYRING.sign(TOKEN))[-16:] not in (secret[:16], secret[16:])


def test_webhook_whose_key_was_dropped_has_no_secret() -> None:
    with pytest.raises(KeyError):
        KEYRING.webhook_secret("k0", TOKEN.account_id, TOKEN.link_id, 1)

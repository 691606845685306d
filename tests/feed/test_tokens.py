"""Tokens: what is signed here is read back, and nothing else is."""

import base64
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.tokens import CONTEXT, PREFIX, FeedToken, Keyring

NEW, OLD = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
KEYRING = Keyring.parse(f"k2:{NEW}, k1:{OLD}")
TOKEN = FeedToken("k1", UUID("01890000-0000-7000-8000-000000000001"), UUID("01890000-0000-7000-8000-000000000002"), 3)

tokens = st.builds(FeedToken, st.sampled_from(["k1", "k2"]), st.uuids(), st.uuids(), st.integers(0, 2**32 - 1))


@given(tokens)
def test_signed_token_is_read_back(token: FeedToken) -> None:
    assert KEYRING.verify(KEYRING.sign(token)) == token


def test_token_is_the_same_for_ever() -> None:
    """Links live for years in other people's clouds: this text must stay valid."""
    text = "cf1_AmsxAYkAAAAAcACAAAAAAAAAAQGJAAAAAHAAgAAAAAAAAAIAAAADPajzLu8zrowsJ5-HV6Y7ZQ"
    assert KEYRING.sign(TOKEN) == text
    assert KEYRING.verify(text) == TOKEN


@given(tokens, st.data())
def test_token_with_one_changed_character_is_refused(token: FeedToken, data: st.DataObject) -> None:
    text = KEYRING.sign(token)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="))
    changed = text[:place] + other + text[place + 1 :]
    assert KEYRING.verify(changed) == (token if changed == text else None)


@given(tokens, st.integers(0, 77))
def test_truncated_token_is_refused(token: FeedToken, length: int) -> None:
    assert KEYRING.verify(KEYRING.sign(token)[:length]) is None


@given(st.text())
def test_garbage_is_refused(text: str) -> None:
    assert KEYRING.verify(text) is None
    assert KEYRING.verify(PREFIX + text) is None


@given(st.binary(max_size=100))
def test_octets_that_were_not_signed_are_refused(octets: bytes) -> None:
    assert KEYRING.verify(PREFIX + base64.urlsafe_b64encode(octets).decode().rstrip("=")) is None


def test_token_of_another_key_is_refused() -> None:
    stranger = Keyring.parse(f"k1:{NEW}")
    assert KEYRING.verify(stranger.sign(TOKEN)) is None
    assert Keyring.parse(f"k3:{OLD}").verify(KEYRING.sign(TOKEN)) is None


def test_other_spelling_of_the_same_octets_is_refused() -> None:
    text = KEYRING.sign(TOKEN)
    assert KEYRING.verify(text + "=") is None
    assert KEYRING.verify(text + "==") is None
    assert KEYRING.verify(text + "\n") is None
    assert KEYRING.verify(text.replace(PREFIX, "CF1_")) is None


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

"""The form of API keys: what is made is read back, and nothing else is a key."""

import base64
import hashlib
import string
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from api.api_keys import API_KEY, PREFIX, ApiKeyText, hash_api_key, make_api_key, read_api_key

ACCOUNT, KEY = UUID("01890000-0000-7000-8000-000000000001"), UUID("01890000-0000-7000-8000-000000000002")
LETTERS = string.ascii_letters + string.digits + "-_"


@given(st.uuids(), st.uuids())
def test_key_that_was_made_is_read_back_with_the_hash_of_its_whole_text(account_id: UUID, key_id: UUID) -> None:
    text = make_api_key(account_id, key_id)
    assert read_api_key(text) == ApiKeyText(account_id, key_id, hashlib.sha256(text.encode()).digest())


def test_key_matches_its_own_hash_alone() -> None:
    text, other = make_api_key(ACCOUNT, KEY), make_api_key(ACCOUNT, KEY)
    key = read_api_key(text)
    assert text != other
    assert key is not None
    assert key.matches(hash_api_key(text))
    assert not key.matches(hash_api_key(other))
    assert not key.matches(b"")
    assert "hash" not in repr(key)


@given(st.uuids(), st.uuids())
def test_every_key_is_what_secret_scanners_look_for(account_id: UUID, key_id: UUID) -> None:
    text = make_api_key(account_id, key_id)
    assert len(text) == 90
    assert API_KEY.findall(f"Authorization: Bearer {text}\r\n") == [text]
    assert API_KEY.pattern == "cfk_[A-Za-z0-9_-]{85}[AQgw]"


def test_every_octet_is_read_from_one_spelling_only() -> None:
    text = make_api_key(ACCOUNT, KEY)
    octets = base64.urlsafe_b64decode(text.removeprefix(PREFIX) + "==")
    spellings = [text[:-1] + letter for letter in LETTERS]
    alike = [one for one in spellings if base64.urlsafe_b64decode(one.removeprefix(PREFIX) + "==") == octets]
    assert len(alike) == 16
    assert [one for one in alike if read_api_key(one)] == [text]


def test_other_form_is_no_key() -> None:
    text = make_api_key(ACCOUNT, KEY)
    others = [
        "",
        PREFIX,
        text + "A",
        text + "==",
        text + "\n",
        " " + text,
        text.removeprefix(PREFIX),
        text.replace(PREFIX, "CFK_"),
        text.replace(PREFIX, "cf1_"),
        text[:-2] + "é" + text[-1],
        *(text[:length] for length in range(len(text))),
    ]
    assert [other for other in others if read_api_key(other)] == []


@given(st.text())
def test_garbage_is_no_key(text: str) -> None:
    assert read_api_key(text) is None
    assert read_api_key(PREFIX + text) is None

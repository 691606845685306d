"""Tokens: the secret part of a link's URL, derived from the link and never stored; likewise the secrets of webhooks.

    cf1_ base64url( key id · account id · link id · generation · HMAC-SHA256 cut to 128 bits )

The key id is a length octet and as many ASCII octets, the ids are 16 octets each, the generation 4, big-endian. No
database is needed to refuse what was not signed here, and every refusal is the same work.
"""

import base64
import hashlib
import hmac
import re
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

PREFIX = "cf1_"
CONTEXT = b"calendar-feeds feed link v1\0"  # a key used for something else as well signs nothing that is valid here
WEBHOOK_CONTEXT = b"calendar-feeds webhook v1\0"  # so that no secret of a webhook signs a token, nor the other way
MAC_OCTETS = 16
CLAIMS = struct.Struct(">16s16sI")
KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,8}")
SHORTEST_KEY = 32  # characters: 128 bits in hexadecimal
# For secret scanners, too: 72 characters after the prefix with a key id of one character, 82 with one of eight.
FEED_TOKEN = re.compile(r"cf1_[A-Za-z0-9_-]{72,82}")
MALFORMED = PREFIX + "A" * 72  # what malformed texts are read as: a token of the key "\0", which no ring has


@dataclass(frozen=True, slots=True)
class FeedToken:
    """What a valid token says. That its link still exists and is of this generation only the database knows."""

    key_id: str
    account_id: UUID
    link_id: UUID
    generation: int


class Keyring:
    """The secret keys, newest first. New and reset links are signed with the newest; all verify."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = keys
        self._unknown = secrets.token_bytes(SHORTEST_KEY)  # in place of keys that are not here; nobody knows it
        self.key_ids = tuple(keys)
        self.newest = self.key_ids[0]

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        """Read "id:key,id:key", newest first. `ValueError` says what is wrong without repeating a key."""
        keys: dict[str, bytes] = {}
        for place, item in enumerate(text.split(","), 1):
            key_id, _, key = item.strip().partition(":")
            if not KEY_ID.fullmatch(key_id):
                raise ValueError(f"key {place} must be written id:key, the id of 1 to 8 letters, digits, - or _")
            if len(key) < SHORTEST_KEY:
                raise ValueError(
                    f"key {place} ({key_id}) must have at least {SHORTEST_KEY} characters: `openssl rand -hex 32`"
                )
            if key_id in keys:
                raise ValueError(f"the key id {key_id} stands twice")
            keys[key_id] = key.encode()
        return cls(keys)

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._keys

    def sign(self, token: FeedToken) -> str:
        """The text of the token; `KeyError` if its key was dropped."""
        claims = CLAIMS.pack(token.account_id.bytes, token.link_id.bytes, token.generation)
        payload = bytes([len(token.key_id)]) + token.key_id.encode() + claims
        return _encode(payload + _mac(self._keys[token.key_id], payload))

    def webhook_secret(self, key_id: str, account_id: UUID, webhook_id: UUID, generation: int) -> bytes:
        """The 32 octets by which a webhook's receiver knows us, never stored; `KeyError` if that key was dropped."""
        claims = CLAIMS.pack(account_id.bytes, webhook_id.bytes, generation)
        return hmac.digest(self._keys[key_id], WEBHOOK_CONTEXT + claims, hashlib.sha256)

    def verify(self, text: str) -> FeedToken | None:
        """The token, or None if it was not signed with one of the keys: always one HMAC and one comparison."""
        octets = _decode(text)
        payload, mac = octets[:-MAC_OCTETS], octets[-MAC_OCTETS:]
        key_id = payload[1 : -CLAIMS.size].decode("ascii", "replace")
        expected = _mac(self._keys.get(key_id, self._unknown), payload)
        if not hmac.compare_digest(mac, expected) or _encode(octets) != text:  # other spellings of the same octets
            return None
        account_id, link_id, generation = CLAIMS.unpack(payload[-CLAIMS.size :])
        return FeedToken(key_id, UUID(bytes=account_id), UUID(bytes=link_id), generation)


def _mac(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, CONTEXT + payload, hashlib.sha256)[:MAC_OCTETS]


def _encode(octets: bytes) -> str:
    return PREFIX + base64.urlsafe_b64encode(octets).decode().rstrip("=")


def _decode(text: str) -> bytes:
    if not FEED_TOKEN.fullmatch(text) or len(text) % 4 == 1:  # a last character of 6 bits alone
        text = MALFORMED
    return base64.urlsafe_b64decode(text[len(PREFIX) :] + "=" * (-len(text) % 4))

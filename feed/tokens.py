"""Tokens: the secret part of a link's URL, derived from the link and never stored.

    cf1_ base64url( key id · account id · link id · generation · HMAC-SHA256 cut to 128 bits )

The key id is a length octet and as many ASCII octets, the ids are 16 octets each, the generation 4, big-endian. No
database is needed to refuse what was not signed here.
"""

import base64
import binascii
import hashlib
import hmac
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

PREFIX = "cf1_"
CONTEXT = b"calendar-feeds feed link v1\0"  # a key used for something else as well signs nothing that is valid here
MAC_OCTETS = 16
CLAIMS = struct.Struct(">16s16sI")
KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,8}")
SHORTEST_KEY = 32  # characters: 128 bits in hexadecimal


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
        self.newest = next(iter(keys))

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
        return PREFIX + base64.urlsafe_b64encode(payload + self._mac(token.key_id, payload)).decode().rstrip("=")

    def verify(self, text: str) -> FeedToken | None:
        """The token, or None if it was not signed with one of the keys."""
        octets = _decode(text)
        if octets is None:
            return None
        payload, mac = octets[:-MAC_OCTETS], octets[-MAC_OCTETS:]
        key_id = payload[1 : 1 + payload[0]].decode("ascii", "replace")
        if len(payload) != 1 + payload[0] + CLAIMS.size or key_id not in self._keys:
            return None
        if not hmac.compare_digest(mac, self._mac(key_id, payload)):
            return None
        account_id, link_id, generation = CLAIMS.unpack(payload[1 + payload[0] :])
        return FeedToken(key_id, UUID(bytes=account_id), UUID(bytes=link_id), generation)

    def _mac(self, key_id: str, payload: bytes) -> bytes:
        return hmac.digest(self._keys[key_id], CONTEXT + payload, hashlib.sha256)[:MAC_OCTETS]


def _decode(text: str) -> bytes | None:
    """The octets of a well-formed token: only the one spelling that `sign` writes."""
    body = text.removeprefix(PREFIX)
    if body == text or not body.isascii():
        return None
    try:
        octets = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    if len(octets) <= MAC_OCTETS or base64.urlsafe_b64encode(octets).decode().rstrip("=") != body:
        return None
    return octets

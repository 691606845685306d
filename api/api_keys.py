"""API keys: what integrators call the API with. Only the SHA-256 of a key's text is kept.

    cfk_ base64url( account id · key id · secret )

The ids are 16 octets each, the secret 32. It is random, so a slow hash or a salt would add nothing.
"""

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

PREFIX = "cfk_"
SECRET_OCTETS = 32
LONGEST_KEY_NAME = 100
# For secret scanners, too. The last of the 86 characters has two bits of the 64 octets, the rest of it is zero.
API_KEY = re.compile(r"cfk_[A-Za-z0-9_-]{85}[AQgw]")


class Scope(StrEnum):
    """What an API key may do."""

    FEEDS_READ = "feeds:read"
    FEEDS_WRITE = "feeds:write"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    USERS_ACT = "users:act"  # for one of them, and see the URLs of their links
    CALENDARS_READ = "calendars:read"
    CALENDARS_WRITE = "calendars:write"
    ACCESS_WRITE = "access:write"
    ACTIVITIES_READ = "activities:read"
    ACTIVITIES_WRITE = "activities:write"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    POLICY_WRITE = "policy:write"
    AUDIT_READ = "audit:read"


@dataclass(frozen=True, slots=True)
class ApiKeyText:
    """What a key says about itself; whether there is such a key the database says."""

    account_id: UUID
    key_id: UUID
    hash: bytes = field(repr=False)

    def matches(self, kept: bytes) -> bool:
        """Whether this is the key of that hash, in a time that tells nothing about the hash."""
        return hmac.compare_digest(self.hash, kept)


def make_api_key(account_id: UUID, key_id: UUID) -> str:
    """The text of a new key; it differs from call to call."""
    octets = account_id.bytes + key_id.bytes + secrets.token_bytes(SECRET_OCTETS)
    return PREFIX + base64.urlsafe_b64encode(octets).decode().rstrip("=")


def hash_api_key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def is_key_name(name: str) -> bool:
    return 0 < len(name) <= LONGEST_KEY_NAME and name.isprintable() and name == name.strip()


def read_api_key(text: str) -> ApiKeyText | None:
    """What a key of the right form says, in the one spelling that it has; None for any other text."""
    if not API_KEY.fullmatch(text):
        return None
    octets = base64.urlsafe_b64decode(text.removeprefix(PREFIX) + "==")
    return ApiKeyText(UUID(bytes=octets[:16]), UUID(bytes=octets[16:32]), hash_api_key(text))

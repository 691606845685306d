"""Sending to the receivers of webhooks: what they are told, signed as Standard Webhooks have it."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from strawberry.relay import to_base64
from yarl import URL

from api.webhooks.reach import AddressForbiddenError, Resolver, checking_sockets
from db.audit import Network
from db.deliveries import ClaimedDelivery, DeliveryError
from feed.tokens import Keyring

SECRET_PREFIX = "whsec_"  # noqa: S105  # for secret scanners, too
TIMEOUT_SECONDS = 10.0
MOST_LOOKUPS = 20  # of names at once
TAKEN = range(200, 300)  # the statuses by which a receiver says that it has it
HEADERS = {"Content-Type": "application/json", "User-Agent": "calendar-feeds"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver answered, or why it could not; without an error it has the delivery."""

    status: int | None = None
    error: DeliveryError | None = None


class Receivers:
    """Sends while it is `open`; from one delivery to the next it keeps neither connections nor cookies."""

    def __init__(self, keyring: Keyring, networks: Sequence[Network], seconds: float = TIMEOUT_SECONDS) -> None:
        self._keyring = keyring
        self._networks = networks
        self._timeout = ClientTimeout(total=seconds)
        self._sessions: dict[str, ClientSession] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        threads = ThreadPoolExecutor(MOST_LOOKUPS, "webhook-names")
        self._sessions = {scheme: self._session(scheme, Resolver(threads)) for scheme in ("https", "http")}
        try:
            yield
        finally:
            for session in self._sessions.values():
                await session.close()
            threads.shutdown(wait=False, cancel_futures=True)

    async def send(self, delivery: ClaimedDelivery, at: datetime) -> Answer:
        """One attempt."""
        try:
            secret = secret_of(self._keyring, delivery)
        except KeyError:
            return Answer(error="NO_KEY")
        body = payload(delivery)
        try:
            return await self._post(delivery.url, body, HEADERS | signed(secret, delivery, at, body))
        except TimeoutError:
            return Answer(error="TIMEOUT")
        except ClientSSLError:
            return Answer(error="TLS")
        except ClientConnectorError as exc:
            is_forbidden = isinstance(exc.os_error, AddressForbiddenError)
            return Answer(error="ADDRESS_FORBIDDEN" if is_forbidden else "UNREACHABLE")
        except (ClientError, OSError, ValueError):
            return Answer(error="UNREACHABLE")

    async def _post(self, text: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """What is answered besides the status is not read."""
        url = URL(text)
        async with self._sessions[url.scheme].post(url, data=body, headers=headers, allow_redirects=False) as answer:
            return Answer(answer.status, None if answer.status in TAKEN else "STATUS")

    def _session(self, scheme: str, resolver: Resolver) -> ClientSession:
        sockets = checking_sockets(scheme, self._networks)
        connector = TCPConnector(limit=0, force_close=True, resolver=resolver, socket_factory=sockets)
        return ClientSession(
            connector=connector, cookie_jar=DummyCookieJar(), timeout=self._timeout, auto_decompress=False
        )


def secret_text(secret: bytes) -> str:
    """The secret as receivers keep it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def secret_of(keyring: Keyring, delivery: ClaimedDelivery) -> bytes:
    return keyring.webhook_secret(delivery.key_id, delivery.account_id, delivery.webhook_id, delivery.generation)


def signed(secret: bytes, delivery: ClaimedDelivery, at: datetime, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks, symmetric: the id is the same at each attempt, the time is the attempt's."""
    message_id, timestamp = to_base64("WebhookDelivery", str(delivery.id)), str(int(at.timestamp()))
    mac = hmac.digest(secret, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def payload(delivery: ClaimedDelivery) -> bytes:
    """The body, the same at each attempt: made of what was kept when it happened, none of which is secret."""
    said = {"type": delivery.event, "timestamp": _moment(delivery.created_at), "data": _data(delivery.facts)}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


def _data(facts: Mapping[str, Any]) -> dict[str, Any]:
    if not facts:
        return {}  # of a test
    data: dict[str, Any] = {
        "link": {"id": to_base64("FeedLink", facts["link_id"]), "name": facts["link_name"]},
        "user": _node("User", facts["user_id"], facts["user_external_id"]),
        "calendar": _node("Calendar", facts["calendar_id"], facts["calendar_external_id"]),
    }
    if "actor_type" in facts:
        data["actor"] = {"type": facts["actor_type"]}
    if "client" in facts:
        data["client"] = {"name": facts["client"]}
    if "last_polled_at" in facts:
        data["client"]["lastPolledAt"] = _moment(datetime.fromisoformat(facts["last_polled_at"]))
    return data


def _node(type_name: str, id_: str | None, external_id: str | None) -> dict[str, Any] | None:
    return {"id": to_base64(type_name, id_), "externalId": external_id} if id_ else None


def _moment(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")

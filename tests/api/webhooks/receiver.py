"""A receiver of webhooks: a real HTTP server that keeps what it is sent and answers what a test wants."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook

PATH = "/hooks/whsec_path+of+a+receiver+that+is+secret"  # a net catches it wherever it is told

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Received:
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def said(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def verified(self, secret: str) -> dict[str, Any]:
        """What is said, read by somebody else's program, which also looks at the time; it raises if we did not sign."""
        found: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return found


@dataclass
class Receiver:
    """Answers `statuses` one after the other, then 204; or as `answering` does."""

    server: TestServer
    statuses: list[int] = field(default_factory=list)
    answering: Answering | None = None
    received: list[Received] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return str(self.server.make_url(PATH))

    @property
    def events(self) -> list[str]:
        return [each.said["type"] for each in self.received]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.received.append(Received(dict(request.headers), await request.read()))
        self.came.set()
        if self.answering:
            return await self.answering(request)
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204)


@asynccontextmanager
async def receiver(*statuses: int, answering: Answering | None = None) -> AsyncIterator[Receiver]:
    app = web.Application()
    server = TestServer(app, host="127.0.0.1")
    found = Receiver(server, list(statuses), answering)
    app.router.add_route("*", "/{path:.*}", found.answer)
    await server.start_server(shutdown_timeout=0, access_log=None)  # its log would tell its path
    try:
        yield found
    finally:
        await server.close()


async def soon(true: Callable[[], object | Awaitable[object]], seconds: float = 10) -> None:
    """Wait for something that takes a moment."""
    async with asyncio.timeout(seconds):
        while True:
            found = true()
            if await found if isinstance(found, Awaitable) else found:
                return
            await asyncio.sleep(0.02)

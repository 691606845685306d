"""The screen in a browser, as its users have it before them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from db.pool import Conn
from db.users import UserRecord
from tests.seed import Service, bearer

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
PHONE = {"width": 390, "height": 844}
GOOGLE, IPHONE = "Google-Calendar-Importer", "iOS/17.5.1 (21F90) dataaccessd/1.0"  # User-Agents


@dataclass
class Screens:
    """Opens screens of a service, and keeps what they complain of and what they ask others than the service."""

    browser: Browser
    service: Service
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)  # addresses of others that may be asked
    contexts: list[BrowserContext] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def opening(cls, browser: Browser, service: Service) -> AsyncIterator["Screens"]:
        screens = cls(browser, service)
        yield screens
        for context in screens.contexts:
            await context.close()
        assert (screens.complaints, screens.strangers) == ([], [])

    @property
    def url(self) -> str:
        return str(self.service.client.make_url("/"))

    @staticmethod
    def token(user: UserRecord) -> str:
        return bearer(user)

    async def page(self, **said: Any) -> Page:
        """A page of a browser of its own, without anything in it."""
        given = {"locale": "en-GB", "permissions": ["clipboard-read", "clipboard-write"], **said}
        context = await self.browser.new_context(**given)
        self.contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._watch)
        return page

    async def open(self, user: UserRecord, fragment: str = "", **said: Any) -> Page:
        """The screen of a user, signed in as a link of the CRM does it."""
        page = await self.page(**said)
        await page.goto(f"{self.url}#token={bearer(user)}{fragment}")
        await page.locator(".feed").first.wait_for()
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _watch(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "about:", *self.known)):
            self.strangers.append(request.url)


async def polls_are_written(conn: Conn, count: int) -> None:
    """Until so many programs are in the database: what is known of polls is collected first."""
    async with asyncio.timeout(20):
        while await conn.fetchval("SELECT count(*) FROM feed_polls") < count:
            await asyncio.sleep(0.05)


async def violations(page: Page) -> list[str]:
    """What axe finds wrong with the page as it is."""
    await page.evaluate(AXE.read_text())
    found = await page.evaluate("async () => (await axe.run()).violations")
    return [f"{one['id']}: {node['html']} {node['failureSummary']}" for one in found for node in one["nodes"]]

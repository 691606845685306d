"""How the screen is handed its token, where that is not to be found afterwards, and what happens when it expires."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from playwright.async_api import Browser, Page, Route, expect

from api.app import create_app
from tests.process import free_port
from tests.seed import OurServer, Seed, Service, bearer, running_service, settings
from tests.web.screens import Screens, violations

EXPIRED = -timedelta(hours=1)
OTHER = "https://crm.example.com"
EXCERPT = re.compile(r"^```html\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What the page of the documentation leaves to the CRM: where its tokens come from. Here a test hands them over.
CRM = """<!doctype html><title>CRM</title><link rel="icon" href="data:,"><script>
const said = [], tokens = [];
addEventListener("message", (event) => said.push(event.data.event));
const freshToken = () => new Promise((resolve) => tokens.push(resolve));
</script>"""
PAGE = Path(__file__).parents[2] / "docs" / "front-end.md"


@asynccontextmanager
async def crm(port: int, screen: str, without: str = "") -> AsyncIterator[str]:
    """The address of a page on another origin that embeds the screen, as the documentation says."""
    (excerpt,) = EXCERPT.findall(PAGE.read_text())
    text = CRM + excerpt.replace("https://feeds.example.com/", screen).replace(without or "\0", "")

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    async with TestServer(app, host="localhost", port=port) as server:
        yield str(server.make_url("/"))


@asynccontextmanager
async def embedded(
    browser: Browser, dsn: str, origin: str | None = None, without: str = ""
) -> AsyncIterator[tuple[Screens, Page]]:
    """A page of the CRM that shows the screen of a service, which allows that to its origin, or to another one."""
    port = free_port()
    async with running_service(dsn, screen_origins=origin or f"http://localhost:{port}") as service:
        async with Screens.opening(browser, service) as screens, crm(port, screens.url, without) as host:
            screens.known.append(host)
            page = await screens.page()
            await page.goto(host)
            yield screens, page


async def test_token_is_kept_nowhere(seed: Seed, screens: Screens) -> None:
    token = bearer(seed.ben)
    page = await screens.page()
    await page.goto("about:blank")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    await page.goto(f"{screens.url}#token={token}")
    await page.locator(".feed").first.wait_for()
    kept = await page.evaluate(
        """async () => ({
          address: location.href,
          local: { ...localStorage },
          session: { ...sessionStorage },
          cookies: document.cookie,
          state: history.state,
          databases: await indexedDB.databases(),
          caches: await caches.keys(),
          page: document.documentElement.outerHTML.includes("eyJ"),
          globals: Object.values(window).filter((one) => typeof one === "string" && one.includes("eyJ")),
        })"""
    )
    assert kept == {
        "address": screens.url, "local": {}, "session": {}, "cookies": "", "state": None,
        "databases": [], "caches": [], "page": False, "globals": [],
    }  # fmt: skip
    assert not [url for url in requests if token in url and "#" not in url]
    await page.go_back()
    await page.go_forward()
    assert page.url == screens.url  # the entry of the history, too
    await expect(page.get_by_role("dialog", name="Please open this page from your CRM")).to_be_visible()


@pytest.mark.parametrize("without", ["", ' allow="clipboard-write"'])
async def test_page_that_embeds_the_screen_hands_it_tokens(
    seed: Seed, browser: Browser, dsn: str, without: str
) -> None:
    async with embedded(browser, dsn, without=without) as (screens, page):
        url = await screens.service.generate(seed.ben)
        frame = page.frame_locator("iframe")
        await expect(frame.get_by_role("dialog")).to_contain_text("Please open this page from your CRM")
        await page.wait_for_function("tokens.length == 1")
        await page.evaluate("token => tokens[0](token)", bearer(seed.ben, EXPIRED))
        await expect(frame.get_by_role("dialog")).to_contain_text("Ihre Anmeldung ist abgelaufen")
        await page.wait_for_function("tokens.length == 2")
        await page.evaluate("token => tokens[1](token)", bearer(seed.ben))
        await expect(frame.get_by_role("article", name="Sales team")).to_be_visible()
        await frame.get_by_role("button", name="Link kopieren").first.click()
        await expect(frame.get_by_role("status")).to_have_text("Der Link ist kopiert.")
        assert await page.evaluate("navigator.clipboard.readText()") == f"https://feeds.example.com{url}"
        assert set(await page.evaluate("said")) == {"ready", "expired", "resized"}
        height = await frame.locator("body").evaluate("body => body.offsetHeight")
        assert await page.locator("iframe").evaluate("frame => frame.offsetHeight") >= min(height, 700)
        complaints = [said for said in screens.complaints if "Clipboard API has been blocked" not in said]
        screens.complaints[:] = complaints  # the browser's own, where the page does not let us write to the clipboard


async def test_page_of_another_origin_cannot_embed_the_screen(seed: Seed, browser: Browser, dsn: str) -> None:
    async with embedded(browser, dsn, OTHER) as (screens, page):
        await expect(page.frame_locator("iframe").locator("body")).not_to_contain_text("Calendar feeds")
        assert await page.evaluate("said") == []
        assert "frame-ancestors" in screens.complaints[0]
        screens.complaints.clear()


async def test_page_of_another_origin_cannot_hand_over_a_token(seed: Seed, browser: Browser, dsn: str) -> None:
    async with embedded(browser, dsn, OTHER) as (screens, page):
        screens.complaints.clear()
        async with page.expect_popup() as opening:
            await page.evaluate("url => { window.opened = open(url) }", screens.url)
        popup = await opening.value
        await popup.get_by_role("dialog").wait_for()
        await page.evaluate("token => opened.postMessage({ type: 'calendar-feeds', token }, '*')", bearer(seed.ben))
        await page.evaluate("opened.postMessage({ type: 'calendar-feeds', language: 'de' }, '*')")
        await popup.wait_for_timeout(300)
        await expect(popup.get_by_role("dialog")).to_contain_text("Please open this page from your CRM")
        screens.complaints.clear()


async def test_expired_token_waits_for_another_and_nothing_typed_is_lost(seed: Seed, screens: Screens) -> None:
    await screens.service.generate(seed.ben)
    page = await screens.open(seed.ben)
    await page.get_by_role("button", name="Add another link…").first.click()
    dialog = page.get_by_role("dialog", name="Another link: All my calendars")
    await dialog.get_by_label("Name").fill("iPhone")

    async def expire(route: Route) -> None:
        await route.continue_(headers={**route.request.headers, "authorization": f"Bearer {bearer(seed.ben, EXPIRED)}"})

    await page.route("**/graphql", expire, times=1)
    await dialog.get_by_role("button", name="Generate link").click()
    over = page.get_by_role("dialog", name="Your sign-in has ended")
    await expect(over).to_contain_text("Nothing that you typed is lost.")
    await page.keyboard.press("Escape")
    await expect(over).to_be_visible()
    await page.evaluate("token => (location.hash = `token=${token}`)", f"{bearer(seed.ben, timedelta(hours=2))}")
    await expect(over).to_be_hidden()
    await expect(page.get_by_role("region", name="iPhone")).to_be_visible()
    assert page.url == screens.url


async def test_demo_lets_anybody_choose_who_to_be(seed: Seed, browser: Browser, dsn: str) -> None:
    def offered() -> list[dict[str, Any]]:
        people = [
            {"name": user.name, "administrator": user.administrator, "active": active, "token": bearer(user)}
            for user, active in ((seed.anna, True), (seed.ben, False))
        ]
        return [{"name": "Harbour Homes", "users": people}]

    async with TestClient(OurServer(create_app(settings(), dsn, offered))) as client:
        async with Screens.opening(browser, Service(client)) as screens:
            page = await screens.page()
            await page.goto(screens.url)
            chooser = page.get_by_role("dialog", name="Whose calendars do you want to see?")
            await expect(chooser.get_by_role("button")).to_have_text(["Anna Müller · administrator"])
            assert await violations(page) == []
            await page.keyboard.press("Enter")
            await expect(chooser).to_be_hidden()
            await expect(page.get_by_role("article")).to_have_count(3)

"""A browser, started once a run, and pages of it on a service of the test's own."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from tests.seed import Service
from tests.web.screens import Screens

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def screens(browser: Browser, service: Service) -> AsyncIterator[Screens]:
    """Screens of the service; what a browser complains of while they are open fails the test."""
    async with Screens.opening(browser, service) as screens:
        yield screens

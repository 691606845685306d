"""Whoever uses the screen, and with what: keyboard, screen reader, small windows, other languages, a bad connection."""

import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from api.http.screen import FOLDER
from tests.seed import HOUR, NOW, Seed, meeting
from tests.web.screens import GOOGLE, PHONE, Screens, polls_are_written, violations

LANGUAGES = sorted(path.stem for path in (FOLDER / "words").glob("*.json"))
NARROW = {"width": 320, "height": 640}


def word(language: str, *path: str) -> str:
    found: Any = json.loads((FOLDER / "words" / f"{language}.json").read_text())
    for part in path:
        found = found[part]
    return str(found)


async def is_too_wide(page: Page) -> bool:
    return bool(await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


async def unfold(page: Page) -> None:
    await page.evaluate(
        "for (const one of document.querySelectorAll('details')) { one.removeAttribute('name'); one.open = true; }"
    )
    await page.locator(".qr svg").first.wait_for()


@pytest.mark.parametrize(("theme", "language"), [("light", "en"), ("dark", "de"), ("dark", "ar")])
async def test_axe_finds_nothing(seed: Seed, screens: Screens, theme: str, language: str) -> None:
    await seed.write(meeting(starts_at=NOW + 30 * HOUR, ends_at=NOW + 31 * HOUR))
    url = await screens.service.generate(seed.anna)
    await screens.service.generate(seed.anna, name="iPhone", expiresAt="2099-01-01T00:00:00Z")
    await screens.service.poll(url, User_Agent=GOOGLE)
    await polls_are_written(seed.conn, 1)
    page = await screens.open(seed.anna, f"&language={language}", color_scheme=theme, reduced_motion="reduce")
    await unfold(page)
    assert await violations(page) == []
    for key in ("options", "reset"):
        await page.locator(f'[data-key^="{key}:"]').first.click()
        await page.locator("dialog form").wait_for()
        if key == "options":
            await page.locator(".preview .shown").wait_for()
        assert await violations(page) == []
        await page.keyboard.press("Escape")
    await page.locator("nav button").last.click()
    await page.locator("tbody tr").first.wait_for()
    await page.locator(".rows summary").first.click()
    await page.locator(".of .row").first.wait_for()
    assert await violations(page) == []


@pytest.mark.parametrize("language", LANGUAGES)
async def test_everything_fits_a_narrow_window(seed: Seed, screens: Screens, language: str) -> None:
    await seed.write(meeting(title="Donaudampfschifffahrtsgesellschaftskapitänsbesprechung" * 3))
    await screens.service.generate(seed.anna)
    page = await screens.open(seed.anna, f"&language={language}", viewport=NARROW)
    await unfold(page)
    await expect(page).to_have_title(word(language, "title"))
    direction = "rtl" if language == "ar" else "ltr"
    assert await page.evaluate("[document.documentElement.lang, document.documentElement.dir]") == [language, direction]
    assert not await is_too_wide(page)
    for key in ("options", "reset"):
        await page.locator(f'[data-key^="{key}:"]').first.click()
        box = await page.locator("dialog[open] form").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= NARROW["width"]
        await page.keyboard.press("Escape")
    await page.locator("nav button").last.click()
    await page.locator("tbody tr").first.wait_for()
    assert not await is_too_wide(page)


async def test_everything_fits_at_twice_the_size(seed: Seed, screens: Screens) -> None:
    """A window of 1,280 by 900 at 200 % has half as many of CSS's pixels, each twice as large."""
    await screens.service.generate(seed.anna)
    page = await screens.open(seed.anna, viewport={"width": 640, "height": 450}, device_scale_factor=2)
    await unfold(page)
    assert not await is_too_wide(page)
    await page.locator('[data-key^="options:"]').first.click()
    save = page.locator("dialog[open]").get_by_role("button", name="Save")
    await expect(save).to_be_in_viewport()
    await page.keyboard.press("Escape")
    await page.locator("nav button").last.click()
    await page.locator("tbody tr").first.wait_for()
    assert not await is_too_wide(page)


async def test_everything_can_be_done_by_keyboard(seed: Seed, screens: Screens) -> None:
    page = await screens.open(seed.ben)

    async def tab_to(name: str) -> None:
        for _ in range(40):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.innerText ?? ''") == name:
                return
        pytest.fail(f"{name} cannot be reached")

    await tab_to("Generate link")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Copy link")).to_be_focused()
    await tab_to("Google Calendar\nrefreshes every 4 to 24 hours; this cannot be changed")
    await page.keyboard.press("Space")
    await tab_to("Add to Google Calendar")
    await tab_to("Reset…")
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Reset this link?")
    await dialog.wait_for()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Reset…")).to_be_focused()
    await page.keyboard.press("Enter")
    await tab_to("Reset")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("group", name="Done: the new link is ready.")).to_be_focused()


async def test_nothing_moves_while_the_screen_is_read_and_a_link_copied(seed: Seed, screens: Screens) -> None:
    await screens.service.generate(seed.ben)
    page = await screens.page(viewport=PHONE)
    await page.add_init_script(
        """window.shifted = 0;
        new PerformanceObserver((list) => list.getEntries().forEach((one) => (window.shifted += one.value)))
          .observe({ type: "layout-shift", buffered: true });"""
    )

    async def slowly(route: Route) -> None:
        await page.wait_for_timeout(300)
        await route.continue_()

    await page.route("**/graphql", slowly)
    await page.goto(f"{screens.url}#token={screens.token(seed.ben)}")
    await page.get_by_role("button", name="Copy link").click()
    await page.wait_for_timeout(300)
    assert await page.evaluate("window.shifted") < 0.01


async def test_service_that_is_away_is_told_and_asked_again(seed: Seed, screens: Screens) -> None:
    page = await screens.page()
    await page.route("**/graphql", lambda route: route.abort(), times=1)
    await page.goto(f"{screens.url}#token={screens.token(seed.ben)}")
    failure = page.get_by_role("alert")
    await expect(failure).to_contain_text("The service cannot be reached. Check your connection.")
    unavailable = {"errors": [{"message": "", "extensions": {"code": "UNAVAILABLE"}}]}
    await page.route("**/graphql", lambda route: route.fulfill(status=503, json=unavailable), times=1)
    await failure.get_by_role("button", name="Try again").click()
    await expect(failure).to_contain_text("The service is not available at the moment.")
    await failure.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("article", name="Sales team")).to_be_visible()
    screens.complaints.clear()  # the browser's own, about answers that failed


async def test_service_that_is_slow_is_waited_for_in_words(seed: Seed, screens: Screens) -> None:
    page, waiting = await screens.page(), asyncio.Event()

    async def wait(route: Route) -> None:
        await waiting.wait()
        await route.continue_()

    await page.route("**/graphql", wait)
    await page.clock.install()
    await page.goto(f"{screens.url}#token={screens.token(seed.ben)}")
    await expect(page.get_by_role("main")).to_have_text("Loading…")
    await page.clock.fast_forward(7_000)
    await expect(page.get_by_role("main")).to_have_text("Still loading: this takes longer than usual…")
    waiting.set()
    await expect(page.get_by_role("article", name="Sales team")).to_be_visible()


async def test_language_is_that_of_the_user_until_they_choose_another(seed: Seed, screens: Screens) -> None:
    await seed.conn.execute("UPDATE users SET locale = 'de-AT' WHERE id = $1", seed.ben.id)
    page = await screens.open(seed.ben)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Kalender-Abos")
    await page.get_by_label("Sprache").focus()
    await page.get_by_label("Sprache").select_option("English")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Calendar feeds")
    await expect(page.get_by_label("Language")).to_be_focused()


async def test_host_chooses_the_theme(seed: Seed, screens: Screens) -> None:
    grounds = []
    for theme in ("light", "dark"):
        page = await screens.open(seed.ben, f"&theme={theme}", color_scheme="light")
        grounds.append(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(244, 245, 247)", "rgb(20, 23, 28)"]

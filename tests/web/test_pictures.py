"""The pictures of the documentation: taken at each run, kept in `docs/screen/` by `make pictures`."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Page

from api.commands.sample import fill_sample
from db.pool import Conn
from db.users import UserRecord, list_users
from tests.web.screens import GOOGLE, IPHONE, PHONE, Screens, polls_are_written

SMALLEST = 10_000  # octets of a picture that shows something


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(os.environ.get("CALENDAR_FEEDS_PICTURES", tmp_path))


@pytest.fixture
async def anna(conn: Conn) -> UserRecord:
    (account, *_) = await fill_sample(conn, datetime.now(UTC))
    return next(user for user in await list_users(conn, account.account_id) if user.name == "Anna Müller")


async def test_pictures_show_the_screen(conn: Conn, anna: UserRecord, screens: Screens, folder: Path) -> None:
    url = await screens.service.generate(anna)
    for program in (GOOGLE, IPHONE):
        await screens.service.poll(url, User_Agent=program)
    await polls_are_written(conn, 2)
    page = await screens.open(anna, viewport={"width": 900, "height": 900})
    await page.get_by_text("Subscribe in your calendar program").click()
    await page.locator(".program summary").first.click()
    await take(page, folder / "feeds.png")
    await page.get_by_role("button", name="Options…").click()
    await page.locator(".preview .shown").wait_for()
    await take(page, folder / "options.png")


async def test_pictures_show_the_screen_on_a_phone_in_the_dark(
    anna: UserRecord, screens: Screens, folder: Path
) -> None:
    await screens.service.generate(anna)
    page = await screens.open(anna, "&language=de", viewport=PHONE, color_scheme="dark", device_scale_factor=2)
    await take(page, folder / "phone.png")


async def test_pictures_show_the_administration(anna: UserRecord, screens: Screens, folder: Path) -> None:
    await screens.service.generate(anna)
    page = await screens.open(anna, viewport={"width": 900, "height": 900})
    await page.get_by_role("button", name="Administration").click()
    await page.locator("tbody tr").first.wait_for()
    await page.locator(".rows summary").first.click()
    await page.locator(".of .row").first.wait_for()
    await take(page, folder / "administration.png")


async def test_pictures_show_the_screen_from_right_to_left(
    conn: Conn, anna: UserRecord, screens: Screens, folder: Path
) -> None:
    url = await screens.service.generate(anna)
    await screens.service.poll(url, User_Agent=GOOGLE)
    await polls_are_written(conn, 1)
    page = await screens.open(anna, "&language=ar", viewport=PHONE, device_scale_factor=2)
    await page.locator(".watching summary").first.click()
    await take(page, folder / "arabic.png")


async def take(page: Page, path: Path) -> None:
    await page.evaluate("document.fonts.ready")
    assert len(await page.screenshot(path=path, animations="disabled")) > SMALLEST

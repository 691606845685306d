"""What staff members do on the screen, in a browser, with the real service behind it."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.seed import HOUR, NOW, Seed, meeting, task
from tests.web.screens import GOOGLE, IPHONE, PHONE, Screens, polls_are_written

JSQR = Path(__file__).parent / "node_modules" / "jsqr" / "dist" / "jsQR.js"
HOST = "https://feeds.example.com"


def feed(page: Page, name: str = "All my calendars") -> Locator:
    return page.get_by_role("article", name=name)


async def url_of(place: Locator) -> str:
    """The path of the link that is shown: what the server under test answers to."""
    return (await place.get_by_label("Private link").input_value()).removeprefix(HOST)


async def test_generated_link_is_shown_and_copied(seed: Seed, screens: Screens) -> None:
    page = await screens.open(seed.anna, viewport=PHONE)
    assert await page.get_by_role("heading", level=2).all_inner_texts() == [
        "All my calendars",
        "Anna Müller",
        "Sales team",
    ]
    own = feed(page, "Anna Müller")
    await own.get_by_role("button", name="Generate link").click()
    copy = own.get_by_role("button", name="Copy link")
    await expect(copy).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_have_text("The link is copied.")
    await expect(copy.get_by_text("Copied ✓")).to_be_visible()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == HOST + await url_of(own)
    answer = await screens.service.poll(copied.removeprefix(HOST))
    assert (answer.status, answer.content_type) == (200, "text/calendar")


async def test_each_program_has_its_address_and_its_steps(seed: Seed, screens: Screens) -> None:
    url = HOST + await screens.service.generate(seed.ben)
    page = await screens.open(seed.ben)
    await page.get_by_text("Subscribe in your calendar program").click()
    addresses = {}
    for program in await page.locator(".program").all():
        await program.locator("summary").click()
        assert await program.get_by_role("listitem").count() >= 2
        for link in await program.get_by_role("link").all():
            addresses[await link.inner_text()] = await link.get_attribute("href")
    tail = url.removeprefix("https://").replace("/", "%2F")
    name = "All%20my%20calendars"
    assert addresses == {
        "Add to Google Calendar": f"https://calendar.google.com/calendar/r?cid=webcal%3A%2F%2F{tail}",
        "Open in Apple Calendar": url.replace("https:", "webcal:"),
        "Add to Outlook.com": f"https://outlook.live.com/calendar/0/addfromweb?url=https%3A%2F%2F{tail}&name={name}",
        "Add to Microsoft 365": f"https://outlook.office.com/calendar/0/addfromweb?url=https%3A%2F%2F{tail}&name={name}",
    }


async def test_phone_reads_the_link_from_the_qr_code(seed: Seed, screens: Screens) -> None:
    url = await screens.service.generate(seed.ben)
    page = await screens.open(seed.ben, color_scheme="dark", viewport=PHONE)
    await page.get_by_text("Subscribe in your calendar program").click()
    await page.get_by_text("iPhone, iPad or Android").click()
    code = page.get_by_role("img", name="QR code of the private link")
    await code.wait_for()
    assert await decoded(page, await code.screenshot()) == HOST + url


async def decoded(page: Page, picture: bytes) -> Any:
    """What another program reads from the pixels that were on the screen."""
    await page.evaluate(JSQR.read_text())
    return await page.evaluate(
        """async (data) => {
          const image = new Image();
          image.src = data;
          await image.decode();
          const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
          const context = canvas.getContext("2d");
          context.drawImage(image, 0, 0);
          return jsQR(context.getImageData(0, 0, image.width, image.height).data, image.width, image.height)?.data;
        }""",
        f"data:image/png;base64,{base64.b64encode(picture).decode()}",
    )


async def test_reset_is_explained_and_says_what_to_do_on_each_device(seed: Seed, screens: Screens) -> None:
    url = await screens.service.generate(seed.ben)
    for program in (GOOGLE, IPHONE):
        await screens.service.poll(url, User_Agent=program)
    await polls_are_written(seed.conn, 2)
    page = await screens.open(seed.ben)
    await page.get_by_role("button", name="Reset…").click()
    dialog = page.get_by_role("dialog", name="Reset this link?")
    await expect(dialog).to_contain_text("Apple Calendar (iOS) and Google Calendar")
    await dialog.get_by_role("button", name="Cancel").click()
    assert await url_of(feed(page)) == url
    await page.get_by_role("button", name="Reset…").click()
    await dialog.get_by_role("button", name="Reset", exact=True).click()
    notice = page.get_by_role("group", name="Done: the new link is ready.")
    await expect(notice).to_be_focused()
    assert await notice.locator("dt").all_inner_texts() == ["Apple Calendar (iOS)", "Google Calendar"]
    assert await url_of(feed(page)) != url
    assert "This calendar link no longer works" in await (await screens.service.poll(url)).text()


async def test_all_links_are_reset_at_once(seed: Seed, screens: Screens) -> None:
    urls = [await screens.service.generate(seed.anna, calendar) for calendar in (None, seed.own, seed.team)]
    page = await screens.open(seed.anna)
    await page.get_by_role("button", name="Reset all links…").click()
    dialog = page.get_by_role("dialog", name="Reset all your links?")
    await expect(dialog).to_contain_text("All 3 links get new addresses.")
    await dialog.get_by_label("The old link stops working").select_option("after 24 hours")
    await dialog.get_by_role("button", name="Reset", exact=True).click()
    await expect(page.get_by_role("group", name="Done: the new link is ready.")).to_be_focused()
    fresh = [await url_of(place) for place in await page.get_by_role("article").all()]
    assert not set(fresh) & set(urls)
    assert [(await screens.service.poll(url)).status for url in urls] == [200, 200, 200]
    assert await page.get_by_text("The previous link goes on to work until").count() == 3


async def test_reset_whose_answer_was_lost_resets_nothing_twice(seed: Seed, screens: Screens) -> None:
    await screens.service.generate(seed.ben)
    page = await screens.open(seed.ben)
    await page.get_by_role("button", name="Reset…").click()
    dialog = page.get_by_role("dialog")
    await page.route("**/graphql", lose_the_answer, times=1)
    await dialog.get_by_role("button", name="Reset", exact=True).click()
    await expect(dialog.get_by_role("alert")).to_contain_text("The service cannot be reached.")
    await dialog.get_by_role("button", name="Reset", exact=True).click()
    await expect(dialog).to_be_hidden()
    assert await seed.conn.fetchval("SELECT generation FROM feed_links") == 2
    screens.complaints.clear()  # the browser's own, about the lost answer


async def lose_the_answer(route: Route) -> None:
    await route.fetch()
    await route.abort()


async def test_named_link_is_made_with_options_that_were_tried_first(seed: Seed, screens: Screens) -> None:
    await seed.write(meeting(title="Viewing"), task(title="Send offer", due_at=NOW + 30 * HOUR), calendars=(seed.team,))
    await screens.service.generate(seed.ben)
    page = await screens.open(seed.ben)
    await feed(page).get_by_role("button", name="Add another link…").click()
    dialog = page.get_by_role("dialog", name="Another link: All my calendars")
    preview = dialog.locator(".preview")
    await expect(preview).to_contain_text("2 appointments and tasks")
    await dialog.get_by_label("Tasks", exact=True).uncheck()
    await expect(preview).to_contain_text("1 is of a type that is not chosen. (Send offer)")
    assert await seed.conn.fetchval("SELECT count(*) FROM feed_links") == 1  # nothing was kept
    await dialog.get_by_label("Name").fill("iPhone")
    await dialog.get_by_role("button", name="Generate link").click()
    link = feed(page).get_by_role("region", name="iPhone")
    await expect(link.get_by_role("button", name="Copy link")).to_be_focused()
    body = await (await screens.service.poll(await url_of(link))).text()
    assert ("Viewing" in body, "Send offer" in body) == (True, False)


async def test_name_that_is_taken_is_told_and_nothing_typed_is_lost(seed: Seed, screens: Screens) -> None:
    for name in ("", "iPhone", "Mac"):
        await screens.service.generate(seed.ben, name=name)
    page = await screens.open(seed.ben, "&language=de")
    await page.get_by_role("region", name="Mac").get_by_role("button", name="Optionen …").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("iPhone")
    await dialog.get_by_label("Tage zurück").fill("7")
    await dialog.get_by_role("button", name="Speichern").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("Ein anderer Link dieses Kalenders heißt schon so.")
    await dialog.get_by_label("Name").fill("iMac")
    await dialog.get_by_role("button", name="Speichern").click()
    await expect(page.get_by_role("region", name="iMac")).to_be_visible()
    kept = await seed.conn.fetchval("SELECT options->>'days_back' FROM feed_links WHERE name = 'iMac'")
    assert kept == "7"


async def test_programs_that_came_are_told_in_words(seed: Seed, screens: Screens) -> None:
    url = await screens.service.generate(seed.ben)
    page = await screens.open(seed.ben)
    watching = page.locator(".watching").first
    await expect(watching.locator("summary")).to_have_text("Is it working? not fetched yet")
    await screens.service.poll(url, User_Agent=GOOGLE)
    await polls_are_written(seed.conn, 1)
    await seed.conn.execute(
        "UPDATE feed_polls SET last_polled_at = last_polled_at - interval '6 hours',"
        " first_polled_at = first_polled_at - interval '6 hours'"
    )
    await watching.locator("summary").click()
    await watching.get_by_role("button", name="Look again").click()
    await expect(watching.get_by_role("listitem")).to_have_text(
        "Google Calendar: 6 hours ago; refreshes every 4 to 24 hours; this cannot be changed.On time.Came once so far."
    )
    await expect(watching.get_by_role("button", name="Look again")).to_be_focused()


@pytest.mark.parametrize(
    ("meanwhile", "said"),
    [
        ("UPDATE feed_polls SET last_polled_at = last_polled_at - interval '4 days'", "It has stopped coming."),
        ("UPDATE feed_polls SET last_answer = 'LIMITED'", "It was asked to come again later."),
        ("UPDATE feed_polls SET last_answer = 'NOTICE'", "the link was paused or had ended."),
        ("UPDATE feed_links SET generation = 2, resets = ARRAY[created_at]", "It still uses an old link."),
    ],
    ids=["late", "limited", "off", "old"],
)
async def test_what_is_wrong_with_a_program_is_told_with_the_remedy(
    seed: Seed, screens: Screens, meanwhile: str, said: str
) -> None:
    url = await screens.service.generate(seed.ben)
    await screens.service.poll(url, User_Agent=GOOGLE)
    await polls_are_written(seed.conn, 1)
    await seed.conn.execute(meanwhile)
    if "generation" in meanwhile:
        await screens.service.poll(url, User_Agent=GOOGLE)  # of the old address
        async with asyncio.timeout(20):
            while await seed.conn.fetchval("SELECT last_answer FROM feed_polls") != "NOTICE":
                await asyncio.sleep(0.1)
    page = await screens.open(seed.ben)
    watching = page.locator(".watching").first
    await watching.locator("summary").click()
    await expect(watching.get_by_role("listitem")).to_contain_text(said)


async def test_link_is_paused_resumed_and_ended(seed: Seed, screens: Screens) -> None:
    url = await screens.service.generate(seed.ben)
    page = await screens.open(seed.ben)
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_text("You paused this link.")).to_be_visible()
    await expect(page.get_by_role("button", name="Resume")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Pause")).to_be_focused()
    await page.get_by_role("button", name="End…").click()
    await page.get_by_role("dialog").get_by_role("button", name="End link").click()
    await expect(feed(page).get_by_role("button", name="Generate link")).to_be_visible()
    assert "ended" in await (await screens.service.poll(url)).text()


async def test_what_a_calendar_holds_and_what_not_is_shown(seed: Seed, screens: Screens) -> None:
    await seed.write(
        meeting(title="Viewing", starts_at=NOW + 30 * HOUR, ends_at=NOW + 31 * HOUR), calendars=(seed.team,)
    )
    await seed.write(task(title="Tidy the archive"), calendars=(seed.team,))
    page = await screens.open(seed.ben)
    await feed(page, "Sales team").get_by_role("button", name="What is in it?").click()
    dialog = page.get_by_role("dialog", name="What is in “Sales team”")
    await expect(dialog.locator(".shown").get_by_role("listitem")).to_contain_text(["Viewing"])
    await expect(dialog.locator(".leftOut").get_by_role("listitem")).to_have_text(
        ["1 has no time, so no place in a calendar. (Tidy the archive)"]
    )
    await page.keyboard.press("Escape")
    await expect(feed(page, "Sales team").get_by_role("button", name="What is in it?")).to_be_focused()

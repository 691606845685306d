"""What administrators do on the screen: people, links of others without their URLs, rules, and what was done."""

from datetime import timedelta

from playwright.async_api import Page, expect

from db.users import add_user
from tests.seed import BEGUN, NOW, Seed
from tests.web.screens import Screens


async def administration(seed: Seed, screens: Screens) -> Page:
    page = await screens.open(seed.anna)
    await page.get_by_role("button", name="Administration").click()
    await page.locator("tbody tr").first.wait_for()
    return page


async def test_administration_is_offered_to_administrators_only(seed: Seed, screens: Screens) -> None:
    page = await screens.open(seed.ben)
    assert await page.get_by_role("button", name="Administration").count() == 0


async def test_links_of_somebody_are_reset_without_their_url_being_seen(seed: Seed, screens: Screens) -> None:
    urls = [await screens.service.generate(seed.ben, calendar) for calendar in (None, seed.team)]
    page = await administration(seed, screens)
    people = page.get_by_role("region", name="People")
    await people.get_by_text("Ben Okafor").click()
    await expect(people.locator(".of").get_by_role("listitem")).to_contain_text(["All calendars", "Sales team"])
    await people.get_by_role("button", name="Reset all their links…").click()
    dialog = page.get_by_role("dialog", name="Reset all links of Ben Okafor?")
    await dialog.get_by_role("button", name="Reset", exact=True).click()
    await expect(page.get_by_role("status")).to_have_text("2 links were reset.")
    assert "/feeds/" not in await page.content()
    for url in urls:
        assert "no longer works" in await (await screens.service.poll(url)).text()
    assert await seed.conn.fetchval("SELECT count(*) FROM audit_log WHERE action = 'LINK_RESET'") == 2


async def test_people_are_found_and_paged(seed: Seed, screens: Screens) -> None:
    for n in range(25):
        await add_user(seed.conn, seed.account_id, BEGUN, name=f"Agent {n:02}", email=f"agent{n}@example.com")
    page = await administration(seed, screens)
    people = page.get_by_role("region", name="People")
    names = people.locator("summary > bdi")
    await expect(names).to_have_count(20)
    await people.get_by_role("button", name="Show more").click()
    await expect(names).to_have_count(27)
    await expect(people.get_by_role("button", name="Show more")).to_be_hidden()
    await people.get_by_label("Name or e-mail address").fill("agent17@")
    await page.keyboard.press("Enter")
    await expect(names).to_have_text(["Agent 17"])


async def test_links_that_need_a_look_are_found_paused_and_ended(seed: Seed, screens: Screens) -> None:
    await screens.service.generate(seed.ben)
    unused = NOW - timedelta(days=200)
    await seed.conn.execute("UPDATE feed_links SET created_at = $1", unused)
    await screens.service.generate(seed.anna)
    page = await administration(seed, screens)
    links = page.get_by_role("region", name="Links", exact=True)
    await expect(links).to_contain_text("Nothing found.")
    await links.get_by_label("Show").select_option("Not fetched for 90 days")
    row = links.get_by_role("listitem")
    await expect(row).to_contain_text(["Ben Okafor: All calendars"])
    await row.get_by_role("button", name="Pause").click()
    await expect(row).to_contain_text("paused · not fetched yet")
    await row.get_by_role("button", name="Resume").click()
    await expect(row).to_contain_text("works · not fetched yet")
    await row.get_by_role("button", name="End").click()
    await expect(row).to_contain_text("ended · not fetched yet")


async def test_rules_are_changed_and_hold(seed: Seed, screens: Screens) -> None:
    page = await administration(seed, screens)
    rules = page.get_by_role("region", name="Rules")
    await rules.get_by_label("Show only when people are busy, never more").check()
    await rules.get_by_label("Calls").uncheck()
    await rules.get_by_label("Links per person, at most").fill("3")
    await rules.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status")).to_have_text("Done.")
    row = await seed.conn.fetchrow("SELECT forced_detail, allowed_types, most_links FROM accounts")
    assert row is not None
    assert (row["forced_detail"], sorted(row["allowed_types"]), row["most_links"]) == ("BUSY", ["MEETING", "TASK"], 3)
    await page.get_by_role("button", name="My calendars").click()
    await page.get_by_role("article", name="All my calendars").get_by_role("button", name="Generate link").click()
    await page.get_by_role("button", name="Options…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Calls")).to_be_disabled()
    await expect(dialog.get_by_label("Detail")).to_be_disabled()
    await expect(dialog).to_contain_text("Some options are fixed by your administrator.")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_be_hidden()


async def test_log_tells_what_was_done_and_what_was_refused(seed: Seed, screens: Screens) -> None:
    await screens.service.generate(seed.ben, name="iPhone")
    await screens.service.graphql("{ feedLinks { edges { node { id } } } }", seed.ben)
    page = await administration(seed, screens)
    rows = page.get_by_role("region", name="What was done").locator("tbody tr")
    await expect(rows.nth(0)).to_contain_text("Ben OkaforLinks of others (refused)")
    await expect(rows.nth(1)).to_contain_text("Ben OkaforLink generatedname: iPhone")

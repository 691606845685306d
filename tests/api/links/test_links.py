"""`calendarFeeds`, `generateCalendarUrl` and `resetCalendarFeeds`, over real HTTP."""

import asyncio
from typing import Any

import pytest

from db.calendars import add_calendar, grant_access
from tests.seed import NOW, Seed, Service, calendar_node, meeting, plant, user_node

FEEDS = "{ calendarFeeds { name url webcalUrl calendar { id name color externalId } links { name status url } } }"
FEEDS_OF = "query ($user: ID) { calendarFeeds(userId: $user) { name url links { name url webcalUrl qrCodeSvg } } }"
GENERATE = """
    mutation ($input: GenerateCalendarUrlInput!) {
      generateCalendarUrl(input: $input) {
        feed { name }
        link {
          id name status url createdAt resetAt expiresAt qrCodeSvg
          subscribe { google apple outlook outlookOffice }
        }
        url
        userErrors { __typename message path }
      }
    }"""
RESET = """
    mutation ($input: ResetCalendarFeedsInput!) {
      resetCalendarFeeds(input: $input) {
        feeds { name url }
        resetCount
        userErrors { __typename message path }
      }
    }"""
NOTHING_RESET: dict[str, Any] = {"feeds": None, "resetCount": 0}


def calendar_not_found(*path: str) -> dict[str, Any]:
    message = "There is no such calendar among yours: use an id that `calendarFeeds` gave you."
    return {"__typename": "CalendarNotFound", "message": message, "path": list(path)}


async def audit(seed: Seed) -> list[tuple[str, str]]:
    rows = await seed.conn.fetch(
        "SELECT action, actor_id, network FROM audit_log WHERE outcome = 'DONE' AND actor_type = 'USER' ORDER BY id"
    )
    assert {str(row["network"]) for row in rows} <= {"127.0.0.0/24"}
    names = {seed.anna.id: "Anna", seed.ben.id: "Ben"}
    return [(row["action"], names[row["actor_id"]]) for row in rows]


# ---- calendarFeeds


async def test_viewer_is_the_user_of_the_token(seed: Seed, service: Service) -> None:
    query = "{ viewer { id name email externalId administrator active timeZone locale } }"
    viewer = (await service.graphql(query, seed.anna))["data"]["viewer"]
    assert viewer == {
        "id": user_node(seed.anna),
        "name": "Anna Müller",
        "email": "anna@example.com",
        "externalId": None,
        "administrator": True,
        "active": True,
        "timeZone": "Europe/Berlin",
        "locale": "en",
    }


async def test_feeds_are_all_calendars_first_and_then_each_by_name(seed: Seed, service: Service) -> None:
    zebra = await add_calendar(seed.conn, seed.account_id, NOW, name="aardvarks")
    await grant_access(seed.conn, seed.account_id, zebra, [seed.anna.id], NOW)
    feeds = (await service.graphql(FEEDS, seed.anna))["data"]["calendarFeeds"]
    assert [feed["name"] for feed in feeds] == ["All my calendars", "aardvarks", "Anna Müller", "Sales team"]
    assert feeds[2] == {
        "name": "Anna Müller",
        "url": None,
        "webcalUrl": None,
        "calendar": {"id": calendar_node(seed.own), "name": "Anna Müller", "color": "#4682B4", "externalId": None},
        "links": [],
    }
    assert feeds[0]["calendar"] is None


async def test_feeds_show_the_links_again_at_any_time(seed: Seed, service: Service) -> None:
    url = await service.generate(seed.anna, seed.own)
    named = await service.generate(seed.anna, seed.own, name="iPhone")
    feed = (await service.graphql(FEEDS, seed.anna))["data"]["calendarFeeds"][1]
    host = "https://feeds.example.com"
    assert feed["url"] == host + url
    assert feed["webcalUrl"] == "webcal://feeds.example.com" + url
    assert feed["links"] == [
        {"name": "", "status": "ACTIVE", "url": host + url},
        {"name": "iPhone", "status": "ACTIVE", "url": host + named},
    ]


async def test_feeds_follow_access(seed: Seed, service: Service) -> None:
    assert len((await service.graphql(FEEDS, seed.ben))["data"]["calendarFeeds"]) == 2
    await seed.conn.execute("UPDATE calendar_access SET withdrawn_at = $1 WHERE user_id = $2", NOW, seed.ben.id)
    feeds = (await service.graphql(FEEDS, seed.ben))["data"]["calendarFeeds"]
    assert [feed["name"] for feed in feeds] == ["All my calendars"]


async def test_administrator_sees_the_links_of_others_without_their_urls(seed: Seed, service: Service) -> None:
    await service.generate(seed.ben, seed.team)
    feeds = (await service.graphql(FEEDS_OF, seed.anna, user=user_node(seed.ben)))["data"]["calendarFeeds"]
    assert feeds == [
        {"name": "All my calendars", "url": None, "links": []},
        {
            "name": "Sales team",
            "url": None,
            "links": [{"name": "", "url": None, "webcalUrl": None, "qrCodeSvg": None}],
        },
    ]
    own = (await service.graphql(FEEDS_OF, seed.ben))["data"]["calendarFeeds"]
    assert own[1]["url"].startswith("https://feeds.example.com/feeds/cf1_")


@pytest.mark.parametrize("operation", [FEEDS_OF, RESET])
async def test_only_an_administrator_may_name_another_user(seed: Seed, service: Service, operation: str) -> None:
    await service.generate(seed.anna, seed.own)
    anna = user_node(seed.anna)
    answer = await service.graphql(operation, seed.ben, user=anna, input={"userId": anna})
    assert answer["data"] is None
    assert [error["extensions"] for error in answer["errors"]] == [{"code": "FORBIDDEN"}]
    assert await audit(seed) == [("LINK_GENERATED", "Anna")]


async def test_users_of_another_account_do_not_exist_for_an_administrator(seed: Seed, service: Service) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    for unknown in (user_node(other.ben), calendar_node(seed.own), "garbage", ""):
        answer = await service.graphql(FEEDS_OF, seed.anna, user=unknown)
        assert [error["extensions"] for error in answer["errors"]] == [{"code": "NOT_FOUND"}]
        payload = (await service.graphql(RESET, seed.anna, input={"userId": unknown}))["data"]["resetCalendarFeeds"]
        message = "There is no such user in your account: use an id that the API gave you."
        assert payload == {
            **NOTHING_RESET,
            "userErrors": [{"__typename": "UserNotFound", "message": message, "path": ["userId"]}],
        }


# ---- generateCalendarUrl


async def test_generate_makes_a_link_that_serves(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    answer = await service.graphql(GENERATE, seed.anna, input={"calendarId": calendar_node(seed.own)})
    payload = answer["data"]["generateCalendarUrl"]
    link = payload["link"]
    assert payload["userErrors"] == []
    assert payload["feed"] == {"name": "Anna Müller"}
    assert payload["url"] == link["url"]
    assert payload["url"].endswith("/Anna-Muller.ics")
    assert (link["name"], link["status"], link["resetAt"], link["expiresAt"]) == ("", "ACTIVE", None, None)
    assert link["createdAt"].endswith("Z")
    assert link["subscribe"]["apple"] == payload["url"].replace("https:", "webcal:")
    assert link["qrCodeSvg"].startswith("<svg ")
    assert (await service.poll(payload["url"].removeprefix("https://feeds.example.com"))).status == 200
    assert await audit(seed) == [("LINK_GENERATED", "Anna")]


async def test_generate_again_returns_the_same_link_and_changes_nothing(seed: Seed, service: Service) -> None:
    first = await service.graphql(GENERATE, seed.anna, input={})
    before = await seed.conn.fetch("SELECT * FROM feed_links")
    for input_ in ({}, {"calendarId": None, "name": None, "regenerate": None}, {"regenerate": False}):
        assert await service.graphql(GENERATE, seed.anna, input=input_) == first
    assert await seed.conn.fetch("SELECT * FROM feed_links") == before
    assert await audit(seed) == [("LINK_GENERATED", "Anna")]


async def test_generate_at_the_same_moment_makes_one_link(seed: Seed, service: Service) -> None:
    urls = await asyncio.gather(*(service.generate(seed.anna, seed.own) for _ in range(10)))
    assert len(set(urls)) == 1
    assert await audit(seed) == [("LINK_GENERATED", "Anna")]


async def test_regenerate_gives_a_new_url(seed: Seed, service: Service) -> None:
    old = await service.generate(seed.anna, seed.own)
    other = await service.generate(seed.anna, seed.team)
    answer = await service.graphql(
        GENERATE, seed.anna, input={"calendarId": calendar_node(seed.own), "regenerate": True}
    )
    payload = answer["data"]["generateCalendarUrl"]
    assert not payload["url"].endswith(old)
    assert payload["link"]["resetAt"].endswith("Z")
    assert await service.generate(seed.anna, seed.team) == other
    assert await audit(seed) == [("LINK_GENERATED", "Anna")] * 2 + [("LINK_RESET", "Anna")]


async def test_regenerate_of_no_link_makes_one(seed: Seed, service: Service) -> None:
    url = await service.generate(seed.anna, seed.own, regenerate=True)
    assert await service.generate(seed.anna, seed.own) == url
    assert await audit(seed) == [("LINK_GENERATED", "Anna")]


async def test_links_of_different_names_are_different_links(seed: Seed, service: Service) -> None:
    default, phone = (
        await service.generate(seed.anna, seed.own),
        await service.generate(seed.anna, seed.own, name="iPhone"),
    )
    assert await service.generate(seed.anna, seed.own, name="iPhone") == phone != default
    again = await service.generate(seed.anna, seed.own, name="iPhone", regenerate=True)
    assert again != phone
    assert await service.generate(seed.anna, seed.own) == default


async def test_calendar_that_the_viewer_may_not_see_is_not_found(seed: Seed, service: Service) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    for unknown in (calendar_node(seed.own), calendar_node(other.team), user_node(seed.ben), "garbage", "Y2F0", ""):
        answer = await service.graphql(GENERATE, seed.ben, input={"calendarId": unknown})
        assert answer["data"]["generateCalendarUrl"] == {
            "feed": None,
            "link": None,
            "url": None,
            "userErrors": [calendar_not_found("calendarId")],
        }
    assert await seed.conn.fetchval("SELECT count(*) FROM feed_links") == 0


@pytest.mark.parametrize("name", ["n" * 101, "two\nlines", "bell\x07", "\u2028", "\ud800"])
async def test_name_that_no_screen_can_show_is_refused(seed: Seed, service: Service, name: str) -> None:
    payload = (await service.graphql(GENERATE, seed.anna, input={"name": name}))["data"]["generateCalendarUrl"]
    message = "Give the link a name of at most 100 characters, without line breaks."
    assert payload["userErrors"] == [{"__typename": "LinkNameInvalid", "message": message, "path": ["name"]}]
    assert payload["url"] is None


# ---- resetCalendarFeeds


async def test_reset_kills_every_url_of_the_viewer_and_gives_new_ones(seed: Seed, service: Service) -> None:
    old = [await service.generate(seed.anna, calendar_id) for calendar_id in (None, seed.own, seed.team)]
    bens = await service.generate(seed.ben, seed.team)
    payload = (await service.graphql(RESET, seed.anna, input={}))["data"]["resetCalendarFeeds"]
    assert payload["userErrors"] == []
    assert payload["resetCount"] == 3
    assert [feed["name"] for feed in payload["feeds"]] == ["All my calendars", "Anna Müller", "Sales team"]
    new = [feed["url"].removeprefix("https://feeds.example.com") for feed in payload["feeds"]]
    assert not set(new) & set(old)
    for url in old:
        assert "no longer works" in await (await service.poll(url)).text()
    for url in (*new, bens):
        assert "no longer works" not in await (await service.poll(url)).text()
    assert (await audit(seed))[-3:] == [("LINK_RESET", "Anna")] * 3


async def test_reset_of_some_calendars_leaves_the_other_links_alone(seed: Seed, service: Service) -> None:
    everything, own = await service.generate(seed.anna), await service.generate(seed.anna, seed.own)
    answer = await service.graphql(RESET, seed.anna, input={"calendarIds": [calendar_node(seed.own)]})
    payload = answer["data"]["resetCalendarFeeds"]
    assert (payload["resetCount"], [feed["name"] for feed in payload["feeds"]]) == (1, ["Anna Müller"])
    assert await service.generate(seed.anna) == everything
    assert await service.generate(seed.anna, seed.own) != own


async def test_reset_names_each_unknown_calendar_and_resets_nothing(seed: Seed, service: Service) -> None:
    url = await service.generate(seed.ben, seed.team)
    ids = [calendar_node(seed.team), calendar_node(seed.own), "garbage"]
    payload = (await service.graphql(RESET, seed.ben, input={"calendarIds": ids}))["data"]["resetCalendarFeeds"]
    errors = [calendar_not_found("calendarIds", place) for place in ("1", "2")]
    assert payload == {**NOTHING_RESET, "userErrors": errors}
    assert await service.generate(seed.ben, seed.team) == url


async def test_reset_without_links_is_no_error(seed: Seed, service: Service) -> None:
    inputs: list[dict[str, Any]] = [{}, {"calendarIds": []}, {"calendarIds": [calendar_node(seed.own)]}]
    for input_ in inputs:
        payload = (await service.graphql(RESET, seed.anna, input=input_))["data"]["resetCalendarFeeds"]
        assert payload == {"feeds": [], "resetCount": 0, "userErrors": []}


async def test_administrator_resets_the_links_of_another_without_seeing_the_urls(seed: Seed, service: Service) -> None:
    old = await service.generate(seed.ben, seed.team)
    await seed.conn.execute("UPDATE users SET deactivated_at = $1 WHERE id = $2", NOW, seed.ben.id)
    payload = (await service.graphql(RESET, seed.anna, input={"userId": user_node(seed.ben)}))["data"][
        "resetCalendarFeeds"
    ]
    assert payload == {"feeds": [{"name": "Sales team", "url": None}], "resetCount": 1, "userErrors": []}
    await seed.conn.execute("UPDATE users SET deactivated_at = NULL")
    assert await service.generate(seed.ben, seed.team) != old
    assert await audit(seed) == [("LINK_GENERATED", "Ben"), ("LINK_RESET", "Anna")]

"""What administrators and keys do with the links of others, one and many at once, and that they never see a URL."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.feed.subscription import DAY, Subscription, stay_in_today, subscribe
from tests.seed import NOW, Seed, Service, calendar_node, meeting, plant, user_node

LISTED = """
    query ($where: FeedLinkFilter, $first: Int, $after: String) {
      feedLinks(where: $where, first: $first, after: $after) {
        edges {
          cursor
          node { id name status url webcalUrl qrCodeSvg subscribe { google } user { name } calendar { name } }
        }
        pageInfo { hasNextPage hasPreviousPage endCursor }
      }
    }"""
COUNTS = "linkCount userCount"
ENDED = ["This calendar link no longer works: subscribe again"]
MANY = ["resetFeedLinks", "revokeFeedLinks", "limitFeedLinks"]
FORBIDDEN = "Only an administrator may do this."


@pytest.fixture(autouse=True)
async def today_is_the_day_of_now(seed: Seed) -> None:
    await stay_in_today(seed)
    await seed.write(meeting(), calendars=(seed.own, seed.team))


async def listed(service: Service, caller: Any, **where: Any) -> list[tuple[str, str, str]]:
    """Whose links are listed, of what, and their names."""
    answer = await service.graphql(LISTED, caller, where=where or None)
    assert "cf1_" not in json.dumps(answer)
    nodes = [edge["node"] for edge in answer["data"]["feedLinks"]["edges"]]
    assert {(node["url"], node["webcalUrl"], node["qrCodeSvg"], node["subscribe"]["google"]) for node in nodes} <= {
        (None, None, None, None)
    }
    return [(n["user"]["name"], n["calendar"]["name"] if n["calendar"] else "all", n["name"]) for n in nodes]


async def links(seed: Seed, service: Service) -> dict[str, Subscription]:
    return {
        "anna's all": await subscribe(service, seed.anna),
        "anna's own": await subscribe(service, seed.anna, seed.own, name="iPhone"),
        "ben's team": await subscribe(service, seed.ben, seed.team),
    }


async def test_links_of_the_account_are_listed_without_their_urls(seed: Seed, service: Service) -> None:
    await links(seed, service)
    other = await plant(seed.conn, "Blackwood Investigations")
    await subscribe(service, other.anna)
    everything = [
        ("Anna Müller", "all", ""),
        ("Anna Müller", "Anna Müller", "iPhone"),
        ("Ben Okafor", "Sales team", ""),
    ]
    assert await listed(service, seed.anna) == everything
    assert await listed(service, await seed.key("feeds:read")) == everything


async def test_links_are_filtered_by_user_calendar_age_use_and_alarm(seed: Seed, service: Service) -> None:
    made = await links(seed, service)
    old = NOW - 400 * DAY
    set_ = "UPDATE feed_links SET {} WHERE user_id = $1"
    await seed.conn.execute(set_.format("created_at = $2, alarmed_at = $2"), seed.ben.id, old)
    bens = [("Ben Okafor", "Sales team", "")]
    annas = [("Anna Müller", "all", ""), ("Anna Müller", "Anna Müller", "iPhone")]
    assert await listed(service, seed.anna, userIds=[user_node(seed.ben)]) == bens
    assert await listed(service, seed.anna, calendarIds=[calendar_node(seed.own)]) == annas
    assert await listed(service, seed.anna, calendarIds=[calendar_node(seed.team)]) == [annas[0], *bens]
    assert await listed(service, seed.anna, madeBefore=(NOW - DAY).isoformat()) == bens
    assert await listed(service, seed.anna, alarmed=True) == bens
    assert await listed(service, seed.anna, alarmed=False) == annas
    assert await listed(service, seed.anna, alarmed=False, userIds=[user_node(seed.ben)]) == []
    sql = """
        INSERT INTO feed_polls (account_id, link_id, client, first_polled_at, last_polled_at, polls,
                                last_status, last_answer)
        SELECT account_id, id, 'curl', now(), now(), 1, 200, 'CALENDAR' FROM feed_links WHERE user_id = $1"""
    await seed.conn.execute(sql, seed.anna.id)
    assert await listed(service, seed.anna, unpolledSince=old.isoformat()) == bens
    await seed.conn.execute(
        "UPDATE feed_links SET generation = 2, resets = ARRAY[now()] WHERE user_id = $1", seed.ben.id
    )
    assert await listed(service, seed.anna, madeBefore=(NOW - DAY).isoformat()) == []
    await made["ben's team"].service.mutate(
        "revokeFeedLink", seed.ben, "link { id }", linkId=made["ben's team"].link_id
    )
    assert await listed(service, seed.anna) == annas


async def test_pages_hold_every_link_once_while_others_come_and_go(seed: Seed, service: Service) -> None:
    for number in range(7):
        await service.generate(seed.anna, name=f"n{number}")
    seen: list[str] = []
    after, more = None, True
    while more:
        page = (await service.graphql(LISTED, seed.anna, first=2, after=after))["data"]["feedLinks"]
        seen += [edge["node"]["name"] for edge in page["edges"]]
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        await seed.conn.execute("DELETE FROM feed_links WHERE name = $1", seen[-1])  # the one that the cursor is of
    assert seen == [f"n{number}" for number in range(7)]


@pytest.mark.parametrize("page", [{"first": 0}, {"first": 501}, {"first": -1}, {"after": "x"}, {"after": "Y3Vyc29y"}])
async def test_page_that_cannot_be_is_refused(seed: Seed, service: Service, page: dict[str, Any]) -> None:
    for query in (
        LISTED,
        "query ($first: Int, $after: String) { auditLog(first: $first, after: $after) { edges { cursor } } }",
    ):
        answer = await service.graphql(query, seed.anna, **page)
        assert [error["extensions"] for error in answer["errors"]] == [{"code": "INVALID_ARGUMENT"}]


async def test_status_of_a_link_that_its_user_lost_is_told(seed: Seed, service: Service) -> None:
    await links(seed, service)
    query = "{ feedLinks { edges { node { status } } } }"

    async def statuses() -> list[str]:
        edges = (await service.graphql(query, seed.anna))["data"]["feedLinks"]["edges"]
        return [edge["node"]["status"] for edge in edges]

    assert await statuses() == ["ACTIVE"] * 3
    await seed.conn.execute("UPDATE calendar_access SET withdrawn_at = now() WHERE calendar_id = $1", seed.own)
    assert await statuses() == ["ACTIVE", "NO_ACCESS", "ACTIVE"]
    await seed.conn.execute("UPDATE users SET deactivated_at = now() WHERE id = $1", seed.ben.id)
    assert await statuses() == ["ACTIVE", "NO_ACCESS", "NO_ACCESS"]


# ---- many at once


async def test_dry_run_counts_and_changes_nothing(seed: Seed, service: Service) -> None:
    await links(seed, service)
    before = await seed.conn.fetch("SELECT * FROM feed_links ORDER BY id")
    log = await seed.conn.fetchval("SELECT count(*) FROM audit_log")
    for name in MANY:
        more = {"expiresAt": "2099-01-01T00:00:00Z"} if name == "limitFeedLinks" else {}
        where = {"userIds": [user_node(seed.anna)]}
        payload = await service.mutate(name, seed.anna, COUNTS, where=where, dryRun=True, **more)
        assert payload == {"linkCount": 2, "userCount": 1, "userErrors": []}
    assert await seed.conn.fetch("SELECT * FROM feed_links ORDER BY id") == before
    assert await seed.conn.fetchval("SELECT count(*) FROM audit_log") == log


async def test_links_that_show_a_calendar_are_reset_at_once(seed: Seed, service: Service) -> None:
    made = await links(seed, service)
    payload = await service.mutate(
        "resetFeedLinks", seed.anna, COUNTS, where={"calendarIds": [calendar_node(seed.team)]}
    )
    assert payload == {"linkCount": 2, "userCount": 2, "userErrors": []}
    titles = {name: await link.titles() for name, link in made.items()}
    assert titles == {"anna's all": ENDED, "anna's own": ["Viewing"], "ben's team": ENDED}
    assert await service.generate(seed.ben, seed.team) != made["ben's team"].url


async def test_bulk_reset_that_is_repeated_with_its_request_id_resets_once(seed: Seed, service: Service) -> None:
    await links(seed, service)
    urls = []
    for _ in range(2):
        payload = await service.mutate(
            "resetFeedLinks", seed.anna, COUNTS, where={"everyLink": True}, requestId="r", graceHours=2
        )
        assert payload["linkCount"] == 3
        urls.append(await service.generate(seed.ben, seed.team))
    assert urls[0] == urls[1]


async def test_links_of_a_user_who_left_are_revoked(seed: Seed, service: Service) -> None:
    made = await links(seed, service)
    await seed.conn.execute("UPDATE users SET deactivated_at = now() WHERE id = $1", seed.ben.id)
    for count in (1, 0):
        payload = await service.mutate(
            "revokeFeedLinks", await seed.key("feeds:write"), COUNTS, where={"userIds": [user_node(seed.ben)]}
        )
        assert payload == {"linkCount": count, "userCount": count, "userErrors": []}
    await seed.conn.execute("UPDATE users SET deactivated_at = NULL")
    assert await made["ben's team"].titles() == ENDED
    assert await made["anna's all"].titles() == ["Viewing"]


async def test_links_are_limited_to_a_moment_and_never_lengthened(seed: Seed, service: Service) -> None:
    made = await links(seed, service)
    sooner, later = (datetime.now(UTC).replace(microsecond=0) + days * DAY for days in (1, 9))
    await service.mutate(
        "updateFeedLink", seed.ben, "link { id }", linkId=made["ben's team"].link_id, expiresAt=sooner.isoformat()
    )
    payload = await service.mutate(
        "limitFeedLinks", seed.anna, COUNTS, where={"everyLink": True}, expiresAt=later.isoformat()
    )
    assert payload == {"linkCount": 3, "userCount": 2, "userErrors": []}
    rows = await seed.conn.fetch("SELECT expires_at FROM feed_links ORDER BY id")
    assert [row["expires_at"] for row in rows] == [later, later, sooner]
    past = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    payload = await service.mutate("limitFeedLinks", seed.anna, COUNTS, where={"everyLink": True}, expiresAt=past)
    assert [error["__typename"] for error in payload["userErrors"]] == ["ExpiryInvalid"]


@pytest.mark.parametrize("name", MANY)
async def test_filter_must_name_something_or_say_that_all_are_meant(seed: Seed, service: Service, name: str) -> None:
    await links(seed, service)
    more = {"expiresAt": "2099-01-01T00:00:00Z"} if name == "limitFeedLinks" else {}
    message = "Name users, calendars, an age or an alarm; if you mean every link, set `everyLink`."
    assert await service.mutate(name, seed.anna, COUNTS, where={}, **more) == {
        "linkCount": 0,
        "userCount": 0,
        "userErrors": [{"__typename": "FilterEmpty", "message": message, "path": ["where"]}],
    }
    payload = await service.mutate(name, seed.anna, COUNTS, where={"userIds": []}, **more)
    assert payload == {"linkCount": 0, "userCount": 0, "userErrors": []}


@pytest.mark.parametrize("name", MANY)
async def test_unknown_user_or_calendar_changes_nothing(seed: Seed, service: Service, name: str) -> None:
    await links(seed, service)
    other = await plant(seed.conn, "Blackwood Investigations")
    before = await seed.conn.fetch("SELECT * FROM feed_links ORDER BY id")
    more = {"expiresAt": "2099-01-01T00:00:00Z"} if name == "limitFeedLinks" else {}
    where = {
        "userIds": [user_node(seed.ben), user_node(other.ben), "garbage"],
        "calendarIds": [calendar_node(other.team), calendar_node(seed.own)],
    }
    payload = await service.mutate(name, seed.anna, COUNTS, where=where, **more)
    assert [(error["__typename"], error["path"]) for error in payload["userErrors"]] == [
        ("UserNotFound", ["where", "userIds", "1"]),
        ("UserNotFound", ["where", "userIds", "2"]),
        ("CalendarNotFound", ["where", "calendarIds", "0"]),
    ]
    assert await seed.conn.fetch("SELECT * FROM feed_links ORDER BY id") == before


# ---- who may


@pytest.mark.parametrize("name", MANY)
async def test_user_without_rights_manages_nobody(seed: Seed, service: Service, name: str) -> None:
    await links(seed, service)
    kind = f"{name[0].upper()}{name[1:]}Input"
    more = {"expiresAt": "2099-01-01T00:00:00Z"} if name == "limitFeedLinks" else {}
    query = f"mutation ($input: {kind}!) {{ {name}(input: $input) {{ linkCount }} }}"
    for caller in (seed.ben, await seed.key("feeds:read", "policy:write", "audit:read")):
        answer = await service.graphql(query, caller, input={"where": {"everyLink": True}, **more})
        (error,) = answer["errors"]
        assert error["extensions"] == {"code": "FORBIDDEN"}
    assert (
        await seed.conn.fetchval("SELECT count(*) FROM feed_links WHERE generation > 1 OR revoked_at > '1970-01-01'")
        == 0
    )
    attempts = await seed.conn.fetch("SELECT actor_type FROM audit_log WHERE outcome = 'REFUSED' ORDER BY id")
    assert [row["actor_type"] for row in attempts] == ["USER", "KEY"]


async def test_user_without_rights_lists_nobody(seed: Seed, service: Service) -> None:
    for query in (LISTED, "{ auditLog { edges { cursor } } }"):
        answer = await service.graphql(query, seed.ben)
        assert [(e["message"], e["extensions"]) for e in answer["errors"]] == [(FORBIDDEN, {"code": "FORBIDDEN"})]
    rows = await seed.conn.fetch("SELECT action, details FROM audit_log WHERE outcome = 'REFUSED' ORDER BY id")
    assert [row["action"] for row in rows] == ["LINKS_LISTED", "AUDIT_LOG_READ"]


async def test_key_acts_for_no_user(seed: Seed, service: Service) -> None:
    text = await seed.key("feeds:read", "feeds:write")
    assert (await service.graphql("{ viewer { name } }", text))["data"] == {"viewer": None}
    for query in (
        "{ calendarFeeds { name } }",
        "mutation { generateCalendarUrl(input: {}) { url } }",
        "mutation { resetCalendarFeeds(input: {}) { resetCount } }",
    ):
        (error,) = (await service.graphql(query, text))["errors"]
        assert error["extensions"] == {"code": "FORBIDDEN"}
        assert error["message"].startswith("An API key acts for no user: ")


async def test_key_manages_the_links_of_a_user_within_its_scopes(seed: Seed, service: Service) -> None:
    made = await links(seed, service)
    reads, writes = await seed.key("feeds:read"), await seed.key("feeds:read", "feeds:write")
    query = "query ($id: ID) { calendarFeeds(userId: $id) { name url links { url } } }"
    feeds = (await service.graphql(query, reads, id=user_node(seed.ben)))["data"]["calendarFeeds"]
    assert feeds[1] == {"name": "Sales team", "url": None, "links": [{"url": None}]}
    ben = {"userId": user_node(seed.ben)}
    query = "mutation ($input: ResetCalendarFeedsInput!) { resetCalendarFeeds(input: $input) { resetCount } }"
    (error,) = (await service.graphql(query, reads, input=ben))["errors"]
    assert error["message"].startswith("Only an API key with the scope feeds:write may do this.")
    payload = await service.mutate("resetCalendarFeeds", writes, "resetCount feeds { url links { url } }", **ben)
    assert payload["feeds"] == [{"url": None, "links": [{"url": None}]}]
    assert await made["ben's team"].titles() == ENDED
    for name in ("pauseFeedLink", "resumeFeedLink", "updateFeedLink", "revokeFeedLink"):
        payload = await service.mutate(name, writes, "link { url }", linkId=made["ben's team"].link_id)
        assert payload == {"link": {"url": None}, "userErrors": []}
    actors = await seed.conn.fetch("SELECT DISTINCT actor_type FROM audit_log WHERE action = 'LINK_REVOKED'")
    assert [row["actor_type"] for row in actors] == ["KEY"]


async def test_administrator_never_gets_a_url_of_another(seed: Seed, service: Service) -> None:
    link = (await links(seed, service))["ben's team"]
    for name in ("updateFeedLink", "pauseFeedLink", "resumeFeedLink", "revokeFeedLink"):
        urls = "url webcalUrl qrCodeSvg subscribe { google apple }"
        selection = f"feed {{ url webcalUrl links {{ {urls} }} }} link {{ {urls} }}"
        payload = await service.mutate(name, seed.anna, selection, linkId=link.link_id)
        assert payload["userErrors"] == []
        assert "cf1_" not in json.dumps(payload)
    query = "{ feedLinks { edges { node { preview { activities { title } } } } } }"
    answer = await service.graphql(query, seed.anna)
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"FORBIDDEN"}


async def test_limit_cannot_be_put_off_by_the_user_and_ends_no_new_url(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.ben, seed.team)
    soon, sooner = (datetime.now(UTC).replace(microsecond=0) + days * DAY for days in (9, 3))
    for _ in range(2):
        await service.mutate("limitFeedLinks", seed.anna, COUNTS, where={"everyLink": True}, expiresAt=soon.isoformat())
    for later in (None, (soon + DAY).isoformat()):
        payload = await service.mutate("updateFeedLink", seed.ben, "link { id }", linkId=link.link_id, expiresAt=later)
        assert [error["__typename"] for error in payload["userErrors"]] == ["LinkLimitedByOther"]
    values = {"linkId": link.link_id, "expiresAt": sooner.isoformat()}
    payload = await service.mutate("updateFeedLink", seed.ben, "link { expiresAt }", **values)
    assert payload["userErrors"] == []
    await service.mutate("limitFeedLinks", seed.anna, COUNTS, where={"everyLink": True}, expiresAt=sooner.isoformat())
    payload = await service.mutate(
        "updateFeedLink", seed.anna, "link { expiresAt }", linkId=link.link_id, expiresAt=None
    )
    assert payload == {"link": {"expiresAt": None}, "userErrors": []}
    limited = await seed.conn.fetchval("SELECT count(*) FROM audit_log WHERE action = 'LINK_LIMITED'")
    assert limited == 2
    await service.mutate("limitFeedLinks", seed.anna, COUNTS, where={"everyLink": True}, expiresAt=sooner.isoformat())
    await seed.conn.execute("UPDATE feed_links SET expires_at = now()")
    assert await link.titles() == ENDED
    new = await service.generate(seed.ben, seed.team, regenerate=True)
    assert await Subscription(service, seed.ben, "", new).titles() == ["Viewing"]
    assert await link.titles() == ENDED

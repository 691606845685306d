"""The account's policy: who may change it, what it refuses, and that it holds from the next poll on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.feed.subscription import DAY, Subscription, stay_in_today, subscribe
from tests.seed import NOW, Seed, Service, meeting, running_service, task

POLICY = "enabled mostLinks longestDays forcedDetail allowedTypes pausesAlarmed"
OPEN = {
    "enabled": True,
    "mostLinks": None,
    "longestDays": None,
    "forcedDetail": None,
    "allowedTypes": None,
    "pausesAlarmed": False,
}
ENDED = ["This calendar link no longer works: subscribe again"]


@pytest.fixture(autouse=True)
async def today_is_the_day_of_now(seed: Seed) -> None:
    await stay_in_today(seed)
    await seed.write(meeting(), task(title="Call back", due_at=NOW))


async def set_policy(seed: Seed, service: Service, **values: Any) -> dict[str, Any]:
    payload = await service.mutate("updateFeedPolicy", seed.anna, f"policy {{ {POLICY} }}", **values)
    assert payload["userErrors"] == []
    policy: dict[str, Any] = payload["policy"]
    return policy


async def test_everybody_in_the_account_reads_the_policy(seed: Seed, service: Service) -> None:
    for user in (seed.anna, seed.ben):
        assert (await service.graphql(f"{{ feedPolicy {{ {POLICY} }} }}", user))["data"]["feedPolicy"] == OPEN


async def test_policy_keeps_what_is_left_out_and_null_takes_a_limit_away(seed: Seed, service: Service) -> None:
    given = {"mostLinks": 3, "longestDays": 90, "forcedDetail": "BUSY", "allowedTypes": ["CALL", "MEETING"]}
    expected = {**OPEN, **given, "allowedTypes": ["MEETING", "CALL"]}
    assert await set_policy(seed, service, **given) == expected
    assert await set_policy(seed, service, pausesAlarmed=True) == {**expected, "pausesAlarmed": True}
    gone = await set_policy(
        seed, service, mostLinks=None, longestDays=None, forcedDetail=None, allowedTypes=None, pausesAlarmed=None
    )
    assert gone == OPEN
    rows = await seed.conn.fetch("SELECT details::text FROM audit_log WHERE action = 'POLICY_UPDATED' ORDER BY id")
    assert rows[1]["details"] == '{"pausesAlarmed": [false, true]}'
    await set_policy(seed, service)
    assert await seed.conn.fetchval("SELECT count(*) FROM audit_log WHERE action = 'POLICY_UPDATED'") == 3


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"mostLinks": -1}, ["mostLinks"]),
        ({"mostLinks": 1001}, ["mostLinks"]),
        ({"longestDays": 0}, ["longestDays"]),
        ({"longestDays": 36501}, ["longestDays"]),
        ({"allowedTypes": []}, ["allowedTypes"]),
        ({"allowedTypes": ["NOTE", "CALL"]}, ["allowedTypes"]),
    ],
)
async def test_impossible_policy_is_refused(
    seed: Seed, service: Service, values: dict[str, Any], path: list[str]
) -> None:
    payload = await service.mutate("updateFeedPolicy", seed.anna, "policy { enabled }", **{"enabled": False, **values})
    assert payload["policy"] is None
    assert [(error["__typename"], error["path"]) for error in payload["userErrors"]] == [("ValueInvalid", path)]
    assert (await service.graphql(f"{{ feedPolicy {{ {POLICY} }} }}", seed.anna))["data"]["feedPolicy"] == OPEN


async def test_only_an_administrator_changes_the_policy(seed: Seed, service: Service) -> None:
    answer = await service.graphql(
        "mutation { updateFeedPolicy(input: {enabled: false}) { policy { enabled } } }", seed.ben
    )
    assert [error["extensions"] for error in answer["errors"]] == [{"code": "FORBIDDEN"}]
    assert await seed.conn.fetchval("SELECT feeds_disabled_at FROM accounts") is None
    row = await seed.conn.fetchrow("SELECT action, outcome, actor_id FROM audit_log WHERE outcome = 'REFUSED'")
    assert row is not None
    assert tuple(row) == ("POLICY_UPDATED", "REFUSED", seed.ben.id)


async def test_feeds_that_are_switched_off_serve_the_notice_and_then_are_gone(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.anna, seed.own)
    served = await link.titles()
    assert (await set_policy(seed, service, enabled=False))["enabled"] is False
    assert await link.titles() == ENDED
    await set_policy(seed, service, enabled=False)  # again: the notice's days go on
    payload = await service.mutate("generateCalendarUrl", seed.anna, "url", name="iPhone")
    message = "Calendar feeds are switched off in your account."
    assert payload["userErrors"] == [{"__typename": "FeedsDisabled", "message": message, "path": []}]
    feeds = (await service.graphql("{ calendarFeeds { links { status } } }", seed.anna))["data"]["calendarFeeds"]
    assert [link["status"] for feed in feeds for link in feed["links"]] == ["DISABLED"]
    await seed.conn.execute("UPDATE accounts SET feeds_disabled_at = $1", NOW - 31 * DAY)
    assert (await link.poll()).status == 410
    await set_policy(seed, service, enabled=True)
    assert await link.titles() == served


@pytest.mark.parametrize("most", [0, 1, 9])
async def test_most_links_of_a_user_are_those_of_policy_and_settings(seed: Seed, dsn: str, most: int) -> None:
    async with running_service(dsn, links_per_user=2) as service:
        await set_policy(seed, service, mostLinks=most)
        made = 0
        for name in ("", "a", "b", "c"):
            payload = await service.mutate("generateCalendarUrl", seed.anna, "url", name=name)
            made += payload["url"] is not None
        assert made == min(most, 2)


async def test_longest_lifetime_ends_links_that_are_there_already(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.anna, seed.own)
    served = await link.titles()
    await seed.conn.execute("UPDATE feed_links SET created_at = $1", datetime.now(UTC) - 10 * DAY)
    await set_policy(seed, service, longestDays=11)
    query = "{ calendarFeeds { links { status expiresAt } } }"
    (shown,) = [
        one for feed in (await service.graphql(query, seed.anna))["data"]["calendarFeeds"] for one in feed["links"]
    ]
    assert timedelta(hours=23) < datetime.fromisoformat(shown["expiresAt"]) - datetime.now(UTC) < DAY
    assert await link.titles() == served
    await set_policy(seed, service, longestDays=10)
    assert await link.titles() == ENDED
    new = await service.generate(seed.anna, seed.own, regenerate=True)
    assert await Subscription(service, seed.anna, "", new).titles() == served
    assert await link.titles() == ENDED


async def test_longest_lifetime_holds_for_an_old_url_in_its_grace(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.anna, seed.own)
    await seed.conn.execute("UPDATE feed_links SET created_at = $1", datetime.now(UTC) - 10 * DAY)
    await service.generate(seed.anna, seed.own, regenerate=True, graceHours=24)
    assert await link.titles() != ENDED
    await set_policy(seed, service, longestDays=5)
    assert await link.titles() == ENDED


async def test_moment_after_the_longest_lifetime_is_refused(seed: Seed, service: Service) -> None:
    await set_policy(seed, service, longestDays=30)
    late = (datetime.now(UTC) + 31 * DAY).isoformat()
    payload = await service.mutate("generateCalendarUrl", seed.anna, "url", expiresAt=late)
    (error,) = payload["userErrors"]
    assert (error["__typename"], error["path"]) == ("ForbiddenByPolicy", ["expiresAt"])
    assert error["message"].startswith("Your account allows links 30 days: name a moment until ")
    early = (datetime.now(UTC) + 29 * DAY).isoformat()
    assert (await service.mutate("generateCalendarUrl", seed.anna, "url", expiresAt=early))["userErrors"] == []


async def test_forced_detail_holds_at_the_next_poll_whatever_a_link_says(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.anna, seed.own, options={"detail": "FULL"})
    before = await link.poll()
    (meeting_before,) = [part for part in await link.parts() if part["SUMMARY"] == "Viewing"]
    await set_policy(seed, service, forcedDetail="BUSY")
    after = await link.poll(If_None_Match=before.headers["ETag"], If_Modified_Since=before.headers["Last-Modified"])
    assert after.status == 200
    body = (await after.read()).decode()
    assert "Viewing" not in body
    assert "Busy" in body
    await set_policy(seed, service, forcedDetail=None)
    (meeting_after,) = [part for part in await link.parts() if part["SUMMARY"] == "Viewing"]
    assert int(meeting_after["SEQUENCE"]) > int(meeting_before["SEQUENCE"])


async def test_option_that_the_policy_overrides_is_refused(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.anna, seed.own)
    await set_policy(seed, service, forcedDetail="BUSY", allowedTypes=["MEETING"])
    refused = {"detail": "FULL", "activityTypes": ["MEETING", "TASK"]}
    expected = [
        ("ForbiddenByPolicy", "Your account allows only BUSY.", ["options", "detail"]),
        ("ForbiddenByPolicy", "Your account allows only MEETING.", ["options", "activityTypes"]),
    ]
    for payload in (
        await service.mutate("generateCalendarUrl", seed.anna, "url", name="new", options=refused),
        await service.mutate("updateFeedLink", seed.anna, "link { id }", linkId=link.link_id, options=refused),
    ):
        assert [(e["__typename"], e["message"], e["path"]) for e in payload["userErrors"]] == expected
    allowed = {"detail": "BUSY", "activityTypes": ["MEETING"], "daysBack": 1}
    payload = await service.mutate(
        "updateFeedLink", seed.anna, "link { options { detail daysBack } }", linkId=link.link_id, options=allowed
    )
    assert payload == {"link": {"options": {"detail": "BUSY", "daysBack": 1}}, "userErrors": []}


async def test_links_show_only_the_types_that_are_allowed(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.anna, seed.own)
    assert len(await link.titles()) == 2
    await set_policy(seed, service, allowedTypes=["TASK"])
    (title,) = await link.titles()
    assert title.endswith("Call back")
    query = "{ calendarFeeds { links { options { activityTypes } preview { eventCount leftOutCounts { reason } } } } }"
    (shown,) = [one for f in (await service.graphql(query, seed.anna))["data"]["calendarFeeds"] for one in f["links"]]
    assert shown["options"] == {"activityTypes": ["TASK"]}
    assert shown["preview"] == {"eventCount": 1, "leftOutCounts": [{"reason": "TYPE_NOT_CHOSEN"}]}
    await set_policy(seed, service, allowedTypes=["CALL"])
    assert await link.titles() == ["Nothing planned"]


async def test_policy_of_one_account_is_not_that_of_another(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.anna, seed.own)
    served = await link.titles()
    await seed.conn.execute(
        "INSERT INTO accounts (account_id, name, created_at, feeds_disabled_at)"
        " VALUES (gen_random_uuid(), 'x', now(), now())"
    )
    assert await link.titles() == served


async def test_lifetime_that_is_set_for_old_links_shows_their_notice_before_they_are_gone(
    seed: Seed, service: Service
) -> None:
    link = await subscribe(service, seed.anna, seed.own)
    await seed.conn.execute("UPDATE feed_links SET created_at = $1", datetime.now(UTC) - 400 * DAY)
    await set_policy(seed, service, longestDays=10)
    assert await link.titles() == ENDED
    await seed.conn.execute("ALTER TABLE accounts DISABLE TRIGGER accounts_touch")
    try:
        await seed.conn.execute("UPDATE accounts SET changed_at = $1", datetime.now(UTC) - 31 * DAY)
    finally:
        await seed.conn.execute("ALTER TABLE accounts ENABLE TRIGGER accounts_touch")
    assert (await link.poll()).status == 410


async def test_forced_detail_that_a_link_has_anyway_changes_nothing_in_it(seed: Seed, service: Service) -> None:
    full = await subscribe(service, seed.anna, seed.own)
    busy = await subscribe(service, seed.anna, seed.own, name="busy", options={"detail": "BUSY"})
    before = await full.read(), await busy.read()
    await set_policy(seed, service, forcedDetail="FULL")
    assert await full.read() == before[0]
    await set_policy(seed, service, forcedDetail="BUSY")
    await set_policy(seed, service, forcedDetail=None)
    assert await full.read() != before[0]

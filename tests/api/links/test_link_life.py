"""The life of a link: named, limited, expiring, paused, resumed, revoked, regenerated with a grace; each step twice."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.users import add_user
from tests.feed.subscription import DAY, Subscription, stay_in_today, subscribe
from tests.seed import HOUR, NOW, Seed, Service, calendar_node, link_node, meeting, running_service

LINK = "link { name status url expiresAt pausedAt pausedBy graceEndsAt alarmedAt }"
HOST = "https://feeds.example.com"
ENDED, PAUSED = "This calendar link no longer works: subscribe again", "This calendar link is paused"


@pytest.fixture(autouse=True)
async def today_is_the_day_of_now(seed: Seed) -> None:
    await stay_in_today(seed)


def soon(**later: float) -> str:
    return (datetime.now(UTC) + timedelta(**later)).isoformat()


async def change(name: str, link: Subscription, caller: Any = None, /, **values: Any) -> dict[str, Any]:
    """The link after a mutation of it."""
    payload = await link.service.mutate(name, caller or link.user, LINK, linkId=link.link_id, **values)
    assert payload["userErrors"] == []
    changed: dict[str, Any] = payload["link"]
    return changed


async def refusal(name: str, link: Subscription, caller: Any = None, /, **values: Any) -> dict[str, Any]:
    """The one user error of a mutation that changed nothing."""
    payload = await link.service.mutate(name, caller or link.user, LINK, linkId=link.link_id, **values)
    assert payload["link"] is None
    (error,) = payload["userErrors"]
    return dict(error)


async def actions(seed: Seed) -> list[str]:
    rows = await seed.conn.fetch(
        "SELECT action FROM audit_log WHERE actor_type = 'USER' AND outcome = 'DONE' ORDER BY id"
    )
    return [row["action"] for row in rows]


# ---- names, and how many


async def test_named_links_are_limited_by_the_settings(seed: Seed, dsn: str) -> None:
    async with running_service(dsn, links_per_user=2) as service:
        for name in ("", "iPhone", "", "iPhone"):
            await service.generate(seed.anna, name=name)
        await service.generate(seed.ben)
        payload = await service.mutate("generateCalendarUrl", seed.anna, "url", name="Work")
        message = "The limit of links is 2, and you have as many: revoke one that you do not need."
        assert payload == {
            "url": None,
            "userErrors": [{"__typename": "TooManyLinks", "message": message, "path": []}],
        }
        link = await subscribe(service, seed.anna, name="iPhone")
        await change("revokeFeedLink", link)
        assert await service.generate(seed.anna, name="Work")


async def test_links_generated_at_the_same_moment_do_not_exceed_the_limit(seed: Seed, dsn: str) -> None:
    async with running_service(dsn, links_per_user=3) as service:
        payloads = await asyncio.gather(
            *(service.mutate("generateCalendarUrl", seed.anna, "url", name=f"n{n}") for n in range(12))
        )
    assert sum(payload["url"] is not None for payload in payloads) == 3
    assert await seed.conn.fetchval("SELECT count(*) FROM feed_links") == 3


async def test_named_link_is_renamed_and_keeps_its_url(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.anna, name="iPhone")
    renamed = await change("updateFeedLink", link, name="iPad")
    assert (renamed["name"], renamed["url"]) == ("iPad", HOST + link.url)
    assert await change("updateFeedLink", link, name="iPad") == renamed
    assert await actions(seed) == ["LINK_GENERATED", "LINK_UPDATED"]


async def test_name_that_another_link_of_the_feed_has_is_refused(seed: Seed, service: Service) -> None:
    await service.generate(seed.anna, name="iPad")
    await service.generate(seed.anna, seed.own, name="Work")
    link = await subscribe(service, seed.anna, name="iPhone")
    error = await refusal("updateFeedLink", link, name="iPad")
    assert error == {
        "__typename": "LinkNameTaken",
        "message": "The feed has another link of that name: choose another one.",
        "path": ["name"],
    }
    assert (await change("updateFeedLink", link, name="Work"))["name"] == "Work"


@pytest.mark.parametrize(
    ("old", "new"), [("", "iPad"), ("iPhone", ""), ("iPhone", "two\nlines"), ("iPhone", "n" * 101)]
)
async def test_default_link_has_no_name_and_others_have_a_good_one(
    seed: Seed, service: Service, old: str, new: str
) -> None:
    link = await subscribe(service, seed.anna, name=old)
    assert (await refusal("updateFeedLink", link, name=new))["__typename"] == "LinkNameInvalid"


# ---- expiry


async def test_link_ends_at_the_moment_that_its_user_chose(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    link = await subscribe(service, seed.anna, seed.own, expiresAt=soon(seconds=1.5))
    assert await link.titles() == ["Viewing"]
    await asyncio.sleep(1.6)
    assert await link.titles() == [ENDED]
    later = await change("updateFeedLink", link, expiresAt=soon(hours=1))
    assert (later["status"], await link.titles()) == ("ACTIVE", ["Viewing"])
    assert (await change("updateFeedLink", link, expiresAt=None))["expiresAt"] is None


async def test_expired_link_is_shown_as_such_and_serves_again_at_a_new_url_once_it_is_regenerated(
    seed: Seed, service: Service
) -> None:
    link = await subscribe(service, seed.anna)
    await seed.conn.execute("UPDATE feed_links SET expires_at = $1", datetime.now(UTC) - HOUR)
    payload = await service.mutate("generateCalendarUrl", seed.anna, LINK)
    assert (payload["link"]["status"], payload["link"]["url"]) == ("EXPIRED", HOST + link.url)
    payload = await service.mutate("resetCalendarFeeds", seed.anna, "feeds { links { status } }")
    assert payload["feeds"] == [{"links": [{"status": "EXPIRED"}]}]
    payload = await service.mutate("generateCalendarUrl", seed.anna, LINK, regenerate=True)
    assert (payload["link"]["status"], payload["link"]["expiresAt"]) == ("ACTIVE", None)


@pytest.mark.parametrize("moment", ["2020-01-01T00:00:00Z", NOW.replace(year=2021).isoformat()])
async def test_moment_that_has_passed_ends_no_link(seed: Seed, service: Service, moment: str) -> None:
    payload = await service.mutate("generateCalendarUrl", seed.anna, "url", expiresAt=moment)
    error = {"__typename": "ExpiryInvalid", "message": "Name a moment in the future.", "path": ["expiresAt"]}
    assert payload == {"url": None, "userErrors": [error]}
    link = await subscribe(service, seed.anna)
    assert await refusal("updateFeedLink", link, expiresAt=moment) == error


async def test_moment_without_an_offset_is_refused(seed: Seed, service: Service) -> None:
    query = 'mutation { generateCalendarUrl(input: {expiresAt: "2099-01-01T00:00:00"}) { url } }'
    answer = await service.graphql(query, seed.anna)
    assert [error["extensions"] for error in answer["errors"]] == [{"code": "INVALID_QUERY"}]
    assert "must carry an offset" in answer["errors"][0]["message"]


# ---- pause and resume


async def test_paused_link_shows_that_it_is_until_it_is_resumed_at_the_same_url(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    link = await subscribe(service, seed.anna, seed.own)
    before = await link.poll()
    paused = await change("pauseFeedLink", link)
    assert (paused["status"], paused["pausedBy"], paused["url"]) == ("PAUSED", "OWNER", HOST + link.url)
    known = {"If_None_Match": before.headers["ETag"], "If_Modified_Since": before.headers["Last-Modified"]}
    answer = await link.poll(**known)
    assert (answer.status, await link.titles()) == (200, [PAUSED])
    assert (await link.poll(If_None_Match=answer.headers["ETag"])).status == 304
    assert await change("pauseFeedLink", link) == paused
    resumed = await change("resumeFeedLink", link)
    assert (resumed["status"], resumed["pausedBy"], resumed["pausedAt"]) == ("ACTIVE", None, None)
    assert await change("resumeFeedLink", link) == resumed
    answer = await link.poll(**known)
    assert (answer.status, await link.titles()) == (200, ["Viewing"])
    assert await actions(seed) == ["LINK_GENERATED", "LINK_PAUSED", "LINK_RESUMED"]


async def test_paused_link_is_never_gone(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.anna)
    await seed.conn.execute("UPDATE feed_links SET paused_at = $1, paused_by = 'OWNER'", NOW - 400 * DAY)
    assert await link.titles() == [PAUSED]
    await seed.conn.execute("UPDATE feed_links SET revoked_at = $1", NOW - 31 * DAY)
    assert (await link.poll()).status == 410


async def test_user_cannot_resume_what_an_administrator_paused(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.ben, seed.team)
    await change("pauseFeedLink", link)
    paused = await change("pauseFeedLink", link, seed.anna)
    assert (paused["pausedBy"], paused["url"]) == ("ADMINISTRATOR", None)
    message = "An administrator paused the link: ask them to resume it."
    expected = {"__typename": "LinkPausedByOther", "message": message, "path": ["linkId"]}
    assert await refusal("resumeFeedLink", link) == expected
    await service.generate(seed.ben, seed.team, regenerate=True)
    assert await refusal("resumeFeedLink", link) == expected
    assert (await change("resumeFeedLink", link, seed.anna))["status"] == "ACTIVE"


async def test_link_that_its_alarm_paused_serves_again_at_a_new_url_or_when_an_administrator_says_so(
    seed: Seed, service: Service
) -> None:
    await seed.write(meeting(), calendars=(seed.team,))
    link = await subscribe(service, seed.ben, seed.team)
    alarm = "UPDATE feed_links SET alarmed_at = now(), paused_at = now(), paused_by = 'ALARM'"
    await seed.conn.execute(alarm)
    error = await refusal("resumeFeedLink", link)
    assert error["message"].startswith("The link was paused because others seem to have its URL: reset it")
    payload = await service.mutate("resetCalendarFeeds", seed.ben, "feeds { links { status alarmedAt pausedBy } }")
    assert payload["feeds"] == [{"links": [{"status": "ACTIVE", "alarmedAt": None, "pausedBy": None}]}]
    await seed.conn.execute(alarm)
    assert (await change("resumeFeedLink", link, seed.anna))["status"] == "ACTIVE"
    assert await seed.conn.fetchval("SELECT alarm_cleared_at > now() - interval '1 minute' FROM feed_links")


# ---- revoke


async def test_revoked_link_is_dead_for_good_and_its_name_is_free(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    link = await subscribe(service, seed.anna, seed.own, name="iPhone")
    for _ in range(2):
        revoked = await change("revokeFeedLink", link)
        assert (revoked["status"], revoked["url"]) == ("REVOKED", None)
    assert await link.titles() == [ENDED]
    for name in ("updateFeedLink", "pauseFeedLink", "resumeFeedLink"):
        assert (await refusal(name, link))["__typename"] == "LinkRevoked"
    again = await subscribe(service, seed.anna, seed.own, name="iPhone")
    assert (await again.titles(), await link.titles()) == (["Viewing"], [ENDED])
    assert await actions(seed) == ["LINK_GENERATED", "LINK_REVOKED", "LINK_GENERATED"]


CHANGES = ["updateFeedLink", "pauseFeedLink", "resumeFeedLink", "revokeFeedLink"]


@pytest.mark.parametrize("name", CHANGES)
async def test_links_of_others_do_not_exist_for_a_user_and_do_for_an_administrator(
    seed: Seed, service: Service, name: str
) -> None:
    annas, bens = await subscribe(service, seed.anna, seed.team), await subscribe(service, seed.ben, seed.team)
    error = await refusal(name, annas, seed.ben)
    assert (error["__typename"], error["path"]) == ("LinkNotFound", ["linkId"])
    unknown = Subscription(service, seed.ben, link_node(seed.own), "")
    assert await refusal(name, unknown) == error
    assert (await change(name, bens, seed.anna))["url"] is None
    attempts = "SELECT action FROM audit_log WHERE outcome = 'REFUSED' AND actor_id = $1"
    action = {"updateFeedLink": "LINK_UPDATED", "pauseFeedLink": "LINK_PAUSED", "resumeFeedLink": "LINK_RESUMED"}
    assert [row["action"] for row in await seed.conn.fetch(attempts, seed.ben.id)] == [
        action.get(name, "LINK_REVOKED")
    ] * 2


# ---- regenerate, with a grace, and again


async def test_old_url_serves_until_the_grace_is_over(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    old = await subscribe(service, seed.anna, seed.own)
    payload = await service.mutate(
        "generateCalendarUrl", seed.anna, LINK, calendarId=calendar_node(seed.own), regenerate=True, graceHours=1
    )
    new = Subscription(service, seed.anna, old.link_id, payload["link"]["url"].removeprefix(HOST))
    assert old.url != new.url
    assert payload["link"]["graceEndsAt"] is not None
    assert (await old.titles(), await new.titles()) == (["Viewing"], ["Viewing"])
    await seed.conn.execute("UPDATE feed_links SET grace_until = $1", datetime.now(UTC) - timedelta(days=29))
    assert (await old.titles(), await new.titles()) == ([ENDED], ["Viewing"])
    await seed.conn.execute("UPDATE feed_links SET grace_until = $1", datetime.now(UTC) - timedelta(days=31))
    assert (await old.poll()).status == 410


async def test_grace_is_over_with_the_next_reset(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    first = await subscribe(service, seed.anna, seed.own)
    second = await service.generate(seed.anna, seed.own, regenerate=True, graceHours=24)
    third = await service.generate(seed.anna, seed.own, regenerate=True)
    urls = [first.url, second, third]
    titles = [await Subscription(service, seed.anna, "", url).titles() for url in urls]
    assert titles == [[ENDED], [ENDED], ["Viewing"]]


async def test_graces_do_not_add_up(seed: Seed, service: Service) -> None:
    first = await subscribe(service, seed.anna, seed.own)
    for _ in range(2):
        await service.generate(seed.anna, seed.own, regenerate=True, graceHours=24)
    assert await first.titles() == [ENDED]


@pytest.mark.parametrize("end", ["revokeFeedLink", "pauseFeedLink"])
async def test_link_that_ends_ends_the_grace_too(seed: Seed, service: Service, end: str) -> None:
    old = await subscribe(service, seed.anna, seed.own)
    await service.generate(seed.anna, seed.own, regenerate=True, graceHours=24)
    await change(end, old)
    assert await old.titles() == [ENDED if end == "revokeFeedLink" else PAUSED]


@pytest.mark.parametrize("hours", [-1, 169])
async def test_grace_has_a_limit(seed: Seed, service: Service, hours: int) -> None:
    for name in ("generateCalendarUrl", "resetCalendarFeeds"):
        (error,) = (await service.mutate(name, seed.anna, "", graceHours=hours))["userErrors"]
        assert error == {
            "__typename": "ValueInvalid",
            "message": "Give a number from 0 to 168.",
            "path": ["graceHours"],
        }


async def test_call_that_is_repeated_with_its_request_id_resets_once(seed: Seed, service: Service) -> None:
    for calendar_id in (None, seed.own):
        await service.generate(seed.anna, calendar_id)
    answers = [
        await service.mutate("resetCalendarFeeds", seed.anna, "resetCount feeds { url }", requestId="one")
        for _ in range(3)
    ]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["resetCount"] == 2
    again = await service.mutate("resetCalendarFeeds", seed.anna, "resetCount feeds { url }", requestId="two")
    assert again["feeds"] != answers[0]["feeds"]
    urls = {await service.generate(seed.anna, regenerate=True, requestId="three") for _ in range(3)}
    assert len(urls) == 1
    assert (await actions(seed)).count("LINK_RESET") == 2 + 2 + 1


async def test_calls_at_the_same_moment_with_one_request_id_reset_once(seed: Seed, service: Service) -> None:
    await service.generate(seed.anna)
    urls = await asyncio.gather(*(service.generate(seed.anna, regenerate=True, requestId="a UUID") for _ in range(8)))
    assert len(set(urls)) == 1
    assert await seed.conn.fetchval("SELECT generation FROM feed_links") == 2


@pytest.mark.parametrize("request_id", ["", "x" * 101, "a\nb"])
async def test_request_id_that_nobody_means_is_refused(seed: Seed, service: Service, request_id: str) -> None:
    (error,) = (await service.mutate("resetCalendarFeeds", seed.anna, "", requestId=request_id))["userErrors"]
    assert (error["__typename"], error["path"]) == ("ValueInvalid", ["requestId"])


SHUT = {
    "alarmed": "alarmed_at = now()",
    "paused by its alarm": "alarmed_at = now(), paused_at = now(), paused_by = 'ALARM'",
    "paused": "paused_at = now(), paused_by = 'OWNER'",
    "expired": "expires_at = now() - interval '10 days'",
}


@pytest.mark.parametrize("state", SHUT)
async def test_url_that_was_shut_gets_no_grace(seed: Seed, service: Service, state: str) -> None:
    await seed.write(meeting())
    old = await subscribe(service, seed.anna, seed.own)
    await seed.conn.execute(f"UPDATE feed_links SET {SHUT[state]}")
    await service.generate(seed.anna, seed.own, regenerate=True, graceHours=100)
    await service.mutate("resumeFeedLink", seed.anna, "link { id }", linkId=old.link_id)
    assert await old.titles() == [ENDED]
    assert (await change("updateFeedLink", old, expiresAt=None))["graceEndsAt"] is None
    assert await old.titles() == [ENDED]


async def test_grace_lengthens_no_life(seed: Seed, service: Service) -> None:
    soon_ = datetime.now(UTC) + HOUR
    old = await subscribe(service, seed.anna, seed.own, expiresAt=soon_.isoformat())
    await service.generate(seed.anna, seed.own, regenerate=True, graceHours=100, expiresAt=soon(days=300))
    assert await seed.conn.fetchval("SELECT grace_until FROM feed_links") == soon_
    assert await old.titles() != [ENDED]


async def test_release_before_this_one_ends_a_grace_by_a_reset(seed: Seed, service: Service) -> None:
    """It knows nothing of graces, and runs beside this one during an upgrade."""
    await seed.write(meeting())
    first = await subscribe(service, seed.anna, seed.own)
    second = await service.generate(seed.anna, seed.own, regenerate=True, graceHours=100)
    await seed.conn.execute("UPDATE feed_links SET generation = generation + 1, resets = resets || now()")
    for url in (first.url, second):
        assert await Subscription(service, seed.anna, "", url).titles() == [ENDED]


async def test_request_id_counts_from_the_call_that_makes_the_link(seed: Seed, service: Service) -> None:
    urls = {await service.generate(seed.anna, regenerate=True, requestId="x1") for _ in range(3)}
    assert len(urls) == 1
    assert await actions(seed) == ["LINK_GENERATED"]


async def test_reset_that_is_repeated_leaves_links_alone_that_were_made_since(seed: Seed, service: Service) -> None:
    await service.generate(seed.anna)
    await service.mutate("resetCalendarFeeds", seed.anna, "resetCount", requestId="one")
    made_since = await service.generate(seed.anna, seed.own)
    await service.mutate("resetCalendarFeeds", seed.anna, "resetCount", requestId="one")
    assert await service.generate(seed.anna, seed.own) == made_since


@pytest.mark.parametrize("regenerate", [False, True])
async def test_link_that_is_revoked_while_it_is_asked_for_is_made_anew(
    seed: Seed, service: Service, regenerate: bool
) -> None:
    link = await subscribe(service, seed.anna, seed.own)
    async with seed.conn.transaction():
        await seed.conn.execute("UPDATE feed_links SET revoked_at = now()")
        asking = asyncio.create_task(service.generate(seed.anna, seed.own, regenerate=regenerate))
        await asyncio.sleep(0.3)
        assert not asking.done()
    new = await asking
    assert new != link.url
    assert (await service.poll(new)).status == 200
    assert await seed.conn.fetchval("SELECT count(*) FROM feed_links") == 2


async def test_links_of_calendars_that_were_lost_count_no_more_and_can_be_revoked(seed: Seed, service: Service) -> None:
    await seed.conn.execute("UPDATE accounts SET most_links = 1")
    lost = await subscribe(service, seed.ben, seed.team)
    await seed.conn.execute("UPDATE calendar_access SET withdrawn_at = now() WHERE user_id = $1", seed.ben.id)
    assert await service.generate(seed.ben)
    payload = await service.mutate("revokeFeedLink", seed.ben, "feed { name } link { status }", linkId=lost.link_id)
    assert payload == {"feed": None, "link": {"status": "REVOKED"}, "userErrors": []}


async def test_administrator_does_not_resume_what_its_user_paused(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.ben, seed.team)
    await change("pauseFeedLink", link)
    error = await refusal("resumeFeedLink", link, seed.anna)
    assert (error["__typename"], error["message"]) == (
        "LinkPausedByOther",
        "Its user paused the link: ask them to resume it.",
    )


async def test_link_whose_key_was_dropped_is_told_as_such(seed: Seed, dsn: str) -> None:
    async with running_service(dsn) as service:
        await service.generate(seed.anna)
    async with running_service(dsn, secret_keys=f"k2:{'n' * 32}") as service:
        answer = await service.graphql("{ calendarFeeds { links { status url } } }", seed.anna)
        assert answer["data"]["calendarFeeds"][0]["links"] == [{"status": "KEY_DROPPED", "url": None}]


async def test_poll_of_a_dead_url_uses_up_nothing_of_the_live_one(seed: Seed, dsn: str) -> None:
    async with running_service(dsn, link_polls_per_minute=3) as service:
        old = await subscribe(service, seed.anna)
        new = await service.generate(seed.anna, regenerate=True)
        assert [(await old.poll()).status for _ in range(4)] == [200, 200, 200, 429]
        assert (await service.poll(new)).status == 200


# ---- the notice


async def test_notice_names_the_settings_page_in_the_language_of_the_user(seed: Seed, dsn: str) -> None:
    cem = await add_user(seed.conn, seed.account_id, NOW, name="Cem", locale="nl", time_zone="UTC")
    async with running_service(dsn, settings_page_url="https://crm.example.com/feeds?tab=1") as service:
        link = await subscribe(service, cem)
        for end, title in (("pauseFeedLink", "gepauzeerd"), ("revokeFeedLink", "Deze agendalink werkt niet meer")):
            await change(end, link)
            (event,) = await link.parts()
            assert title in event["SUMMARY"]
            assert event["URL"] == "https://crm.example.com/feeds?tab=1"
            assert event["DESCRIPTION"].endswith("\\nhttps://crm.example.com/feeds?tab=1")
            assert "Cem" not in str(event)

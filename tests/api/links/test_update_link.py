"""`updateFeedLink`, and the options of `generateCalendarUrl`, over real HTTP."""

from typing import Any

import pytest
from strawberry.relay import to_base64

from tests.feed.subscription import DEFAULTS, GENERATE, subscribe, update
from tests.seed import Seed, Service, calendar_node, plant

OTHERS: dict[str, Any] = {
    "activityTypes": ["MEETING"],
    "tasksAs": "TODO",
    "detail": "BUSY",
    "daysBack": 1,
    "daysAhead": 2,
    "timeStyle": "ZONED",
    "participants": "ATTENDEE",
    "completedTasks": "OMIT",
    "cancelled": "MARK",
    "reminderMinutes": 15,
    "titleWith": "OWNER",
}


async def test_options_left_out_stay_and_null_is_the_default(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.anna, seed.own, options=OTHERS)
    assert (await link.update())["link"]["options"] == OTHERS
    payload = await link.update(daysBack=7)
    assert payload["feed"] == {"name": "Anna Müller"}
    assert payload["link"]["options"] == {**OTHERS, "daysBack": 7}
    for name in OTHERS:
        changed = (await link.update(**{name: None}))["link"]["options"]
        assert changed[name] == DEFAULTS[name]
    assert changed == DEFAULTS
    assert await seed.conn.fetchval("SELECT options::text FROM feed_links") == "{}"


async def test_options_of_an_existing_link_change_only_when_it_is_regenerated(seed: Seed, service: Service) -> None:
    options = {"daysBack": 1, "detail": "BUSY"}
    await subscribe(service, seed.anna, seed.own, options=options)

    async def generated(**said: Any) -> Any:
        input_ = {"calendarId": calendar_node(seed.own), **said}
        payload = (await service.graphql(GENERATE, seed.anna, input=input_))["data"]["generateCalendarUrl"]
        return payload["link"]["options"]

    expected = {**DEFAULTS, **options}
    assert await generated(options={"daysBack": 9}) == expected
    assert await generated(regenerate=True) == expected
    assert await generated(regenerate=True, options=None) == expected
    assert await generated(regenerate=True, options={"daysBack": 9}) == {**expected, "daysBack": 9}


REFUSED: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"activityTypes": []}, [("activityTypes", "Name at least one type: MEETING, CALL or TASK.")]),
    ({"activityTypes": ["CALL", "NOTE"]}, [("activityTypes", "Leave NOTE out: notes are never in a feed.")]),
    *(
        ({name: value}, [(name, "Give a number from 0 to 3650.")])
        for name in ("daysBack", "daysAhead")
        for value in (-1, 3651)
    ),
    *(({"reminderMinutes": value}, [("reminderMinutes", "Give a number from 0 to 40320.")]) for value in (-1, 40_321)),
    (
        {"detail": "BUSY", "daysAhead": -1, "daysBack": 9999},
        [("daysBack", "Give a number from 0 to 3650."), ("daysAhead", "Give a number from 0 to 3650.")],
    ),
]


@pytest.mark.parametrize(("options", "mistakes"), REFUSED)
async def test_refused_option_is_named_and_nothing_is_changed(
    seed: Seed, service: Service, options: dict[str, Any], mistakes: list[tuple[str, str]]
) -> None:
    errors = [
        {"__typename": "FeedOptionsInvalid", "message": message, "path": ["options", name]}
        for name, message in mistakes
    ]
    answer = await service.graphql(GENERATE, seed.anna, input={"options": options})
    assert answer["data"]["generateCalendarUrl"] == {"url": None, "link": None, "userErrors": errors}
    assert await seed.conn.fetchval("SELECT count(*) FROM feed_links") == 0
    link = await subscribe(service, seed.anna)
    before = await seed.conn.fetch("SELECT * FROM feed_links")
    assert await link.update(**options) == {"feed": None, "link": None, "userErrors": errors}
    assert await seed.conn.fetch("SELECT * FROM feed_links") == before


LINK_NOT_FOUND = {
    "feed": None,
    "link": None,
    "userErrors": [
        {
            "__typename": "LinkNotFound",
            "message": "There is no such link: use an id that the API gave you.",
            "path": ["linkId"],
        }
    ],
}


async def test_link_of_somebody_else_is_not_found(seed: Seed, service: Service) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    theirs = [await subscribe(service, seed.anna, seed.team), await subscribe(service, other.anna)]
    ids = [link.link_id for link in theirs]
    for unknown in (*ids, calendar_node(seed.own), to_base64("FeedLink", "1"), "garbage", ""):
        assert await update(service, seed.ben, unknown, daysBack=1) == LINK_NOT_FOUND
    assert await seed.conn.fetchval("SELECT count(*) FROM feed_links WHERE options <> '{}'") == 0


ENDS = {
    "access withdrawn": "UPDATE calendar_access SET withdrawn_at = '2026-01-01Z'",
    "access gone": "DELETE FROM calendar_access",
    "calendar deleted": "UPDATE calendars SET deleted_at = '2026-01-01Z'",
}


@pytest.mark.parametrize("end", ENDS)
async def test_link_that_ended_is_not_found(seed: Seed, service: Service, end: str) -> None:
    link = await subscribe(service, seed.ben, seed.team)
    await seed.conn.execute(ENDS[end])
    assert await link.update(daysBack=1) == LINK_NOT_FOUND
    assert await seed.conn.fetchval("SELECT options::text FROM feed_links") == "{}"


async def test_revoked_link_is_told_as_such_and_stays_as_it_is(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.ben, seed.team)
    await seed.conn.execute("UPDATE feed_links SET revoked_at = now()")
    (error,) = (await link.update(daysBack=1))["userErrors"]
    assert error == {
        "__typename": "LinkRevoked",
        "message": "The link was revoked: generate a new one.",
        "path": ["linkId"],
    }
    assert await seed.conn.fetchval("SELECT options::text FROM feed_links") == "{}"


async def test_change_of_options_is_audited_once_and_none_is_not(seed: Seed, service: Service) -> None:
    link = await subscribe(service, seed.anna, seed.own)
    for options in ({"daysBack": 90}, {}, {"titleWith": "OWNER"}, {"titleWith": "OWNER"}, {"daysBack": -1}):
        await link.update(**options)
    sql = "SELECT action, actor_id, subject_id, network::text, details::text FROM audit_log"
    sql += " WHERE actor_type = 'USER' ORDER BY id"
    link_id = await seed.conn.fetchval("SELECT id FROM feed_links")
    told = {"LINK_GENERATED": "{}", "LINK_UPDATED": '{"options": [{}, {"titleWith": "OWNER"}]}'}
    assert [tuple(row) for row in await seed.conn.fetch(sql)] == [
        (action, seed.anna.id, link_id, "127.0.0.0/24", details) for action, details in told.items()
    ]

"""`CalendarFeed.preview`: what a subscriber gets, and why other activities are left out, over real HTTP."""

from datetime import timedelta
from typing import Any

import pytest
from strawberry.relay import to_base64

from db.activities import Activity
from tests.feed.subscription import DAY, Subscription, stay_in_today, subscribe, weekly
from tests.seed import HOUR, NOW, Seed, Service, meeting, plant, running_service, task, user_node

PREVIEW = """
    query ($first: Int = 50, $user: ID) { calendarFeeds(userId: $user) { preview(first: $first) { ...all } } }
    fragment all on FeedPreview {
      name description startsOn endsOn eventCount byteCount activityCount
      activities { activityId type title startsAt endsAt startsOn endsOn recurring busy ics }
      leftOutCount leftOutCounts { reason count } leftOut { activityId type title reason } }"""
OF_LINKS = """
    query ($first: Int = 50, $user: ID) { calendarFeeds(userId: $user) { links { name preview(first: $first) {
      startsOn byteCount activities { title } } } } }"""
TRIED = """
    query ($options: FeedOptionsInput) { calendarFeeds { links { options { detail daysBack }
      preview(options: $options) { startsOn activities { title } leftOutCounts { reason count } } } } }"""
DESCRIPTION = "Meetings, calls and tasks from the CRM. Read-only. Shows 90 days back and 365 days ahead."


@pytest.fixture(autouse=True)
async def today_is_the_day_of_now(seed: Seed) -> None:
    await stay_in_today(seed)


async def preview(service: Service, seed: Seed, **said: Any) -> Any:
    """Of Anna's own calendar."""
    return (await service.graphql(PREVIEW, seed.anna, **said))["data"]["calendarFeeds"][1]["preview"]


async def error_code(service: Service, seed: Seed, query: str, **said: Any) -> Any:
    answer = await service.graphql(query, seed.anna, **said)
    assert answer["data"] is None
    return {error["extensions"]["code"] for error in answer["errors"]}


async def node(seed: Seed, external_id: str) -> str:
    found = await seed.conn.fetchval("SELECT id FROM activities WHERE external_id = $1", external_id)
    return to_base64("Activity", str(found))


def moment(hours: int) -> str:
    return f"{NOW + hours * HOUR:%Y-%m-%dT%H:%M:%SZ}"


async def test_preview_of_a_feed_without_a_link_tells_all_of_the_defaults(seed: Seed, service: Service) -> None:
    await seed.write(
        meeting("series", title="Weekly", recurrence=weekly(), starts_at=NOW - 14 * DAY, ends_at=None),
        meeting("m1", location="Room 4"),
        task("t1", title="Offer", due_on=NOW.date() + DAY),
        meeting("p1", title="Dentist", private=True, owner_id=seed.ben.id, starts_at=NOW + 9 * DAY, ends_at=None),
    )
    found = await preview(service, seed)
    octets = [said.pop("ics") for said in found["activities"]]
    no_day, no_time = {"startsOn": None, "endsOn": None}, {"startsAt": None, "endsAt": None}
    tomorrow, after = (str((NOW + n * DAY).date()) for n in (1, 2))
    quarter = f"{NOW - 14 * DAY + timedelta(minutes=15):%Y-%m-%dT%H:%M:%SZ}"
    end = f"{NOW + 9 * DAY + timedelta(minutes=15):%Y-%m-%dT%H:%M:%SZ}"
    once = {"recurring": False, "busy": False}
    said = {
        "m1": {"type": "MEETING", "title": "Viewing", "startsAt": moment(0), "endsAt": moment(1), **no_day, **once},
        "series": {"type": "MEETING", "title": "Weekly", "startsAt": moment(-14 * 24), "endsAt": quarter}
        | {**no_day, "recurring": True, "busy": False},
        "t1": {"type": "TASK", "title": "☐ Offer", **no_time, "startsOn": tomorrow, "endsOn": after, **once},
        "p1": {"type": "MEETING", "title": "Busy", "startsAt": moment(9 * 24), "endsAt": end}
        | {**no_day, "recurring": False, "busy": True},
    }
    nodes = {name: None if values["busy"] else await node(seed, name) for name, values in said.items()}
    expected = [{"activityId": nodes[name], **values} for name, values in said.items()]
    assert sorted(found.pop("activities"), key=expected.index) == expected
    assert [octets_.count("BEGIN:VEVENT") for octets_ in octets] == [1] * 4
    assert found.pop("byteCount") > sum(map(len, octets))
    assert found == {
        "name": "Anna Müller",
        "description": DESCRIPTION,
        "startsOn": str((NOW - 90 * DAY).date()),
        "endsOn": str((NOW + 366 * DAY).date()),
        "eventCount": 4,
        "activityCount": 4,
        "leftOutCount": 0,
        "leftOutCounts": [],
        "leftOut": [],
    }


def note(**said: Any) -> Activity:
    return Activity(type="NOTE", status="CONFIRMED", external_id="x", title="Secret", starts_at=NOW, **said)


X: dict[str, Any] = {"external_id": "x", "title": "Secret"}
LONG_AGO: dict[str, Any] = {"starts_at": NOW - 100 * DAY, "ends_at": None}
ENDED = {**weekly(), "rules": ["FREQ=WEEKLY;COUNT=1"]}
REASONS: list[tuple[str, Activity, dict[str, Any]]] = [
    ("NO_TIME", meeting(**X, starts_at=None, ends_at=None), {}),
    ("NO_TIME", task(**X), {}),
    ("NOTE", note(), {}),
    ("TYPE_NOT_CHOSEN", task(**X, due_on=NOW.date()), {"activityTypes": ["MEETING"]}),
    ("COMPLETED", task(**X, due_on=NOW.date(), status="COMPLETED"), {"completedTasks": "OMIT"}),
    ("CANCELLED", meeting(**X, status="CANCELLED"), {}),
    ("CANCELLED", meeting(**X, status="CANCELLED"), {"cancelled": "MARK", "detail": "BUSY"}),
    ("PRIVATE", meeting(**X, status="CANCELLED", private=True), {"cancelled": "MARK"}),
    ("OUTSIDE_WINDOW", meeting(**X, **LONG_AGO), {}),
    ("OUTSIDE_WINDOW", meeting(**X, recurrence=ENDED), {"daysBack": 3}),
    ("CANNOT_BE_RENDERED", meeting(**X, recurrence={"rules": 7}), {}),
]


@pytest.mark.parametrize(("reason", "made", "options"), REASONS)
async def test_reason_for_which_an_activity_is_left_out_is_told(
    seed: Seed, service: Service, reason: str, made: Activity, options: dict[str, Any]
) -> None:
    await seed.write(meeting(), made)
    link = await subscribe(service, seed.anna, seed.own, options=options)
    found = await preview(service, seed)
    title = None if made.private else "Secret"
    node_id = None if made.private else await node(seed, "x")
    expected = {"activityId": node_id, "type": made.type, "title": title, "reason": reason}
    assert found["leftOut"] == [expected]
    assert found["leftOutCounts"] == [{"reason": reason, "count": 1}]
    assert (found["leftOutCount"], found["activityCount"], found["eventCount"]) == (1, 1, 1)
    assert b"Secret" not in await link.read()


@pytest.mark.parametrize(("count", "status"), [(1, 200), (9, 200), (10, 503)])
async def test_feed_of_which_nothing_can_be_rendered_is_previewed(
    seed: Seed, service: Service, count: int, status: int
) -> None:
    """Those who have to mend it must see what it is, whatever polls are answered."""
    await seed.write(*(meeting(f"x{n}", recurrence={"rules": 7}) for n in range(count)))
    link = await subscribe(service, seed.anna, seed.own)
    answer, found = await link.poll(), await preview(service, seed)
    assert answer.status == status
    assert found["byteCount"] == (len(await answer.read()) if status == 200 else None)
    assert found["leftOutCounts"] == [{"reason": "CANNOT_BE_RENDERED", "count": count}]
    assert (found["activityCount"], found["eventCount"], found["activities"]) == (0, 0, [])


async def test_many_reasons_are_counted_each(seed: Seed, service: Service) -> None:
    others = [meeting(f"c{n}", status="CANCELLED") for n in range(3)] + [meeting(f"o{n}", **LONG_AGO) for n in range(2)]
    await seed.write(meeting(), *others)
    found = await preview(service, seed)
    counts = [{"reason": "CANCELLED", "count": 3}, {"reason": "OUTSIDE_WINDOW", "count": 2}]
    assert (found["leftOutCounts"], found["leftOutCount"], len(found["leftOut"])) == (counts, 5, 5)


@pytest.mark.parametrize(("owner", "title"), [("ben", None), ("anna", "Secret")])
async def test_full_feed_names_what_it_leaves_out_but_no_private_title(
    seed: Seed, dsn: str, owner: str, title: str | None
) -> None:
    await seed.write(meeting(), meeting(**X, **LONG_AGO | {"starts_at": NOW - 9 * DAY}, private=True))
    await seed.conn.execute("UPDATE activities SET owner_id = (SELECT id FROM users WHERE name ILIKE $1)", f"{owner}%")
    async with running_service(dsn, max_events=1) as service:
        found = await preview(service, seed)
    node_id = await node(seed, "x") if title else None
    left_out = {"activityId": node_id, "type": "MEETING", "title": title, "reason": "OVER_CAP"}
    assert found["leftOut"] == [left_out]
    assert found["description"] == f"{DESCRIPTION} This calendar is full: 1 entry is left out, the oldest first."


# ---- first


async def write_so_many(seed: Seed, count: int) -> None:
    await seed.write(*(meeting(f"{n}", title=f"{n}", starts_at=NOW - n * HOUR, ends_at=None) for n in range(count)))
    await seed.write(*(meeting(f"c{n}", status="CANCELLED") for n in range(count)))


@pytest.mark.parametrize(("first", "listed"), [(0, 0), (1, 1), (59, 59), (60, 60), (1000, 60), (None, 50)])
async def test_first_so_many_are_listed_by_time_and_all_are_counted(
    seed: Seed, service: Service, first: int | None, listed: int
) -> None:
    await write_so_many(seed, 60)
    found = await preview(service, seed, first=first)
    assert [one["title"] for one in found["activities"]] == [f"{n}" for n in range(59, 59 - listed, -1)]
    assert len(found["leftOut"]) == listed
    assert (found["activityCount"], found["eventCount"], found["leftOutCount"]) == (60, 60, 60)


@pytest.mark.parametrize("query", [PREVIEW, OF_LINKS])
@pytest.mark.parametrize("first", [-1, 1001, 2**31 - 1])
async def test_first_beyond_its_limits_is_refused(seed: Seed, service: Service, query: str, first: int) -> None:
    await subscribe(service, seed.anna)
    assert await error_code(service, seed, query, first=first) == {"INVALID_ARGUMENT"}


# ---- whose feed, which link


@pytest.mark.parametrize("query", [PREVIEW, OF_LINKS])
async def test_preview_of_another_users_feed_is_forbidden_to_an_administrator(
    seed: Seed, service: Service, query: str
) -> None:
    for user in (seed.ben, seed.anna):
        await subscribe(service, user, seed.team)
    assert await error_code(service, seed, query, user=user_node(seed.ben)) == {"FORBIDDEN"}
    own = await service.graphql(query, seed.anna, user=user_node(seed.anna))
    assert own == await service.graphql(query, seed.anna)
    assert "errors" not in own


async def test_preview_shows_nothing_of_another_account(seed: Seed, service: Service) -> None:
    other = await plant(seed.conn, "Blackwood Investigations")
    await other.write(meeting(title="Theirs"), calendars=(other.own, other.team))
    found = (await service.graphql(PREVIEW, seed.anna))["data"]["calendarFeeds"]
    assert [one["preview"]["activityCount"] + one["preview"]["leftOutCount"] for one in found] == [0, 0, 0]
    assert await error_code(service, seed, PREVIEW, user=user_node(other.ben)) == {"NOT_FOUND"}


async def test_each_link_is_previewed_by_its_own_options(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    await subscribe(service, seed.anna, seed.own, name="busy", options={"detail": "BUSY", "daysBack": 1})
    assert (await preview(service, seed))["activities"][0]["title"] == "Viewing"
    await subscribe(service, seed.anna, seed.own, options={"daysBack": 2})
    assert (await preview(service, seed))["startsOn"] == str((NOW - 2 * DAY).date())
    links = (await service.graphql(OF_LINKS, seed.anna))["data"]["calendarFeeds"][1]["links"]
    bodies = [await (await subscribe(service, seed.anna, seed.own, name=link["name"])).read() for link in links]
    for link, body in zip(links, bodies, strict=True):
        assert link["preview"].pop("byteCount") == len(body)
    assert links == [
        {"name": name, "preview": {"startsOn": str((NOW - back * DAY).date()), "activities": [{"title": title}]}}
        for name, back, title in (("", 2, "Viewing"), ("busy", 1, "Busy"))
    ]


async def test_options_are_tried_in_a_preview_and_not_kept(seed: Seed, service: Service) -> None:
    await seed.write(meeting(), task(due_on=NOW.date()))
    await subscribe(service, seed.anna, seed.own, options={"daysBack": 2, "activityTypes": ["MEETING"]})
    (own,) = (await service.graphql(TRIED, seed.anna, options={"detail": "BUSY"}))["data"]["calendarFeeds"][1]["links"]
    assert own == {
        "preview": {
            "startsOn": str((NOW - 2 * DAY).date()),
            "activities": [{"title": "Busy"}],
            "leftOutCounts": [{"reason": "TYPE_NOT_CHOSEN", "count": 1}],
        },
        "options": {"detail": "FULL", "daysBack": 2},
    }
    assert (await preview(service, seed))["activities"][0]["title"] == "Viewing"


async def test_options_are_tried_for_a_feed_without_a_link(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    query = "{ calendarFeeds { preview(options: { detail: BUSY }) { activities { title } } } }"
    found = (await service.graphql(query, seed.anna))["data"]["calendarFeeds"][1]["preview"]
    assert found == {"activities": [{"title": "Busy"}]}


async def test_options_that_are_tried_cannot_show_more_than_the_policy(seed: Seed, service: Service) -> None:
    await seed.write(meeting())
    await service.mutate("updateFeedPolicy", seed.anna, "policy { forcedDetail }", forcedDetail="BUSY")
    query = "{ calendarFeeds { preview(options: { detail: FULL }) { activities { title } } } }"
    found = (await service.graphql(query, seed.anna))["data"]["calendarFeeds"][1]["preview"]
    assert found == {"activities": [{"title": "Busy"}]}


async def test_options_that_cannot_be_are_not_tried(seed: Seed, service: Service) -> None:
    query = "{ calendarFeeds { preview(options: { daysBack: 3651 }) { eventCount } } }"
    assert await error_code(service, seed, query) == {"INVALID_ARGUMENT"}


# ---- what is previewed is what is polled


STYLES: list[dict[str, Any]] = [
    {},
    {"detail": "BUSY"},
    {"tasksAs": "TODO", "participants": "ATTENDEE", "titleWith": "OWNER", "reminderMinutes": 9},
    {"timeStyle": "ZONED", "titleWith": "CALENDAR", "cancelled": "MARK", "completedTasks": "OMIT", "daysBack": 8},
]


async def compare(link: Subscription, found: Any) -> None:
    body = (await link.read()).decode()
    begin, end = body.index("BEGIN:VEVENT"), body.index("END:VCALENDAR")
    ics = [one["ics"] for one in found["activities"]]
    assert "".join(sorted(ics, key=body.index)) == body[begin:end]
    assert found["byteCount"] == len(body.encode())
    assert found["eventCount"] == body.count("BEGIN:VEVENT") + body.count("BEGIN:VTODO")
    head = body[:begin].replace("\r\n ", "").replace("\\", "").split("\r\n")
    assert {f"NAME:{found['name']}", f"X-WR-CALDESC:{found['description']}"} <= set(head)


@pytest.mark.parametrize("options", STYLES)
async def test_what_is_previewed_is_what_is_polled(seed: Seed, service: Service, options: dict[str, Any]) -> None:
    await seed.write(
        meeting(owner_id=seed.anna.id),
        meeting("c1", status="CANCELLED"),
        meeting("s1", recurrence=weekly(title="Changed")),
        meeting("p1", title="Dentist", private=True, owner_id=seed.ben.id),
        task("t1", due_on=(NOW - 2 * DAY).date()),
        task("t2", due_on=NOW.date(), status="COMPLETED"),
        calendars=(seed.own, seed.team),
    )
    for place, calendar_id in enumerate((None, seed.own, seed.team)):
        link = await subscribe(service, seed.anna, calendar_id, options=options)
        await link.update(reminderMinutes=3)
        await link.update(reminderMinutes=options.get("reminderMinutes"))
        found = (await service.graphql(PREVIEW, seed.anna))["data"]["calendarFeeds"]
        await compare(link, found[place]["preview"])

"""What integrators do, through every client: write by external id, and read back by page and by id."""

import pytest

from db.calendars import add_calendar
from tests.clients.running import Clients
from tests.seed import NOW, Seed, calendar_node

BOTH = pytest.mark.parametrize("client", ["apollo", "urql"])
COUNTS = ("created", "updated", "unchanged")


def users(**named: str) -> dict[str, list[dict[str, str]]]:
    return {"users": [{"externalId": key, "name": name} for key, name in named.items()]}


@BOTH
async def test_users_are_written_once_or_refused_by_path(client: str, seed: Seed, clients: Clients) -> None:
    wrong = {"users": [{"externalId": "u1"}, {"externalId": "u2", "email": "anna@example.com"}]}
    inputs = [users(u1="Cleo", u2="Dirk"), users(u1="Cleo", u2="Dirk"), users(u1="Cleopatra", u3="Edda"), wrong]
    came = await clients.run(client, "pushingUsers", await seed.key("users:write"), inputs=inputs)
    *done, refused = came.answer
    assert [[each[count] for count in COUNTS] for each in done] == [[2, 0, 0], [0, 0, 2], [1, 1, 0]]
    assert [(error["__typename"], error["path"]) for error in refused["userErrors"]] == [
        ("EmailTaken", ["users", "1", "email"])
    ]


def call(number: int, **said: object) -> dict[str, object]:
    times = {"startsAt": "2099-01-01T09:00:00Z", "endsAt": "2099-01-01T09:30:00Z"}
    named = {"externalId": f"c{number}", "calendarExternalIds": ["viewings"], "title": f"Call {number}"}
    return {"type": "CALL", **named, **times, **said}


@BOTH
async def test_activities_are_written_once_and_read_back_by_page(client: str, seed: Seed, clients: Clients) -> None:
    viewings = await add_calendar(seed.conn, seed.account_id, NOW, name="Viewings", external_id="viewings")
    key = await seed.key("activities:read", "activities:write")
    wrong = [call(1), call(2, startsAt="2099-01-01T10:00:00Z")]
    pushes = ([call(1), call(2)], [call(1), call(2)], [call(1, title="Ring back"), call(3)], wrong)
    came = await clients.run(client, "pushingActivities", key, inputs=[{"activities": push} for push in pushes])
    *done, refused = came.answer
    assert [[each[count] for count in COUNTS] for each in done] == [[2, 0, 0], [0, 0, 2], [1, 1, 0]]
    assert [error["path"] for error in refused["userErrors"]] == [["activities", "1", "endsAt"]]
    came = await clients.run(client, "activities", key, calendarId=calendar_node(viewings), first=2)
    assert came.answer == ["Ring back", "Call 2", "Call 3"]
    assert came.sent == ["POST Activities"] * 2


@BOTH
async def test_object_that_is_asked_by_its_id_is_new_wherever_it_is_shown(
    client: str, seed: Seed, clients: Clients
) -> None:
    sql = "UPDATE users AS u SET external_id = 'anna' WHERE u.account_id = $1 AND u.id = $2"
    await seed.conn.execute(sql, seed.account_id, seed.anna.id)
    came = await clients.run(client, "lookingAgain", seed.anna, input=users(anna="Anna Meyer"))
    assert came.answer == ["Anna Müller", "Anna Meyer"]
    assert came.sent == ["POST Screen", "POST PushUsers", "POST Again"]


async def test_fragment_of_relay_is_refetched_by_its_id_for_the_next_page(seed: Seed, clients: Clients) -> None:
    key = await seed.key("calendars:read", "users:read")
    came = await clients.run("relay", "users", key, id=calendar_node(seed.team), first=1)
    assert came.answer == ["Sales team", ["Anna Müller", "Ben Okafor"]]
    assert came.sent == ["POST CalendarQuery", "POST CalendarUsersQuery"]

"""What integrators do, through every client: write by external id, and read back by page and by id."""

import pytest

from tests.clients.running import Clients
from tests.seed import Seed, calendar_node

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

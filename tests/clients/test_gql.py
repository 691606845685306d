"""gql, the client of Python: it reads the schema from the service and holds operations to it."""

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from gql import GraphQLRequest, gql
from gql.client import AsyncClientSession
from gql.dsl import DSLMutation, DSLQuery, DSLSchema, dsl_gql
from gql.transport.exceptions import TransportQueryError
from graphql import GraphQLError, GraphQLSchema, build_schema, lexicographic_sort_schema, print_schema

from db.calendars import add_calendar
from db.users import UserRecord
from tests.clients.building import HERE, SCHEMA
from tests.clients.gql_client import gql_client, read_moments
from tests.seed import NOW, Seed, Service, bearer, calendar_node

SCREEN = (HERE / "screen.graphql").read_text()
INTEGRATION = (HERE / "integration.graphql").read_text()
MANAGEMENT = (HERE / "management.graphql").read_text()
SOON = datetime(2099, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def quiet_client() -> None:
    """At INFO and DEBUG gql logs what it sends and gets: private URLs among it."""
    logging.getLogger("gql").setLevel(logging.WARNING)


@asynccontextmanager
async def session(service: Service, caller: UserRecord | str | None) -> AsyncIterator[AsyncClientSession]:
    url = str(service.client.make_url("/graphql"))
    token = bearer(caller) if isinstance(caller, UserRecord) else caller or "none"
    async with gql_client(url, token) as session:
        yield session


def fetched_schema(session: AsyncClientSession) -> GraphQLSchema:
    assert session.client.schema
    return session.client.schema


def operation(document: str, name: str, **variables: object) -> GraphQLRequest:
    return GraphQLRequest(document, variable_values=variables or None, operation_name=name)


async def test_schema_that_it_fetches_is_the_written_one(service: Service) -> None:
    """But for the addresses of scalars, which gql does not ask for."""
    async with session(service, None) as client:
        fetched = lexicographic_sort_schema(fetched_schema(client))
    written = lexicographic_sort_schema(build_schema(re.sub(r" @specifiedBy.*", "", SCHEMA.read_text())))
    assert print_schema(fetched) == print_schema(written)


async def test_operations_with_variables_are_answered(seed: Seed, service: Service) -> None:
    async with session(service, seed.anna) as client:
        read_moments(fetched_schema(client))
        asked = {"calendarId": calendar_node(seed.own), "expiresAt": SOON, "options": {"tasksAs": "TODO"}}
        generated = (await client.execute(operation(SCREEN, "Generate", input=asked)))["generateCalendarUrl"]
        screen = await client.execute(operation(SCREEN, "Screen"))
        reset = (await client.execute(operation(SCREEN, "Reset", input={})))["resetCalendarFeeds"]
    (link,) = generated["feed"]["links"]
    assert (link["expiresAt"], link["options"]["tasksAs"], generated["userErrors"]) == (SOON, "TODO", [])
    assert screen["calendarFeeds"][1] == generated["feed"]
    assert (reset["resetCount"], [feed["id"] for feed in reset["feeds"]]) == (1, [generated["feed"]["id"]])
    assert reset["feeds"][0]["url"] != generated["url"]


async def test_operations_are_built_from_the_schema(seed: Seed, service: Service) -> None:
    async with session(service, seed.anna) as client:
        schema = DSLSchema(fetched_schema(client))
        payload = schema.GenerateCalendarUrlPayload
        generate = schema.Mutation.generateCalendarUrl.args(input={"name": "iPhone"}).select(payload.url)
        generated = await client.execute(dsl_gql(DSLMutation(generate)))
        links = schema.CalendarFeed.links.select(schema.FeedLink.name, schema.FeedLink.url)
        feeds = await client.execute(dsl_gql(DSLQuery(schema.Query.calendarFeeds.select(links))))
    url = generated["generateCalendarUrl"]["url"]
    assert feeds == {"calendarFeeds": [{"links": [{"name": "iPhone", "url": url}]}, {"links": []}, {"links": []}]}


async def test_pages_follow_each_other(seed: Seed, service: Service) -> None:
    names = ["", "iPhone", "Laptop"]
    for name in names:
        await service.generate(seed.anna, name=name)
    found, after = [], None
    async with session(service, seed.anna) as client:
        for _ in range(2):
            page = (await client.execute(operation(MANAGEMENT, "Links", first=2, after=after)))["feedLinks"]
            found += [edge["node"]["name"] for edge in page["edges"]]
            after = page["pageInfo"]["endCursor"]
    assert (found, page["pageInfo"]["hasNextPage"]) == (names, False)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{ nothing }", "Cannot query field 'nothing' on type 'Query'."),
        ('{ feedLinks(first: "one") { pageInfo { endCursor } } }', "Int cannot represent non-integer value"),
    ],
)
async def test_operation_that_does_not_fit_the_schema_is_not_sent(
    text: str, complaint: str, seed: Seed, service: Service
) -> None:
    async with session(service, seed.anna) as client:
        with pytest.raises(GraphQLError, match=complaint):
            await client.execute(gql(text))


@pytest.mark.parametrize(("caller", "code"), [("ben", "FORBIDDEN"), (None, "UNAUTHENTICATED")])
async def test_error_has_its_code(caller: str | None, code: str, seed: Seed, service: Service) -> None:
    async with session(service, getattr(seed, caller) if caller else None) as client:
        with pytest.raises(TransportQueryError) as caught:
            await client.execute(gql("{ feedLinks { pageInfo { endCursor } } }"))
    assert [error["extensions"]["code"] for error in caught.value.errors or []] == [code]


async def test_user_error_comes_with_the_fields_of_its_type(seed: Seed, service: Service) -> None:
    async with session(service, seed.anna) as client:
        answer = await client.execute(operation(SCREEN, "Generate", input={"name": "x" * 101}))
    (error,) = answer["generateCalendarUrl"]["userErrors"]
    assert (error["__typename"], error["path"]) == ("LinkNameInvalid", ["name"])


async def test_integrator_writes_users_and_finds_calendars_again(seed: Seed, service: Service) -> None:
    input_ = {"users": [{"externalId": "u1", "name": "Cleo", "email": "cleo@example.com"}]}
    async with session(service, await seed.key("users:write", "calendars:read")) as client:
        pushed = [await client.execute(operation(INTEGRATION, "PushUsers", input=input_)) for _ in range(2)]
        read_moments(fetched_schema(client))
        again = (await client.execute(operation(INTEGRATION, "Again", id=calendar_node(seed.own))))["node"]
    sql = "SELECT v.changed_at FROM calendar_versions AS v WHERE v.account_id = $1 AND v.calendar_id = $2"
    changed_at = await seed.conn.fetchval(sql, seed.account_id, seed.own)
    counted = [list(each["upsertUsers"].values()) for each in pushed]
    assert counted == [[1, 0, 0, []], [0, 0, 1, []]]
    assert again == {"id": calendar_node(seed.own), "name": "Anna Müller", "changedAt": changed_at}


async def test_integrator_writes_activities_and_finds_them_again(seed: Seed, service: Service) -> None:
    viewings = await add_calendar(seed.conn, seed.account_id, NOW, name="Viewings", external_id="viewings")
    named = {"type": "CALL", "externalId": "c1", "title": "Call 1", "calendarExternalIds": ["viewings"]}
    async with session(service, await seed.key("activities:read", "activities:write")) as client:
        read_moments(fetched_schema(client))
        pushed = [
            await client.execute(operation(INTEGRATION, "PushActivities", input={"activities": [call]}))
            for call in ({**named, "startsAt": SOON}, {**named, "startsAt": SOON})
        ]
        asked = operation(INTEGRATION, "Activities", calendarId=calendar_node(viewings))
        (edge,) = (await client.execute(asked))["activities"]["edges"]
        again = (await client.execute(operation(INTEGRATION, "Again", id=edge["node"]["id"])))["node"]
    assert [list(each["upsertActivities"].values()) for each in pushed] == [[1, 0, 0, []], [0, 0, 1, []]]
    assert (again["title"], again["startsAt"], again) == ("Call 1", SOON, edge["node"])

"""The application around the API: errors with codes, probes, GraphiQL where it is wanted."""

from typing import Any

import pytest

from tests.seed import Seed, Service, bearer, running_service


async def post(service: Service, **body: Any) -> tuple[int, dict[str, Any]]:
    async with service.client.post("/graphql", json=body) as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize("query", ["{ nothing }", "{ calendarFeeds", "mutation { generateCalendarUrl { url } }"])
async def test_broken_query_is_told_so(service: Service, query: str) -> None:
    _, answer = await post(service, query=query)
    assert [error["extensions"] for error in answer["errors"]] == [{"code": "INVALID_QUERY"}]


async def test_variable_of_a_wrong_type_is_told_so(service: Service) -> None:
    _, answer = await post(service, query="query ($u: ID) { calendarFeeds(userId: $u) { id } }", variables={"u": [1]})
    assert [error["extensions"] for error in answer["errors"]] == [{"code": "INVALID_QUERY"}]


async def test_query_of_too_many_words_is_refused_before_it_keeps_others_waiting(service: Service) -> None:
    _, answer = await post(service, query="{" + "viewer{name} " * 70_000 + "}")
    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "INVALID_QUERY"}
    assert "more than 1000 tokens" in error["message"]


async def test_schema_can_be_read_without_a_token(service: Service) -> None:
    _, answer = await post(service, query="{ __schema { queryType { name } } }")
    assert answer == {"data": {"__schema": {"queryType": {"name": "Query"}}}}


async def test_mutation_by_get_is_refused(seed: Seed, service: Service) -> None:
    query = "mutation { resetCalendarFeeds(input: {}) { resetCount } }"
    headers = {"Authorization": f"Bearer {bearer(seed.anna)}"}
    async with service.client.get("/graphql", params={"query": query}, headers=headers) as answer:
        assert answer.status == 400
    async with service.client.get("/graphql", params={"query": "{ viewer { name } }"}, headers=headers) as answer:
        assert await answer.json() == {"data": {"viewer": {"name": "Anna Müller"}}}


async def test_probes_answer(service: Service) -> None:
    for path in ("/healthz", "/readyz"):
        answer = await service.poll(path)
        assert (answer.status, await answer.json()) == (200, {"status": "ok"})


async def test_graphiql_is_served_only_where_the_settings_say_so(dsn: str) -> None:
    for wanted in (True, False):
        async with running_service(dsn, graphiql=wanted) as service:
            answer = await service.poll("/graphql", Accept="text/html")
            assert ("graphiql" in await answer.text()) is wanted

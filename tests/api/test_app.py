"""The application around the API: probes, headers of every answer, GraphiQL where it is wanted."""

from urllib.robotparser import RobotFileParser

from tests.seed import Seed, Service, bearer, running_service


async def test_answers_of_the_api_are_kept_by_nobody(seed: Seed, service: Service) -> None:
    """They hold private URLs."""
    headers = {"Authorization": f"Bearer {bearer(seed.anna)}"}
    async with service.client.get("/graphql", params={"query": "{ viewer { id } }"}, headers=headers) as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    async with service.client.get("/nothing") as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (404, "no-store")


async def test_probes_answer(service: Service) -> None:
    for path in ("/healthz", "/readyz"):
        answer = await service.poll(path)
        assert (answer.status, await answer.json()) == (200, {"status": "ok"})


async def test_graphiql_is_served_only_where_the_settings_say_so(dsn: str) -> None:
    for wanted in (True, False):
        async with running_service(dsn, graphiql=wanted) as service:
            answer = await service.poll("/graphql", Accept="text/html")
            assert ("graphiql" in await answer.text()) is wanted


async def test_answers_ask_for_tls_where_the_public_url_does(dsn: str) -> None:
    for public_url, said in (("https://feeds.example.com", ["max-age=31536000"]), ("http://feeds.example.com", [])):
        async with running_service(dsn, public_url=public_url) as service:
            for path in (
                "/feeds/none.ics",
                "/feeds/none/a.ics",
                "/graphql",
                "/healthz",
                "/readyz",
                "/robots.txt",
                "/no",
            ):
                answer = await service.poll(path)
                assert answer.headers.getall("Strict-Transport-Security", []) == said


async def test_robots_may_fetch_feeds_even_if_they_do_not_know_allow(service: Service) -> None:
    answer = await service.poll("/robots.txt")
    assert (answer.status, answer.content_type) == (200, "text/plain")
    text = await answer.text()
    for known in (text, "".join(line for line in text.splitlines(True) if not line.startswith("Allow"))):
        robots = RobotFileParser()
        robots.parse(known.splitlines())
        assert robots.can_fetch("Google-Calendar-Importer", "/feeds/cf1_token/Anna.ics")


async def test_audit_notes_the_network_that_the_proxy_names(seed: Seed, dsn: str) -> None:
    query = "mutation { generateCalendarUrl(input: { regenerate: true }) { url } }"
    headers = {"Authorization": f"Bearer {bearer(seed.anna)}", "X-Forwarded-For": "198.51.100.1, 203.0.113.9"}
    for proxies in (None, "127.0.0.1"):
        async with running_service(dsn, proxies=proxies) as service:
            async with service.client.post("/graphql", json={"query": query}, headers=headers) as answer:
                assert "errors" not in await answer.json()
    found = await seed.conn.fetch(
        "SELECT host(network) AS network FROM audit_log WHERE network IS NOT NULL ORDER BY at"
    )
    assert [row["network"] for row in found] == ["127.0.0.0", "203.0.113.0"]

"""CORS: pages of the origins in the settings may call the API from a browser, and those of no others."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientResponse
from multidict import CIMultiDictProxy

from api.http.cors import parse_origins
from tests.seed import Seed, Service, bearer, running_service

CRM, LOCAL = "https://crm.example.com", "http://localhost:5173"
OTHERS = [
    "https://evil.example",
    "https://crm.example.com.evil.example",
    "https://crm.example.com:8443",
    "http://crm.example.com",
    "https://CRM.example.com",
    "https://crm.example.com/",
    f"{CRM}, {LOCAL}",
    "null",
    "*",
    "",
]


@pytest.fixture
async def crossed(dsn: str) -> AsyncIterator[Service]:
    async with running_service(dsn, cors_origins=f"{CRM}, {LOCAL}") as service:
        yield service


def said(answer: ClientResponse) -> dict[str, str]:
    """What the headers say of CORS."""
    headers: CIMultiDictProxy[str] = answer.headers
    return {name: value for name, value in headers.items() if name.startswith("Access-Control-") or name == "Vary"}


async def preflight(service: Service, origin: str, path: str = "/graphql") -> ClientResponse:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    async with service.client.options(path, headers=asked) as answer:
        await answer.read()
        return answer


@pytest.mark.parametrize("origin", [CRM, LOCAL])
async def test_page_of_a_listed_origin_is_told_before_it_asks(crossed: Service, origin: str) -> None:
    answer = await preflight(crossed, origin)
    headers = said(answer)
    allowed = headers.pop("Access-Control-Allow-Headers").lower().split(", ")
    assert {"authorization", "content-type", "x-acting-user", "x-request-id"} < set(allowed)
    assert answer.status == 204
    assert headers == {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Expose-Headers": "Retry-After",
        "Access-Control-Max-Age": "7200",
    }


@pytest.mark.parametrize("origin", OTHERS)
async def test_page_of_another_origin_is_told_nothing(seed: Seed, crossed: Service, origin: str) -> None:
    answer = await preflight(crossed, origin)
    assert (answer.status, said(answer)) == (204, {"Vary": "Origin"})
    headers = {"Origin": origin, "Authorization": f"Bearer {bearer(seed.anna)}"}
    async with crossed.client.post("/graphql", json={"query": "{ __typename }"}, headers=headers) as answer:
        assert (answer.status, said(answer)) == (200, {"Vary": "Origin"})


@pytest.mark.parametrize(
    ("method", "body", "media_type", "status"),
    [
        ("POST", b'{"query": "{ __typename }"}', "application/json", 200),
        ("POST", b"{", "application/json", 400),
        ("POST", b"{}", "text/plain", 415),
        ("POST", b" " * 100_001, "application/json", 413),
        ("PUT", b"{}", "application/json", 405),
        ("GET", None, "", 400),
    ],
)
async def test_page_of_a_listed_origin_reads_every_answer(
    crossed: Service, method: str, body: bytes | None, media_type: str, status: int
) -> None:
    """Also what is wrong."""
    headers = {"Origin": CRM, "Content-Type": media_type}
    async with crossed.client.request(method, "/graphql", data=body, headers=headers) as answer:
        assert answer.status == status
        assert said(answer) == {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": CRM,
            "Access-Control-Expose-Headers": "Retry-After",
        }


async def test_caller_who_is_no_browser_is_not_told_of_origins(crossed: Service) -> None:
    async with crossed.client.get("/graphql", params={"query": "{ __typename }"}) as answer:
        assert (answer.status, said(answer)) == (200, {"Vary": "Origin"})


async def test_without_origins_nothing_is_said(service: Service) -> None:
    assert said(await preflight(service, CRM)) == {}
    async with service.client.post("/graphql", json={"query": "{ __typename }"}, headers={"Origin": CRM}) as answer:
        assert (answer.status, said(answer)) == (200, {})


async def test_feeds_and_probes_are_for_no_pages(seed: Seed, crossed: Service) -> None:
    url = await crossed.generate(seed.anna)
    for path in (url, "/feeds/garbage.ics", "/healthz", "/readyz", "/robots.txt", "/nothing"):
        answer = await crossed.poll(path, Origin=CRM)
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Access-Control-Allow-Origin" not in (await preflight(crossed, CRM, path)).headers


def test_origins_are_read_as_browsers_write_them() -> None:
    assert parse_origins(f"{CRM},{LOCAL}, http://[::1]:3000") == {CRM, LOCAL, "http://[::1]:3000"}
    assert parse_origins("https://xn--mller-kva.example") == {"https://xn--mller-kva.example"}
    assert parse_origins(None) == set()


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "null",
        "https://*.example.com",
        "crm.example.com",
        "https://crm.example.com/",
        "https://crm.example.com/path",
        "https://CRM.example.com",
        "https://crm.example.com:443",
        "http://crm.example.com:80",
        "https://user:secret@crm.example.com",
        "https://müller.example",
        "https://crm.example.com:99999",
        "http://[::1",
        "ftp://crm.example.com",
        f"{CRM},",
        f"{CRM};{LOCAL}",
        ",",
    ],
)
def test_what_no_browser_sends_is_no_origin(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_origins(text)

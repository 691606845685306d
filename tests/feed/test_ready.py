"""Answers from octets that were made once: they say what the router's and aiohttp's own would say."""

import asyncio

import pytest
from aiohttp import ClientResponse

from tests.seed import Seed, Service, meeting

UNKNOWN = "/feeds/cf1_garbage.ics"
SAID_LATER = {"Date": ""}


async def said(answer: ClientResponse) -> tuple[int, dict[str, str], bytes]:
    return answer.status, {**answer.headers, **SAID_LATER}, await answer.read()


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_poll_past_the_router_is_answered_like_one_that_it_finds(
    seed: Seed, service: Service, encoding: str
) -> None:
    await seed.write(meeting())
    url = await service.generate(seed.anna, seed.own)
    tag = (await service.poll(url, Accept_Encoding=encoding)).headers["ETag"]
    for path, known, status in ((url, '"other"', 200), (url, tag, 304), (UNKNOWN, tag, 404)):
        asked = {"Accept_Encoding": encoding, "If_None_Match": known}
        short, found = await service.poll(path, **asked), await service.poll(f"{path}?by=the-router", **asked)
        assert short.status == status
        assert await said(short) == await said(found)


async def test_head_of_an_unknown_token_has_the_headers_of_get_and_no_body(service: Service) -> None:
    get, head = await said(await service.poll(UNKNOWN)), await said(await service.poll(UNKNOWN, "HEAD"))
    assert get == (404, get[1], b"There is no such calendar feed.\n")
    assert get[1] == {
        **SAID_LATER,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex, nofollow",
        "Referrer-Policy": "no-referrer",
        "Strict-Transport-Security": "max-age=31536000",
        "Server": "calendar-feeds",
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(get[2])),
    }
    assert head == (404, get[1], b"")


@pytest.mark.parametrize(
    ("version", "asked", "connection"),
    [
        ("1.1", "", None),
        ("1.1", "Connection: close\r\n", "close"),
        ("1.0", "", "close"),
        ("1.0", "Connection: keep-alive\r\n", "keep-alive"),
    ],
)
async def test_connection_stays_open_if_the_client_wants_it(
    service: Service, version: str, asked: str, connection: str | None
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
    request = f"GET {UNKNOWN} HTTP/{version}\r\nHost: localhost\r\n{asked}\r\n".encode()
    for last in (False, True):
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in head.splitlines()[1:-1])
        assert head.startswith("HTTP/1.1 404 Not Found\r\n")
        assert headers.get("Connection") == connection
        await reader.readexactly(int(headers["Content-Length"]))
        if connection == "close":
            assert await reader.read() == b""
            break
        assert not last or not reader.at_eof()
    writer.close()


async def test_client_that_asks_first_whether_to_send_more_is_told_to(service: Service) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
    writer.write(f"GET {UNKNOWN} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n".encode())
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await reader.readline()) == b"HTTP/1.1 404 Not Found\r\n"
    writer.close()

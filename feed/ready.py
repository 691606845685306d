"""Answers that are sent again and again: their octets are made once, and not read by aiohttp each time anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import ClientConnectionResetError, HttpVersion10, web
from aiohttp.helpers import rfc822_formatted_time

MOST_COPIED = 65_536  # octets of a body that are sent in one piece with the head


@dataclass(frozen=True, slots=True)
class Ready:
    """An answer but for what tells one time from another: the date, and whether the connection stays open."""

    status: int
    head: bytes
    body: Sequence[bytes] = ()


def ready(status: int, headers: Mapping[str, str], body: Sequence[bytes] = ()) -> Ready:
    length = {"Content-Length": str(sum(map(len, body)))} if body else {}
    said = (f"{name}: {value}" for name, value in {**headers, **length}.items())
    lines = (f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *said)
    return Ready(status, "".join(f"{line}\r\n" for line in lines).encode("ascii"), body)


def ready_text(status: int, headers: Mapping[str, str], text: str) -> Ready:
    return ready(status, {**headers, "Content-Type": "text/plain; charset=utf-8"}, [text.encode()])


class ReadyResponse(web.StreamResponse):
    """Sends one. No signal of an application is asked what to add."""

    def __init__(self, ready: Ready) -> None:
        super().__init__(status=ready.status)
        self._ready = ready

    async def prepare(self, request: web.BaseRequest) -> None:
        self._keep_alive = request.keep_alive
        self._request = request

    async def write_eof(self, data: bytes = b"") -> None:
        request, ready = self._request, self._ready
        date = rfc822_formatted_time().encode()
        head = b"%sDate: %s\r\n%s\r\n" % (ready.head, date, _connection(request))
        body = ready.body if request.method != "HEAD" else ()
        if sum(map(len, body)) <= MOST_COPIED:
            await request.writer.write(b"".join((head, *body)))
        elif transport := request.transport:
            transport.writelines((head, *body))  # aiohttp would copy them first
            await request.writer.drain()
        else:
            raise ClientConnectionResetError
        self._body_length = sum(map(len, body))


def _connection(request: web.BaseRequest) -> bytes:
    if not request.keep_alive:
        return b"Connection: close\r\n"
    return b"Connection: keep-alive\r\n" if request.version == HttpVersion10 else b""

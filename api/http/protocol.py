"""HTTP below the application: a request that cannot be read is refused without a word of it, as it may hold a token."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

SENT_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",
    "Server": "calendar-feeds",
}


# What answers a request without the router and the signals of an application; None: ask the application.
Shortcut = Callable[[web.BaseRequest], Awaitable[web.StreamResponse] | None]
SHORTCUT: web.AppKey[Shortcut] = web.AppKey("shortcut")


class Runner(web.AppRunner):
    """Runs an application on connections of `Handler`."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        shortcut, application = self.app.get(SHORTCUT), made.request_handler

        def handle(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
            return (shortcut and shortcut(request)) or application(request)

        return Server(handle, request_factory=made.request_factory, loop=made._loop, **made._kwargs)


class Server(web.Server):
    def __call__(self) -> RequestHandler:
        as_sent = {**self._kwargs, "auto_decompress": False}  # nobody sends us gzip bombs
        return Handler(self, loop=self._loop, **as_sent)


class Handler(RequestHandler):
    """aiohttp's own answer to a malformed request repeats the line that is wrong."""

    def handle_error(self, request: web.BaseRequest, status: int = 500, *said: Any, **more: Any) -> web.StreamResponse:
        super().handle_error(request, status, *said, **more)  # which logs it
        answer = web.Response(status=status, text=f"{HTTPStatus(status).phrase}\n", headers=SENT_ALWAYS)
        answer.force_close()
        return answer

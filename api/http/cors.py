"""CORS: which front-ends may call the API from a browser (the Fetch standard, section 3.2)."""

import re
from dataclasses import dataclass

from aiohttp import hdrs, web
from yarl import URL

METHODS = "GET, POST"
# What front-ends and their tools send; a page of a listed origin that sends another header is stopped by its browser.
HEADERS = ", ".join(
    (
        "Authorization",
        "Content-Type",
        "X-Acting-User",
        "X-Request-Id",
        "X-Requested-With",
        "Apollo-Require-Preflight",
        "GraphQL-Require-Preflight",
        "ApolloGraphQL-Client-Name",
        "ApolloGraphQL-Client-Version",
        "Traceparent",
        "Tracestate",
        "Baggage",
        "Sentry-Trace",
    )
)
READABLE = "Retry-After"
KEPT_SECONDS = 7_200  # that a browser may remember the answer to a preflight; Chromium takes no more
ORIGIN = re.compile(r"https?://[a-z0-9.:\[\]-]+")


def parse_origins(text: str | None) -> frozenset[str]:
    """The origins of a list with commas; `ValueError` if something in it is not an origin as browsers write it."""
    origins = [item.strip() for item in text.split(",")] if text else []
    if not all(_is_origin(origin) for origin in origins):
        raise ValueError("not an origin")
    return frozenset(origins)


def _is_origin(text: str) -> bool:
    """Whether a browser would send it: lower case, without a path, and without the port that goes without saying."""
    return bool(ORIGIN.fullmatch(text)) and str(URL(text).origin()) == text


@dataclass(frozen=True, slots=True)
class Cors:
    origins: frozenset[str]

    def allow(self, request: web.BaseRequest, answer: web.StreamResponse) -> None:
        """Let the page that asked read the answer, if its origin is listed."""
        if not self.origins:
            return
        answer.headers.add(hdrs.VARY, hdrs.ORIGIN)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin in self.origins:
            answer.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            answer.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = READABLE
            if request.method == hdrs.METH_OPTIONS:
                answer.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = METHODS
                answer.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = HEADERS
                answer.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = str(KEPT_SECONDS)

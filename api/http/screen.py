"""The screen that staff members see: the files of `web/`, read once, and sent so that nothing else runs beside them."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from aiohttp import ETag, hdrs, web

from feed.clients import takes_gzip

Users = Callable[[], list[dict[str, Any]]]  # the sample users of the demo, each with a bearer token

FOLDER = Path(__file__).parents[2] / "web"
CHOOSER = "chooser.js"  # how a sample user is chosen: of the demo alone
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".json": "application/json"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors {}"
)


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is sent: plain, or compressed."""

    content_type: str
    plain: bytes
    gzipped: bytes
    etag: str

    @classmethod
    def of(cls, name: str, content: str) -> "File":
        octets = content.encode()
        return cls(TYPES[Path(name).suffix], octets, gzip.compress(octets, mtime=0), sha256(octets).hexdigest()[:16])


class Screen:
    """Serves the screen at `/`, and its other files below `/web/`."""

    def __init__(self, origins: frozenset[str], users: Users | None = None) -> None:
        """`origins`: whose pages may embed the screen and hand it a token."""
        self._users = users
        listed = " ".join(sorted(origins))
        self._headers = {
            "Content-Security-Policy": POLICY.format(listed or "'none'"),
            "Cross-Origin-Resource-Policy": "same-origin",
            hdrs.CACHE_CONTROL: "no-cache",  # kept, but asked for again: with a 304 it is as good as there
            hdrs.VARY: hdrs.ACCEPT_ENCODING,
        }
        said = {"origins": listed, "chooser": CHOOSER if users else ""}
        self._files = {name: File.of(name, _filled(text, said)) for name, text in _read() if users or name != CHOOSER}

    def routes(self) -> list[web.RouteDef]:
        found = [
            web.get("/" if name == "index.html" else f"/web/{name}", partial(self._send, file))
            for name, file in self._files.items()
        ]
        return [*found, web.get("/users.json", self._send_users)] if self._users else found

    async def _send(self, file: File, request: web.Request) -> web.Response:
        zipped = takes_gzip(request.headers.get(hdrs.ACCEPT_ENCODING), request.headers.get(hdrs.USER_AGENT))
        etag = ETag(f"{file.etag}-gzip" if zipped else file.etag)
        asked = {one.value for one in request.if_none_match or ()}
        answer = web.Response(status=304, headers=self._headers)
        if etag.value not in asked:
            body = file.gzipped if zipped else file.plain
            answer = web.Response(body=body, headers=self._headers, content_type=file.content_type, charset="utf-8")
            if zipped:
                answer.headers[hdrs.CONTENT_ENCODING] = "gzip"
        answer.etag = etag
        return answer

    async def _send_users(self, _: web.Request) -> web.Response:
        assert self._users
        return web.json_response(self._users())


def _read() -> list[tuple[str, str]]:
    """The files of the folder: those that a browser asks for, and nothing that somebody left there."""
    found = (path for path in sorted(FOLDER.rglob("*")) if path.suffix in TYPES)
    return [(path.relative_to(FOLDER).as_posix(), path.read_text(encoding="utf-8")) for path in found]


def _filled(text: str, said: dict[str, str]) -> str:
    """The page with what it has to know before it starts, in its `<meta>` elements."""
    for name, content in said.items():
        text = text.replace(f'<meta name="{name}" content="">', f'<meta name="{name}" content="{content}">')
    return text

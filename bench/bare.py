"""The limit: aiohttp and uvloop send answers that are ready, and know nothing else: `python -m bench.bare PORT FOLDER`.

The folder has `answers.json`: by path the headers of a 304, and of each body the headers and the file.
"""

import json
import sys
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web

UNKNOWN = "There is no such calendar feed.\n"


class Bare:
    def __init__(self, folder: Path) -> None:
        self._answers: dict[str, dict[str, Any]] = json.loads((folder / "answers.json").read_text())
        for answer in self._answers.values():
            for said in answer["bodies"].values():
                said["body"] = (folder / said.pop("file")).read_bytes()

    async def poll(self, request: web.Request) -> web.Response:
        answer = self._answers.get(request.path)
        if answer is None:
            return web.Response(status=404, text=UNKNOWN, headers={"Cache-Control": "no-store"})
        if request.headers.get("If-None-Match") == answer["unchanged"]["ETag"]:
            return web.Response(status=304, headers=answer["unchanged"])
        said = answer["bodies"][request.headers.get("Accept-Encoding", "identity")]
        return web.Response(body=said["body"], headers=said["headers"])


def main(port: int, folder: Path) -> None:
    app = web.Application()
    app.router.add_get("/feeds/{token}/{name}.ics", Bare(folder).poll)
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=port, loop=loop, access_log=None, print=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))

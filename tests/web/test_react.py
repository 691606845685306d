"""The example in React: it fits its types, and does in a browser what it says."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from shutil import copytree

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Route, expect

from tests.process import free_port
from tests.seed import Seed, bearer, running_service
from tests.web.screens import Screens

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "react"
PAGE = """<!doctype html><title>CRM</title><link rel="icon" href="data:,"><main></main>
<script type="module" src="main.js"></script>"""
MAIN = """
import { createRoot } from "react-dom/client";
import { CalendarFeeds } from "./CalendarFeeds";

const { url, token } = await (await fetch("given.json")).json();
createRoot(document.querySelector("main")!).render(<CalendarFeeds url={url} token={async () => token} />);
"""
STRICT = "--noEmit --strict --noUncheckedIndexedAccess --target es2022 --module esnext --moduleResolution bundler"
TYPES = "--jsx react-jsx --lib es2022,dom,dom.iterable --types react,react-dom"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the example as one script, whose types were checked."""
    folder = copytree(EXAMPLE, tmp_path_factory.mktemp("react") / "src")
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    (folder / "main.tsx").write_text(MAIN)
    for command in (
        ["node", "node_modules/typescript/bin/tsc", "main.tsx", *STRICT.split(), *TYPES.split()],
        ["node_modules/.bin/esbuild", "main.tsx", "--bundle", "--jsx=automatic", "--format=esm", "--outfile=main.js"],
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
async def screens(browser: Browser, dsn: str) -> AsyncIterator[Screens]:
    """Of a service that lets the pages of one other origin call its API."""
    origin = f"http://localhost:{free_port()}"
    async with running_service(dsn, cors_origins=origin) as service:
        async with Screens.opening(browser, service) as screens:
            screens.known.append(origin)
            yield screens


async def test_example_lists_generates_copies_and_resets(seed: Seed, screens: Screens, built: Path) -> None:
    (origin,) = screens.known
    app = web.Application()
    given = {"url": f"{screens.url}graphql", "token": bearer(seed.ben)}

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def say(_: web.Request) -> web.Response:
        return web.json_response(given)

    app.add_routes([web.get("/", page), web.get("/given.json", say), web.static("/", built)])
    async with TestServer(app, host="localhost", port=int(origin.rpartition(":")[2])):
        window = await screens.page()
        await window.route("**/graphql", lambda route: route.abort(), times=1)
        await window.goto(f"{origin}/")
        await expect(window.get_by_role("alert")).to_contain_text("not available at the moment")
        screens.complaints.clear()  # the browser's own, about what was aborted
        await window.get_by_role("button", name="Try again").click()
        await expect(window.get_by_role("article")).to_have_count(2)
        team = window.get_by_role("article", name="Sales team")
        await team.get_by_role("button", name="Generate link").click()
        url = await team.get_by_label("Private link").input_value()
        await team.get_by_role("button", name="Copy").click()
        await expect(team.get_by_role("status")).to_have_text("Copied")
        assert await window.evaluate("navigator.clipboard.readText()") == url
        window.on("dialog", lambda dialog: dialog.accept())
        await window.route("**/graphql", lose_the_answer, times=1)
        await window.get_by_role("button", name="Reset all links…").click()
        await expect(window.get_by_role("alert")).to_contain_text("not available at the moment")
        screens.complaints.clear()
        await window.get_by_role("button", name="Reset all links…").click()
        await expect(team.get_by_label("Private link")).not_to_have_value(url)
        assert await seed.conn.fetchval("SELECT generation FROM feed_links") == 2


async def lose_the_answer(route: Route) -> None:
    await route.fetch()
    await route.abort()

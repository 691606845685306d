"""Relay: its compiler takes the schema and the operations on it, its runtime runs what was compiled."""

from pathlib import Path
from typing import Any

from tests.clients.building import HERE, RELAY, lay_out, node
from tests.clients.running import Clients
from tests.seed import Seed, calendar_node


async def test_generated_link_is_shown_without_asking_again(seed: Seed, clients: Clients) -> None:
    came = await clients.run("relay", "generating", seed.anna, calendarId=calendar_node(seed.own))
    url = f"https://feeds.example.com{await clients.service.generate(seed.anna, seed.own)}"
    names = ("All my calendars", "Anna Müller", "Sales team")
    everything, own, team = ({"name": name, "url": None, "links": list[Any]()} for name in names)
    assert came.answer == {
        "before": [everything, own, team],
        "after": [everything, own | {"url": url, "links": [{"name": "", "url": url}]}, team],
    }
    assert came.sent == ["POST ScreenQuery", "POST ScreenGenerateMutation"]


async def test_pages_of_links_are_one_list(seed: Seed, clients: Clients) -> None:
    names = ["", "iPhone", "Laptop", "Telly", "Watch"]
    for name in names:
        await clients.service.generate(seed.anna, name=name)
    came = await clients.run("relay", "links", seed.anna, first=2)
    assert came.answer == names
    assert came.sent == ["POST LinksQuery", "POST LinksPageQuery", "POST LinksPageQuery"]


async def test_error_has_its_code(seed: Seed, clients: Clients) -> None:
    came = await clients.run("relay", "failing", seed.ben, first=2)
    assert came.answer == ["FORBIDDEN"]


def test_fragment_that_does_not_fit_the_schema_is_not_compiled(tmp_path: Path) -> None:
    wrong = (HERE / "relay" / "Links.ts").read_text().replace("          name\n", "          title\n", 1)
    done = node(lay_out(tmp_path, {"relay/Links.ts": wrong}), RELAY)
    assert done.returncode == 1
    assert "The type `FeedLink` has no field `title`." in done.stderr

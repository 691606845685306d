"""Real calendar software subscribes: vdirsyncer, through its whole life with a link."""

import asyncio
import sys
from pathlib import Path

import pytest
from icalendar import Calendar

from tests.feed.subscription import DAY
from tests.seed import NOW, Seed, Service, meeting, task

VDIRSYNCER = Path(sys.executable).with_name("vdirsyncer")
CONFIG = """
[general]
status_path = "{folder}/status/"

[pair feed]
a = "remote"
b = "local"
collections = null
partial_sync = "ignore"

[storage remote]
type = "http"
url = "{url}"

[storage local]
type = "filesystem"
path = "{folder}/events/"
fileext = ".ics"
"""


class Subscriber:
    """A vdirsyncer with a folder of its own that is subscribed to one URL."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.config = folder / "config"
        self.config.write_text(CONFIG.format(folder=folder, url=url))

    async def run(self, *command: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            str(VDIRSYNCER),
            "-c",
            str(self.config),
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate(b"y\n")
        return process.returncode or 0, said.decode()

    async def sync(self) -> list[str]:
        """Sync, and the titles of what is there then."""
        code, said = await self.run("sync", "--force-delete")
        assert code == 0, said
        events = (Calendar.from_ical(path.read_bytes()) for path in (self.folder / "events").iterdir())
        return sorted(str(event.walk("VEVENT")[0]["SUMMARY"]) for event in events)


@pytest.fixture
async def url(seed: Seed, service: Service) -> str:
    await seed.write(
        meeting(), meeting("m2", title="C:\\New folder; é,\nline two"), task(title="Offer", due_on=NOW.date() + DAY)
    )
    return str(service.client.make_url(await service.generate(seed.anna, seed.own)))


async def test_vdirsyncer_follows_a_link_from_subscribing_to_its_end(
    seed: Seed, service: Service, url: str, tmp_path: Path
) -> None:
    subscriber = Subscriber(tmp_path, url)
    code, said = await subscriber.run("discover", "feed")
    assert code == 0, said
    assert await subscriber.sync() == ["C:\\New folder; é,\nline two", "Viewing", "☐ Offer"]
    await seed.conn.execute("UPDATE activities SET title = 'Later' WHERE external_id = 'm1'")
    await seed.conn.execute("DELETE FROM activities WHERE external_id = 't1'")
    assert await subscriber.sync() == ["C:\\New folder; é,\nline two", "Later"]
    await service.generate(seed.anna, seed.own, regenerate=True)
    assert await subscriber.sync() == ["This calendar link no longer works: subscribe again"]
    await seed.conn.execute("UPDATE feed_links SET resets = ARRAY['2020-01-01Z'::timestamptz]")
    code, said = await subscriber.run("sync")
    assert code == 1
    assert "Gone" in said

"""Runs of a client: a program of its own that asks the service, and says what came of it."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.users import UserRecord
from tests.seed import Service, bearer

SECONDS = 60


@dataclass(frozen=True)
class Came:
    """What came of a run: its answer, and the requests that it sent, like "POST Screen"."""

    answer: Any
    sent: list[str]


@dataclass(frozen=True)
class Run:
    process: Process

    async def heard(self) -> str:
        assert self.process.stdout
        return (await asyncio.wait_for(self.process.stdout.readline(), SECONDS)).decode().strip()

    async def say(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()

    async def came(self) -> Came:
        said = await self.heard()
        assert said, (await self.process.stderr.read()).decode() if self.process.stderr else ""
        came = json.loads(said)
        assert (warned := came.pop("warned")) == [], warned
        return Came(**came)


@dataclass(frozen=True)
class Clients:
    """The built clients, and the service that they ask."""

    folder: Path
    service: Service

    @asynccontextmanager
    async def running(self, client: str, run: str, caller: UserRecord | str | None, **given: Any) -> AsyncIterator[Run]:
        process = await asyncio.create_subprocess_exec(
            "node", "run.mjs", cwd=self.folder, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=2**20
        )
        try:
            running = Run(process)
            url = str(self.service.client.make_url("/graphql"))
            token = bearer(caller) if isinstance(caller, UserRecord) else caller or "none"
            await running.say(json.dumps({"client": client, "run": run, "url": url, "token": token, **given}))
            yield running
            assert await asyncio.wait_for(process.wait(), SECONDS) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def run(self, client: str, run: str, caller: UserRecord | str | None, **given: Any) -> Came:
        async with self.running(client, run, caller, **given) as running:
            return await running.came()

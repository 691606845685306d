"""What all parts of the benchmark measure with: the service with its data, and the bare limit with the same answers."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from pathlib import Path

from bench.data import Crm, Planted, Scale
from bench.load import Answer, Client, Poll, get
from bench.patience import Small
from bench.servers import Server, analyze, bare

GZIP = {"Accept-Encoding": "gzip"}
ENCODINGS: dict[str, dict[str, str]] = {"plain": {}, "gzip": GZIP}
OF_A_CONNECTION = ("date", "server", "content-length", "connection", "content-type")


@dataclass
class Bench:
    """The service with its data, the bare limit with the same answers, and what else rows share."""

    service: Server
    dsn: str
    crm: Crm
    planted: Planted
    scale: Scale
    folder: Path
    fresh: Iterator[int] = field(default_factory=count)  # numbers that no other row has used
    latencies: list[Sequence[Small]] = field(default_factory=list)  # of the row "render", for its picture

    def client(self) -> Client:
        return Client(self.service)

    def get(self, poll: Poll, status: HTTPStatus = HTTPStatus.OK) -> Answer:
        return get(self.service, poll, status)

    def settle(self, poll: Poll) -> Answer:
        """The answer, of which everything is stored and known to the planner of queries from now on."""
        answer = self.get(poll)
        asyncio.run(analyze(self.dsn))
        return answer

    def unchanged(self, paths: Sequence[str]) -> list[Poll]:
        """Polls with the ETag that each link has; the first answers are made for it."""
        with self.client() as client:
            return [Poll(path, {"If-None-Match": client.get(Poll(path)).headers["ETag"]}) for path in paths]

    @contextmanager
    def bare(self, unchanged: Sequence[Poll], encodings: Mapping[str, Mapping[str, str]]) -> Iterator[Server]:
        """The bare limit with what the service answers to these polls, and bodies in these encodings."""
        answers = {poll.path: self._answers(number, poll, encodings) for number, poll in enumerate(unchanged)}
        (self.folder / "answers.json").write_text(json.dumps(answers))
        with bare(self.folder, self.folder) as server:
            yield server

    def _answers(self, number: int, poll: Poll, encodings: Mapping[str, Mapping[str, str]]) -> dict[str, object]:
        bodies = {}
        for name, asked in encodings.items():
            answer, file = self.get(Poll(poll.path, asked)), f"{number}.{name}"
            (self.folder / file).write_bytes(answer.body)
            bodies[asked.get("Accept-Encoding", "identity")] = {"headers": _said(answer, with_type=True), "file": file}
        return {"unchanged": _said(self.get(poll, HTTPStatus.NOT_MODIFIED)), "bodies": bodies}


def _said(answer: Answer, *, with_type: bool = False) -> dict[str, str]:
    """The headers that the service gave, without those that the server of any answer adds."""
    left_out = set(OF_A_CONNECTION) - ({"content-type"} if with_type else set())
    return {name: value for name, value in answer.headers.items() if name.lower() not in left_out}

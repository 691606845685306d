"""Load by wrk on many URLs, some of them polled far more often than others; and single requests, timed."""

import json
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPMessage
from itertools import accumulate
from pathlib import Path
from typing import Self

from bench.kernel import UnfitMachineError, cpu_seconds
from bench.servers import HOST, Server

SCRIPT = Path(__file__).with_name("polls.lua")
ORDER = 50_000  # picks, after which they begin again
TIMEOUT = 300  # seconds for one request: some peers need minutes
WRK_TIMEOUT = 20  # of what wrk sends, which keeps room for each microsecond of it
LONGEST = 20  # seconds of a load in which shorter ones have no answer
ACCEPTED = 0.001  # of requests may break: wrk ends while some are under way
AGENTS = (
    "Google-Calendar-Importer",
    "iOS/19.1 (23B85) dataaccessd/1.0",
    "macOS/16.1 (25B78) CalendarAgent/1007",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.5.0",
    "ICSx5/2.3 (2026/10/02; okhttp) Android/16",
)


class LoadError(Exception):
    """What came back is not what was to be measured."""


@dataclass(frozen=True)
class Poll:
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def said(self, number: int = 0) -> dict[str, str]:
        """The headers; programs of several kinds poll."""
        return {"User-Agent": AGENTS[number % len(AGENTS)], "Accept": "text/calendar", **self.headers}

    def octets(self, number: int) -> bytes:
        headers = {"Host": HOST, **self.said(number)}
        lines = [f"GET {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode()


@dataclass(frozen=True)
class Load:
    """What a server did under load; milliseconds, and microseconds of its processor a request."""

    per_second: float
    p50: float
    p99: float
    cpu: float
    octets: float  # of an answer with its head, on average
    requests: int
    refused: int  # answers of 400 and more


@dataclass(frozen=True)
class Answer:
    status: int
    headers: HTTPMessage
    body: bytes
    milliseconds: float


def zipf(count: int, length: int = ORDER) -> list[int]:
    """So many picks of the numbers below `count`: the k-th is picked 1/k as often as the first. Always the same."""
    weights = list(accumulate(1 / rank for rank in range(1, count + 1)))
    return random.Random(count).choices(range(count), cum_weights=weights, k=length)


def require_wrk() -> None:
    if shutil.which("wrk") is None:
        raise UnfitMachineError("The load comes from wrk: `apt-get install wrk` on Debian and Ubuntu.")


def plan(polls: Sequence[Poll]) -> bytes:
    """What `polls.lua` reads."""
    order = " ".join(str(pick + 1) for pick in zipf(len(polls)))
    return b"\0".join([order.encode(), *(poll.octets(number) for number, poll in enumerate(polls)), b""])


def load(server: Server, polls: Sequence[Poll], connections: int, seconds: float) -> Load:
    with tempfile.NamedTemporaryFile() as file:
        file.write(plan(polls))
        file.flush()
        # wrk counts whole seconds
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", f"--timeout={WRK_TIMEOUT}s"]
        before = cpu_seconds(server.pid)
        said = subprocess.run(
            [*command, "-s", str(SCRIPT), server.url, "--", file.name],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        cpu = cpu_seconds(server.pid) - before
    found = json.loads(said.splitlines()[-1])
    count = found["requests"]
    if not count and seconds < LONGEST:
        return load(server, polls, connections, LONGEST)
    if not count or found["broken"] > max(connections, count * ACCEPTED):
        raise LoadError(f"{server.name} answered {count} requests, {found['broken']} broke.")
    return Load(
        per_second=count / found["microseconds"] * 1e6,
        p50=found["p50"] / 1e3,
        p99=found["p99"] / 1e3,
        cpu=cpu / count * 1e6,
        octets=found["octets"] / count,
        requests=count,
        refused=found["refused"],
    )


class Client:
    """Requests one after the other on one connection, which is made again after the server has closed it."""

    def __init__(self, server: Server) -> None:
        self._name = server.name
        self._connection = HTTPConnection(HOST, server.port, timeout=TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, poll: Poll, status: HTTPStatus | None = HTTPStatus.OK) -> Answer:
        """Of that status; None: of any."""
        if self._connection.sock is None:
            self._connection.connect()
        began = time.perf_counter()
        self._connection.request("GET", poll.path, headers=poll.said())
        answer = self._connection.getresponse()
        body = answer.read()
        milliseconds = (time.perf_counter() - began) * 1e3
        if status not in (None, answer.status):
            raise LoadError(f"{self._name} answered {answer.status} in place of {status}.")
        return Answer(answer.status, answer.headers, body, milliseconds)


def get(server: Server, poll: Poll, status: HTTPStatus | None = HTTPStatus.OK) -> Answer:
    """One answer, on a connection of its own."""
    with Client(server) as client:
        return client.get(poll, status)

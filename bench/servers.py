"""The programs that are measured: each on the servers' core, on a port of its own, its output in a file."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import asyncpg

from api.settings import PREFIX
from bench import kernel

START_SECONDS = 60
STOP_SECONDS = 30
HOST = "127.0.0.1"
COMMAND = (sys.executable, "-m", "api.cli")
HIGH = 10_000_000  # of limits that are on, and are not to be reached


class ServerError(Exception):
    """A server did not start, or has ended; the message has the end of what it said."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind((HOST, 0))
        port: int = found.getsockname()[1]
        return port


class Server:
    """A program that listens; it is started again on the same port."""

    def __init__(
        self, name: str, command: Sequence[str], port: int, folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.port = port
        self._command = ("taskset", "-c", str(kernel.SERVER_CORE), *command)
        self._environment = {**inherited(), **(environment or {})}
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerError(f"{self.name} does not serve:\n{self._log.read_text()[-2_000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()

    def _listens(self) -> bool:
        with socket.socket() as tried:
            return tried.connect_ex((HOST, self.port)) == 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        if self._process is None or self._process.poll() is not None:
            raise ServerError(f"{self.name} has ended:\n{self._log.read_text()[-2_000:]}")
        return self._process.pid


def inherited() -> dict[str, str]:
    """This process's environment without settings of the service: they are all named below."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}


def service_environment(dsn: str, port: int, secret: str, **settings: object) -> dict[str, str]:
    """Limits and statistics are on; no limit is reached."""
    values = {
        "DATABASE_URL": dsn, "PORT": port, "SECRET_KEYS": f"k1:{secret}", "JWT_SECRET": secret, "LOG_LEVEL": "ERROR",
        "LINK_POLLS_PER_MINUTE": HIGH, "UNKNOWN_POLLS_PER_MINUTE": HIGH, "LINKS_PER_USER": 1_000,
        "MAX_EVENTS": 100_000, "MAX_BYTES": 100_000_000, "REQUEST_SECONDS": 300, **settings,
    }  # fmt: skip
    return {f"{PREFIX}{name}": str(value) for name, value in values.items()}


def service(folder: Path, environment: Mapping[str, str]) -> Server:
    port = int(environment[f"{PREFIX}PORT"])
    return Server("calendar-feeds", [*COMMAND, "serve"], port, folder, environment)


def bare(folder: Path, answers: Path) -> Server:
    port = free_port()
    return Server("bare", [sys.executable, "-m", "bench.bare", str(port), str(answers)], port, folder)


def command(environment: Mapping[str, str], *arguments: str) -> str:
    """What `calendar-feeds` prints, without its end of line."""
    found = subprocess.run(
        [*COMMAND, *arguments], env={**inherited(), **environment}, capture_output=True, text=True, check=False
    )
    if found.returncode:
        raise ServerError(found.stderr)
    return found.stdout.strip()


async def analyze(dsn: str) -> None:
    """What PostgreSQL does by itself within minutes after much was written: look what its tables hold."""
    conn = await asyncpg.connect(dsn)
    await conn.execute("ANALYZE")
    await conn.close()


async def transactions(dsn: str) -> int:
    """How many have ended in this database; each query outside of one is one."""
    conn = await asyncpg.connect(dsn)
    try:
        found = await conn.fetchval(
            "SELECT d.xact_commit + d.xact_rollback FROM pg_stat_database d WHERE d.datname = current_database()"
        )
        return int(found)
    finally:
        await conn.close()

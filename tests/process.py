"""The command `calendar-feeds` as its users run it: a process of its own, in an environment of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.leaks import NET

COMMAND = str(Path(sys.executable).with_name("calendar-feeds"))
START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def environment(data_dir: Path, **said: Any) -> dict[str, str]:
    """This process's environment, with none of the service's settings but these; its log says all that it can."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CALENDAR_FEEDS_")}
    values = {"data_dir": data_dir, "log_level": "DEBUG", **said}
    given = {f"CALENDAR_FEEDS_{name.upper()}": str(value) for name, value in values.items()}
    NET.keep_secret(given)
    return {**kept, **given}


def run(data_dir: Path, *arguments: str, **said: Any) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    done = subprocess.run(
        [COMMAND, *arguments],
        env=environment(data_dir, **said),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    NET.hear(done.stderr)
    return done


@dataclass
class Running:
    """A running `calendar-feeds demo` or `serve`; `said` is the first line that it printed."""

    process: subprocess.Popen[str]
    data_dir: Path
    said: str

    @property
    def described(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.said)
        return found

    @property
    def postmaster(self) -> int:
        return int((self.data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])

    def user(self, email: str) -> dict[str, Any]:
        users = (user for account in self.described["accounts"] for user in account["users"])
        return next(user for user in users if user["email"] == email)

    def graphql(self, token: str, query: str) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        body = json.dumps({"query": query}).encode()
        with urlopen(Request(self.described["graphqlUrl"], body, headers), timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def generate(self, token: str, *, regenerate: bool = False) -> str:
        """The private URL of the user's feed of all calendars."""
        wanted = "regenerate: true" if regenerate else ""
        query = f"mutation {{ generateCalendarUrl(input: {{{wanted}}}) {{ url }} }}"
        return str(self.graphql(token, query)["data"]["generateCalendarUrl"]["url"])

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(START_SECONDS)


def fetch(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


@contextmanager
def running(data_dir: Path, *arguments: str, **said: Any) -> Iterator[Running]:
    """Start the command, wait for its first line, and leave nothing behind."""
    said = {"port": free_port(), **said}
    log_path = data_dir.parent / f"{data_dir.name}.log"
    with log_path.open("a+") as log, NET.following(log_path):
        process = subprocess.Popen(
            [COMMAND, *arguments], env=environment(data_dir, **said), stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            assert process.stdout
            line = process.stdout.readline()
            log.seek(0)
            assert line, log.read()
            NET.keep_secret(kept_secrets(data_dir))
            yield Running(process, data_dir, line)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(START_SECONDS)
            assert process.stdout
            process.stdout.close()


def kept_secrets(data_dir: Path) -> dict[str, str]:
    """The secrets that the service made for itself, by the names of their settings."""
    path = data_dir / "secrets.env"
    pairs = (line.partition("=") for line in path.read_text().splitlines()) if path.exists() else ()
    return {name: value for name, _, value in pairs}


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something that takes a moment."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether the process runs: one that has ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False

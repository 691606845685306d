"""`calendar-feeds serve --workers`: several processes on one port, each of which may be killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.process import Running, environment, fetch, free_port, is_alive, run, running, until

ANNA = "anna@harbour-homes.example"
SOON = 10  # seconds: in time for whoever stops a service, or waits for one


@dataclass
class Served:
    """A service of two workers on sample data, and a feed of it with what it held before."""

    service: Running
    url: str
    feed: tuple[int, str]

    @property
    def workers(self) -> list[int]:
        return children(self.service.process.pid)

    def log(self) -> list[dict[str, object]]:
        lines = self.service.data_dir.with_suffix(".log").read_text().splitlines()
        return [json.loads(line) for line in lines]


def children(parent: int) -> list[int]:
    """The children that run the same command: PostgreSQL is a child too."""
    command = Path(f"/proc/{parent}/cmdline").read_bytes()
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal() and is_alive(int(path.name)))
    return [pid for pid in pids if _parent(pid) == parent and Path(f"/proc/{pid}/cmdline").read_bytes() == command]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


@contextmanager
def serving(data_dir: Path) -> Iterator[Served]:
    port = free_port()
    with running(data_dir, "demo", "--json", port=port) as demo:
        url = demo.generate(demo.user(ANNA)["token"])
        feed = fetch(url)
    data_dir.with_suffix(".log").unlink()
    with running(data_dir, "serve", "--workers", "2", port=port) as service:
        assert service.said == f"calendar-feeds serves on http://127.0.0.1:{port}\n"
        yield Served(service, url, feed)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("workers") / "data") as served:
        yield served


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_every_worker_answers_on_the_one_port(served: Served) -> None:
    until(lambda: len(served.workers) == 2)
    for pid in served.workers:
        with frozen(pid):
            assert [fetch(served.url) for _ in range(5)] == [served.feed] * 5


def test_killed_worker_is_replaced_while_polls_go_on(served: Served) -> None:
    assert fetch(served.url) == served.feed
    before, postmaster = served.workers, served.service.postmaster
    os.kill(before[0], signal.SIGKILL)
    assert [fetch(served.url) for _ in range(10)] == [served.feed] * 10
    until(lambda: len(set(served.workers) - {before[0]}) == 2)
    (new,) = set(served.workers) - set(before)
    with frozen(before[1]):
        assert fetch(served.url) == served.feed
    assert is_alive(new)
    assert served.service.postmaster == postmaster


def test_killed_postgres_is_started_again_by_the_parent(served: Served) -> None:
    postmaster = served.service.postmaster
    os.kill(postmaster, signal.SIGKILL)
    assert [fetch(served.url) for _ in range(3)] == [served.feed] * 3
    assert served.service.postmaster != postmaster
    assert len(served.workers) == 2


def test_log_of_workers_names_routes_and_holds_no_token(served: Served) -> None:
    fetch(served.url)
    until(lambda: any(entry["event"] == "request" for entry in served.log()))
    assert {entry.get("route") for entry in served.log() if entry["event"] == "request"} == {
        "/feeds/{token}/{name}.ics"
    }
    assert served.url.split("/")[4] not in served.service.data_dir.with_suffix(".log").read_text()


def test_port_that_is_taken_is_named_with_the_remedy(served: Served, tmp_path: Path) -> None:
    port = served.url.split("/")[2].rpartition(":")[2]
    second = run(tmp_path / "other", "serve", "--workers", "2", port=port)
    assert (second.returncode, second.stdout) == (1, "")
    remedy = "set CALENDAR_FEEDS_PORT to a free port, or stop what listens there."
    assert second.stderr.splitlines()[-1] == f"calendar-feeds: 127.0.0.1:{port} is taken: {remedy}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_service_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path / "data", "serve", "--workers", "2", log_level="INFO") as service:
        until(lambda: len(children(service.process.pid)) == 2)
        processes = [*children(service.process.pid), service.postmaster]
        begun = time.monotonic()
        assert service.stop(number) == 0
        assert time.monotonic() - begun < SOON
        assert [is_alive(pid) for pid in processes] == [False] * 3
    assert (tmp_path / "data.log").read_text() == ""


def test_killed_parent_leaves_no_process_behind(tmp_path: Path) -> None:
    with running(tmp_path / "data", "serve", "--workers", "2") as service:
        until(lambda: len(children(service.process.pid)) == 2)
        processes = [*children(service.process.pid), service.postmaster]
        service.stop(signal.SIGKILL)
        until(lambda: not any(is_alive(pid) for pid in processes), SOON)


def test_worker_that_cannot_start_ends_the_service(tmp_path: Path) -> None:
    """Without secrets, which the command would have asked for, no worker can build the application."""
    program = (
        "from api.logs import configure_logs\n"
        "from api.server import serve_with_workers\n"
        "from api.settings import load_settings\n"
        "configure_logs('INFO')\n"
        "serve_with_workers(load_settings(), 'postgresql://', 2, lambda: None)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(tmp_path, port=free_port()),
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    )
    assert said.returncode == 3
    events = [json.loads(line)["event"] for line in said.stderr.splitlines() if line]
    assert events[0] == "Exception in worker process"
    assert events[-1] == "Reason: Worker failed to boot."


@pytest.mark.parametrize("workers", ["0", "many"])
def test_number_of_workers_is_checked(tmp_path: Path, workers: str) -> None:
    said = run(tmp_path / "data", "serve", "--workers", workers)
    assert (said.returncode, said.stdout) == (2, "")
    assert "Invalid value for '--workers'" in said.stderr

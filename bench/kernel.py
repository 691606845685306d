"""What the Linux kernel knows of a process and all its descendants: time on the processor, and memory."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

SERVER_CORE, LOAD_CORE = 0, 1  # the load's is PostgreSQL's too
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
KIB = 1_024


class UnfitMachineError(Exception):
    """The benchmark cannot run here; the message says what is missing."""


def settle() -> None:
    """Move this process, and so all that it starts, to the core of the load."""
    if sys.platform != "linux":
        raise UnfitMachineError("The benchmark pins processes to cores and reads /proc: it runs on Linux only.")
    if not {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        raise UnfitMachineError(f"The benchmark needs the cores {SERVER_CORE} and {LOAD_CORE} of this machine.")
    os.sched_setaffinity(0, {LOAD_CORE})


def tree(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from tree(int(child))


def cpu_seconds(pid: int) -> float:
    """What the processes have used so far, their ended threads too; to a hundredth of a second."""
    return sum(_ticks(each) for each in tree(pid)) / TICKS


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])  # utime and stime (proc_pid_stat(5))


def resident(pid: int) -> int:
    """Octets of memory in use."""
    return sum(_status(each, "VmRSS") for each in tree(pid))


def peak(pid: int) -> int:
    """The most octets that each has used since `reset_peak`, added up."""
    return sum(_status(each, "VmHWM") for each in tree(pid))


def reset_peak(pid: int) -> None:
    for each in tree(pid):
        Path(f"/proc/{each}/clear_refs").write_text("5")


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * KIB for line in lines if line.startswith(f"{name}:"))


def machine() -> str:
    """The processor's name, and how many of them."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "processor")
    return f"{os.cpu_count()} × {name}"

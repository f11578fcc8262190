"""What /proc says about processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Footprint:
    """What some processes hold together: resident memory, threads, and open files and sockets."""

    memory_bytes: int
    threads: int
    files: int


def all_pids() -> Iterator[int]:
    """Yield the pid of every process."""
    return (int(path.name) for path in PROC.iterdir() if path.name.isdigit())


def children(pid: int) -> list[int]:
    """Return the pids of the children that all threads of a process started; none if the process is gone."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in (PROC / str(pid) / "task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process runs. A zombie, which its parent has not reaped yet, does not."""
    try:
        return _stat(pid)[0] not in "ZX"
    except OSError:
        return False


def process_name(pid: int) -> str:
    """Return `<pid>@<start time in clock ticks>`, which, unlike the pid alone, is never used again. Raises FileNotFoundError."""
    return f"{pid}@{_stat(pid)[19]}"


def process_names(pids: Iterable[int]) -> list[str]:
    """Return the names of those processes that exist."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            found.append(process_name(pid))
    return found


def in_process_group(group: int) -> list[int]:
    """Return the pids of the members of a process group."""
    found = []
    for pid in all_pids():
        with contextlib.suppress(OSError):
            if int(_stat(pid)[2]) == group:
                found.append(pid)
    return found


def has_environment(pid: int, entry: bytes) -> bool:
    """Tell whether a process that runs was started with this entry (`NAME=value`) in its environment."""
    try:
        return entry in (PROC / str(pid) / "environ").read_bytes().split(b"\0") and is_alive(pid)
    except OSError:
        return False


def command_line(pid: int) -> bytes:
    """Return the command line, its words separated by NUL; empty if the process is gone."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return b""


def footprint(pids: Iterable[int]) -> Footprint:
    """Return the sum over those processes that exist."""
    memory = threads = files = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            folder = PROC / str(pid)
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
            memory += int(status["VmRSS"].split()[0]) * 1024
            threads += int(status["Threads"])
            files += len(list((folder / "fd").iterdir()))
    return Footprint(memory, threads, files)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat from the state on: they follow the name, which may hold spaces and brackets."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()

"""What a program holds: memory, threads, open files and sockets, over all of its processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Footprint:
    """Sums over processes; memory as resident bytes."""

    memory_bytes: int
    threads: int
    files: int


def footprint(pids: Iterable[int]) -> Footprint:
    """Of these processes, those that live."""
    memory = threads = files = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            memory += int(status["VmRSS"].split()[0]) * 1024
            threads += int(status["Threads"])
            files += len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Footprint(memory, threads, files)

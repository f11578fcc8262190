"""Start records and the payload of every job. The adapters in ../node write and read the same.

A record is 24 bytes: when the job was enqueued and when it started (seconds of CLOCK_MONOTONIC, which all processes of a machine
share), its user and its number. A job appends one to its process's file, in one write; that is all its work.
"""

from __future__ import annotations

import functools
import os
import struct
import threading
import time
from pathlib import Path

RECORD = struct.Struct("<ddII")


def payload(enqueued: float, user: int, number: int) -> dict[str, str]:
    """Return a payload of 50 bytes of JSON."""
    return {"job": f"{enqueued:018.6f} {user:08d} {number:012d}"}


def append(job: str) -> None:
    """Record that a job starts now; `job` is its payload's only field."""
    started = time.monotonic()
    enqueued, user, number = job.split(" ")
    file = _file(os.getpid(), threading.get_ident())
    os.write(file, RECORD.pack(float(enqueued), started, int(user), int(number)))


def count(folder: Path) -> int:
    """Return how many jobs have started."""
    return sum(path.stat().st_size for path in folder.glob("*.records")) // RECORD.size


@functools.cache
def _file(pid: int, thread: int) -> int:
    path = Path(os.environ["BENCH_RECORDS"]) / f"{pid}-{thread}.records"
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

"""A line with the start time of a job, written the same way by our handler and by Celery's task."""

from __future__ import annotations

import time
from pathlib import Path


def append_stamp(path: str, key: str) -> None:
    """Append `key` and the monotonic clock in nanoseconds to a file."""
    with Path(path).open("a") as file:
        file.write(f"{key} {time.monotonic_ns()}\n")

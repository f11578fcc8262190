"""What we need from inside Celery.

| entry | needs | why | upstream |
|---|---|---|---|
| `replace_dead_processes` | `maintain_pool` of the worker's pool | Celery finds some dead processes only every 5 s | no issue known |
| `silence_shutdown_messages` | Celery prints to `sys.__stdout__` when it shuts down | these lines would stand among the JSON lines of the log | no issue known |
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def replace_dead_processes(worker: Any) -> None:
    """Start a new pool process for each that has died. `worker`: Celery's worker, as its boot steps get it.

    Celery notices the end of a pool process when the write end of a pipe closes that the process holds. But processes forked
    later inherit that end, so it stays open for the first processes of a pool.
    """
    worker.pool.maintain_pool()


@contextmanager
def silence_shutdown_messages() -> Iterator[None]:
    """Discard what Celery prints past every log. Other output is not affected."""
    original = sys.__stdout__
    with Path(os.devnull).open("w") as nowhere:
        vars(sys)["__stdout__"] = nowhere
        try:
            yield
        finally:
            vars(sys)["__stdout__"] = original

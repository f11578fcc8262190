"""`python -m laneway.worker` is `laneway worker`: it reads the settings and becomes the supervisor.

The supervisor lives as long as the worker and needs three of the settings. In a program of its own it has none of what reading them
loads, pydantic above all: 14 MB instead of 24.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from laneway import open_files
from laneway.settings import load


def main() -> NoReturn:
    """Run a worker until SIGTERM or until a part of it dies. Wrong settings end it with status 2."""
    settings = load()
    open_files.require(settings.worker_processes)
    given = (settings.log_level, settings.worker_start_seconds, settings.shutdown_grace_seconds)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "laneway.worker.supervisor", *map(str, given)])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()

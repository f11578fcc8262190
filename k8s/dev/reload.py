"""Runs a command, and runs it again whenever a source file changes: python reload.py laneway api.

The entry point of the image that `skaffold dev` builds. A command that fails is not the end: the container waits for the next
change, since a container that is started anew has lost the files that were copied into it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

ROOT = Path.cwd()
FOLDERS = ("services", "operator")
SUFFIXES = {".py", ".lua"}
POLL_SECONDS = 0.5
STOP_SECONDS = 40


def snapshot() -> dict[Path, int]:
    """Every source file and when it was changed. A file that vanishes meanwhile is one that changed."""
    files = {}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in SUFFIXES:
                try:
                    files[path] = path.stat().st_mtime_ns
                except OSError:
                    continue
    return files


def stop(child: subprocess.Popen[bytes]) -> None:
    """Warm, within STOP_SECONDS."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def main() -> None:
    if not (command := sys.argv[1:]):
        sys.exit(__doc__)
    stopping = False

    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    while True:
        seen = snapshot()
        child = subprocess.Popen(command)
        while not stopping and child.poll() != 0 and snapshot() == seen:
            time.sleep(POLL_SECONDS)
        changed = child.poll() != 0 and not stopping
        stop(child)
        if not changed:
            sys.exit(child.returncode)
        sys.stderr.write(f"sources changed: starting {' '.join(command)} again\n")


if __name__ == "__main__":
    main()

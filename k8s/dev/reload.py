"""Run a command, and restart it whenever a source file changes: python reload.py laneway api.

The entry point of the image that `skaffold dev` builds. After a command that fails, the container waits for the next change: a new
container would have lost the files that skaffold copied into it.
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
    """Return the modification time (ns) of every source file. A file that vanishes during the scan is left out."""
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
    """End the child with SIGTERM, and with SIGKILL after STOP_SECONDS."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def main() -> None:
    """Run the command of the arguments until it succeeds or a signal arrives; exit with its status."""
    if not (command := sys.argv[1:]):
        sys.exit(__doc__)
    stopping = False

    def request_stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, request_stop)
    signal.signal(signal.SIGINT, request_stop)
    while True:
        seen = snapshot()
        child = subprocess.Popen(command)
        while not stopping and child.poll() != 0 and snapshot() == seen:
            time.sleep(POLL_SECONDS)
        changed = child.poll() != 0 and not stopping
        stop(child)
        if not changed:
            sys.exit(child.returncode)
        sys.stderr.write(f"sources changed: restarting {' '.join(command)}\n")


if __name__ == "__main__":
    main()

"""Kills what handlers leave running: subprocesses, daemons, processes of `multiprocessing`.

Each pool process adopts its descendants that lose their parent, so that a daemon cannot leave it. A pool process that ends in order
kills them. When it dies, they come to the supervisor, which adopts orphans too. The supervisor starts only two processes itself.
Any other child is an orphan and is killed at once. The orphan's own children then become children of the supervisor.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import structlog

END_SECONDS = 2.0
"""How long the kernel may take to end orphans when the worker stops: they may hold much memory."""
log = structlog.get_logger()


def kill(*, own: Collection[int] = ()) -> bool:
    """Kill the children of this process except `own`. Whether there was one: it may still be ending, and may have children."""
    pids = [pid for pid in _children() if pid not in own]
    ended = [pid for pid in pids if _kill(pid)]
    if ended:
        log.warning("orphans_killed", pids=ended)
    return bool(pids)


def kill_all() -> None:
    """Kill all children of this process, and their descendants. Call it when all that are left are orphans, or a handler's."""
    deadline = time.monotonic() + END_SECONDS
    while kill() and time.monotonic() < deadline:
        time.sleep(0.01)


def _children() -> list[int]:
    """Of all threads. A thread may end meanwhile; there are none where it is not Linux."""
    found: list[int] = []
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, path.read_text().split())
    return found


def _kill(pid: int) -> bool:
    """Whether the process has ended, and is not a zombie any more."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    return False

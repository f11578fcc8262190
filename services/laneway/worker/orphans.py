"""Kills what handlers leave running: subprocesses, daemons, processes of `multiprocessing`.

Each pool process adopts its descendants that lose their parent, so that a daemon cannot leave it. When the pool process dies, its
descendants come to the supervisor, which adopts orphans too. The supervisor starts only two processes itself.
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
    """Kill all children of this process, and their descendants. Call it when the worker's own processes have ended."""
    deadline = time.monotonic() + END_SECONDS
    while kill() and time.monotonic() < deadline:
        time.sleep(0.01)


def _children() -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:  # not Linux
        return []


def _kill(pid: int) -> bool:
    """Whether the process has ended, and is not a zombie any more."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    return False

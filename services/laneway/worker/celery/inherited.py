"""Has pool processes release what they inherit from Celery's event loop.

epoll(7) forgets a closed descriptor only when no process has it open any more. Pool processes are forks, so they have what Celery's
loop watches: connections to Redis, pipes of other processes. Once Celery closes such a descriptor without removing it from epoll first, which
it does now and then, the loop wakes up for it without end and finds nothing to do (celery issues 1845, 4185, 5299). Linux only.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

_WATCHED = re.compile(r"^tfd: +(\d+)", re.MULTILINE)


def release_in_forks() -> None:
    """Have each fork of this process let go of what any epoll of this process watches, and of the epoll. Call it once."""
    parent = os.getpid()

    def release() -> None:
        if os.getppid() == parent:  # not in what handlers fork
            _release()

    os.register_at_fork(after_in_child=release)


def _release() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in _inherited():
        # The number stays taken: whatever object has it may close it in this process too.
        os.dup2(nothing, number, inheritable=False)
    os.close(nothing)


def _inherited() -> set[int]:
    """See proc(5) for what it reads. Nothing where it is not Linux."""
    found: set[int] = set()
    with suppress(FileNotFoundError):
        for path in list(Path("/proc/self/fd").iterdir()):
            with suppress(OSError):  # the one that lists them
                if path.readlink().name.endswith("[eventpoll]"):
                    text = Path(f"/proc/self/fdinfo/{path.name}").read_text()
                    found |= {int(path.name), *map(int, _WATCHED.findall(text))}
    return found

"""Decides when a pool process must be replaced: handlers have leaked so much that later jobs would suffer.

The process then claims nothing more, its turn ends when what runs has ended, and Celery starts another one. Nobody is charged and
nothing is lost. Async jobs may run for hours, so the process serves again after a while, and tries later.
"""

from __future__ import annotations

import errno
import os
import resource
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from laneway.worker.pool.condition import Condition

CHECK_SECONDS = 1.0
CLOSED_SECONDS = 30.0
"""How long a process that must be replaced claims nothing, so that what runs here can end."""
OPEN_SECONDS = 300.0
"""How long it serves again if that was in vain."""
MAX_DESCRIPTORS = 10_000
MAX_CHILDREN = 500
"""Zombies count: nobody waits for a daemon that a handler has left here."""
MAX_THREADS = 1_000
_PROC = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class RetirementLimits:
    """Settings. 0: no limit."""

    jobs: int = 0
    memory_bytes: int = 0


class Retirement:
    """For the event loop of a process."""

    def __init__(self, condition: Condition, limits: RetirementLimits) -> None:
        self._condition, self._limits = condition, limits
        self.jobs = 0
        """How many have ended here."""
        self._check_at = self._closed_at = 0.0
        self.reason: str | None = None
        """Why the process must be replaced; None: it need not be."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._measures: list[tuple[str, float, Callable[[], float]]] = [
            ("descriptors", min(soft * 0.75, MAX_DESCRIPTORS), _descriptors),
            ("children", MAX_CHILDREN, _children),
            ("threads", MAX_THREADS, threading.active_count),
            ("memory", limits.memory_bytes or float("inf"), _memory_bytes),
        ]

    @property
    def is_due(self) -> bool:
        """Whether to claim nothing more and to end the turn as soon as nothing runs."""
        return self.closed_seconds() is not None

    def closed_seconds(self) -> float | None:
        """Return how long the process claims nothing at most; None if it claims."""
        if self.reason is None:
            return None
        left = CLOSED_SECONDS - (time.monotonic() - self._closed_at) % (CLOSED_SECONDS + OPEN_SECONDS)
        return left if left > 0 else None

    def served(self, count: int) -> None:
        """Count jobs that have ended."""
        self.jobs += count

    def check(self) -> None:
        """Look at the process, once a second. A process that has served nobody stays: another one would be no better."""
        if self.reason is not None or not self.jobs:
            return
        now = time.monotonic()
        if self._condition.is_starved:
            self.reason = "descriptors"
        elif 0 < self._limits.jobs <= self.jobs:
            self.reason = "jobs"
        elif now >= self._check_at:
            self._check_at = now + CHECK_SECONDS
            self.reason = self._find_reason()
        self._closed_at = now

    def _find_reason(self) -> str | None:
        try:
            return next((name for name, limit, measure in self._measures if measure() > limit), None)
        except OSError as error:  # without /proc, only the other two reasons are found
            return "descriptors" if error.errno in (errno.EMFILE, errno.ENFILE) else None


def _descriptors() -> int:
    return sum(1 for _ in (_PROC / "fd").iterdir())


def _children() -> int:
    return len((_PROC / "task" / str(os.getpid()) / "children").read_text().split())


def _memory_bytes() -> int:
    return int((_PROC / "statm").read_text().split()[1]) * resource.getpagesize()

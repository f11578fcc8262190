"""Keeps a process quiet around a suspect, so that a suspect that kills its process takes nobody along."""

from __future__ import annotations

import time

QUIET_SECONDS = 5
"""How long a process takes nothing new so that a suspect can run alone in it."""


class SuspectIsolation:
    """Whether this process may take new jobs, and whether a suspect may start in it."""

    def __init__(self) -> None:
        self._quiet_until: float | None = None

    def is_quiet(self, running_tasks: int) -> bool:
        """Whether nothing new may be taken: a suspect waits for running tasks to end, or has just started alone."""
        return running_tasks > 0 and self.quiet_seconds() is not None

    def quiet_seconds(self) -> float | None:
        """Return for how long at most the process stays quiet; None if it is not quiet."""
        left = 0.0 if self._quiet_until is None else self._quiet_until - time.monotonic()
        return left if left > 0 else None

    def refresh(self, running_tasks: int) -> None:
        """End the quiet time once no task runs any more."""
        if running_tasks == 0:
            self._quiet_until = None

    def admits_suspect(self, others: int) -> bool:
        """Whether a suspect may start beside `others`: only if there are none, or it has waited QUIET_SECONDS for them."""
        if others == 0:
            self._quiet_until = time.monotonic() + QUIET_SECONDS  # nothing joins it for a while
            return True
        if self._quiet_until is None:
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            return False
        if time.monotonic() < self._quiet_until:
            return False
        self._quiet_until = None
        return True

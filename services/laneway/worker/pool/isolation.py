"""Keeps suspects alone: no other job runs in a process while a suspect does, so that it takes nobody along if it kills it."""

from __future__ import annotations

import time
from enum import Enum, auto

QUIET_SECONDS = 5.0
"""How long a process takes nothing new so that its tasks can end before a suspect starts."""
OPEN_SECONDS = 30.0
"""How long a process takes new jobs again after it was quiet in vain, because its tasks may run for hours."""
LATER_SECONDS = 5.0
"""How long a suspect waits in its lane before another process, or this one, is asked again."""


class Admission(Enum):
    """Whether a suspect may start in this process."""

    NOW = auto()
    SOON = auto()
    """It returns to the head of its lane; this process takes nothing new until its tasks have ended."""
    LATER = auto()
    """It waits in its lane for LATER_SECONDS; this process goes on as before."""


class SuspectIsolation:
    """Decides for one process. Tasks whose end is not recorded yet count as running."""

    def __init__(self) -> None:
        self._is_alone = False
        self._quiet_until = 0.0
        self._open_until = 0.0

    def is_quiet(self, held_tasks: int) -> bool:
        """Whether nothing new may be claimed: a suspect runs here, or waits for the tasks here to end."""
        return held_tasks > 0 and (self._is_alone or time.monotonic() < self._quiet_until)

    def quiet_seconds(self) -> float | None:
        """Return how long the process stays quiet at most; None if only an end changes that."""
        left = self._quiet_until - time.monotonic()
        return left if left > 0 and not self._is_alone else None

    def refresh(self, held_tasks: int) -> None:
        """Notice that a suspect has ended, or the tasks for whose end one waited. Call it before each `admit` of a claim."""
        if held_tasks == 0:
            self._is_alone, self._quiet_until, self._open_until = False, 0.0, 0.0

    def admit(self, others: int) -> Admission:
        """Decide about a suspect beside `others`."""
        if others == 0:
            self._is_alone = True
            return Admission.NOW
        now = time.monotonic()
        if now < self._quiet_until:
            return Admission.SOON
        if now < self._open_until:
            return Admission.LATER
        self._quiet_until, self._open_until = now + QUIET_SECONDS, now + QUIET_SECONDS + OPEN_SECONDS
        return Admission.SOON

"""Notices that another scaler keeps changing the replicas, and then corrects them less and less often.

Two scalers that correct each other at every poll start and stop pods all the time. A single change, by a person for
example, is corrected at once. After the second one within WINDOW_SECONDS each correction waits longer than the one before.
"""

from __future__ import annotations

import time
from collections import deque

WINDOW_SECONDS = 600.0
FIRST_HOLD_SECONDS = 10.0
MAX_HOLD_SECONDS = 300.0


class Contention:
    """The changes by another scaler to one pool's Deployment."""

    def __init__(self) -> None:
        self._changes: deque[float] = deque(maxlen=16)
        self._hold_until = float("-inf")

    def record_change(self) -> None:
        """Record that somebody else has changed the replicas since this operator's last pass."""
        now = time.monotonic()
        self._changes.append(now)
        while self._changes[0] < now - WINDOW_SECONDS:
            self._changes.popleft()
        if (repeats := len(self._changes) - 1) > 0:
            self._hold_until = now + min(MAX_HOLD_SECONDS, FIRST_HOLD_SECONDS * 2.0**repeats)

    @property
    def hold_seconds(self) -> float:
        """For how long the replicas must be left to the other scaler; 0 if they may be corrected now."""
        return max(0.0, self._hold_until - time.monotonic())

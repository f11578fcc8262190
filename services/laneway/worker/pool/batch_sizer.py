"""How many jobs a process claims at once, and which of them it may keep.

Large batches share the cost of a round trip; but a job must not wait in a busy process while another is idle. So a process
keeps only what it can start at once or within `PATIENCE_SECONDS`, by what jobs of that type took lately, and asks for more
only as long as it could keep all that it got.
"""

from __future__ import annotations

PATIENCE_SECONDS = 0.005
"""Longest time that jobs are planned to wait behind others of their batch."""

_WEIGHT = 0.2


class BatchSizer:
    """The size of the next claim: doubled while all is kept, cut to what was kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._next = 1

    def next(self) -> int:
        return self._next

    def learn(self, asked: int, given: int, kept: int, planned_seconds: float) -> None:
        if kept < given:
            self._next = max(1, kept)
        elif given == asked and 2 * planned_seconds <= PATIENCE_SECONDS:
            self._next = min(self._most, asked * 2)


class DurationEstimates:
    """What an attempt of each type took lately, in seconds: an average that forgets."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def of(self, type_: str) -> float:
        """Infinite for a type that has not been seen."""
        return self._seconds.get(type_, float("inf"))

    def learn(self, type_: str, seconds: float) -> None:
        known = self._seconds.get(type_)
        self._seconds[type_] = seconds if known is None else known + _WEIGHT * (seconds - known)

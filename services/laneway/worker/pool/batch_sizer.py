"""The batch size: how many jobs a process claims at once.

Large batches share the cost of a round trip. But a job must not wait in a busy process while another process is idle. So a
process keeps only jobs that start at once or within MAX_WAIT_SECONDS, and asks for more only while it can keep all it gets.
"""

from __future__ import annotations

MAX_WAIT_SECONDS = 0.005
"""Longest time that a job is planned to wait behind others of its batch."""


class BatchSizer:
    """The size of the next claim: doubled while everything is kept, cut to what was kept."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._size = 1

    @property
    def size(self) -> int:
        """How many jobs to claim next."""
        return self._size

    def learn(self, *, asked: int, given: int, kept: int, planned_seconds: float) -> None:
        """Take in what came of a claim. `planned_seconds`: how long the plain jobs among the kept ones will take together."""
        if kept < given:
            self._size = max(1, kept)
        elif given == asked and 2 * planned_seconds <= MAX_WAIT_SECONDS:
            self._size = min(self._maximum, asked * 2)

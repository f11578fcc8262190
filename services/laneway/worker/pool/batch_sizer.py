"""The batch size: how many jobs a process claims at once, and whether they may be followers.

Large batches share the cost of a round trip. But a job must not wait in a busy process while another process is idle. So a
process keeps only jobs that start at once or within MAX_WAIT_SECONDS, and asks for more only while it can keep all it gets.
Followers run one after another. So a process asks for them only while all the jobs that it starts are plain.
"""

from __future__ import annotations

MAX_WAIT_SECONDS = 0.005
"""Longest time that a job is planned to wait behind others of its batch."""


class BatchSizer:
    """The size of the next claim: doubled while everything is kept, cut to what was kept."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._size = 1
        self._is_plain = False

    @property
    def size(self) -> int:
        """How many jobs to claim next."""
        return self._size

    @property
    def with_followers(self) -> bool:
        """Whether lanes may give more jobs than they have free slots."""
        return self._is_plain

    def learn(self, *, asked: int, given: int, kept: int, tasks: int, planned_seconds: float) -> None:
        """Adjust the size to the result of a claim. `tasks`: how many of the kept jobs are async. `planned_seconds`: how long the plain
        ones will take together."""
        self._is_plain = tasks == 0 and kept > 0
        if kept < given:
            self._size = max(1, kept)
        elif given == asked and 2 * planned_seconds <= MAX_WAIT_SECONDS:
            self._size = min(
                self._maximum, max(self._size, asked * 2)
            )  # an older claim may have asked for fewer

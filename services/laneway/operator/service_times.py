"""Measures the run times of jobs when they are archived.

The leader's janitor moves each ended job to MongoDB, with its start and end times. So the mean costs nothing and needs no
request to a worker (docs/decisions/0020-operator-observations.md compares the other sources).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence

from laneway.lanes.model import Job
from laneway.storage.history_writer import HistoryWriter

WINDOW_SECONDS = 60


class ServiceTimes:
    """Mean run time of the jobs that ended within the last WINDOW_SECONDS. Thread-safe."""

    def __init__(self) -> None:
        self._per_second: deque[tuple[int, int, float]] = deque(maxlen=WINDOW_SECONDS)
        """For each second in which jobs ended: its number, how many ended, their total run time in seconds."""
        self._lock = threading.Lock()

    def add(self, jobs: Sequence[Job]) -> None:
        """Count jobs that have ended. A job that never started does not count."""
        taken = [
            max(0, job.finished_us - job.started_us) / 1_000_000
            for job in jobs
            if job.started_us is not None and job.finished_us is not None
        ]
        if not taken:
            return
        now, count, total = int(time.monotonic()), len(taken), sum(taken)
        with self._lock:
            if self._per_second and self._per_second[-1][0] == now:
                _, earlier_count, earlier_total = self._per_second.pop()
                count, total = count + earlier_count, total + earlier_total
            self._per_second.append((now, count, total))

    @property
    def mean_seconds(self) -> float | None:
        """The mean; None if no job has ended within the window."""
        since = time.monotonic() - WINDOW_SECONDS
        with self._lock:
            recent = [(count, total) for second, count, total in self._per_second if second >= since]
        ended = sum(count for count, _ in recent)
        return sum(total for _, total in recent) / ended if ended else None


class MeasuredHistory(HistoryWriter):
    """Stores ended jobs through another writer, and measures them."""

    def __init__(self, history: HistoryWriter, times: ServiceTimes) -> None:
        self._history, self._times = history, times

    def store(self, jobs: Sequence[Job]) -> list[Job]:
        """Store the jobs, then measure them. Return and raise what `HistoryWriter.store` does."""
        new = self._history.store(jobs)
        self._times.add(jobs)
        return new

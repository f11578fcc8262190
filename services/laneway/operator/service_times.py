"""How long jobs take: measured where every ended job passes by.

The janitor, which the operator hosts, brings each ended job to MongoDB, with the times of its start and its end; so the
mean costs nothing and asks nobody. The workers' own metrics would tell the same, pod by pod, but not those of pods that
have gone, and not through a network policy that is missing (docs/decisions/0020-operator-observations.md).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence

from laneway.lanes.model import Job
from laneway.storage.history import HistoryWriter

WINDOW_SECONDS = 60


class ServiceTimes:
    """Mean run time of the jobs that ended within the last WINDOW_SECONDS. For several threads."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int, float]] = deque(maxlen=WINDOW_SECONDS)
        """For each second with ends: when, how many, what they took in all."""
        self._lock = threading.Lock()

    def add(self, jobs: Sequence[Job]) -> None:
        """Jobs that have ended; one that never started counts for nothing."""
        taken = [
            max(0, job.finished_us - job.started_us) / 1_000_000
            for job in jobs
            if job.started_us is not None and job.finished_us is not None
        ]
        if not taken:
            return
        now, count, total = int(time.monotonic()), len(taken), sum(taken)
        with self._lock:
            if self._seconds and self._seconds[-1][0] == now:
                _, before, total_before = self._seconds.pop()
                count, total = count + before, total + total_before
            self._seconds.append((now, count, total))

    @property
    def mean_seconds(self) -> float | None:
        """None where no job has ended."""
        since = time.monotonic() - WINDOW_SECONDS
        with self._lock:
            recent = [(count, total) for second, count, total in self._seconds if second >= since]
        ended = sum(count for count, _ in recent)
        return sum(total for _, total in recent) / ended if ended else None


class MeasuredHistory(HistoryWriter):
    """Has jobs stored, and measures them."""

    def __init__(self, history: HistoryWriter, times: ServiceTimes) -> None:
        self._history, self._times = history, times

    def store(self, jobs: Sequence[Job]) -> None:
        self._history.store(jobs)
        self._times.add(jobs)

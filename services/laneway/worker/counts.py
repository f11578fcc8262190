"""What a worker's processes count. Each pool process counts for itself; the lease keeper merges the counts and serves them.

(The multiprocess files of prometheus_client would cost several microseconds a job, and grow with every process that ever ran.)
"""

from __future__ import annotations

from bisect import bisect_left

import msgspec

from laneway.lanes.model import JobState, Outcome

BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)
"""Upper bounds in seconds: from a no-op to an hour."""


class Histogram(msgspec.Struct):
    """Durations by bucket; the last bucket has no bound."""

    buckets: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    sum_seconds: float = 0

    def observe(self, seconds: float) -> None:
        """Add one duration."""
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.sum_seconds += seconds

    def merge(self, other: Histogram) -> None:
        """Add the durations of another process."""
        self.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]
        self.sum_seconds += other.sum_seconds


class Counts(msgspec.Struct):
    """Counters and histograms as plain values. Not for several threads at once."""

    ends: dict[tuple[str, str], int] = msgspec.field(default_factory=dict)
    """Ended attempts by state and type."""
    events: dict[str, int] = msgspec.field(default_factory=dict)
    runs: dict[str, Histogram] = msgspec.field(default_factory=dict)
    """By type: how long attempts took."""
    waits: dict[str, Histogram] = msgspec.field(default_factory=dict)
    """By type: from acceptance to the first start."""

    def attempt(self, outcome: Outcome, run_seconds: float) -> None:
        """Count an attempt whose end is recorded. A run that was cut short is no attempt, and counts as an event of the worker."""
        if outcome.state is JobState.QUEUED:
            return self.event("run_interrupted")
        lease = outcome.lease
        self.end(outcome.state, lease.type)
        _histogram(self.runs, lease.type).observe(run_seconds)
        if lease.attempt == 1:
            _histogram(self.waits, lease.type).observe(outcome.waited_seconds)
        return None

    def end(self, state: JobState, type_: str) -> None:
        """Count an attempt whose duration nobody knows."""
        key = (state, type_)
        self.ends[key] = self.ends.get(key, 0) + 1

    def event(self, name: str, count: int = 1) -> None:
        """Count an event of the worker by the name that it has in the log."""
        self.events[name] = self.events.get(name, 0) + count

    def merge(self, other: Counts) -> None:
        """Add what another process counted."""
        for key, count in other.ends.items():
            self.ends[key] = self.ends.get(key, 0) + count
        for name, count in other.events.items():
            self.event(name, count)
        for mine, theirs in ((self.runs, other.runs), (self.waits, other.waits)):
            for type_, histogram in theirs.items():
                _histogram(mine, type_).merge(histogram)


def _histogram(histograms: dict[str, Histogram], type_: str) -> Histogram:
    """Called for every job: one that is there already must not cost a new one."""
    if (histogram := histograms.get(type_)) is None:
        histogram = histograms[type_] = Histogram()
    return histogram

"""What a pool process counts, and how it reaches Prometheus: processes add up, the lease keeper merges and serves.

(prometheus_client's multiprocess files would cost several microseconds a job and grow with every process that ever was.)
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from laneway.lanes.model import JobState, Outcome

BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)
"""Upper bounds in seconds: from a no-op to an hour."""


class Stats:
    """Counts and histograms, as plain numbers. Not for several threads at once."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.buckets: dict[str, list[int]] = {}
        self.sums: Counter[str] = Counter()

    def attempt(self, outcome: Outcome, wait_seconds: float, run_seconds: float) -> None:
        """Count an attempt that has ended and was recorded."""
        type_ = outcome.lease.type
        self.end(outcome.state, type_)
        self._observe(f"run|{type_}", run_seconds)
        if outcome.lease.attempt == 1:
            self._observe(f"wait|{type_}", wait_seconds)

    def end(self, state: JobState, type_: str) -> None:
        """Count an attempt of which nobody knows how long it took."""
        self.ends[f"{state}|{type_}"] += 1

    def event(self, name: str, count: int = 1) -> None:
        self.events[name] += count

    def _observe(self, key: str, seconds: float) -> None:
        buckets = self.buckets.get(key)
        if buckets is None:
            buckets = self.buckets[key] = [0] * (len(BUCKETS) + 1)
        buckets[bisect_left(BUCKETS, seconds)] += 1
        self.sums[key] += seconds  # type: ignore[assignment]

    def drain(self) -> dict[str, Any]:
        """All that was counted since the last time, as JSON values."""
        drained = {"ends": self.ends, "events": self.events, "buckets": self.buckets, "sums": self.sums}
        self.__init__()  # type: ignore[misc]
        return drained

    def merge(self, drained: dict[str, Any]) -> None:
        """Add what another process drained."""
        self.ends.update(drained["ends"])
        self.events.update(drained["events"])
        self.sums.update(drained["sums"])
        for key, counts in drained["buckets"].items():
            mine = self.buckets.setdefault(key, [0] * len(counts))
            self.buckets[key] = [a + b for a, b in zip(mine, counts, strict=True)]


class StatsCollector(Collector):
    """Serves merged stats in Prometheus's terms."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        ends = CounterMetricFamily(
            "laneway_attempts", "Attempts that ended, by outcome.", labels=["state", "type"]
        )
        for key, count in list(self._stats.ends.items()):
            ends.add_metric(key.split("|", 1), count)
        yield ends
        events = CounterMetricFamily(
            "laneway_worker_events", "Things that happened in workers.", labels=["event"]
        )
        for name, count in list(self._stats.events.items()):
            events.add_metric([name], count)
        yield events
        for kind, name, text in (
            ("wait", "laneway_job_wait_seconds", "From acceptance to the first start."),
            ("run", "laneway_job_run_seconds", "What an attempt took."),
        ):
            family = HistogramMetricFamily(name, text, labels=["type"])
            for key, counts in list(self._stats.buckets.items()):
                if key.startswith(kind + "|"):
                    family.add_metric([key.split("|", 1)[1]], _cumulative(counts), self._stats.sums[key])
            yield family


def _cumulative(counts: list[int]) -> list[tuple[str, float]]:
    total, buckets = 0, []
    for bound, count in zip([*map(str, BUCKETS), "+Inf"], counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets

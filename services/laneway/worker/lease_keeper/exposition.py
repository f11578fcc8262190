"""Serves merged counts in Prometheus's terms."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from laneway.worker.counts import BUCKETS, Counts, Histogram


class CountsCollector(Collector):
    """A collector over counts that another thread goes on changing."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families of this moment."""
        counts = self._counts
        ends = CounterMetricFamily(
            "laneway_attempts", "Attempts that ended, by outcome.", labels=["state", "type"]
        )
        for key, count in list(counts.ends.items()):
            ends.add_metric(key, count)
        yield ends
        events = CounterMetricFamily(
            "laneway_worker_events", "Things that happened in workers.", labels=["event"]
        )
        for name, count in list(counts.events.items()):
            events.add_metric([name], count)
        yield events
        yield _family("laneway_job_wait_seconds", "From acceptance to the first start.", counts.waits)
        yield _family("laneway_job_run_seconds", "How long an attempt took.", counts.runs)


def _family(name: str, text: str, histograms: dict[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=["type"])
    for type_, histogram in list(histograms.items()):
        family.add_metric([type_], _cumulative(histogram.buckets), histogram.sum_seconds)
    return family


def _cumulative(counts: list[int]) -> list[tuple[str, float]]:
    total, buckets = 0, []
    for bound, count in zip([*map(str, BUCKETS), "+Inf"], counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets

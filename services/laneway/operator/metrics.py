"""The operator's Prometheus metrics: pools, reconcile passes, lanes and the janitor's work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from laneway.lanes.survey import LaneSizes
from laneway.scaling import Load
from laneway.telemetry.janitor_metrics import JanitorCollector, JanitorStats
from laneway.telemetry.lane_gauges import LaneGauges

FRESH_SECONDS = 600.0
"""How long the lanes' sizes are served after they were read: a bit more than the longest poll interval."""
_POOL_GAUGES = {
    "replicas_desired": "Replicas that the scaling rule asks for.",
    "replicas_current": "Replicas that the Deployment asks for.",
    "replicas_ready": "Pods that are ready and not Terminating.",
    "replicas_pinned": "Pods with a job that a stop would interrupt.",
    "usable": "Jobs that could be in flight now.",
    "users_waiting": "Users with at least one job that waits.",
    "unserved_seconds": "How long the ring has had work while workers had free slots and started no job.",
    "service_seconds": "Mean run time of jobs, as the scaling rule takes it.",
}


@dataclass(frozen=True, slots=True)
class PoolNumbers:
    """Figures of one reconcile pass. The first four count replicas. `load` None: Redis could not be read."""

    desired: int
    current: int
    ready: int
    pinned: int
    load: Load | None
    users_waiting: int | None
    unserved_seconds: float | None


class OperatorMetrics:
    """All metrics of this operator, in a registry of their own."""

    def __init__(self, leading: Callable[[], bool], janitor: JanitorStats) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "laneway_operator_reconciles",
            "Reconcile passes over a pool, by outcome.",
            ["pool", "outcome"],
            registry=self.registry,
        )
        self.reconcile_seconds = Histogram(
            "laneway_operator_reconcile_seconds", "Duration of a reconcile pass.", registry=self.registry
        )
        self.scalings = Counter(
            "laneway_pool_scalings",
            "Changes of a pool's replicas by this operator.",
            ["pool", "direction"],
            registry=self.registry,
        )
        self._pool_gauges = {
            name: Gauge(f"laneway_pool_{name}", text, ["pool"], registry=self.registry)
            for name, text in _POOL_GAUGES.items()
        }
        leader = Gauge("laneway_operator_leading", "Whether this operator leads.", registry=self.registry)
        leader.set_function(lambda: float(leading()))
        self.reconcile_ages = ReconcileAges()
        self.lanes = SurveyedLanes()
        for collector in (self.reconcile_ages, self.lanes, JanitorCollector(janitor)):
            self.registry.register(collector)

    def set_pool(self, name: str, numbers: PoolNumbers) -> None:
        """Publish the figures of a pass. Without a load the figures of the lanes stay as they were."""
        load = numbers.load
        values: dict[str, float | None] = {
            "replicas_desired": numbers.desired,
            "replicas_current": numbers.current,
            "replicas_ready": numbers.ready,
            "replicas_pinned": numbers.pinned,
            "usable": load.usable if load else None,
            "users_waiting": numbers.users_waiting,
            "unserved_seconds": numbers.unserved_seconds,
            "service_seconds": load.service_seconds if load else None,
        }
        for key, value in values.items():
            if value is not None:
                self._pool_gauges[key].labels(name).set(value)

    def remove_pool(self, name: str) -> None:
        """Drop a pool's gauges: it was deleted, or another operator leads."""
        for gauge in self._pool_gauges.values():
            gauge.remove(name)
        self.reconcile_ages.remove(name)


class ReconcileAges(Collector):
    """Seconds since each pool's last successful pass: the number to alert on."""

    def __init__(self) -> None:
        self._succeeded_at: dict[str, float] = {}

    def expect(self, name: str) -> None:
        """Expect passes over this pool from now on."""
        self._succeeded_at.setdefault(name, time.monotonic())

    def succeed(self, name: str) -> None:
        """Record a successful pass."""
        self._succeeded_at[name] = time.monotonic()

    def remove(self, name: str) -> None:
        """Expect no more passes over this pool."""
        self._succeeded_at.pop(name, None)

    def collect(self) -> Iterator[Metric]:
        """The metric family for Prometheus."""
        family = GaugeMetricFamily(
            "laneway_operator_reconcile_age_seconds",
            "Seconds since the last successful reconcile pass over the pool.",
            labels=["pool"],
        )
        for name, at in list(self._succeeded_at.items()):
            family.add_metric([name], time.monotonic() - at)
        yield family


class SurveyedLanes(Collector):
    """The lanes' sizes as last surveyed, under the names that the API uses too: take the maximum over all pods."""

    def __init__(self) -> None:
        self._sizes: LaneSizes | None = None
        self._read_at = float("-inf")

    def set(self, sizes: LaneSizes | None) -> None:
        """Publish the sizes; None if Redis did not answer."""
        self._sizes, self._read_at = sizes, time.monotonic()

    def collect(self) -> Iterator[Metric]:
        """The lanes' metric families, as long as the sizes are fresh."""
        if time.monotonic() - self._read_at < FRESH_SECONDS:
            yield from LaneGauges(self._sizes).collect()

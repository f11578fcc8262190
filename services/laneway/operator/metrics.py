"""What Prometheus is told by the operator, on a port of its own: pools, passes, lanes, and what the janitor has done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from laneway.janitor import JanitorCollector, JanitorStats
from laneway.lanes.survey import LaneSizes
from laneway.scaling import Load
from laneway.telemetry.lane_gauges import LaneGauges

FRESH_SECONDS = 600.0
"""For how long the lanes' sizes are told after they were last read: a bit more than the longest poll interval."""


@dataclass(frozen=True, slots=True)
class PoolNumbers:
    """Of one look. The first four are replicas; `load` None: Redis could not be read."""

    desired: int
    current: int
    ready: int
    pinned: int
    load: Load | None
    users_waiting: int | None


class Exposition:
    """Everything that is counted, and the server that tells it."""

    def __init__(self, acting: Callable[[], bool], janitor: JanitorStats) -> None:
        self._registry = CollectorRegistry()
        pool = ["pool"]
        self.passes = Counter(
            "laneway_operator_passes",
            "Looks at a pool, by outcome.",
            ["pool", "outcome"],
            registry=self._registry,
        )
        self.pass_seconds = Histogram(
            "laneway_operator_pass_seconds", "What a look at a pool took.", registry=self._registry
        )
        self.scalings = Counter(
            "laneway_pool_scalings",
            "Times that replicas were changed.",
            ["pool", "direction"],
            registry=self._registry,
        )
        self._gauges = {
            name: Gauge(f"laneway_pool_{name}", text, pool, registry=self._registry)
            for name, text in (
                ("replicas_desired", "Replicas that the rule asks for."),
                ("replicas_current", "Replicas that the Deployment asks for."),
                ("replicas_ready", "Pods that are ready and not terminating."),
                ("replicas_pinned", "Pods with a job that would be interrupted."),
                ("usable", "Jobs that could be in flight now."),
                ("users_waiting", "Users with at least one job that waits."),
                ("service_seconds", "Mean run time of jobs, as the rule takes it."),
            )
        }
        acting_gauge = Gauge(
            "laneway_operator_acting", "Whether this operator acts.", registry=self._registry
        )
        acting_gauge.set_function(lambda: float(acting()))
        self.ages = Ages()
        self.lanes = Lanes()
        for collector in (self.ages, self.lanes, JanitorCollector(janitor)):
            self._registry.register(collector)
        self._server: tuple[WSGIServer, Thread] | None = None

    def serve(self, port: int) -> None:
        """From a thread of its own, on all addresses."""
        self._server = start_http_server(port, registry=self._registry)

    def close(self) -> None:
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join()

    def pool(self, name: str, numbers: PoolNumbers) -> None:
        """The numbers of a look. Without a load those of the lanes stay as they were."""
        load = numbers.load
        values: dict[str, float | None] = {
            "replicas_desired": numbers.desired,
            "replicas_current": numbers.current,
            "replicas_ready": numbers.ready,
            "replicas_pinned": numbers.pinned,
            "usable": load.usable if load else None,
            "users_waiting": numbers.users_waiting,
            "service_seconds": load.service_seconds if load else None,
        }
        for key, value in values.items():
            if value is not None:
                self._gauges[key].labels(name).set(value)

    def forget(self, name: str) -> None:
        """The pool is gone, or another operator's."""
        for gauge in self._gauges.values():
            gauge.remove(name)
        self.ages.forget(name)


class Ages(Collector):
    """How long ago each pool was last looked at with success: what to alarm on."""

    def __init__(self) -> None:
        self._good: dict[str, float] = {}

    def begin(self, name: str) -> None:
        """From now on the pool should be looked at."""
        self._good.setdefault(name, time.monotonic())

    def good(self, name: str) -> None:
        self._good[name] = time.monotonic()

    def forget(self, name: str) -> None:
        self._good.pop(name, None)

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "laneway_operator_reconcile_age_seconds", "Since the last good look at the pool.", labels=["pool"]
        )
        for name, at in list(self._good.items()):
            family.add_metric([name], time.monotonic() - at)
        yield family


class Lanes(Collector):
    """The lanes' sizes as they were last read; the same names as the API's: take the maximum of all pods."""

    def __init__(self) -> None:
        self._sizes: LaneSizes | None = None
        self._read_at = float("-inf")

    def read(self, sizes: LaneSizes | None) -> None:
        """None: Redis did not answer."""
        self._sizes, self._read_at = sizes, time.monotonic()

    def collect(self) -> Iterator[Metric]:
        if time.monotonic() - self._read_at < FRESH_SECONDS:
            yield from LaneGauges(self._sizes).collect()

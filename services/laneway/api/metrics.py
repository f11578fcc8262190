"""The API's metrics: its requests, its connections and, read from Redis on demand, the lanes.

Several API processes stand behind one port, and any of them answers `/metrics` for all. With `PROMETHEUS_MULTIPROC_DIR` set
before this module is imported, each process writes its numbers to files in that folder, and the one that is asked adds them
up. Without it a process reports its own numbers.
"""

from __future__ import annotations

import asyncio
import os
import time

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from laneway.lanes.errors import LaneError
from laneway.lanes.store import AsyncLanes
from laneway.lanes.survey import LaneSizes, survey
from laneway.telemetry.lane_gauges import LaneGauges

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
"""Upper bounds in seconds: an enqueue takes about a millisecond, a log-in tens of them, and 503 comes after one second."""
FRESH_SECONDS = 5.0
"""How long one survey of the lanes is served again."""

api_request_seconds = Histogram(
    "laneway_api_request_seconds",
    "Time to answer, live connections apart.",
    ["route", "method", "status"],
    buckets=BUCKETS,
)
jobs_total = Counter("laneway_jobs", "Jobs that entered a state.", ["state"])
log_ins_total = Counter("laneway_log_ins", "Log-ins by their outcome.", ["outcome"])
connections = Gauge(
    "laneway_connections", "Live connections (WebSocket, events).", multiprocess_mode="livesum"
)


class LaneSampler:
    """Reads the lanes' sizes from Redis at most once in FRESH_SECONDS, for all callers together."""

    def __init__(self, lanes: AsyncLanes) -> None:
        self._lanes = lanes
        self._lock = asyncio.Lock()
        self._read_at = float("-inf")
        self._sizes: LaneSizes | None = None

    async def sizes(self) -> LaneSizes | None:
        """Return the last sizes; None if Redis does not answer."""
        async with self._lock:
            if time.monotonic() - self._read_at > FRESH_SECONDS:
                try:
                    self._sizes = (await survey(self._lanes)).sizes
                except LaneError:
                    self._sizes = None
                self._read_at = time.monotonic()
            return self._sizes


def render(sizes: LaneSizes | None, *collectors: Collector) -> bytes:
    """Return the page for Prometheus: metrics of all processes, and of the collectors. Reads files: do not call it on the event loop."""
    registry = CollectorRegistry()
    if directory := os.environ.get(DIRECTORY):
        MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
        page = generate_latest(registry)
    else:
        page = generate_latest(REGISTRY)
    own = CollectorRegistry()
    for collector in (LaneGauges(sizes), *collectors):
        own.register(collector)
    return page + generate_latest(own)

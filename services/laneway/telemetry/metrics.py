"""What Prometheus is told by the API: its requests, and how the lanes are.

Several API processes behind one port answer `/metrics` for all of them: with `PROMETHEUS_MULTIPROC_DIR` set before this module is
imported, each writes its numbers to files in that folder, and any of them adds all up. Without it a process speaks for itself.

The gauges of the lanes are read from Redis when they are asked for, at a bounded cost, and are the same whichever process answers:
take the maximum over the pods, not the sum.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from laneway.lanes.commands import InspectLanes
from laneway.lanes.errors import LaneError
from laneway.lanes.store import AsyncLanes

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
"""Upper bounds in seconds: an enqueue takes about a millisecond, a log-in some ten, and after one second 503 is answered."""
LANES_PAGE, MAX_LANES = 500, 10_000
"""Lanes looked at in one script call, and in all. With more lanes the number of jobs is extrapolated."""
FRESH_SECONDS = 5.0
"""For how long what was read of the lanes is served again."""

api_request_seconds = Histogram(
    "laneway_api_request_seconds",
    "Time to answer, live connections apart.",
    ["route", "method", "status"],
    buckets=BUCKETS,
)
jobs_total = Counter("laneway_jobs", "Jobs that entered a state.", ["state"])
connections = Gauge(
    "laneway_connections", "Live connections (WebSocket, events).", multiprocess_mode="livesum"
)


@dataclass(frozen=True, slots=True)
class LaneSizes:
    """All lanes at one moment. `jobs` is extrapolated when only `inspected` of `lanes` were looked at."""

    lanes: int
    ring: int
    leases: int
    retries: int
    turns: int
    backlog: int
    jobs: int
    inspected: int


class LaneSampler:
    """Reads the sizes from Redis, once for all who ask within FRESH_SECONDS."""

    def __init__(self, lanes: AsyncLanes) -> None:
        self._lanes = lanes
        self._lock = asyncio.Lock()
        self._read_at = float("-inf")
        self._sizes: LaneSizes | None = None

    async def sizes(self) -> LaneSizes | None:
        """None if Redis does not answer."""
        async with self._lock:
            if time.monotonic() - self._read_at > FRESH_SECONDS:
                try:
                    self._sizes = await _read(self._lanes)
                except (LaneError, RedisError, OSError):
                    self._sizes = None
                self._read_at = time.monotonic()
            return self._sizes


async def _read(lanes: AsyncLanes) -> LaneSizes:
    keys = lanes.keys
    async with lanes.client.pipeline(transaction=False) as pipeline:
        for key in (keys.lanes, keys.ring, keys.leases, keys.retries):
            pipeline.zcard(key)
        pipeline.llen(keys.turns)
        pipeline.llen(keys.outbox)
        count, ring, leases, retries, turns, backlog = await pipeline.execute()
    jobs = inspected = 0
    after = ""
    while inspected < MAX_LANES and (page := await lanes.run(InspectLanes(after, LANES_PAGE))):
        jobs += sum(line.jobs for line in page)
        inspected += len(page)
        after = page[-1].user
        if len(page) < LANES_PAGE:
            break
    if inspected >= MAX_LANES:
        jobs = jobs * max(count, inspected) // inspected
    return LaneSizes(count, ring, leases, retries, turns, backlog, jobs, inspected)


class LaneCollector(Collector):
    """Serves sizes in Prometheus's terms. Without sizes it says that Redis is away."""

    def __init__(self, sizes: LaneSizes | None) -> None:
        self._sizes = sizes

    def collect(self) -> Iterator[Metric]:
        sizes = self._sizes
        yield GaugeMetricFamily("laneway_redis_up", "Whether Redis answers.", value=sizes is not None)
        if sizes is None:
            return
        for name, text, value in (
            ("laneway_lanes", "Lanes that hold something.", sizes.lanes),
            ("laneway_lanes_inspected", "Lanes looked at for the number of jobs.", sizes.inspected),
            ("laneway_ring_lanes", "Lanes that have a job ready and a free slot.", sizes.ring),
            ("laneway_jobs_queued", "Jobs that do not run.", max(0, sizes.jobs - sizes.leases)),
            (
                "laneway_jobs_retrying",
                "Jobs among the queued that wait for their next attempt.",
                sizes.retries,
            ),
            ("laneway_jobs_running", "Jobs in workers' hands: one lease each.", sizes.leases),
            ("laneway_turns_waiting", "Turn messages that no worker has taken yet.", sizes.turns),
            ("laneway_history_backlog", "Ended jobs that MongoDB does not have yet.", sizes.backlog),
        ):
            yield GaugeMetricFamily(name, text, value=value)


def render(sizes: LaneSizes | None) -> bytes:
    """The page for Prometheus, of all processes. Reads files: not for the event loop."""
    registry = CollectorRegistry()
    if directory := os.environ.get(DIRECTORY):
        MultiProcessCollector(registry, directory)  # type: ignore[no-untyped-call]
        page = generate_latest(registry)
    else:
        page = generate_latest(REGISTRY)
    lanes = CollectorRegistry()
    lanes.register(LaneCollector(sizes))
    return page + generate_latest(lanes)

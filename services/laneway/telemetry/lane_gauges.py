"""The gauges of the lanes, under the same names whichever program serves them.

They describe the whole system, not one pod: take the maximum over the pods, not the sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class Limit(Protocol):
    """The limits of a type. 0: no such limit."""

    @property
    def type(self) -> str:
        """The type."""

    @property
    def max_running(self) -> int:
        """How many of its jobs may run at once."""


class TypeUse(Protocol):
    """How much of a type's limits is used."""

    @property
    def limit(self) -> Limit:
        """The limits."""

    @property
    def running(self) -> int:
        """Jobs that have a permit."""

    @property
    def waiting(self) -> int:
        """Jobs that wait for a permit."""


class LaneSizes(Protocol):
    """How many entries the keys of the lanes hold at one moment. `jobs` is extrapolated when only `inspected` of `lanes`
    were read."""

    @property
    def lanes(self) -> int:
        """Lanes that hold something."""

    @property
    def inspected(self) -> int:
        """Lanes that were read to count the jobs."""

    @property
    def jobs(self) -> int:
        """Jobs in all lanes, running ones included."""

    @property
    def ring(self) -> int:
        """Lanes in the ring."""

    @property
    def leases(self) -> int:
        """Leases, one for each running job."""

    @property
    def retries(self) -> int:
        """Jobs that wait for their next attempt."""

    @property
    def delayed(self) -> int:
        """Delayed jobs that have not entered their lanes."""

    @property
    def turns(self) -> int:
        """Turn messages in the list."""

    @property
    def outbox(self) -> int:
        """Jobs in the outbox."""

    @property
    def deliveries(self) -> int:
        """Jobs, running ones included, that are deliveries to webhooks."""

    @property
    def limited(self) -> Sequence[TypeUse]:
        """The types with limits."""


class LaneGauges(Collector):
    """Serves the sizes to Prometheus. Without sizes it reports that Redis does not answer, and nothing else."""

    def __init__(self, sizes: LaneSizes | None) -> None:
        self._sizes = sizes

    def collect(self) -> Iterator[Metric]:
        """Yield one gauge for each size."""
        sizes = self._sizes
        yield GaugeMetricFamily("laneway_redis_up", "Whether Redis answers.", value=sizes is not None)
        if sizes is None:
            return
        for name, text, value in (
            ("laneway_lanes", "Lanes that hold something.", sizes.lanes),
            ("laneway_lanes_inspected", "Lanes read to count the jobs.", sizes.inspected),
            ("laneway_ring_lanes", "Lanes that have a job ready and a free slot.", sizes.ring),
            ("laneway_jobs_queued", "Jobs that do not run.", max(0, sizes.jobs - sizes.leases)),
            ("laneway_jobs_retrying", "Queued jobs that wait for their next attempt.", sizes.retries),
            ("laneway_jobs_delayed", "Delayed jobs that have not entered their lanes.", sizes.delayed),
            ("laneway_jobs_running", "Jobs that a worker holds a lease on.", sizes.leases),
            (
                "laneway_webhook_deliveries_waiting",
                "Jobs, running or not, that deliver to webhooks.",
                sizes.deliveries,
            ),
            ("laneway_turns_waiting", "Turn messages that no worker has taken yet.", sizes.turns),
            ("laneway_history_backlog", "Ended jobs that MongoDB does not have yet.", sizes.outbox),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        yield from _type_gauges(sizes.limited)


def _type_gauges(types: Sequence[TypeUse]) -> Iterator[Metric]:
    running, most, waiting = (
        GaugeMetricFamily(f"laneway_type_{name}", text, labels=["type"])
        for name, text in (
            ("running", "Jobs of a type with max_running that have a permit."),
            ("max_running", "How many jobs of the type may run at once."),
            ("waiting", "Jobs of a limited type that wait for a permit. Each holds up its lane."),
        )
    )
    for use in types:
        waiting.add_metric([use.limit.type], use.waiting)
        if use.limit.max_running:
            running.add_metric([use.limit.type], use.running)
            most.add_metric([use.limit.type], use.limit.max_running)
    if types:
        yield from (running, most, waiting)

"""Records Kubernetes Events about pools, at a bounded rate.

Each pool has BURST Events for each reason, and one more every REFILL_SECONDS. What happens in between is counted, and the
next Event says how often and shows the latest message. client-go limits its Events likewise.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from lightkube.models.core_v1 import EventSource, ObjectReference
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Event

from laneway.operator.cluster import COMPONENT, Cluster
from laneway.operator.errors import ClusterError
from laneway.operator.workerpool import GROUP, KIND, MAX_MESSAGE, VERSION, WorkerPool

BURST = 3
REFILL_SECONDS = 300.0
log = structlog.get_logger()


@dataclass(slots=True)
class _Series:
    """The Events of one reason about one pool. `count`: occurrences that no Event has reported yet."""

    kind: str
    allowance: float = BURST
    refilled_at: float = field(default_factory=time.monotonic)
    count: int = 0
    first: datetime = field(default_factory=lambda: datetime.now(UTC))
    last: datetime = field(default_factory=lambda: datetime.now(UTC))
    message: str = ""

    def add(self, message: str) -> None:
        """Count an occurrence."""
        self.last = datetime.now(UTC)
        if not self.count:
            self.first = self.last
        self.count, self.message = self.count + 1, message

    def take(self) -> bool:
        """Whether an Event may be created now."""
        now = time.monotonic()
        self.allowance = min(BURST, self.allowance + (now - self.refilled_at) / REFILL_SECONDS)
        self.refilled_at = now
        if self.allowance < 1:
            return False
        self.allowance -= 1
        return True


class EventRecorder:
    """Creates Events. A failure is logged and not raised: what the Event is about has happened in any case."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._series: dict[str, dict[str, _Series]] = {}

    async def record(self, pool: WorkerPool, kind: str, reason: str, message: str) -> None:
        """Record an Event, now or with a later one. `kind`: Normal or Warning; `reason`: one word for programs."""
        self._series.setdefault(pool.name, {}).setdefault(reason, _Series(kind)).add(message)
        await self.flush(pool)

    async def flush(self, pool: WorkerPool) -> None:
        """Create the Events that are due by now."""
        for reason, series in self._series.get(pool.name, {}).items():
            if not (series.count and series.take()):
                continue
            event = _event(pool, reason, series)
            series.count = 0
            try:
                await self._cluster.create_event(event)
            except ClusterError as error:
                log.warning("event_creation_failed", pool=pool.name, reason=reason, error=str(error))

    def remove_pool(self, name: str) -> None:
        """Forget a pool that has been deleted."""
        self._series.pop(name, None)


def _event(pool: WorkerPool, reason: str, series: _Series) -> Event:
    times = f" ({series.count} times, this is the latest)" if series.count > 1 else ""
    return Event(
        metadata=ObjectMeta(name=f"{pool.name}.{time.time_ns():x}", namespace=pool.namespace),
        involvedObject=ObjectReference(
            apiVersion=f"{GROUP}/{VERSION}",
            kind=KIND,
            name=pool.name,
            namespace=pool.namespace,
            uid=pool.uid,
            resourceVersion=pool.resource_version,
        ),
        type=series.kind,
        reason=reason,
        message=series.message[: MAX_MESSAGE - len(times)] + times,
        source=EventSource(component=COMPONENT),
        count=series.count,
        firstTimestamp=series.first,
        lastTimestamp=series.last,
    )

"""Writes a pool's status when it has changed, and records an Event for each condition that has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from laneway.operator.cluster import Cluster
from laneway.operator.events import EventRecorder
from laneway.operator.workerpool import MEMORY, Condition, WorkerPool, timestamp, to_status, transitions
from laneway.scaling import Cause, ScalingState

AVERAGES_SECONDS = 60.0
"""A status in which only the scaling rule's averages have changed is written no more often than this."""


class Reporter:
    """The reports about one pool. `require_leadership` is called before each write and raises NotLeading."""

    def __init__(
        self, cluster: Cluster, events: EventRecorder, require_leadership: Callable[[], None]
    ) -> None:
        self._cluster, self._events, self._require_leadership = cluster, events, require_leadership
        self._written_at = float("-inf")
        self._scaled_at: str | None = None

    def forget(self) -> None:
        """Drop what has not been written yet: another operator leads."""
        self._scaled_at = None

    async def scaled(self, pool: WorkerPool, reason: str, message: str) -> None:
        """Record that the replicas have been changed: as an Event now, in the status with the next report."""
        self._scaled_at = timestamp(datetime.now(UTC))
        await self._events.record(pool, "Normal", reason, message)

    async def report(
        self,
        pool: WorkerPool,
        numbers: Mapping[str, object],
        conditions: Sequence[Condition],
        state: ScalingState,
    ) -> None:
        """Write the status if it differs from the pool's. Raises NotLeading and ClusterErrors."""
        now = datetime.now(UTC)
        status = dict(numbers)
        status["observedGeneration"] = pool.generation
        status["conditions"] = to_status(conditions, pool.conditions, pool.generation, now)
        if self._scaled_at is not None:
            status["lastScaleTime"] = self._scaled_at
        if any(pool.status.get(key) != value for key, value in status.items()) or self._is_due(pool, state):
            self._require_leadership()
            await self._cluster.set_status(pool, status | {MEMORY: state.to_status()})
            self._written_at, self._scaled_at = time.monotonic(), None
        for condition in transitions(conditions, pool.conditions):
            kind = "Normal" if condition.holds or condition.reason == Cause.PAUSED.value else "Warning"
            await self._events.record(pool, kind, f"{condition.type}{condition.status}", condition.message)

    def _is_due(self, pool: WorkerPool, state: ScalingState) -> bool:
        """Whether the scaling rule's state must be written: its steps at once, its averages now and then."""
        written = pool.scaling_state
        if written.steps != state.steps:
            return True
        return written != state and time.monotonic() - self._written_at > AVERAGES_SECONDS

"""Writes a pool's status, and tells of what happened in Kubernetes events."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import structlog

from laneway.operator.cluster import Cluster, ClusterError
from laneway.operator.workerpool import MEMORY, Condition, WorkerPool, as_status, transitions
from laneway.scaling import Cause, ScalingState

MEMORY_SECONDS = 60.0
"""A status in which nothing but the rule's averages has changed is written this seldom."""
log = structlog.get_logger()


class Reporter:
    """Of one pool. `check` is called before each write, and raises where this operator must not write."""

    def __init__(self, cluster: Cluster, check: Callable[[], None]) -> None:
        self._cluster, self._check = cluster, check
        self._written_at = float("-inf")
        self.scaled_at: str | None = None
        """When the replicas were last changed, kept until a status with it has been written."""

    def forget(self) -> None:
        self.scaled_at = None

    async def report(
        self,
        pool: WorkerPool,
        numbers: Mapping[str, object],
        conditions: Sequence[Condition],
        memory: ScalingState,
    ) -> None:
        """Write what differs from the pool's status, if anything does."""
        status = dict(numbers)
        status["observedGeneration"] = pool.generation
        status["conditions"] = as_status(conditions, pool.conditions, pool.generation, datetime.now(UTC))
        if self.scaled_at is not None:
            status["lastScaleTime"] = self.scaled_at
        remembered = memory.to_status()
        told = {key: pool.status.get(key) for key in status}
        if told != status or self._is_due(pool.status.get(MEMORY), remembered):
            self._check()
            await self._cluster.set_status(pool, status | {MEMORY: remembered})
            self._written_at, self.scaled_at = time.monotonic(), None
        for condition in transitions(conditions, pool.conditions):
            kind = "Normal" if condition.holds or condition.reason == Cause.PAUSED.value else "Warning"
            await self.tell(pool, kind, f"{condition.type}{condition.status}", condition.message)

    async def tell(self, pool: WorkerPool, kind: str, reason: str, message: str) -> None:
        """`kind`: Normal or Warning. What has happened has happened, whether it can be told or not."""
        try:
            await self._cluster.tell(pool, kind, reason, message)
        except ClusterError as error:
            log.warning("event_not_told", pool=pool.name, reason=reason, error=str(error))

    def _is_due(self, told: object, memory: Mapping[str, object]) -> bool:
        old = told if isinstance(told, Mapping) else {}
        if (old.get("steps") or []) != memory["steps"]:
            return True
        return old != memory and time.monotonic() - self._written_at > MEMORY_SECONDS

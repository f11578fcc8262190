"""One look at one pool: observe, ask the rule, act where something differs, report.

What is observed is read anew each time, from Redis and from the API server; nothing is remembered of earlier looks but
the scaling rule's memory, which is in the status as well, so that a restart or another operator goes on where this one
was. An outage of Redis leaves the replicas as they are and says so in a condition; one of the API server ends the look
with a ClusterError, and nothing was half done that the next look would not do again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from laneway.lanes.errors import LaneError
from laneway.lanes.store import AsyncLanes
from laneway.operator.cluster import Cluster, NotFound
from laneway.operator.janitor_host import Housekeeping, Rules
from laneway.operator.metrics import Exposition, PoolNumbers
from laneway.operator.observe import Enough, Reading, read
from laneway.operator.replicas import Replicas, Sight
from laneway.operator.report import Reporter
from laneway.operator.service_times import ServiceTimes
from laneway.operator.workerpool import (
    READY,
    SCALING_ACTIVE,
    STORE_REACHABLE,
    Condition,
    WorkerPool,
    timestamp,
)
from laneway.scaling import (
    Cause,
    Decision,
    InvalidObservation,
    InvalidPool,
    Load,
    Observation,
    PoolSpec,
    ScalingState,
    decide,
)

READ_SECONDS = 10.0
"""Limit for reading all lanes."""
NOT_SCALING = frozenset({Cause.PAUSED, Cause.LOAD_UNKNOWN})
log = structlog.get_logger()


class PoolGone(Exception):
    """There is no such pool (any more)."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a look needs. `shutdown_grace_seconds`: what a worker that stops grants its jobs."""

    cluster: Cluster
    replicas: Replicas
    lanes: AsyncLanes
    housekeeping: Housekeeping
    service_times: ServiceTimes
    exposition: Exposition
    shutdown_grace_seconds: float


@dataclass(frozen=True, slots=True)
class Look:
    """What was found in one look. `reading` None: Redis could not be read, `store` says why."""

    pool: WorkerPool
    spec: PoolSpec
    memory: ScalingState
    measured_seconds: float | None
    reading: Reading | None
    store: Condition

    @property
    def service_seconds(self) -> float | None:
        return self.memory.service_seconds if self.measured_seconds is None else self.measured_seconds

    @property
    def ages(self) -> Mapping[str, Sequence[float]]:
        return self.reading.ages if self.reading else {}

    def load(self, sight: Sight) -> Load | None:
        if self.reading is None:
            return None
        try:
            return self.reading.load(
                sight.leaving_hosts, self.spec.drain_target_seconds, self.measured_seconds
            )
        except InvalidObservation:
            log.exception("reading_contradicts_itself", pool=self.pool.name)
            return None


class Reconciler:
    """The looks at one pool."""

    def __init__(self, name: str, means: Dependencies) -> None:
        self.name = name
        self._means = means
        self._reporter = Reporter(means.cluster, means.replicas.check)
        self._memory: ScalingState | None = None
        self._left_at: int | None = None
        """The replicas after the last look."""

    def forget(self) -> None:
        """Another operator acts now: what the rule is to remember comes from the status from here on."""
        self._memory = self._left_at = None
        self._reporter.forget()

    async def run(self) -> tuple[str, float]:
        """Look once. How it went, in a word, and the pool's poll interval in seconds. Raises PoolGone, NotActing and
        ClusterErrors."""
        try:
            pool = await self._means.cluster.pool(self.name)
        except NotFound as error:
            raise PoolGone(str(error)) from error
        rules = Rules(pool.disconnect_grace_seconds, pool.disconnect_policy)
        self._means.housekeeping.pool_seen(pool.name, pool.created, rules)
        memory = pool.memory if self._memory is None else self._memory
        try:
            spec = pool.scaling()
        except InvalidPool as error:
            await self._reporter.report(pool, {}, _unable("InvalidSpec", str(error)), memory)
            return "invalid_spec", pool.poll_seconds
        look = await self._look(pool, spec, memory)
        try:
            target = await self._means.cluster.target(pool.target)
        except NotFound:
            conditions = _unable("TargetMissing", f"there is no Deployment {pool.target} in {pool.namespace}")
            await self._reporter.report(pool, _numbers(look.reading), [*conditions, look.store], memory)
            return "target_missing", pool.poll_seconds
        pods = await self._means.cluster.pods(target)
        grace = min(target.grace_seconds, self._means.shutdown_grace_seconds)
        await self._scale(look, Sight(target, pods, grace))
        return "good" if look.reading else "store_unavailable", pool.poll_seconds

    async def _look(self, pool: WorkerPool, spec: PoolSpec, memory: ScalingState) -> Look:
        means, measured = self._means, self._means.service_times.mean_seconds
        enough = Enough.of(spec, memory.service_seconds if measured is None else measured)
        reading, store = None, Condition(STORE_REACHABLE, True, "Answered", "Redis answered")
        try:
            async with asyncio.timeout(READ_SECONDS):
                reading = await read(means.lanes, enough, horizon_seconds=spec.drain_target_seconds)
        except (LaneError, TimeoutError) as error:
            why = str(error) or "no answer in time"
            log.warning("redis_unavailable", pool=self.name, error=why)
            store = Condition(STORE_REACHABLE, False, "Unreachable", f"Redis could not be read: {why}")
        means.exposition.lanes.read(reading.sizes if reading else None)
        return Look(pool, spec, memory, measured, reading, store)

    async def _scale(self, look: Look, sight: Sight) -> None:
        pool, current = look.pool, sight.target.replicas
        await self._notice_others(pool, current)
        load, pinned = look.load(sight), sight.pinned(look.ages, look.service_seconds)
        observation = Observation(current, sight.ready, load, pinned)
        decision = decide(look.spec, observation, look.memory, time.time())
        if decision.replicas != current:
            await self._apply(look, sight, decision)
        self._memory, self._left_at = decision.state, decision.replicas
        self._means.exposition.pool(
            pool.name,
            PoolNumbers(
                decision.replicas,
                current,
                sight.ready,
                pinned,
                load,
                look.reading.users_waiting if look.reading else None,
            ),
        )
        numbers = _numbers(look.reading) | {
            "desiredReplicas": decision.replicas,
            "currentReplicas": current,
            "readyReplicas": sight.ready,
        }
        scaling = decision.cause not in NOT_SCALING
        conditions = [
            Condition(READY, True, "Reconciled", f"{sight.ready} of {current} replicas are ready"),
            Condition(SCALING_ACTIVE, scaling, decision.cause.value, decision.reason),
            look.store,
        ]
        await self._reporter.report(pool, numbers, conditions, decision.state)

    async def _apply(self, look: Look, sight: Sight, decision: Decision) -> None:
        pool, current, wanted = look.pool, sight.target.replicas, decision.replicas
        direction = "up" if wanted > current else "down"
        if direction == "down" and wanted > 0:
            await self._means.replicas.price(sight, look.spec, look.ages, look.service_seconds)
        await self._means.replicas.write(sight.target, wanted)
        self._reporter.scaled_at = timestamp(datetime.now(UTC))
        self._means.exposition.scalings.labels(pool.name, direction).inc()
        log.info(
            "scaled",
            pool=pool.name,
            target=pool.target,
            before=current,
            after=wanted,
            reason=decision.reason,
        )
        message = f"{pool.target}: {current} -> {wanted} replicas; {decision.reason}"
        await self._reporter.tell(pool, "Normal", f"Scaled{direction.capitalize()}", message)

    async def _notice_others(self, pool: WorkerPool, current: int) -> None:
        """An HPA, or a person, on the same Deployment: nothing good comes of two who scale it."""
        if self._left_at not in {None, current} and not pool.paused:
            message = f"{pool.target} was set from {self._left_at} to {current} replicas by somebody else"
            await self._reporter.tell(
                pool, "Warning", "ReplicasChanged", f"{message}; to scale by hand set spec.paused"
            )


def _numbers(reading: Reading | None) -> dict[str, object]:
    """Without a reading the status keeps what was seen last."""
    if reading is None:
        return {}
    return {
        "queued": reading.queued,
        "running": reading.sizes.leases,
        "usersWaiting": reading.users_waiting,
        "usableParallelism": reading.usable,
    }


def _unable(reason: str, message: str) -> list[Condition]:
    return [Condition(READY, False, reason, message), Condition(SCALING_ACTIVE, False, reason, message)]

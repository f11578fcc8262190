"""One reconcile pass over one pool: observe, ask the scaling rule, write what differs, report.

Every pass observes anew, from Redis and from the API server. Between passes only the scaling rule's state is kept, and it is
in the pool's status as well, so that a restart or another operator continues where this one stopped. While Redis is away
the replicas stay as they are and a condition says so. While the API server is away the pass ends with a ClusterError;
nothing is left half done that the next pass would not complete.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from laneway.lanes.errors import LaneError
from laneway.lanes.store import AsyncLanes
from laneway.operator.cluster import Cluster
from laneway.operator.errors import NotFound
from laneway.operator.events import EventRecorder
from laneway.operator.janitor_host import DisconnectRules, JanitorHost
from laneway.operator.metrics import OperatorMetrics, PoolNumbers
from laneway.operator.observe import LaneSurvey, SurveyLimit, survey_lanes
from laneway.operator.replicas import Replicas
from laneway.operator.report import Reporter
from laneway.operator.service_times import ServiceTimes
from laneway.operator.workerpool import READY, SCALING_ACTIVE, STORE_REACHABLE, Condition, WorkerPool
from laneway.operator.workload import Workload
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

SURVEY_SECONDS = 10.0
"""Limit for surveying all lanes."""
_NOT_SCALING = frozenset({Cause.PAUSED, Cause.LOAD_UNKNOWN})
log = structlog.get_logger()


class PoolDeleted(Exception):
    """The WorkerPool does not exist any more."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a reconcile pass works with. `shutdown_grace_seconds`: how long a stopping worker lets its jobs run on."""

    cluster: Cluster
    replicas: Replicas
    events: EventRecorder
    lanes: AsyncLanes
    janitor: JanitorHost
    service_times: ServiceTimes
    metrics: OperatorMetrics
    shutdown_grace_seconds: float


@dataclass(frozen=True, slots=True)
class Demand:
    """What a pool wants and what the lanes hold. `survey` None: Redis could not be read, `store` says why."""

    pool: WorkerPool
    spec: PoolSpec
    state: ScalingState
    measured_seconds: float | None
    survey: LaneSurvey | None
    store: Condition

    @property
    def service_seconds(self) -> float | None:
        """Mean run time: as measured now, else as last remembered."""
        return self.state.service_seconds if self.measured_seconds is None else self.measured_seconds

    @property
    def job_ages(self) -> Mapping[str, Sequence[float]]:
        """By host of the worker, how long its jobs have run."""
        return self.survey.job_ages if self.survey else {}

    def load(self, workload: Workload) -> Load | None:
        """The load for the scaling rule; None if it is unknown or contradicts itself."""
        if self.survey is None:
            return None
        try:
            return self.survey.load(
                workload.leaving_hosts, self.spec.drain_target_seconds, self.measured_seconds
            )
        except InvalidObservation:
            log.exception("survey_rejected", pool=self.pool.name)
            return None


class Reconciler:
    """The reconcile passes over one pool."""

    def __init__(self, name: str, dependencies: Dependencies) -> None:
        self.name = name
        self._use = dependencies
        self._reporter = Reporter(
            dependencies.cluster, dependencies.events, dependencies.replicas.require_leadership
        )
        self._state: ScalingState | None = None
        self._replicas: int | None = None
        """As the last pass left them."""

    def forget(self) -> None:
        """Drop what earlier passes left: another operator leads, so the status knows better from here on."""
        self._state = self._replicas = None
        self._reporter.forget()

    async def run(self) -> tuple[str, float]:
        """Make one pass: its outcome as a word, and the seconds until the next one.

        Raises PoolDeleted, NotLeading and ClusterErrors.
        """
        try:
            pool = await self._use.cluster.pool(self.name)
        except NotFound as error:
            raise PoolDeleted(str(error)) from error
        rules = DisconnectRules(pool.disconnect_grace_seconds, pool.disconnect_policy)
        self._use.janitor.set_pool(pool.name, pool.created, rules)
        state = pool.scaling_state if self._state is None else self._state
        try:
            spec = pool.scaling_spec()
        except InvalidPool as error:
            await self._reporter.report(pool, {}, _not_ready("InvalidSpec", str(error)), state)
            return "invalid_spec", pool.poll_seconds
        demand = await self._observe_demand(pool, spec, state)
        workload = await self._observe_workload(demand)
        if workload is None:
            return "target_missing", pool.poll_seconds
        await self._scale(demand, workload)
        return "success" if demand.survey else "store_unavailable", pool.poll_seconds

    async def _observe_demand(self, pool: WorkerPool, spec: PoolSpec, state: ScalingState) -> Demand:
        measured = self._use.service_times.mean_seconds
        limit = SurveyLimit.of(spec, state.service_seconds if measured is None else measured)
        survey, store = None, Condition(STORE_REACHABLE, True, "Answered", "Redis answered")
        try:
            async with asyncio.timeout(SURVEY_SECONDS):
                survey = await survey_lanes(self._use.lanes, limit, horizon_seconds=spec.drain_target_seconds)
        except (LaneError, TimeoutError) as error:
            why = str(error) or f"no answer within {SURVEY_SECONDS:g} s"
            log.warning("lane_survey_failed", pool=self.name, error=why)
            store = Condition(STORE_REACHABLE, False, "Unreachable", f"Redis could not be read: {why}")
        self._use.metrics.lanes.set(survey.sizes if survey else None)
        return Demand(pool, spec, state, measured, survey, store)

    async def _observe_workload(self, demand: Demand) -> Workload | None:
        """The Deployment and its pods; None, reported in the status, if there is no such Deployment."""
        pool, cluster = demand.pool, self._use.cluster
        try:
            target = await cluster.target(pool.target)
        except NotFound:
            message = f"there is no Deployment {pool.target} in namespace {pool.namespace}"
            conditions = [*_not_ready("TargetMissing", message), demand.store]
            await self._reporter.report(pool, _lane_numbers(demand.survey), conditions, demand.state)
            return None
        pods = await cluster.pods(target)
        return Workload(target, pods, min(target.grace_seconds, self._use.shutdown_grace_seconds))

    async def _scale(self, demand: Demand, workload: Workload) -> None:
        pool, current = demand.pool, workload.target.replicas
        await self._warn_of_other_scaler(pool, current)
        load = demand.load(workload)
        pinned = workload.pinned(demand.job_ages, demand.service_seconds)
        observation = Observation(current, workload.ready, load, pinned)
        decision = decide(demand.spec, observation, demand.state, time.time())
        if decision.replicas != current:
            await self._apply(demand, workload, decision)
        self._state, self._replicas = decision.state, decision.replicas
        users_waiting = demand.survey.users_waiting if demand.survey else None
        self._use.metrics.set_pool(
            pool.name,
            PoolNumbers(decision.replicas, current, workload.ready, pinned, load, users_waiting),
        )
        await self._report(demand, workload, decision)

    async def _apply(self, demand: Demand, workload: Workload, decision: Decision) -> None:
        pool, before, after = demand.pool, workload.target.replicas, decision.replicas
        direction = "up" if after > before else "down"
        if direction == "down" and after > 0:
            await self._use.replicas.set_deletion_costs(
                workload, demand.spec, demand.job_ages, demand.service_seconds
            )
        await self._use.replicas.scale(workload.target, after)
        self._use.metrics.scalings.labels(pool.name, direction).inc()
        log.info(
            "pool_scaled",
            pool=pool.name,
            target=pool.target,
            before=before,
            after=after,
            reason=decision.reason,
        )
        message = f"scaled {pool.target} from {before} to {decision.reason}"
        await self._reporter.scaled(pool, f"Scaled{direction.capitalize()}", message)

    async def _report(self, demand: Demand, workload: Workload, decision: Decision) -> None:
        current = workload.target.replicas
        numbers = _lane_numbers(demand.survey) | {
            "desiredReplicas": decision.replicas,
            "currentReplicas": current,
            "readyReplicas": workload.ready,
        }
        scaling = decision.cause not in _NOT_SCALING
        conditions = [
            Condition(READY, True, "Reconciled", f"{workload.ready} of {current} replicas are ready"),
            Condition(SCALING_ACTIVE, scaling, decision.cause.value, decision.reason),
            demand.store,
        ]
        await self._reporter.report(demand.pool, numbers, conditions, decision.state)

    async def _warn_of_other_scaler(self, pool: WorkerPool, current: int) -> None:
        """Record an Event if an autoscaler or a person has changed the replicas: two scalers undo each other's work."""
        if self._replicas not in {None, current} and not pool.paused:
            message = (
                f"{pool.target} was set from {self._replicas} to {current} replicas by somebody else; "
                "remove the other autoscaler, or set spec.paused to scale by hand"
            )
            await self._use.events.record(pool, "Warning", "ReplicasChanged", message)


def _lane_numbers(survey: LaneSurvey | None) -> dict[str, object]:
    """Status fields about the lanes; none without a survey, so that the status keeps the last ones."""
    if survey is None:
        return {}
    return {
        "queued": survey.queued,
        "running": survey.sizes.leases,
        "usersWaiting": survey.users_waiting,
        "usableParallelism": survey.usable,
    }


def _not_ready(reason: str, message: str) -> list[Condition]:
    return [Condition(READY, False, reason, message), Condition(SCALING_ACTIVE, False, reason, message)]

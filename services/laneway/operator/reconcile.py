"""One reconcile pass over one pool: observe, ask the scaling rule, write what differs, report.

Every pass observes again, from Redis and from the API server. Between passes it remembers only the scaling rule's state, which
is in the pool's status as well, so that a restart or another operator continues where this one stopped. While Redis is away
the replicas stay as they are and a condition says so. While the API server is away the pass ends with a ClusterError;
nothing is left half done that the next pass would not complete.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog

from laneway.lanes.store import AsyncLanes
from laneway.operator import pool_report
from laneway.operator.cluster import Cluster
from laneway.operator.contention import Contention
from laneway.operator.demand import Demand, observe_demand
from laneway.operator.errors import NotFound
from laneway.operator.events import EventRecorder
from laneway.operator.janitor_host import DisconnectRules, JanitorHost
from laneway.operator.metrics import OperatorMetrics, PoolNumbers
from laneway.operator.observe import LaneSurvey
from laneway.operator.replicas import Replicas
from laneway.operator.report import Reporter
from laneway.operator.service_times import ServiceTimes
from laneway.operator.workerpool import READY, SCALING_ACTIVE, Condition, WorkerPool
from laneway.operator.workload import Workload
from laneway.scaling import (
    Cause,
    Decision,
    InvalidPool,
    Load,
    Observation,
    ScalingState,
    decide,
)

_WAY_OUT = "remove the other autoscaler, or set spec.paused to scale by hand"
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
        self._contention = Contention()
        self._reports = pool_report.PoolReports(dependencies.lanes)

    def forget(self) -> None:
        """Drop what earlier passes left: another operator leads, so the status knows better from here on."""
        self._state = self._replicas = None
        self._contention = Contention()
        self._reporter.forget()
        self._reports.forget()

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
        await self._use.events.flush(pool)
        state = pool.scaling_state if self._state is None else self._state
        try:
            spec = pool.scaling_spec()
        except InvalidPool as error:
            await self._reporter.report(pool, {}, _not_ready("InvalidSpec", str(error)), state)
            await self._reports.publish(pool, pool_report.unscalable("InvalidSpec", str(error)))
            return "invalid_spec", pool.poll_seconds
        demand = await observe_demand(
            self._use.lanes, pool, spec, state, self._use.service_times.mean_seconds
        )
        self._use.metrics.lanes.set(demand.survey.sizes if demand.survey else None)
        workload = await self._observe_workload(demand)
        if workload is None:
            return "target_missing", pool.poll_seconds
        await self._scale(demand, workload)
        return "success" if demand.survey else "store_unavailable", pool.poll_seconds

    async def _observe_workload(self, demand: Demand) -> Workload | None:
        """The Deployment and its pods; None, reported in the status, if there is no such Deployment."""
        pool, cluster = demand.pool, self._use.cluster
        try:
            target = await cluster.target(pool.target)
        except NotFound:
            message = f"there is no Deployment {pool.target} in namespace {pool.namespace}"
            conditions = [*_not_ready("TargetMissing", message), demand.store]
            await self._reporter.report(pool, _lane_numbers(demand.survey), conditions, demand.state)
            await self._reports.publish(pool, pool_report.unscalable("TargetMissing", message))
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
        hold_seconds = 0.0
        if decision.replicas != current:
            hold_seconds = self._contention.hold_seconds
            if not hold_seconds:
                await self._apply(demand, workload, decision)
        self._state, self._replicas = decision.state, current if hold_seconds else decision.replicas
        self._publish(demand, workload, decision, load, pinned)
        active = _scaling_active(demand.pool, decision, hold_seconds)
        if demand.survey is not None:  # else Redis is away
            report = pool_report.of_decision(demand, workload, decision, load, pinned, active)
            await self._reports.publish(demand.pool, report)
        await self._report(demand, workload, decision, active)

    def _publish(
        self, demand: Demand, workload: Workload, decision: Decision, load: Load | None, pinned: int
    ) -> None:
        survey, capacity = demand.survey, workload.ready * demand.spec.slots_per_replica
        self._use.metrics.set_pool(
            demand.pool.name,
            PoolNumbers(
                desired=decision.replicas,
                current=workload.target.replicas,
                ready=workload.ready,
                pinned=pinned,
                load=load,
                users_waiting=survey.users_waiting if survey else None,
                unserved_seconds=survey.unserved_seconds(capacity) if survey else None,
            ),
        )

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

    async def _report(
        self, demand: Demand, workload: Workload, decision: Decision, active: Condition
    ) -> None:
        current = workload.target.replicas
        numbers = _lane_numbers(demand.survey) | {
            "desiredReplicas": decision.replicas,
            "currentReplicas": current,
            "readyReplicas": workload.ready,
        }
        conditions = [
            Condition(READY, True, "Reconciled", f"{workload.ready} of {current} replicas are ready"),
            active,
            demand.store,
        ]
        await self._reporter.report(demand.pool, numbers, conditions, decision.state)

    async def _warn_of_other_scaler(self, pool: WorkerPool, current: int) -> None:
        """Record an Event if an autoscaler or a person has changed the replicas: two scalers undo each other's work."""
        if self._replicas not in {None, current} and not pool.paused:
            self._contention.record_change()
            message = f"{pool.target} was set from {self._replicas} to {current} replicas by somebody else"
            await self._use.events.record(pool, "Warning", "ReplicasChanged", f"{message}; {_WAY_OUT}")


def _scaling_active(pool: WorkerPool, decision: Decision, hold_seconds: float) -> Condition:
    if hold_seconds:
        message = f"another scaler keeps changing {pool.target}: {_WAY_OUT}"
        return Condition(SCALING_ACTIVE, False, "Contended", message)
    scaling = decision.cause not in _NOT_SCALING
    return Condition(SCALING_ACTIVE, scaling, decision.cause.value, decision.reason)


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

"""The demand on a pool: its spec, what the lanes hold, and how long jobs take."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from laneway.lanes.errors import LaneError
from laneway.lanes.store import AsyncLanes
from laneway.operator.observe import LaneSurvey, SurveyLimit, survey_lanes
from laneway.operator.workerpool import STORE_REACHABLE, Condition, WorkerPool
from laneway.operator.workload import Workload
from laneway.scaling import InvalidObservation, Load, PoolSpec, ScalingState

SURVEY_SECONDS = 10.0
"""Limit for surveying all lanes."""
log = structlog.get_logger()


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


async def observe_demand(
    lanes: AsyncLanes, pool: WorkerPool, spec: PoolSpec, state: ScalingState, measured_seconds: float | None
) -> Demand:
    """Survey the lanes for a pool. A failure is logged and becomes the condition `store`; nothing is raised."""
    limit = SurveyLimit.of(spec, state.service_seconds if measured_seconds is None else measured_seconds)
    survey, store = None, Condition(STORE_REACHABLE, True, "Answered", "Redis answered")
    try:
        async with asyncio.timeout(SURVEY_SECONDS):
            survey = await survey_lanes(lanes, limit, horizon_seconds=spec.drain_target_seconds)
    except (LaneError, TimeoutError) as error:
        why = str(error) or f"no answer within {SURVEY_SECONDS:g} s"
        log.warning("lane_survey_failed", pool=pool.name, error=why)
        store = Condition(STORE_REACHABLE, False, "Unreachable", f"Redis could not be read: {why}")
    return Demand(pool, spec, state, measured_seconds, survey, store)

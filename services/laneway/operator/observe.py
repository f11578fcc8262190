"""Surveys the lanes in Redis without holding Redis up, and turns the result into the load that the scaling rule takes.

The survey stops as soon as no further lane could change the decision. The rest is extrapolated; `sizes.inspected` says how
many lanes were read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from redis.exceptions import RedisError

from laneway.lanes import survey as lane_survey
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.model import ID_LENGTH, JobState
from laneway.lanes.store import AsyncLanes
from laneway.lanes.survey import LaneSizes, LaneTotals
from laneway.scaling import Load, PoolSpec

MAX_LEASES = 5_000
"""Jobs in flight that are read one by one, for their host and their age."""
_PIPELINE_LENGTH = 500


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that has started. `host`: host name of its worker."""

    host: str
    age_seconds: float


@dataclass(frozen=True, slots=True)
class LaneSurvey:
    """All lanes at one moment. `jobs` are the started ones among the first `leases_read` leases."""

    sizes: LaneSizes
    usable: int
    queued: int
    users_waiting: int
    ring_wait_seconds: float
    jobs: tuple[RunningJob, ...]
    leases_read: int

    @property
    def job_ages(self) -> Mapping[str, Sequence[float]]:
        """By host of the worker, how long its jobs have run."""
        ages: dict[str, list[float]] = {}
        for job in self.jobs:
            ages.setdefault(job.host, []).append(job.age_seconds)
        return ages

    def unserved_seconds(self, capacity: int) -> float:
        """How long lanes have waited in the ring while workers had free slots and started no job; 0 if they are served.

        `capacity`: jobs that the ready workers can run at once. It separates workers that serve nobody from workers
        that are full. The age of the youngest running job says when the ring was last served.
        """
        if capacity and self.sizes.leases >= capacity:
            return 0.0
        youngest = min((job.age_seconds for job in self.jobs), default=self.ring_wait_seconds)
        return min(self.ring_wait_seconds, youngest)

    def load(
        self, leaving_hosts: Collection[str], drain_target_seconds: float, service_seconds: float | None
    ) -> Load:
        """The load for the scaling rule. `leaving_hosts`: of the pods that are Terminating. Raises InvalidObservation."""
        running = max(self.sizes.leases, self.leases_read)
        scale = running / self.leases_read if self.leases_read else 0.0
        leaving = sum(job.host in leaving_hosts for job in self.jobs)
        held = sum(job.age_seconds > drain_target_seconds for job in self.jobs)
        return Load(
            usable=self.usable,
            queued=self.queued,
            running=running,
            leaving=min(running, round(leaving * scale)),
            held=min(running, round(held * scale)),
            service_seconds=service_seconds,
            oldest_wait_seconds=self.ring_wait_seconds,
        )


@dataclass(frozen=True, slots=True)
class SurveyLimit:
    """Once this much has been found the decision is the maximum of replicas, whatever the other lanes hold."""

    usable: int
    jobs: int

    @classmethod
    def of(cls, spec: PoolSpec, service_seconds: float | None) -> SurveyLimit:
        """What the largest number of replicas can use, and what it needs to be worth it."""
        slots = spec.max_replicas * spec.slots_per_replica
        jobs = ceil(slots * spec.drain_target_seconds / service_seconds) if service_seconds else 0
        return cls(slots, jobs)


async def survey_lanes(lanes: AsyncLanes, limit: SurveyLimit, *, horizon_seconds: float) -> LaneSurvey:
    """Survey the lanes. A retry that is due later than in `horizon_seconds` is no work yet. Raises StoreUnavailable."""

    def is_enough(totals: LaneTotals, sizes: LaneSizes) -> bool:
        return totals.usable >= limit.usable + sizes.leases and totals.startable >= limit.jobs + sizes.leases

    survey = await lane_survey.survey(lanes, is_enough)
    horizon_ms = survey.now_us // 1000 + round(horizon_seconds * 1000)
    try:
        not_due, leases_read, jobs = await _read_leases(lanes, survey.now_us, horizon_ms)
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(str(error) or type(error).__name__) from error
    totals = survey.totals
    running = max(survey.sizes.leases, leases_read)
    return LaneSurvey(
        sizes=survey.sizes,
        # A job that waits for its retry holds a slot and cannot use it. (Paused lanes count no usable slots anyway.)
        usable=max(0, totals.usable - max(0, not_due - totals.taken_in_paused)),
        # `startable` leaves paused lanes out, so their running jobs must not be subtracted from it.
        queued=max(0, totals.startable - max(0, running - totals.taken_in_paused)),
        users_waiting=totals.users_waiting,
        ring_wait_seconds=survey.ring_wait_seconds,
        jobs=jobs,
        leases_read=leases_read,
    )


async def _read_leases(
    lanes: AsyncLanes, now_us: int, horizon_ms: int
) -> tuple[int, int, tuple[RunningJob, ...]]:
    """Retries that are due after the horizon, number of leases read, and the started jobs among them."""
    keys = lanes.keys
    async with lanes.client.pipeline(transaction=False) as pipeline:
        pipeline.zcount(keys.retries, f"({horizon_ms}", "+inf")
        pipeline.zrange(keys.leases, 0, MAX_LEASES - 1)
        not_due, members = await pipeline.execute()
    jobs: list[RunningJob] = []
    for first in range(0, len(members), _PIPELINE_LENGTH):
        async with lanes.client.pipeline(transaction=False) as pipeline:
            for member in members[first : first + _PIPELINE_LENGTH]:
                pipeline.hmget(keys.job(member[-ID_LENGTH:].decode()), "state", "worker", "started_us")
            found = await pipeline.execute()
        jobs += [
            _running_job(worker, started_us, now_us)
            for state, worker, started_us in found
            if state == JobState.RUNNING.encode() and worker and started_us
        ]
    return not_due, len(members), tuple(jobs)


def _running_job(worker: bytes, started_us: bytes, now_us: int) -> RunningJob:
    host = worker.decode("utf-8", "replace").rpartition(":")[0]
    return RunningJob(host, max(0.0, (now_us - int(started_us)) / 1_000_000))

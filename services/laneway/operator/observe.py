"""What the lanes hold, read from Redis without holding it up, and what of that the scaling rule wants to know.

Lanes are looked at PAGE at a time: at some 4 us a lane a script takes well under a millisecond, and others are served
in between. Reading stops early as soon as nothing that is left could change the decision, and in any case after
MAX_LANES; what was not looked at is taken to be like what was, which shows in `sizes.inspected`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from redis.exceptions import RedisError

from laneway.lanes.commands import InspectLanes
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.model import ID_LENGTH, JobState, LaneLine, time_of
from laneway.lanes.store import AsyncLanes
from laneway.lanes.survey import LaneSizes
from laneway.scaling import Load, PoolSpec

PAGE = 100
MAX_LANES = 10_000
MAX_LEASES = 5_000
"""Jobs in flight that are looked at one by one, for how long they have run and where."""
_TOGETHER = 500
_EPOCH_SECONDS = time_of(0).timestamp()


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that has started. `host`: of its worker."""

    host: str
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at all lanes. `jobs` are those that have started, of at most MAX_LEASES looked at."""

    sizes: LaneSizes
    usable: int
    queued: int
    users_waiting: int
    ring_wait_seconds: float
    jobs: tuple[RunningJob, ...]
    leases_seen: int

    @property
    def ages(self) -> Mapping[str, Sequence[float]]:
        """For each worker's host, how long its jobs have run."""
        ages: dict[str, list[float]] = {}
        for job in self.jobs:
            ages.setdefault(job.host, []).append(job.age_seconds)
        return ages

    def load(
        self, leaving_hosts: Collection[str], drain_target_seconds: float, service_seconds: float | None
    ) -> Load:
        """As the rule wants it. `leaving_hosts`: of the pods that are Terminating."""
        running = max(self.sizes.leases, self.leases_seen)
        share = running / self.leases_seen if self.leases_seen else 0.0
        leaving = sum(job.host in leaving_hosts for job in self.jobs)
        held = sum(job.age_seconds > drain_target_seconds for job in self.jobs)
        return Load(
            usable=self.usable,
            queued=self.queued,
            running=running,
            leaving=min(running, round(leaving * share)),
            held=min(running, round(held * share)),
            service_seconds=service_seconds,
            oldest_wait_seconds=self.ring_wait_seconds,
        )


@dataclass(frozen=True, slots=True)
class Enough:
    """With this many the decision is the most replicas, whatever the lanes that were not looked at hold."""

    usable: int
    jobs: int

    @classmethod
    def of(cls, spec: PoolSpec, service_seconds: float | None) -> Enough:
        most = spec.max_replicas * spec.slots_per_replica
        jobs = ceil(most * spec.drain_target_seconds / service_seconds) if service_seconds else 0
        return cls(most, jobs)


async def read(lanes: AsyncLanes, enough: Enough, *, horizon_seconds: float) -> Reading:
    """`horizon_seconds`: a retry that is due later than that is no work for now. Raises StoreUnavailable."""
    try:
        return await _read(lanes, enough, horizon_seconds)
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(str(error) or type(error).__name__) from error


async def _read(lanes: AsyncLanes, enough: Enough, horizon_seconds: float) -> Reading:
    keys = lanes.keys
    async with lanes.client.pipeline(transaction=False) as pipeline:
        pipeline.time()
        for key in (keys.lanes, keys.ring, keys.leases, keys.retries):
            pipeline.zcard(key)
        pipeline.llen(keys.turns)
        pipeline.llen(keys.outbox)
        pipeline.zrange(keys.ring, 0, 0, withscores=True)
        clock, count, ring, leases, retries, turns, backlog, head = await pipeline.execute()
    now_us = round((clock[0] - _EPOCH_SECONDS) * 1_000_000) + clock[1]
    horizon_ms = now_us // 1000 + round(horizon_seconds * 1000)
    not_yet, leases_seen, jobs = await _in_flight(lanes, now_us, horizon_ms)
    tally = await _walk(lanes, Enough(enough.usable + leases, enough.jobs + leases))
    if not tally.complete:
        tally.extrapolate(count)
    running = max(leases, leases_seen)
    return Reading(
        sizes=LaneSizes(count, ring, leases, retries, turns, backlog, tally.jobs, tally.inspected),
        # A job that waits for its retry holds a slot and cannot use it (in a paused lane none is counted anyway).
        usable=max(0, tally.usable - max(0, not_yet - tally.taken_paused)),
        # What runs in paused lanes is not part of `startable`.
        queued=max(0, tally.startable - max(0, running - tally.taken_paused)),
        users_waiting=tally.waiting,
        ring_wait_seconds=max(0.0, (now_us - head[0][1]) / 1_000_000) if head else 0.0,
        jobs=jobs,
        leases_seen=leases_seen,
    )


async def _in_flight(
    lanes: AsyncLanes, now_us: int, horizon_ms: int
) -> tuple[int, int, tuple[RunningJob, ...]]:
    """Retries that are due after the horizon, leases looked at, and the jobs among them that have started."""
    keys = lanes.keys
    async with lanes.client.pipeline(transaction=False) as pipeline:
        pipeline.zcount(keys.retries, f"({horizon_ms}", "+inf")
        pipeline.zrange(keys.leases, 0, MAX_LEASES - 1)
        not_yet, members = await pipeline.execute()
    jobs: list[RunningJob] = []
    for first in range(0, len(members), _TOGETHER):
        async with lanes.client.pipeline(transaction=False) as pipeline:
            for member in members[first : first + _TOGETHER]:
                pipeline.hmget(keys.job(member[-ID_LENGTH:].decode()), "state", "worker", "started_us")
            found = await pipeline.execute()
        jobs += [
            _running(worker, started_us, now_us)
            for state, worker, started_us in found
            if state == JobState.RUNNING.encode() and worker and started_us
        ]
    return not_yet, len(members), tuple(jobs)


def _running(worker: bytes, started_us: bytes, now_us: int) -> RunningJob:
    host = worker.decode("utf-8", "replace").rpartition(":")[0]
    return RunningJob(host, max(0.0, (now_us - int(started_us)) / 1_000_000))


@dataclass(slots=True)
class _Tally:
    """`startable`: jobs of lanes that are not paused; `taken_paused`: jobs of paused lanes that hold a slot."""

    complete: bool = False
    inspected: int = 0
    jobs: int = 0
    usable: int = 0
    startable: int = 0
    taken_paused: int = 0
    waiting: int = 0

    def add(self, page: Sequence[LaneLine]) -> None:
        for line in page:
            self.inspected += 1
            self.jobs += line.jobs
            self.usable += line.usable
            self.waiting += line.jobs > line.taken
            if line.slots:
                self.startable += line.jobs
            else:
                self.taken_paused += line.taken

    def extrapolate(self, count: int) -> None:
        """To `count` lanes, of which some were not looked at."""
        if count > self.inspected > 0:
            for name in ("jobs", "usable", "startable", "taken_paused", "waiting"):
                setattr(self, name, getattr(self, name) * count // self.inspected)


async def _walk(lanes: AsyncLanes, enough: Enough) -> _Tally:
    tally, after = _Tally(), ""
    while tally.inspected < MAX_LANES:
        page: list[LaneLine] = await lanes.run(InspectLanes(after, PAGE))
        tally.add(page)
        if len(page) < PAGE:
            tally.complete = True
            break
        if tally.usable >= enough.usable and tally.startable >= enough.jobs:
            break
        after = page[-1].user
        await asyncio.sleep(0)
    return tally

"""Renews the leases of everything that the pool holds, whatever its handlers do to the GIL."""

from __future__ import annotations

import asyncio

import structlog
from redis.exceptions import RedisError

from laneway.lanes.commands import Renew
from laneway.lanes.errors import LaneError
from laneway.lanes.store import AsyncLanes
from laneway.worker.counts import Counts
from laneway.worker.lease_keeper.pool import Pool
from laneway.worker.lease_keeper.watched_process import Held, WatchedProcess
from laneway.worker.protocol import StopJobs
from laneway.worker.redis_clock import RedisClock

RENEW_SECONDS = 1.0
"""Time between two renewals, or a third of a lease if that is shorter. Each reply says which jobs were asked to stop."""
RENEWED, LOST = 1, 0
"""Replies of `Renew`; any other means renewed and asked to stop."""
log = structlog.get_logger()


class Renewal:
    """Also sets the clock by Redis's time."""

    def __init__(
        self, pool: Pool, lanes: AsyncLanes, clock: RedisClock, counts: Counts, *, lease_seconds: float
    ) -> None:
        self._pool, self._lanes, self._clock, self._counts = pool, lanes, clock, counts
        self._lease_seconds = lease_seconds

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            await asyncio.sleep(min(RENEW_SECONDS, self._lease_seconds / 3))
            held = [
                (process, job) for process in self._pool.processes.values() for job in process.held.values()
            ]
            if held:
                try:
                    await self._renew(held)
                except (LaneError, RedisError) as error:
                    log.warning("redis_unavailable", error=str(error))

    async def _renew(self, held: list[tuple[WatchedProcess, Held]]) -> None:
        self._clock.set_unix(*await self._lanes.client.time())
        replies = await self._lanes.run(Renew(self._lease_seconds, [job.lease.handle for _, job in held]))
        to_stop: dict[int, list[str]] = {}
        for (process, job), reply in zip(held, replies, strict=True):
            handle = job.lease.handle
            if reply == RENEWED or handle not in process.held:
                continue
            to_stop.setdefault(process.pid, []).append(handle)
            if reply == LOST:
                job.missing += 1
                self._counts.event("lease_lost", int(job.missing == 2))
        for pid, handles in to_stop.items():
            if pid in self._pool.processes:
                self._pool.processes[pid].send(StopJobs(handles))

"""The lease keeper: a process beside a worker's pool that looks after the jobs in the hands of the pool's processes.

It is a process of its own so that no handler that holds the GIL, no event loop of Celery's and no reconnect can stop it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from laneway.handlers import Registry
from laneway.lanes.store import AsyncLanes
from laneway.telemetry.job_log import JobLog
from laneway.worker.counts import Counts
from laneway.worker.lease_keeper import shutdown
from laneway.worker.lease_keeper.connections import Connections
from laneway.worker.lease_keeper.deaths import Deaths
from laneway.worker.lease_keeper.delivery import Delivery
from laneway.worker.lease_keeper.overdue import OverdueJobs
from laneway.worker.lease_keeper.pool import Pool
from laneway.worker.lease_keeper.renewal import Renewal
from laneway.worker.redis_clock import RedisClock


class LeaseKeeper:
    """Composes the tasks of the lease keeper around `pool`. `folder`: where pool processes connect."""

    def __init__(
        self,
        pool: Pool,
        folder: Path,
        lanes: AsyncLanes,
        registry: Registry,
        counts: Counts,
        job_log: JobLog,
        *,
        worker: str,
        lease_seconds: float,
        max_losses: int,
    ) -> None:
        self.pool = pool
        clock = RedisClock()
        delivery = self._delivery = Delivery(lanes, clock, job_log, counts, lease_seconds=lease_seconds)
        deaths = Deaths(worker, delivery, clock, counts, max_losses=max_losses)
        self._connections = Connections(folder, self.pool, deaths, delivery, counts)
        self._renewal = Renewal(self.pool, lanes, clock, counts, lease_seconds=lease_seconds)
        self._overdue = OverdueJobs(worker, self.pool, delivery, registry, clock, counts)

    async def run(self) -> None:
        """Look after the pool until cancelled."""
        async with asyncio.TaskGroup() as group:
            for part in (self._connections.serve, self._renewal.run, self._overdue.run):
                group.create_task(part())

    async def shut_down(self, grace_seconds: float) -> None:
        """Stop the pool: see `shutdown.shut_down`."""
        await shutdown.shut_down(self.pool, grace_seconds)

    async def end_delivery(self) -> None:
        """Give what is still being delivered a last chance. Call it before the process ends."""
        await self._delivery.end()

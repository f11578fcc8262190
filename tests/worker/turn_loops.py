"""A turn of a pool process without handlers."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

from laneway.worker.pool.batch_sizer import BatchSizer
from laneway.worker.pool.finish import Finisher
from laneway.worker.pool.jobs import Batch
from laneway.worker.pool.messenger import Messenger
from laneway.worker.pool.run_logs import RunLogs
from laneway.worker.pool.running import RunningJobs
from laneway.worker.pool.standing_claim import StandingClaim
from laneway.worker.pool.tasks import TaskRunner
from laneway.worker.pool.turn import Stages, TurnLimits, TurnLoop
from laneway.worker.redis_clock import RedisClock


def running_jobs(batch: Batch | None = None) -> RunningJobs:
    """What runs in the process: nothing, or a batch."""
    logs = RunLogs("w1", Mock(), int, Mock(), lambda _lease: False)
    tasks = TaskRunner(RedisClock().us, Mock(), Mock(), logs, Mock(), max_result_bytes=1000)
    jobs = RunningJobs(tasks)
    jobs.batch = batch
    return jobs


def turn_loop(
    jobs: RunningJobs,
    standing: StandingClaim,
    wake: asyncio.Event,
    messenger: Messenger,
    *,
    is_retired: bool = False,
) -> TurnLoop:
    """A turn of a minute that starts no job."""
    upkeep, isolation, permits = Mock(), Mock(), Mock()
    upkeep.retirement.is_due, upkeep.retirement.closed_seconds.return_value = is_retired, None
    isolation.is_quiet.return_value, isolation.quiet_seconds.return_value = False, None
    permits.calls.return_value = []
    finisher = Finisher(jobs, messenger, Mock(), Mock())
    stages = Stages(
        *(Mock(), Mock(), finisher, permits, Mock()), jobs, isolation, messenger, Mock(), upkeep, Mock()
    )
    limits = TurnLimits(lease_seconds=30, turn_seconds=60, async_jobs=10)
    return TurnLoop(limits, stages, BatchSizer(1), RedisClock(), standing, wake)

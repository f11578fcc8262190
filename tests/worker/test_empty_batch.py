"""A batch whose jobs have all gone back before the first of them started: there is nothing to record, and nobody else wakes the turn."""

from __future__ import annotations

import asyncio
import time
from unittest.mock import AsyncMock, Mock

import pytest

from laneway.worker.pool.batch_sizer import BatchSizer
from laneway.worker.pool.finish import Finisher
from laneway.worker.pool.jobs import Batch
from laneway.worker.pool.run_logs import RunLogs
from laneway.worker.pool.running import RunningJobs
from laneway.worker.pool.standing_claim import StandingClaim
from laneway.worker.pool.tasks import TaskRunner
from laneway.worker.pool.turn import Stages, TurnLimits, TurnLoop
from laneway.worker.protocol import BatchRecorded
from laneway.worker.redis_clock import RedisClock


def running(batch: Batch) -> RunningJobs:
    logs = RunLogs("w1", Mock(), int, Mock(), lambda _lease: False)
    tasks = TaskRunner(RedisClock().us, Mock(), Mock(), logs, Mock(), max_result_bytes=1000)
    jobs = RunningJobs(tasks)
    jobs.batch = batch
    return jobs


def ended_batch() -> Batch:
    return Batch(1, [], time.monotonic(), is_over=True)


def test_its_leases_are_given_up_before_the_next_batch_is_planned() -> None:
    """Said later, the lease keeper would take it for the end of the next batch, and renew no lease of that one."""
    link = Mock()
    finisher = Finisher(running(ended_batch()), Mock(), link, Mock())
    assert not finisher.collect()
    assert [type(call.args[0]) for call in link.send.call_args_list] == [BatchRecorded]


@pytest.mark.parametrize("reason", ["shutdown", "retirement"])
def test_the_turn_ends(reason: str) -> None:
    async def serve() -> None:
        jobs = running(ended_batch())
        upkeep = Mock()
        upkeep.retirement.is_due = reason == "retirement"
        upkeep.retirement.closed_seconds.return_value = None
        isolation = Mock()
        isolation.quiet_seconds.return_value = None
        finisher = Finisher(jobs, Mock(), Mock(), Mock())
        stages = Stages(
            Mock(), Mock(), finisher, Mock(), Mock(), jobs, isolation, Mock(), Mock(), upkeep, Mock()
        )
        standing = AsyncMock(spec=StandingClaim)
        standing.is_over, standing.take.return_value = False, None
        turns = TurnLoop(
            TurnLimits(lease_seconds=30, turn_seconds=60, async_jobs=1),
            stages,
            BatchSizer(1),
            RedisClock(),
            standing,
            asyncio.Event(),
        )
        turns.stopping = reason == "shutdown"
        await asyncio.wait_for(turns.serve(), 5)

    asyncio.run(serve())

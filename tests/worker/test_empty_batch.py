"""A batch whose jobs have all gone back before the first of them started: there is nothing to record, and nobody else wakes the turn."""

from __future__ import annotations

import asyncio
import time
from unittest.mock import AsyncMock, Mock

import pytest

from laneway.worker.pool.finish import Finisher
from laneway.worker.pool.jobs import Batch
from laneway.worker.pool.standing_claim import StandingClaim
from laneway.worker.protocol import BatchRecorded
from tests.worker.turn_loops import running_jobs, turn_loop


def ended_batch() -> Batch:
    return Batch(1, [], time.monotonic(), is_over=True)


def test_its_leases_are_given_up_before_the_next_batch_is_planned() -> None:
    """Said later, the lease keeper would take it for the end of the next batch, and renew no lease of that one."""
    link = Mock()
    finisher = Finisher(running_jobs(ended_batch()), Mock(), link, Mock())
    assert not finisher.collect()
    assert [type(call.args[0]) for call in link.send.call_args_list] == [BatchRecorded]


@pytest.mark.parametrize("reason", ["shutdown", "retirement"])
def test_the_turn_ends(reason: str) -> None:
    async def serve() -> None:
        standing = AsyncMock(spec=StandingClaim, has_result=False)
        standing.detach = Mock(return_value=None)
        turns = turn_loop(
            running_jobs(ended_batch()), standing, asyncio.Event(), Mock(), is_retired=reason == "retirement"
        )
        turns.stopping = reason == "shutdown"
        await asyncio.wait_for(turns.serve(), 5)

    asyncio.run(serve())

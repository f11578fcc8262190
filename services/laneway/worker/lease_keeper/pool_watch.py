"""Is Celery's pool whole, and does it get turns?

Celery has a history of main processes that live and do nothing: consumers that hear nothing any more after Redis was away
(celery issues 8091 and 9054), pools that replace a dead process late or never. Nothing is lost then, but nothing is done
either. So the lease keeper looks, and has the worker started anew when it stays so.
"""

from __future__ import annotations

import asyncio
import time

from redis.exceptions import RedisError

from laneway.lanes.store import AsyncLanes
from laneway.worker.lease_keeper.lease_keeper import LeaseKeeper

LOOK_SECONDS = 2.0
PATIENCE_SECONDS = 20.0
"""How long a pool may be short of processes or of turns: starting a process takes a second or two."""


async def broken(lease_keeper: LeaseKeeper, lanes: AsyncLanes, expected: int) -> str:
    """Returns when the pool has been broken for a while, with the reason. `expected`: how many processes it should have."""
    whole_at = time.monotonic()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        reason = await _reason(lease_keeper, lanes, expected)
        if reason is None:
            whole_at = time.monotonic()
        elif time.monotonic() - whole_at > PATIENCE_SECONDS:
            return reason


async def _reason(lease_keeper: LeaseKeeper, lanes: AsyncLanes, expected: int) -> str | None:
    if lease_keeper.processes < expected:
        return f"the pool has {lease_keeper.processes} of {expected} processes"
    if lease_keeper.in_turn < expected:
        try:
            if await lanes.client.llen(lanes.keys.turns) > 0:
                return f"{expected - lease_keeper.in_turn} processes get no turn, though turns are waiting"
        except (RedisError, OSError):
            return None  # without Redis there are no turns to be had
    return None

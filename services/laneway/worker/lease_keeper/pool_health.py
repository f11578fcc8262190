"""Notices a pool that is not whole, or that gets no turns.

Celery's main process may live on and do nothing: consumers that get no messages after Redis was away (celery issues 8091 and
9054), pools that replace a dead process late or never. Nothing is lost then, but nothing is done either. So the lease keeper checks
the pool, and the worker is started again when it stays broken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog
from redis.exceptions import RedisError

from laneway.lanes.store import AsyncLanes
from laneway.worker.lease_keeper.pool import Pool

CHECK_SECONDS = 2.0
WARN_SECONDS = 10.0
PATIENCE_SECONDS = 20.0
"""How long a pool may be short of processes or of turns: starting a process takes a second or two."""
log = structlog.get_logger()


async def wait_until_broken(
    pool: Pool, lanes: AsyncLanes, expected: int, start_seconds: float, is_store_ready: Callable[[], bool]
) -> str:
    """Return the reason when the pool has been broken for too long. `expected`: the number of its processes.

    Before it has been whole for the first time it gets `start_seconds`, because handlers may take long to import. Time in which
    Redis does not do what serving needs does not count: a new start would not mend it. The log says every WARN_SECONDS what
    the worker waits for.
    """
    patience_seconds = max(start_seconds, PATIENCE_SECONDS)
    whole_at = warned_at = checked_at = time.monotonic()
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        reason, now = await _reason(pool, lanes, expected), time.monotonic()
        if reason and not is_store_ready():
            whole_at += now - checked_at
        checked_at = now
        if reason is None:
            whole_at, patience_seconds = now, PATIENCE_SECONDS
        elif now - whole_at > patience_seconds:
            return reason
        elif now - max(whole_at, warned_at) > WARN_SECONDS:
            warned_at = now
            log.warning(
                "pool_awaited", reason=reason, seconds_left=round(patience_seconds - (now - whole_at))
            )


async def _reason(pool: Pool, lanes: AsyncLanes, expected: int) -> str | None:
    if pool.size < expected:
        return f"the pool has {pool.size} of {expected} processes"
    if pool.in_turn < expected:
        try:
            if await lanes.client.llen(lanes.keys.turns) > 0:
                return f"{expected - pool.in_turn} processes get no turn, though turns are waiting"
        except (RedisError, OSError):
            return None  # without Redis nobody gets turns
    return None

"""Restores what Redis may lose and only workers know: the turn message, the default number of slots, the limits of types, and
turn messages that wait.

Without it, an empty Redis would accept jobs that no turn serves, and lanes would have a different number of slots. Celery makes
the turn message and leaves it in the worker's folder, where the lease keeper reads it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from laneway.handlers import Registry
from laneway.lanes.commands import Reassert, Turns
from laneway.lanes.errors import LaneError
from laneway.lanes.store import AsyncLanes
from laneway.worker import private_folder
from laneway.worker.lease_keeper.pool import Pool
from laneway.worker.type_limits import limit_of

INTERVAL_SECONDS = 2.0
log = structlog.get_logger()


async def reassert_forever(
    lanes: AsyncLanes, folder: Path, pool: Pool, registry: Registry, *, slots: int, processes: int
) -> None:
    """Restore the turn message and the number of slots if Redis has lost them. After that, `processes` turn messages wait.

    Processes that have served no turn for INTERVAL_SECONDS get turn messages too. Theirs were lost when a process died, or were
    never pushed because Redis was away.
    """
    idle, types = 0, [limit_of(spec) for spec in registry.types.values()]
    while not pool.is_stopping:
        await asyncio.sleep(INTERVAL_SECONDS)
        idle, idle_before = pool.size - pool.in_turn, idle
        try:
            message = private_folder.turn_message_path(folder).read_bytes()
            restored = await lanes.run(Reassert(message, slots, processes, types))
            if lost := min(idle, idle_before):
                await lanes.run(Turns(b"", lost))
        except (LaneError, FileNotFoundError):
            continue  # Redis is away, which others report; or Celery has not started yet
        if restored:
            log.error("worker_keys_restored", keys=restored)

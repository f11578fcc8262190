"""Restores what only workers know, should it be lost: the turn message, the default number of slots, and turns of this worker.

Without it a Redis that comes back empty would get new jobs but no turns, and lanes would have another number of slots. Celery
knows how a turn looks, so it leaves the message in the worker's folder; the lease keeper asserts it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from laneway.lanes.commands import Reassert, Turns
from laneway.lanes.errors import LaneError
from laneway.lanes.store import AsyncLanes
from laneway.worker.lease_keeper.pool import Pool

INTERVAL_SECONDS = 2.0
_FILE = "turn_message"
log = structlog.get_logger()


def write_message(folder: Path, message: bytes) -> None:
    """Leave the turn message for the lease keeper, complete at once."""
    temporary = folder / f"{_FILE}.new"
    temporary.write_bytes(message)
    temporary.replace(folder / _FILE)


async def reassert_forever(
    lanes: AsyncLanes, folder: Path, pool: Pool, *, slots: int, processes: int
) -> None:
    """Assert message and slots again and again. Once they were lost, one turn waits for each of `processes`.

    A process that has had no turn for INTERVAL_SECONDS gets a message of its own: its turn was lost with a process that died, or
    was asked for while Redis was away.
    """
    idle = 0
    while not pool.is_stopping:
        await asyncio.sleep(INTERVAL_SECONDS)
        idle, idle_before = pool.size - pool.in_turn, idle
        try:
            message = (folder / _FILE).read_bytes()
            restored = await lanes.run(Reassert(message, slots, processes))
            if lost := min(idle, idle_before):
                await lanes.run(Turns(b"", lost))
        except (LaneError, FileNotFoundError):
            continue  # Redis is away, which others report; or Celery has not started yet
        if restored:
            log.error("worker_keys_restored", keys=restored)

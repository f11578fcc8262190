"""Restores what only workers know, should Redis lose it: the turn message and the default number of slots.

Without it a Redis that comes back empty would get new jobs but no turns, and lanes would have another number of slots. Celery
knows how a turn looks, so it leaves the message in the worker's folder; the lease keeper asserts it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from laneway.lanes.commands import Reassert
from laneway.lanes.errors import LaneError
from laneway.lanes.store import AsyncLanes

INTERVAL_SECONDS = 2.0
_FILE = "turn_message"
log = structlog.get_logger()


def write_message(folder: Path, message: bytes) -> None:
    """Leave the turn message for the lease keeper, complete at once."""
    temporary = folder / f"{_FILE}.new"
    temporary.write_bytes(message)
    temporary.replace(folder / _FILE)


async def reassert_forever(lanes: AsyncLanes, folder: Path, *, slots: int, processes: int) -> None:
    """Assert message and slots again and again. Once they were lost, one turn waits for each process."""
    while True:
        await asyncio.sleep(INTERVAL_SECONDS)
        try:
            message = (folder / _FILE).read_bytes()
            restored = await lanes.run(Reassert(message, slots, processes))
        except (LaneError, FileNotFoundError):
            continue  # Redis is away, which others report; or Celery has not started yet
        if restored:
            log.error("worker_keys_restored", keys=restored)

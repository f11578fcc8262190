"""The orderly shutdown of a pool: what has not started goes back at once, what runs may end within the grace time."""

from __future__ import annotations

import asyncio
import time

import structlog

from laneway.worker.lease_keeper import deaths
from laneway.worker.lease_keeper.pool import Pool
from laneway.worker.protocol import Interrupt, ShutDown

POLL_SECONDS = 0.1
CANCEL_SECONDS = 1.0
"""How long interrupted tasks may take to end before their process is killed."""
log = structlog.get_logger()


async def shut_down(pool: Pool, grace_seconds: float) -> None:
    """Return when nothing runs any more. Jobs that outlasted the grace time run again elsewhere, and nobody is charged."""
    pool.is_stopping = True
    pool.send_all(ShutDown())
    deadline = time.monotonic() + grace_seconds
    while pool.in_flight and time.monotonic() < deadline:  # noqa: ASYNC110 - a shutdown may poll
        await asyncio.sleep(POLL_SECONDS)
    if pool.in_flight:
        log.warning("jobs_interrupted", jobs=pool.in_flight)
        pool.send_all(Interrupt())
        await asyncio.sleep(CANCEL_SECONDS)
    for process in list(pool.processes.values()):
        if process.held:
            deaths.kill(process, [])

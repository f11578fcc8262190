"""Reports a worker to Redis, so that administrators see every worker that is alive, also one that runs nothing.

Nothing is decided by these reports. A worker that cannot write them serves jobs as before.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from laneway.lanes.commands import Report, ReportKind
from laneway.lanes.errors import LaneError
from laneway.lanes.store import AsyncLanes
from laneway.worker.lease_keeper.pool import Pool
from laneway.worker.lease_keeper.readiness import Readiness

INTERVAL_SECONDS, VALID_SECONDS = 5.0, 16.0
"""A report outlives two that were lost."""


async def report_forever(lanes: AsyncLanes, name: str, pool: Pool, readiness: Readiness) -> None:
    """Report this worker every INTERVAL_SECONDS. `name` is unique among the workers."""
    report = reporter(name, pool, readiness)
    while True:
        try:
            await lanes.run(report())
        except LaneError:
            pass  # Redis is away, which others report
        await asyncio.sleep(INTERVAL_SECONDS)


def reporter(name: str, pool: Pool, readiness: Readiness) -> Callable[[], Report]:
    """Return a function that makes the report of this moment."""
    constant: dict[str, Any] = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started_at": datetime.now(UTC).isoformat(),
    }

    def report() -> Report:
        changing = {
            "processes": sorted(pool.processes),
            "in_flight": pool.in_flight,
            "stopping": pool.is_stopping,
            "problems": dict(readiness.problems()),
        }
        return Report(ReportKind.WORKERS, name, constant | changing, VALID_SECONDS)

    return report

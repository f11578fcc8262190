"""Reports a worker to Redis, so that administrators see every worker that is alive, even an idle one.

The reports are for people: no program decides by them. A worker that cannot write them serves jobs as before.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from laneway.lanes.commands import Report, ReportKind
from laneway.lanes.errors import LaneError
from laneway.lanes.store import AsyncLanes
from laneway.worker.lease_keeper.pool import Pool
from laneway.worker.lease_keeper.readiness import Readiness

INTERVAL_SECONDS, VALID_SECONDS = 5.0, 16.0
"""A report stays valid while two after it are lost."""
CHECK_SECONDS = 1.0
"""A change of processes or state is reported within this time."""


async def report_forever(lanes: AsyncLanes, name: str, pool: Pool, readiness: Readiness) -> None:
    """Report this worker every INTERVAL_SECONDS, and sooner when it has changed. `name` is unique among the workers."""
    make_report = reporter(name, pool, readiness)
    reported, reported_at = None, float("-inf")
    while True:
        report = make_report()
        state = report.body | {"in_flight": None}
        if state != reported or time.monotonic() - reported_at >= INTERVAL_SECONDS:
            with suppress(LaneError):  # Redis is away, which others report
                await lanes.run(report)
                reported, reported_at = state, time.monotonic()
        await asyncio.sleep(CHECK_SECONDS)


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

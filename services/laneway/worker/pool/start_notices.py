"""Tells Redis which jobs have started: until it knows, no other process gets a job of their lanes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from laneway.lanes.commands import Command, Start
from laneway.lanes.model import Lease
from laneway.worker.pool.jobs import Clock
from laneway.worker.pool.messenger import REPEAT_SECONDS, Messenger
from laneway.worker.pool.reports import Reports
from laneway.worker.pool.running import RunningJobs

STOP_REQUESTED = 2
"""Reply of `Start` for a job whose user has cancelled it."""


class StartNotices:
    """One per process. A notice that Redis may not have received is repeated as long as its job runs."""

    def __init__(
        self, worker: str, messenger: Messenger, reports: Reports, running: RunningJobs, clock: Clock
    ) -> None:
        self._worker, self._messenger, self._reports = worker, messenger, reports
        self._running, self._clock = running, clock

    async def send(self, leases: Sequence[Lease], started: float, *others: Command[Any]) -> None:
        """Send the start of these jobs at the monotonic time `started`, and other commands with it."""
        times_us = [self._clock(started)] * len(leases)
        self._reports.started(leases)  # before the reply: by then the end may have been logged
        replies = await self._messenger.send([Start(self._worker, leases, times_us), *others])
        if not replies:
            self._messenger.spawn(self._repeat(leases, started))
            return
        for lease, reply in zip(leases, replies[0], strict=True):
            if reply == STOP_REQUESTED:
                self._running.stop(lease.handle)

    async def _repeat(self, leases: Sequence[Lease], started: float) -> None:
        await asyncio.sleep(REPEAT_SECONDS)
        if running := [lease for lease in leases if self._running.runs(lease)]:
            await self.send(running, started)

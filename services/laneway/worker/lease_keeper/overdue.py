"""Acts on jobs that take too long: frees the jobs that wait behind them, and kills processes at hard time limits."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from laneway.handlers import Registry
from laneway.lanes.commands import Command, Release
from laneway.lanes.model import Outcome
from laneway.worker import outcomes
from laneway.worker.counts import Counts
from laneway.worker.lease_keeper import deaths
from laneway.worker.lease_keeper.delivery import Delivery
from laneway.worker.lease_keeper.pool import Pool
from laneway.worker.lease_keeper.watched_process import Held, WatchedProcess
from laneway.worker.redis_clock import RedisClock

CHECK_SECONDS = 0.1
STUCK_SECONDS = 0.2
"""After this long the lease keeper gives back what waits behind a job, and what the process wanted to give back itself. The
process does both sooner, if it can."""
ASYNC_MARGIN_SECONDS = 1.0
"""An async handler is cancelled at its hard limit. If it ignores that, its process is killed this much later."""


class OverdueJobs:
    """One per lease keeper."""

    def __init__(
        self,
        worker: str,
        pool: Pool,
        delivery: Delivery,
        registry: Registry,
        clock: RedisClock,
        counts: Counts,
    ) -> None:
        self._worker, self._pool, self._delivery = worker, pool, delivery
        self._registry, self._clock, self._counts = registry, clock, counts

    async def run(self) -> None:
        """Check every CHECK_SECONDS until cancelled."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            for process in list(self._pool.processes.values()):
                # The process started its batch first. If a job of that holds the GIL, it cannot send the return.
                if overdue := process.take_overdue_return(STUCK_SECONDS):
                    self._delivery.send_soon([Release(overdue)])
                if not process.refresh(CHECK_SECONDS):
                    continue
                if process.is_stuck(STUCK_SECONDS):
                    self._unblock(process)
                self._enforce_limits(process)

    def _unblock(self, process: WatchedProcess) -> None:
        """Give back what waits behind the present job, and send its start: if it holds the GIL, the process can do neither."""
        commands: list[Command[Any]] = []
        if taken := process.remove_unstarted(process.start_tokens.take_all()):
            commands.append(Release(taken))
        if running := process.take_unsent_starts():
            commands.append(deaths.start_command(self._worker, running, self._clock))
        if commands:
            self._delivery.send_soon(commands)

    def _enforce_limits(self, process: WatchedProcess) -> None:
        overdue = [held for held in process.held.values() if self._is_overdue(held)]
        if overdue and not process.is_killed:
            self._counts.event("time_limit_exceeded", len(overdue))
            deaths.kill(process, [verdict for held in overdue if (verdict := self._verdict(held))])

    def _is_overdue(self, held: Held) -> bool:
        if not held.hard_seconds or not held.started:
            return False
        spec = self._registry.get(held.lease.type)
        margin_seconds = ASYNC_MARGIN_SECONDS if spec and spec.is_async else 0
        return time.monotonic() - held.started > held.hard_seconds + margin_seconds

    def _verdict(self, held: Held) -> Outcome | None:
        spec = self._registry.get(held.lease.type)
        if spec is None:
            return None
        body = outcomes.error_text(
            "TimeLimit", f"the time limit of {held.hard_seconds} s has run out; the process was killed"
        )
        return outcomes.failed_attempt(held.lease, spec, deaths.started_us(held, self._clock), body)

"""A turn: a pool process claims jobs off the ring until none is left and the turn's time is up, or its worker stops.

Everything here runs in the event loop of the process. Each round records what has ended and claims what can start, in one round
trip. If nothing can, the next claim waits in Redis until a wake-up comes or a retry or delayed job is due; an end or a stop ends
the wait here.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from laneway.lanes.commands import Claim, Release
from laneway.lanes.errors import LaneError, ScriptFailed, StoreUnavailable
from laneway.worker.pool.batch_sizer import BatchSizer
from laneway.worker.pool.batch_watch import BatchWatch
from laneway.worker.pool.choose import Chooser
from laneway.worker.pool.finish import Finisher
from laneway.worker.pool.isolation import SuspectIsolation
from laneway.worker.pool.jobs import EndedRun
from laneway.worker.pool.messenger import Messenger
from laneway.worker.pool.permits import Permits
from laneway.worker.pool.reports import Reports
from laneway.worker.pool.run_logs import RunLogs
from laneway.worker.pool.running import RunningJobs
from laneway.worker.pool.standing_claim import ClaimResult, StandingClaim
from laneway.worker.pool.start import Starter
from laneway.worker.pool.upkeep import Upkeep
from laneway.worker.redis_clock import RedisClock

MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.05, 1.0
"""Between two tries while Redis is away or a script fails; doubled from one to the next."""
IDLE_SECONDS = 5.0
"""Longest wait for a wake-up; then the claim is made in any case."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """Settings of a turn."""

    lease_seconds: float
    turn_seconds: float
    async_jobs: int


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages that a claimed job passes, and what they share. One per process."""

    chooser: Chooser
    starter: Starter
    finisher: Finisher
    permits: Permits
    batches: BatchWatch
    running: RunningJobs
    isolation: SuspectIsolation
    messenger: Messenger
    reports: Reports
    upkeep: Upkeep
    logs: RunLogs


class TurnLoop:
    """Serves one turn at a time. `wake` is set when something has ended here."""

    def __init__(
        self,
        limits: TurnLimits,
        stages: Stages,
        batch_sizer: BatchSizer,
        clock: RedisClock,
        standing: StandingClaim,
        wake: asyncio.Event,
    ) -> None:
        self._limits, self._stages, self._batch_sizer, self._clock = limits, stages, batch_sizer, clock
        self._standing, self._wake = standing, wake
        self.stopping = False

    def shut_down(self) -> None:
        """Claim nothing more and give back what has not started; the turn ends with what runs."""
        self.stopping = True
        running = self._stages.running
        log.info(
            "shutdown_received", pid=os.getpid(), tasks=len(running.tasks), batch=running.batch is not None
        )
        self._stages.batches.give_back()
        self._wake.set()

    async def serve(self) -> None:
        """Serve one turn."""
        ends_at = time.monotonic() + self._limits.turn_seconds
        try:
            await self._serve_until(ends_at)
        finally:
            await self._end_standing_claim()

    async def _serve_until(self, ends_at: float) -> None:
        pause_seconds = MIN_PAUSE_SECONDS
        while not self._is_over(ends_at):
            try:
                await self._round(ends_at)
                pause_seconds = MIN_PAUSE_SECONDS
            except (StoreUnavailable, ScriptFailed) as error:
                if isinstance(error, ScriptFailed):
                    log.exception("script_failed")
                else:
                    log.warning("redis_unavailable", error=str(error))
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(MAX_PAUSE_SECONDS, pause_seconds * 2)
            self._stages.upkeep.run(self._stages.running)

    def room(self) -> int:
        """Return how many jobs to claim now."""
        running, tasks = self._stages.running, len(self._stages.running.tasks)
        if (
            self.stopping
            or self._stages.upkeep.retirement.is_due
            or running.batch is not None
            or tasks >= self._limits.async_jobs
        ):
            return 0
        return 0 if self._stages.isolation.is_quiet(running.held_tasks) else self._batch_sizer.size

    def _is_over(self, ends_at: float) -> bool:
        running = self._stages.running
        is_idle = running.batch is None and not running.tasks and self._stages.finisher.is_idle
        return is_idle and (
            self.stopping or self._stages.upkeep.retirement.is_due or time.monotonic() > ends_at
        )

    async def _round(self, ends_at: float) -> None:
        self._wake.clear()
        ended, room = self._stages.finisher.collect(), self.room()
        if not room:
            await self._standing.end_wait()
        if self._standing.has_result:
            if ended:
                await self._exchange(ended, 0)  # first: if it fails, the next round still finds the result
            await self._start(self._standing.take(), has_room=room > 0)
        elif ended or room:
            result = await self._exchange(ended, room)
            if result is not None and result.claimed.leases:
                await self._start(result, has_room=True)
            elif result is not None and not ended:
                await self._stand_by(room, result.claimed.next_due_seconds, ends_at)
        elif not self._is_over(
            ends_at
        ):  # nothing would wake us: a batch may have ended whose jobs have all gone back
            await self._wait_for_an_end()

    async def _exchange(self, ended: Sequence[EndedRun], room: int) -> ClaimResult | None:
        """Record the ends of runs and claim up to `room` jobs. None: nothing was claimed, or the claim failed beside an end."""
        claim = self._claim(room) if room else None
        claimed_at = time.monotonic()
        calls = self._stages.permits.calls(ended)
        replies, claimed = await self._stages.messenger.exchange(ended, claim, calls)
        if ended:
            self._stages.finisher.recorded(replies)
            self._stages.upkeep.retirement.served(len(ended))
        if claimed is None:
            return None
        self._clock.set(claimed.now_us, claimed_at)
        return ClaimResult(claimed, room, claimed_at)

    def _claim(self, room: int) -> Claim:
        return Claim(room, self._limits.lease_seconds, self._batch_sizer.with_followers)

    async def _wait_for_an_end(self) -> None:
        """Wait until something ends here, or until the process may claim again."""
        limits = (self._stages.isolation.quiet_seconds(), self._stages.upkeep.retirement.closed_seconds())
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), min((s for s in limits if s is not None), default=None))

    async def _start(self, result: ClaimResult, *, has_room: bool) -> None:
        leases, claimed_at = result.claimed.leases, result.claimed_at
        if not leases:
            return
        if not has_room or self._is_too_late(claimed_at):
            await self._stages.messenger.send([Release(leases)])
            return
        choice = self._stages.chooser.choose(leases, self._stages.running.held_tasks)
        if choice.limited:
            await self._stages.permits.ask(choice)
            if self._is_too_late(claimed_at):
                await self._stages.messenger.send([Release(leases)])  # those that went back are left alone
                return
        self._batch_sizer.learn(
            asked=result.asked,
            given=len(leases) - choice.withdrawn,
            kept=choice.kept,
            tasks=len(choice.tasks),
            planned_seconds=choice.planned_seconds,
        )
        await self._stages.starter.start(choice, claimed_at)

    def _is_too_late(self, claimed_at: float) -> bool:
        """Whether claimed jobs must not start: the worker stops, or the whole worker stood still and the leases may have run out."""
        return self.stopping or time.monotonic() - claimed_at > self._limits.lease_seconds

    async def _stand_by(self, room: int, due_seconds: float | None, ends_at: float) -> None:
        self._stages.reports.send_counts()
        timeout = IDLE_SECONDS if due_seconds is None else min(IDLE_SECONDS, due_seconds + 0.001)
        left = ends_at - time.monotonic()
        if left > 0:  # otherwise a running job makes the turn longer, and its end wakes us
            timeout = min(timeout, left)
        await self._standing.wait(self._claim(room), max(0.01, timeout))

    async def _end_standing_claim(self) -> None:
        """Release the jobs of a claim that was under way when the turn ended; in the background if Redis is slow."""
        await self._standing.end_wait()
        call = self._standing.detach()
        if call is None:
            return
        if call.done():
            await self._release_jobs_of(call)
        else:
            self._stages.messenger.spawn(self._release_jobs_of(call))

    async def _release_jobs_of(self, call: asyncio.Task[ClaimResult]) -> None:
        with suppress(LaneError):
            leases = (await call).claimed.leases
            if leases:
                await self._stages.messenger.send([Release(leases)])

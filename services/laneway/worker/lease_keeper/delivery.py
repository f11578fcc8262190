"""Delivers commands on behalf of processes that cannot send them any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import structlog

from laneway.lanes.commands import Command, Finish, Lose
from laneway.lanes.errors import LaneError, StoreUnavailable
from laneway.lanes.model import JobState
from laneway.lanes.store import AsyncLanes
from laneway.telemetry.job_log import JobLog
from laneway.worker.command_events import events_of
from laneway.worker.counts import Counts
from laneway.worker.redis_clock import RedisClock

RETRY_SECONDS = 0.2
END_SECONDS = 1.0
"""How long a shutdown waits for what `send_soon` has not delivered yet. The leases of those jobs expire later."""
log = structlog.get_logger()


class Delivery:
    """Repeats commands until Redis has received them, logs the job events that follow, and counts ended attempts."""

    def __init__(
        self, lanes: AsyncLanes, clock: RedisClock, job_log: JobLog, counts: Counts, *, lease_seconds: float
    ) -> None:
        self._lanes, self._clock, self._job_log, self._counts = lanes, clock, job_log, counts
        self._lease_seconds = lease_seconds
        self._under_way: set[asyncio.Task[None]] = set()

    async def send(self, commands: Sequence[Command[Any]]) -> None:
        """Return when Redis has received all, or after a lease's time: by then the leases have run out by themselves."""
        deadline = time.monotonic() + self._lease_seconds
        while commands := await self._try(commands):
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(RETRY_SECONDS)

    def send_soon(self, commands: Sequence[Command[Any]]) -> None:
        """Send commands in the background, for callers that must not block while Redis is away."""
        task = asyncio.get_running_loop().create_task(self.send(commands))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def end(self) -> None:
        """Return when `send_soon` has delivered everything, or after END_SECONDS."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=END_SECONDS)

    async def _try(self, commands: Sequence[Command[Any]]) -> list[Command[Any]]:
        """Return the commands that must be sent again."""
        try:
            replies = await self._lanes.run_all(commands)
        except StoreUnavailable as error:
            replies = [error] * len(commands)
        missed = []
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, StoreUnavailable):
                missed.append(command)
                log.warning("redis_unavailable", command=command.script, error=str(reply))
            elif isinstance(reply, LaneError):
                log.error("command_failed", command=command.script, error=str(reply))
            else:
                self._job_log.write(events_of(command, reply))
                self._count(command, reply)
        return missed

    def _count(self, command: Command[Any], reply: Any) -> None:
        match command:
            case Finish():
                now_us = self._clock.us(time.monotonic())
                for outcome, is_recorded in zip(command.outcomes, reply, strict=True):
                    if is_recorded:
                        self._counts.attempt(outcome, (now_us - outcome.started_us) / 1_000_000)
            case Lose():
                for job in reply:
                    if job.state is JobState.QUEUED:
                        self._counts.event("run_interrupted")
                    else:
                        self._counts.end(job.state, job.type)

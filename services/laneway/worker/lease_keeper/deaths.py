"""Gives back the jobs of a dead process: at once, without waiting for their leases to run out."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import structlog

from laneway.lanes.commands import Command, Expire, Finish, Release, Start
from laneway.lanes.model import Outcome
from laneway.worker.counts import Counts
from laneway.worker.lease_keeper.delivery import Delivery
from laneway.worker.lease_keeper.watched_process import Held, WatchedProcess
from laneway.worker.redis_clock import RedisClock

log = structlog.get_logger()


class Deaths:
    """One a lease keeper."""

    def __init__(self, worker: str, delivery: Delivery, clock: RedisClock, counts: Counts) -> None:
        self._worker, self._delivery, self._clock, self._counts = worker, delivery, clock, counts

    async def give_back(self, process: WatchedProcess) -> None:
        """Charge the jobs that had started, return the others, and end those for which the process was killed."""
        process.refresh(0)
        process.start_tokens.close()
        process.start_tokens.path.unlink(missing_ok=True)
        if not process.held:
            return
        log.warning("process_died", pid=process.pid, jobs=len(process.held))
        self._counts.event("process_died")
        await self._delivery.send(self._commands(process))

    def _commands(self, process: WatchedProcess) -> list[Command[Any]]:
        for outcome in process.verdicts:
            process.held.pop(outcome.lease.handle, None)
        started = [held for held in process.held.values() if held.started is not None]
        waiting = [held.lease for held in process.held.values() if held.started is None]
        commands: list[Command[Any]] = [*Finish.pieces(self._worker, process.verdicts)]
        if waiting:
            commands.append(Release(waiting))
        if started:
            commands.append(start_command(self._worker, started, self._clock))
        commands.append(Expire(0, handles=[held.lease.handle for held in started]))
        return commands


def start_command(worker: str, started: list[Held], clock: RedisClock) -> Start:
    """Make the notice that these jobs have started."""
    return Start(worker, [held.lease for held in started], [started_us(held, clock) for held in started])


def started_us(held: Held, clock: RedisClock) -> int:
    """Return when a job started, in microseconds since 2020."""
    return clock.us(held.started or time.monotonic())


def kill(process: WatchedProcess, verdicts: list[Outcome]) -> None:
    """Kill a process. `verdicts` become valid once it is dead: before that, the jobs could run in two processes at once."""
    process.is_killed, process.verdicts = True, verdicts
    kill_pid(process.pid)


def kill_pid(pid: int) -> None:
    """Send SIGKILL, if the process is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return

"""Gives back the jobs of a dead process, at once, without waiting for their leases to run out.

Only a job that is known to be the cause is charged. The rule (docs/decisions/0039-who-is-charged.md):

- The lease keeper killed the process at a time limit: that job's attempt has failed. The others are innocent.
- The worker shuts down: nobody is the cause.
- Celery is dead, so the whole worker goes: the leases run out, and `expire` counts a lost worker for each job.
- The process died otherwise: a job that ran alone has a loss. Of several, each is a suspect.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import structlog
from msgspec.structs import replace

from laneway.lanes.commands import Command, Finish, Lose, Release, Start
from laneway.lanes.model import LOST_LOG, Outcome
from laneway.worker import outcomes
from laneway.worker.counts import Counts
from laneway.worker.lease_keeper.delivery import Delivery
from laneway.worker.lease_keeper.watched_process import Held, WatchedProcess
from laneway.worker.redis_clock import RedisClock

PROCESS_DIED = "its process died, and it was not the cause"
log = structlog.get_logger()


class Deaths:
    """One per lease keeper. `max_losses`: how often a job may lose a process in which it runs alone."""

    def __init__(
        self, worker: str, delivery: Delivery, clock: RedisClock, counts: Counts, *, max_losses: int
    ) -> None:
        self._worker, self._delivery, self._clock, self._counts = worker, delivery, clock, counts
        self._max_losses = max_losses

    async def give_back(self, process: WatchedProcess, *, is_stopping: bool, is_worker_lost: bool) -> None:
        """Return when Redis knows what became of every job that the process held."""
        running, begun, waiting = process.split_at_death()
        process.close()
        if not process.held:
            return
        log.warning("process_died", pid=process.pid, jobs=len(process.held), running=len(running))
        self._counts.event("process_died")
        judged = {outcome.lease.handle for outcome in process.verdicts}
        running = [held for held in running if held.lease.handle not in judged]
        commands: list[Command[Any]] = []
        if waiting:
            commands.append(Release([held.lease for held in waiting]))
        if is_stopping:
            commands += self._finish(process.verdicts, begun + running, outcomes.WORKER_STOPPED)
        elif process.is_killed:
            commands += self._finish(process.verdicts, begun + running, PROCESS_DIED)
        else:
            commands += self._finish([], begun, PROCESS_DIED)
            running = [] if is_worker_lost else running
            commands.append(self._lose(running))
        await self._delivery.send(commands)

    def _finish(self, verdicts: list[Outcome], innocent: list[Held], reason: str) -> list[Finish]:
        back = [outcomes.cut_short(held.lease, started_us(held, self._clock), reason) for held in innocent]
        ends = [replace(outcome, log=LOST_LOG) for outcome in verdicts + back]
        return Finish.pieces(self._worker, ends)

    def _lose(self, running: list[Held]) -> Lose:
        leases = [held.lease for held in running]
        times_us = [started_us(held, self._clock) for held in running]
        return Lose(self._worker, leases, times_us, self._max_losses)


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

"""Sends a pool process's commands to Redis, and decides what happens when Redis is away or a script fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from laneway.lanes.commands import Claim, Command, Finish, Permit, Release
from laneway.lanes.errors import LaneError, ScriptFailed, StoreUnavailable
from laneway.lanes.model import Claimed
from laneway.lanes.store import AsyncLanes
from laneway.worker.pool.jobs import EndedRun
from laneway.worker.pool.reports import Reports

REPEAT_SECONDS = 0.5
"""Wait before a start or a release that Redis may not have received is sent again."""
log = structlog.get_logger()


class Messenger:
    """One per process, for its event loop."""

    def __init__(self, worker: str, lanes: AsyncLanes, reports: Reports) -> None:
        self._worker, self._lanes, self._reports = worker, lanes, reports
        self._background: set[asyncio.Task[None]] = set()

    async def exchange(
        self, runs: Sequence[EndedRun], claim: Claim | None, others: Sequence[Command[Any]] = ()
    ) -> tuple[list[bool], Claimed | None]:
        """Record the ends of runs, send `others`, and claim, in one round trip.

        Returns which ends were recorded, and the claimed jobs.

        Raises StoreUnavailable if it is unknown whether the ends are recorded, and ScriptFailed if the claim failed and there
        was no end to record (otherwise the next claim raises it).
        """
        finishes = Finish.pieces(self._worker, [run.outcome for run in runs])
        replies = await self._lanes.run_all([*finishes, *others, *([claim] if claim else [])])
        recorded: list[bool] = []
        for finish, reply in zip(finishes, replies, strict=False):
            recorded += await self._recorded(finish, reply)
        claimed = replies[-1] if claim else None
        if isinstance(claimed, LaneError):
            if not runs:
                raise claimed
            claimed = None
        return recorded, claimed

    async def _recorded(self, finish: Finish, reply: list[bool] | LaneError) -> list[bool]:
        """If one outcome makes the script fail, send the outcomes one by one, so that it does not hold up the others for ever."""
        if isinstance(reply, list):
            return reply
        if not isinstance(reply, ScriptFailed):
            raise reply
        replies = await self._lanes.run_all([Finish(self._worker, [outcome]) for outcome in finish.outcomes])
        recorded = []
        for outcome, alone in zip(finish.outcomes, replies, strict=True):
            if isinstance(alone, StoreUnavailable):
                raise alone
            if isinstance(alone, LaneError):
                log.error("outcome_refused", job_id=outcome.lease.job_id, error=str(alone))
            recorded.append(alone == [True])
        return recorded

    async def send(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Send commands and return their replies; empty if Redis is away or a script fails.

        Releases are repeated until Redis has received them, because a lane waits while a job of it is claimed.
        """
        try:
            replies = await self._lanes.run_all(commands)
            for reply in replies:
                if isinstance(reply, LaneError):
                    raise reply
        except StoreUnavailable as error:
            log.warning("redis_unavailable", error=str(error))
            if releases := [command for command in commands if isinstance(command, Release)]:
                self.spawn(self._repeat(releases))
            return []
        except LaneError as error:
            log.exception("command_failed", error=str(error))
            return []
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(command, Release | Permit):
                self._reports.replied(command, reply)
        return replies

    async def _repeat(self, releases: Sequence[Command[Any]]) -> None:
        await asyncio.sleep(REPEAT_SECONDS)
        await self.send(releases)

    def send_soon(self, commands: Sequence[Command[Any]]) -> None:
        """Send commands beside the turn."""
        self.spawn(self.send(commands))

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run `work` beside the turn."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

"""What a pool process tells Redis and asks of it, and what comes of it when Redis is away or a script fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from laneway.lanes.commands import Claim, Command, Finish, Progress, Release
from laneway.lanes.errors import LaneError, ScriptFailed, StoreUnavailable
from laneway.lanes.model import Claimed
from laneway.lanes.store import AsyncLanes
from laneway.worker.pool.plain import Ran
from laneway.worker.record import Recorder

REPEAT_SECONDS = 0.5
"""Until a start or a release is sent again that Redis may not have heard."""
PROGRESS_SECONDS = 0.2
"""Progress of a job is sent at most this often."""
log = structlog.get_logger()


class Messenger:
    """One a process, for its event loop."""

    def __init__(self, worker: str, lanes: AsyncLanes, recorder: Recorder) -> None:
        self._worker, self._lanes, self._recorder = worker, lanes, recorder
        self._progress: dict[str, Progress] = {}
        self._background: set[asyncio.Task[None]] = set()

    async def exchange(self, ran: Sequence[Ran], claim: Claim | None) -> tuple[list[bool], Claimed | None]:
        """Record what has ended and claim, in one round trip: what counted, and what was claimed.

        Raises StoreUnavailable if it is not known whether the ends are recorded; and ScriptFailed if nothing had ended
        and the claim failed (else the next claim says it).
        """
        finishes = Finish.pieces(self._worker, [one.outcome for one in ran])
        replies = await self._lanes.run_all([*finishes, claim] if claim else finishes)
        counted: list[bool] = []
        for finish, reply in zip(finishes, replies, strict=False):
            counted += await self._counted(finish, reply)
        claimed = replies[-1] if claim else None
        if isinstance(claimed, LaneError):
            if not ran:
                raise claimed
            claimed = None
        return counted, claimed

    async def _counted(self, finish: Finish, reply: list[bool] | LaneError) -> list[bool]:
        """One that makes the script fail must not hold up the others for ever: they are sent one by one then."""
        if isinstance(reply, list):
            return reply
        if not isinstance(reply, ScriptFailed):
            raise reply
        replies = await self._lanes.run_all([Finish(self._worker, [outcome]) for outcome in finish.outcomes])
        counted = []
        for outcome, alone in zip(finish.outcomes, replies, strict=True):
            if isinstance(alone, StoreUnavailable):
                raise alone
            if isinstance(alone, LaneError):
                log.error("not_recorded", job_id=outcome.lease.job_id, error=str(alone))
            counted.append(alone == [True])
        return counted

    async def send(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Empty if a script fails or Redis is away; releases are then sent again, for a lane waits as long as a job of it is claimed."""
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
            log.exception("not_recorded", error=str(error))
            return []
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(command, Release):
                self._recorder.sent(command, reply)
        return replies

    async def _repeat(self, releases: Sequence[Command[Any]]) -> None:
        await asyncio.sleep(REPEAT_SECONDS)
        await self.send(releases)

    def report(self, progress: Progress) -> None:
        """Send it soon; of one job the newest."""
        if not self._progress:
            asyncio.get_running_loop().call_later(PROGRESS_SECONDS, self._send_progress)
        self._progress[progress.lease.handle] = progress

    def _send_progress(self) -> None:
        commands = list(self._progress.values())
        self._progress.clear()
        self.send_soon(commands)

    def send_soon(self, commands: Sequence[Command[Any]]) -> None:
        self.spawn(self.send(commands))

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Let it go on beside the turn."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

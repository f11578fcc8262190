"""The lease keeper: a process beside a worker's pool that looks after what the pool's processes hold.

It renews their leases, whatever their handlers do to the interpreter; sees a process die, and gives its jobs back at once,
charging an attempt to those that had started and to no others; kills a process whose job is past its hard time limit; gives
back what waits in a batch behind a job that holds the interpreter; and tells the processes when the worker shuts down.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import structlog
from redis.exceptions import RedisError

from laneway.handlers import Registry
from laneway.lanes.commands import Command, Expire, Finish, Release, Renew, Start
from laneway.lanes.errors import LaneError, StoreUnavailable
from laneway.lanes.model import JobState, Outcome
from laneway.lanes.store import AsyncLanes
from laneway.telemetry.job_log import JobLog
from laneway.worker import attempt
from laneway.worker.clock import RedisClock
from laneway.worker.lease_keeper.child import Child, Held
from laneway.worker.link import SOCKET, start_tokens_path
from laneway.worker.record import events_of
from laneway.worker.start_tokens import StartTokens
from laneway.worker.stats import Stats

TICK_SECONDS = 0.1
STUCK_SECONDS = 0.2
"""After this long the lease keeper gives back what waits behind a job; the process itself does it sooner, if it can."""
MESSAGE_BYTES = 4_000_000
"""Longest message of a process: a batch of 256 jobs with the longest names has some 60 kB."""
RENEW_SECONDS = 1.0
"""Leases are renewed this often, or three times a lease if that is shorter; each time the lease keeper learns which of its jobs
were asked to stop."""
HARD_LIMIT_MARGIN_SECONDS = 1.0
"""An async handler is cancelled at its hard limit; its process is killed this much later, if it did not heed that."""
log = structlog.get_logger()


class LeaseKeeper:
    def __init__(
        self,
        folder: Path,
        lanes: AsyncLanes,
        registry: Registry,
        stats: Stats,
        job_log: JobLog,
        *,
        worker: str,
        lease_seconds: float,
    ) -> None:
        self._folder, self._lanes, self._registry, self._stats = folder, lanes, registry, stats
        self._job_log, self._worker, self._lease_seconds = job_log, worker, lease_seconds
        self._children: dict[int, Child] = {}
        self._clock = RedisClock()
        self._stopping = False
        self._burying = 0

    @property
    def burying(self) -> int:
        """Processes that have ended, or were killed, and whose jobs are being given back."""
        return self._burying + sum(child.killed for child in self._children.values())

    @property
    def in_flight(self) -> int:
        """Jobs that the pool holds."""
        return sum(child.in_flight for child in self._children.values())

    @property
    def processes(self) -> int:
        return len(self._children)

    @property
    def in_turn(self) -> int:
        """Processes that are serving a turn."""
        return sum(child.in_turn for child in self._children.values())

    async def run(self) -> None:
        """Until cancelled."""
        async with (
            await asyncio.start_unix_server(self._serve, str(self._folder / SOCKET), limit=MESSAGE_BYTES),
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._renew_for_ever())
            group.create_task(self._watch_for_ever())

    async def shut_down(self, grace_seconds: float) -> None:
        """Tell all to stop; after the grace time interrupt what runs: its jobs run again elsewhere."""
        self._stopping = True
        self._tell_all({"stop": True})
        deadline = time.monotonic() + grace_seconds
        while self.in_flight and time.monotonic() < deadline:  # noqa: ASYNC110 - a shutdown may look
            await asyncio.sleep(TICK_SECONDS)
        if self.in_flight:
            log.warning("shutdown_interrupts", jobs=self.in_flight)
            self._tell_all({"interrupt": True})
            await asyncio.sleep(1)
        for child in list(self._children.values()):
            if child.held:
                outcomes = [
                    attempt.interrupted(h.lease, self._started_us(h))
                    for h in child.held.values()
                    if h.started
                ]
                self._kill(child, outcomes)

    # -- one process --------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pid = orjson.loads(await reader.readline())["hello"]
        child = Child(pid, writer, StartTokens(start_tokens_path(self._folder, pid), create=False))
        self._children[pid] = child
        if self._stopping:
            self._tell(child, {"stop": True})
        watch = _watch_death(pid)
        listening = asyncio.create_task(self._listen(child, reader))
        try:
            await asyncio.wait({listening, watch}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done() and not watch.done():
                _kill(pid)  # it closed its end and lives: it cannot say what it starts any more
                await watch
            # what it wrote before it died is still read; a copy of it may hold the socket open
            await asyncio.wait({listening}, timeout=1)
            listening.cancel()
        finally:
            del self._children[pid]
            writer.close()
        self._burying += 1
        try:
            await self._bury(child)
        finally:
            self._burying -= 1

    async def _listen(self, child: Child, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            message = orjson.loads(line)
            if "batch" in message:
                if taken := child.begin_batch(message["batch"], message["jobs"]):
                    await self._insist([Release(taken)])
            elif "tasks" in message:
                child.begin(message["tasks"], time.monotonic())
            elif "batch_over" in message:
                child.end_batch()
            elif "ended" in message:
                child.unpack()
                child.end(message["ended"])
            elif "turn" in message:
                child.in_turn = message["turn"]
            elif "stats" in message:
                self._stats.merge(message["stats"])

    async def _bury(self, child: Child) -> None:
        """A process has ended. What it held runs again: at once, for all that waits is Redis."""
        child.look(0)
        child.start_tokens.close()
        child.start_tokens.path.unlink(missing_ok=True)
        if not child.held:
            return
        log.warning("process_died", pid=child.pid, jobs=len(child.held))
        self._stats.event("process_died")
        for outcome in child.verdicts:
            child.held.pop(outcome.lease.handle, None)
        started = [held for held in child.held.values() if held.started is not None]
        waiting = [held.lease for held in child.held.values() if held.started is None]
        commands: list[Command[Any]] = [*Finish.pieces(self._worker, child.verdicts)]
        if waiting:
            commands.append(Release(waiting))
        if started:
            leases = [held.lease for held in started]
            commands.append(Start(self._worker, leases, [self._started_us(held) for held in started]))
        commands.append(Expire(0, handles=[held.lease.handle for held in started]))
        await self._insist(commands)

    # -- leases -------------------------------------------------------------------------------------------------------

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(min(RENEW_SECONDS, self._lease_seconds / 3))
            holders = [(child, held) for child in self._children.values() for held in child.held.values()]
            if holders:
                try:
                    await self._renew(holders)
                except (LaneError, RedisError) as error:
                    log.warning("redis_unavailable", error=str(error))

    async def _renew(self, holders: list[tuple[Child, Held]]) -> None:
        self._clock.set_unix(*await self._lanes.client.time())
        replies = await self._lanes.run(
            Renew(self._lease_seconds, [held.lease.handle for _, held in holders])
        )
        stopped: dict[int, list[str]] = {}
        for (child, held), reply in zip(holders, replies, strict=True):
            if reply != 1 and held.lease.handle in child.held:
                stopped.setdefault(child.pid, []).append(held.lease.handle)
                if reply == 0:
                    held.missed += 1
                    self._stats.event("lease_lost", held.missed == 2)
        for pid, handles in stopped.items():
            if pid in self._children:
                self._tell(self._children[pid], {"stop_jobs": handles})

    # -- what takes too long ------------------------------------------------------------------------------------------

    async def _watch_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for child in list(self._children.values()):
                if child.pid not in self._children or not child.look(TICK_SECONDS):
                    continue
                if child.is_stuck(STUCK_SECONDS):
                    await self._unblock(child)
                self._enforce_limits(child)

    async def _unblock(self, child: Child) -> None:
        """Its present job holds the interpreter, or its own thread would have done this: give back what waits behind."""
        commands: list[Command[Any]] = []
        if taken := child.take(child.start_tokens.take_all()):
            commands.append(Release(taken))
        if running := child.untold():
            leases = [held.lease for held in running]
            commands.append(Start(self._worker, leases, [self._started_us(held) for held in running]))
        if commands:
            await self._insist(commands)

    def _enforce_limits(self, child: Child) -> None:
        now = time.monotonic()
        over = [
            held
            for held in child.held.values()
            if held.hard_seconds
            and held.started
            and now - held.started > held.hard_seconds + self._margin(held)
        ]
        if over and not child.killed:
            outcomes = [
                attempt.failed_attempt(held.lease, spec, self._started_us(held), _time_limit(held))
                for held in over
                if (spec := self._registry.get(held.lease.type))
            ]
            self._stats.event("hard_time_limit", len(over))
            self._kill(child, outcomes)

    def _margin(self, held: Held) -> float:
        spec = self._registry.get(held.lease.type)
        return HARD_LIMIT_MARGIN_SECONDS if spec and spec.is_async else 0

    def _kill(self, child: Child, outcomes: list[Outcome]) -> None:
        """Kill a process. Once it is dead, and not before, or they could run in two processes at once, the jobs that are the
        cause end like this, and the others are charged as usual."""
        child.killed, child.verdicts = True, outcomes
        _kill(child.pid)

    # -- small things -------------------------------------------------------------------------------------------------

    def _started_us(self, held: Held) -> int:
        return self._clock.us(held.started or time.monotonic())

    async def _insist(self, commands: Sequence[Command[Any]]) -> None:
        """Send until Redis has done it, or for a lease's time: after that the leases have run out by themselves."""
        deadline = time.monotonic() + self._lease_seconds
        while True:
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
                    log.error("not_recorded", command=command.script, error=str(reply))
                else:
                    self._job_log.write(events_of(command, reply))
                    self._count(command, reply)
            if not missed or time.monotonic() > deadline:
                return
            commands = missed
            await asyncio.sleep(0.2)

    def _count(self, command: Command[Any], reply: Any) -> None:
        """Attempts that ended without their process."""
        match command:
            case Finish():
                for outcome, counts in zip(command.outcomes, reply, strict=True):
                    if counts:
                        ran = (self._clock.us(time.monotonic()) - outcome.started_us) / 1_000_000
                        self._stats.attempt(outcome, outcome.waited_seconds, ran)
            case Expire():
                for job in reply:
                    if job.state is not JobState.QUEUED:
                        self._stats.end(job.state, job.type)

    def _tell_all(self, message: dict[str, Any]) -> None:
        for child in self._children.values():
            self._tell(child, message)

    def _tell(self, child: Child, message: dict[str, Any]) -> None:
        child.writer.write(orjson.dumps(message) + b"\n")


def _time_limit(held: Held) -> bytes:
    return attempt.error_text(
        "TimeLimit", f"the time limit of {held.hard_seconds} s has run out; the process was killed"
    )


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _watch_death(pid: int) -> asyncio.Future[None]:
    """Done when the process has ended."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        ended.set_result(None)
        return ended

    def on_end() -> None:
        loop.remove_reader(fd)
        os.close(fd)
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(fd, on_end)
    return ended

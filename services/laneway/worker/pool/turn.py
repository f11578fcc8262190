"""A turn: one pool process serves jobs from the ring until nothing is left and its time is up, or its worker stops.

All of it runs in the process's event loop. Each round sends what has ended and claims what can start, in one round trip;
then it waits for whichever comes first: an end, the bell (there is work again), a retry that is due, or a stop.

When a lane may go on: a claimed job blocks its lane for other processes until Redis knows that it started or ended, so
that jobs of a lane start in order whoever runs them. Fast jobs end so soon that no start is sent; the start of any other is
sent as soon as it has started.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from laneway.handlers import Context, Registry
from laneway.lanes.commands import Claim, Command, Progress, Release, Start
from laneway.lanes.errors import ScriptFailed, StoreUnavailable
from laneway.lanes.model import Claimed, Lease
from laneway.lanes.store import AsyncLanes
from laneway.worker.clock import RedisClock
from laneway.worker.link import Link, pack
from laneway.worker.pool.batch_sizer import PATIENCE_SECONDS, BatchSizer, DurationEstimates
from laneway.worker.pool.choose import Chooser, ChosenJob
from laneway.worker.pool.fork_guard import ForkGuard
from laneway.worker.pool.messenger import REPEAT_SECONDS, Messenger
from laneway.worker.pool.plain import Batch, Ran
from laneway.worker.pool.tasks import TaskRunner
from laneway.worker.pool.wakeup import Wakeup
from laneway.worker.record import Recorder
from laneway.worker.start_tokens import MAX_RECORDS

SLOW_SECONDS = 0.05
"""A batch that has run for this long holds up nobody else: what has not started goes back, the lane of what runs goes on."""
TELL_SECONDS = 0.001
"""A job of a slow type is seen to have started after this long."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TurnOptions:
    """Times in seconds."""

    worker: str
    lease_seconds: float
    turn_seconds: float
    async_jobs: int
    most_result_bytes: int


class TurnLoop:
    """One a process; serves one turn at a time. `hand_over` gives a batch to the main thread, None when the turn is over."""

    def __init__(
        self,
        options: TurnOptions,
        lanes: AsyncLanes,
        wakeup_client: Any,
        link: Link,
        registry: Registry,
        recorder: Recorder,
        durations: DurationEstimates,
        clock: RedisClock,
        guard: ForkGuard,
        hand_over: Callable[[Batch | None], None],
    ) -> None:
        self._options, self._link, self._hand_over = options, link, hand_over
        self._messenger = Messenger(options.worker, lanes, recorder)
        self._recorder, self._durations, self._clock = recorder, durations, clock
        self._wake = asyncio.Event()
        self._batch_sizer = BatchSizer(MAX_RECORDS)
        self._chooser = Chooser(registry, durations, options.async_jobs, self._context)
        self._tasks = TaskRunner(clock.us, options.most_result_bytes, guard, self._wake.set)
        self._wakeup = Wakeup(wakeup_client, lanes.keys.wakeups, lambda: self._room() > 0)
        self._batch: Batch | None = None
        self._generation = 0
        self._unsent: list[Ran] = []
        self._ended: list[str] = []
        """Leases among the unsent that the lease keeper is to be told of one by one, for they are not all of a batch."""
        self._over: Batch | None = None
        """The batch that has ended and whose last jobs are among the unsent."""
        self.stopping = False

    # -- what others say ----------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something has ended."""
        self._wake.set()

    def shut_down(self) -> None:
        """Claim nothing more, give back what has not started; the turn is over when what runs has ended."""
        self.stopping = True
        log.info("process_stops", pid=os.getpid(), tasks=len(self._tasks), batch=self._batch is not None)
        if self._batch is not None:
            self._give_back(self._batch)
        self._wake.set()

    def interrupt(self) -> None:
        """The time to shut down has run out: tasks are cancelled (the lease keeper ends what runs in the main thread)."""
        self._tasks.interrupt()

    def stop_job(self, handle: str) -> None:
        """The job of this lease was asked to stop, or is another's: its handler need not go on."""
        batch = self._batch
        if not self._tasks.stop(handle) and batch is not None:
            for job in batch.jobs:
                if job.lease.handle == handle and job.context is not None:
                    job.context.stop()

    # -- one turn -----------------------------------------------------------------------------------------------------

    async def serve(self) -> None:
        over_at = time.monotonic() + self._options.turn_seconds
        pause_seconds = 0.05
        self._link.turn(begins=True)
        try:
            while not self._is_over(over_at):
                try:
                    await self._round(over_at)
                    pause_seconds = 0.05
                except (StoreUnavailable, ScriptFailed) as error:
                    if isinstance(error, ScriptFailed):
                        log.exception("script_failed")
                    else:
                        log.warning("redis_unavailable", error=str(error))
                    await asyncio.sleep(pause_seconds)
                    pause_seconds = min(1.0, pause_seconds * 2)
        finally:
            self._link.turn(begins=False)
            self._hand_over(None)

    def _is_over(self, over_at: float) -> bool:
        idle = self._batch is None and not self._tasks and not self._tasks.ran and not self._unsent
        return idle and (self.stopping or time.monotonic() > over_at)

    async def _round(self, over_at: float) -> None:
        self._wake.clear()
        ran, room = self._collect(), self._room()
        if not (ran or room):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._chooser.quiet_seconds())
            return
        self._unsent = ran
        claim = Claim(room, self._options.lease_seconds) if room else None
        asked = time.monotonic()
        counted, claimed = await self._messenger.exchange(ran, claim)
        self._unsent = []
        if ran:
            self._tell_lease_keeper()
            self._recorder.ended(ran, counted)
        if claimed is not None:
            self._clock.set(claimed.now_us)
            if claimed.leases:
                await self._start(claimed, room, asked)
            elif not ran:
                await self._stand_by(claimed.next_retry_seconds, over_at)

    def _collect(self) -> list[Ran]:
        """What has ended and is not recorded yet."""
        ran, self._unsent = self._unsent, []
        new = self._tasks.ran[:]
        self._tasks.ran.clear()
        batch = self._batch
        if batch is not None:
            is_over = batch.over  # looked at first: nothing is added after it is set
            of_batch = ran if is_over else new
            while batch.ran:
                of_batch.append(batch.ran.popleft())
            if is_over:
                self._batch, self._over = None, batch
                if batch.late:
                    self._messenger.send_soon([Release(batch.late)])
        self._ended += [one.outcome.lease.handle for one in new]
        return ran + new

    def _tell_lease_keeper(self) -> None:
        """What was sent is recorded: its leases need no lease keeper any more."""
        if self._over is not None:
            self._link.batch_over(self._over.generation)
            self._over = None
        if self._ended:
            self._link.ended(self._ended)
            self._ended = []

    def _room(self) -> int:
        """How many jobs to claim now."""
        tasks = len(self._tasks)
        if self.stopping or self._batch is not None or tasks >= self._options.async_jobs:
            return 0
        return 0 if self._chooser.wants_quiet(tasks) else self._batch_sizer.next()

    async def _stand_by(self, retry_seconds: float | None, over_at: float) -> None:
        self._recorder.send_stats()
        timeout = 5.0 if retry_seconds is None else min(5.0, retry_seconds + 0.001)
        left = over_at - time.monotonic()
        if left > 0:  # else what runs makes the turn longer, and its end is heard
            timeout = min(timeout, left)
        await self._wakeup.wait(self._wake, max(0.01, timeout))

    # -- starting what was claimed ------------------------------------------------------------------------------------

    async def _start(self, claimed: Claimed, room: int, since: float) -> None:
        """`since`: the leases run at least from then."""
        late = time.monotonic() - since > self._options.lease_seconds
        if (
            late or self.stopping
        ):  # the whole worker stood still, or was stopped, while the claim was under way
            await self._messenger.send([Release(claimed.leases)])
            return
        choice = self._chooser.choose(claimed.leases, len(self._tasks))
        given = len(claimed.leases)
        self._batch_sizer.learn(room, given, given - len(choice.back), choice.planned_seconds)
        commands: list[Command[Any]] = []
        if choice.back:
            self._recorder.count("given_back", len(choice.back))
            commands.append(Release(choice.back))
        if choice.tasks:
            self._link.tasks(pack(job.lease, job.spec) for job in choice.tasks)
            if suspects := [job.lease for job in choice.tasks if job.lease.suspect]:
                await self._send_starts(suspects, time.monotonic(), charge_first=True)
            started = await self._tasks.start(choice.tasks)
            if started:
                await self._send_starts(started, time.monotonic(), *commands)
                commands = []
        if choice.alone:
            await self._send_starts([choice.plain[0].lease], time.monotonic(), *commands, charge_first=True)
            commands = []
        if choice.plain:
            slow = self._durations.of(choice.plain[0].spec.type) > PATIENCE_SECONDS
            self._run_plain(choice.plain, since, tell=slow or choice.alone)
        if commands:
            await self._messenger.send(commands)

    def _run_plain(self, jobs: list[ChosenJob], since: float, *, tell: bool) -> None:
        """Give a batch to the main thread. `tell`: send the start of its first job at once."""
        self._generation = (self._generation + 1) % 256
        loop = asyncio.get_running_loop()
        batch = self._batch = Batch(self._generation, jobs, since)
        self._link.batch(batch.generation, (pack(job.lease, job.spec) for job in jobs))
        self._link.start_tokens.fill(batch.generation, len(jobs))
        self._hand_over(batch)
        if tell:
            loop.call_later(TELL_SECONDS, self._tell, batch)
        loop.call_later(SLOW_SECONDS, self._look_after, batch)

    def _tell(self, batch: Batch) -> None:
        """Send the first start. It is looked for from here: a call out of the main thread would let go of the interpreter just
        before the handler begins, and then the next job of the lane could begin in another process before it."""
        if batch is not self._batch or batch.over or batch.told >= 0:
            return
        if batch.current >= 0:
            self._lane_goes_on(batch)
        else:
            asyncio.get_running_loop().call_later(TELL_SECONDS, self._tell, batch)

    def _look_after(self, batch: Batch) -> None:
        """As long as a batch runs, which is longer than was planned: what waits in it goes back, what has ended is sent."""
        if batch is not self._batch or batch.over:
            return
        self._give_back(batch)
        self._lane_goes_on(batch)
        if batch.ran:
            self._wake.set()
        asyncio.get_running_loop().call_later(SLOW_SECONDS, self._look_after, batch)

    def _give_back(self, batch: Batch) -> None:
        """What of the batch has not started goes back to its lanes."""
        leases = [batch.jobs[index].lease for _, index in self._link.start_tokens.take_all()]
        if leases:
            self._recorder.count("given_back", len(leases))
            self._link.ended([lease.handle for lease in leases])
            self._messenger.send_soon([Release(leases)])

    def _lane_goes_on(self, batch: Batch) -> None:
        """Send the start of the job that the main thread runs, once."""
        current = batch.current
        if 0 <= current != batch.told and batch is self._batch:
            batch.told = current
            self._messenger.spawn(self._send_starts([batch.jobs[current].lease], batch.current_started))

    async def _send_starts(
        self, leases: Sequence[Lease], started: float, *others: Command[Any], charge_first: bool = False
    ) -> None:
        times_us = [self._clock.us(started)] * len(leases)
        self._recorder.started(leases)  # not after the answer: the end may have been logged by then
        replies = await self._messenger.send(
            [Start(self._options.worker, leases, times_us, charge_first), *others]
        )
        if not replies:
            self._messenger.spawn(self._repeat_starts(leases, started))
            return
        for lease, reply in zip(leases, replies[0], strict=True):
            if reply == 2:
                self.stop_job(lease.handle)

    async def _repeat_starts(self, leases: Sequence[Lease], started: float) -> None:
        """Redis was away: until it knows of a start, nothing else of that lane runs, and the job may run for hours."""
        await asyncio.sleep(REPEAT_SECONDS)
        if running := [lease for lease in leases if self._runs(lease)]:
            await self._send_starts(running, started)

    def _runs(self, lease: Lease) -> bool:
        batch = self._batch
        in_main_thread = batch is not None and batch.current >= 0 and batch.jobs[batch.current].lease is lease
        return in_main_thread or lease.handle in self._tasks

    # -- progress -----------------------------------------------------------------------------------------------------

    def _context(self, lease: Lease) -> Context:
        """What the handler of this job is handed."""
        loop = asyncio.get_running_loop()

        def report(percent: float, note: str) -> None:
            loop.call_soon_threadsafe(self._messenger.report, Progress(lease, percent, note))

        return Context(lease.job_id, lease.user, lease.attempt, report)

"""What the lease keeper knows of one pool process: which jobs it holds, and which of them have started.

No input or output here, except that the start tokens are looked at and taken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from laneway.lanes.model import Lease, Outcome
from laneway.worker import protocol
from laneway.worker.protocol import BatchPlanned, FromLeaseKeeper, HeldJob
from laneway.worker.start_tokens import RunningMark, StartTokens


@dataclass(slots=True)
class Held:
    """A job in the hands of a process."""

    lease: Lease
    hard_seconds: float | None
    started: float | None
    """Monotonic time at which the lease keeper saw it started; None while its start token is in the pipe."""
    start_sent: bool = False
    """The lease keeper itself has sent the start to Redis."""
    missing: int = 0
    """How often its lease was not found. Once may mean that the job has just ended."""


@dataclass(slots=True)
class WatchedProcess:
    """A pool process. Its batch is decoded into single jobs only if it lasts or somebody asks for them: see `expand`."""

    pid: int
    writer: asyncio.StreamWriter
    start_tokens: StartTokens
    running_mark: RunningMark
    held: dict[str, Held] = field(default_factory=dict)
    """By lease: a job may be held twice, under a lease that was lost and under a new one."""
    in_turn: bool = False
    is_killed: bool = False
    verdicts: list[Outcome] = field(default_factory=list)
    """Outcomes, valid once the process is dead, of the jobs for which the lease keeper kills it."""
    _planned: BatchPlanned | None = None
    """The present batch as it was announced; None once `expand` has decoded it."""
    _batch: list[HeldJob] = field(default_factory=list)
    """The jobs of the present batch once it is expanded."""
    _generation: int = -1
    _planned_at: float = 0
    _tokens_left: int = 0
    _progressed_at: float = 0
    """When a start token was last seen to be taken."""
    _early_tokens: list[tuple[int, int]] = field(default_factory=list)
    """Tokens that were taken before the message about their batch arrived."""
    _returning: list[HeldJob] = field(default_factory=list)
    _return_planned_at: float = 0

    @property
    def in_flight(self) -> int:
        """How many jobs the process holds. May be called in any thread, as the monitor does."""
        planned = self._planned  # read once: the event loop may replace it meanwhile
        return len(self.held) + (planned.count if planned else 0) + len(self._returning)

    def send(self, message: FromLeaseKeeper) -> None:
        """Send a message to the process, without waiting."""
        self.writer.write(protocol.encode(message))

    def plan_batch(self, planned: BatchPlanned) -> list[Lease]:
        """Take note of a batch. Returns jobs of it to give back, because their start tokens have already been taken."""
        self._generation, self._planned, self._batch = planned.generation, planned, []
        self._tokens_left, self._planned_at = planned.count, time.monotonic()
        self._progressed_at = self._planned_at
        early, self._early_tokens = self._early_tokens, []
        return self.remove_unstarted(early) if early else []

    def end_batch(self) -> None:
        """Forget the batch: all its ends are recorded."""
        self.remove([job.handle for job in self._batch])
        self._planned, self._batch, self._tokens_left = None, [], 0

    def plan_return(self, jobs: list[HeldJob]) -> None:
        """Record the jobs that the process is about to give back."""
        self._returning, self._return_planned_at = jobs, time.monotonic()

    def end_return(self) -> None:
        """Forget the jobs that the process gave back."""
        self._returning = []

    def take_overdue_return(self, seconds: float) -> list[Lease]:
        """Forget the jobs whose return has taken longer than this, and return their leases."""
        if not self._returning or time.monotonic() - self._return_planned_at <= seconds:
            return []
        overdue, self._returning = self._returning, []
        return [job.lease() for job in overdue]

    def add(self, jobs: Sequence[HeldJob], started: float | None) -> None:
        """Take note of jobs that the process holds."""
        for job in jobs:
            self.held[job.handle] = Held(job.lease(), job.hard_seconds, started)

    def remove(self, handles: Sequence[str]) -> None:
        """Forget leases that the process no longer holds."""
        for handle in handles:
            self.held.pop(handle, None)

    def expand(self) -> None:
        """Look after each job of the batch by itself from now on."""
        if self._planned:
            self._batch = self._planned.jobs()
            self.add(self._batch, None)
            self._planned = None  # last: for another thread the process must not hold nothing in between

    def refresh(self, min_age_seconds: float) -> bool:
        """Learn which jobs have started. False if the batch is younger than `min_age_seconds`, which is not worth a look."""
        if self._planned and time.monotonic() - self._planned_at < min_age_seconds:
            return False
        self.expand()
        left, now = self.start_tokens.left(), time.monotonic()
        if left > len(self._batch):
            return True  # tokens of a batch whose message has not been read yet
        if left != self._tokens_left:
            self._tokens_left, self._progressed_at = left, now
        for job in self._batch[: len(self._batch) - left]:
            held = self.held.get(job.handle)
            if held is not None and held.started is None:
                held.started = now
        return True

    def is_stuck(self, seconds: float) -> bool:
        """Whether a job of the batch has run for `seconds`, and others wait for it: in the batch, or in its lane for its start."""
        if time.monotonic() - self._progressed_at <= seconds:
            return False
        return self._tokens_left > 0 or bool(self._unsent_starts())

    def remove_unstarted(self, tokens: Sequence[tuple[int, int]]) -> list[Lease]:
        """Forget the jobs of these start tokens, which the lease keeper has taken, and return their leases."""
        self.expand()
        self._tokens_left = 0
        self._early_tokens += [token for token in tokens if token[0] != self._generation]
        handles = [
            self._batch[index].handle for generation, index in tokens if generation == self._generation
        ]
        return [held.lease for held in (self.held.pop(handle, None) for handle in handles) if held]

    def split_at_death(self) -> tuple[list[Held], list[Held], list[Held]]:
        """Return the jobs that ran when the process died, those that it had begun otherwise, and those it had not started.

        Of a batch, only the marked job ran. Others whose tokens are gone have ended, or were about to be given back.
        """
        self.refresh(0)
        self.add(self._returning, None)
        mark = self.running_mark.read()
        of_batch = {job.handle for job in self._batch}
        marked = self._batch[mark[1]].handle if mark and mark[0] == self._generation and self._batch else None
        running, begun, waiting = [], [], []
        for handle, held in self.held.items():
            if held.started is None:
                waiting.append(held)
            elif handle in of_batch and handle != marked:
                begun.append(held)
            else:
                running.append(held)
        return running, begun, waiting

    def close(self) -> None:
        """Remove what the process leaves behind."""
        for shared in (self.start_tokens, self.running_mark):
            shared.close()
            shared.path.unlink(missing_ok=True)

    def take_unsent_starts(self) -> list[Held]:
        """Return the started jobs of the batch whose start the lease keeper has not sent. It must send them now.

        The newest one is among them only if its handler has begun. Until then the next job of its lane must not start
        elsewhere, even if the process stands still just before.
        """
        found = self._unsent_starts()
        if found and not self._has_begun(found[-1]):
            found.pop()
        for held in found:
            held.start_sent = True
        return found

    def _has_begun(self, held: Held) -> bool:
        index = [job.handle for job in self._batch].index(held.lease.handle)
        return self.running_mark.has_begun(self._generation, index)

    def _unsent_starts(self) -> list[Held]:
        return [
            held
            for job in self._batch
            if (held := self.held.get(job.handle)) and held.started and not held.start_sent
        ]

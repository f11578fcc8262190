"""What the lease keeper knows of one pool process: which jobs it holds, and which of them have started. No input or output but
a look into the start_tokens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from laneway.lanes.model import Lease, Outcome
from laneway.worker.link import handle
from laneway.worker.start_tokens import StartTokens


@dataclass(slots=True)
class Held:
    """A job in a process's hands. `started`: by the lease keeper's monotonic clock, None while its record is in the start_tokens."""

    lease: Lease
    hard_seconds: float | None
    started: float | None
    told: bool = False
    """The lease keeper has sent its start itself."""
    missed: int = 0
    """How often its lease was found to be gone: once may mean that it has just ended."""


@dataclass(slots=True)
class Child:
    """A pool process. Jobs come as `link.pack` made them; most batches are over before anybody asks what is in them, so they
    are unpacked only when they last."""

    pid: int
    writer: asyncio.StreamWriter
    start_tokens: StartTokens
    held: dict[str, Held] = field(default_factory=dict)
    """By lease: a job may be held twice, under a lease that was lost and under a new one."""
    in_turn: bool = False
    killed: bool = False
    verdicts: list[Outcome] = field(default_factory=list)
    """How those of its jobs end for which it is killed, once it is dead."""
    _batch: list[list[Any]] = field(default_factory=list)
    _generation: int = -1
    _since: float = 0
    _unpacked: bool = True
    _left: int = 0
    _stuck_since: float = 0
    _early: list[tuple[int, int]] = field(default_factory=list)
    """Records that were taken before the message about their batch had been read."""

    @property
    def in_flight(self) -> int:
        return len(self.held) + (0 if self._unpacked else len(self._batch))

    def begin_batch(self, generation: int, jobs: list[list[Any]]) -> list[Lease]:
        """A batch is about to be put into the start_tokens. Jobs of it to give back, because their records were taken already."""
        self._generation, self._batch, self._unpacked = generation, jobs, False
        self._left, self._since = len(jobs), time.monotonic()
        self._stuck_since = self._since
        early, self._early = self._early, []
        return self.take(early) if early else []

    def end_batch(self) -> None:
        if self._unpacked:
            self.end([handle(job) for job in self._batch])
        self._batch, self._unpacked, self._left = [], True, 0

    def begin(self, jobs: Sequence[list[Any]], started: float | None) -> None:
        for token, user, job_id, type_, attempt, most, hard_seconds in jobs:
            lease = Lease(token, user, job_id, type_, b"", attempt, most, suspect=False)
            self.held[lease.handle] = Held(lease, hard_seconds, started)

    def end(self, handles: Sequence[str]) -> None:
        for lease in handles:
            self.held.pop(lease, None)

    def unpack(self) -> None:
        """Look after each job of the batch by itself from now on."""
        if not self._unpacked:
            self._unpacked = True
            self.begin(self._batch, None)

    def look(self, patience_seconds: float) -> bool:
        """Learn what has started. False if the batch is younger than `patience_seconds`, and not worth a look."""
        if not self._unpacked and time.monotonic() - self._since < patience_seconds:
            return False
        self.unpack()
        left, now = self.start_tokens.left(), time.monotonic()
        if left > len(self._batch):
            return True  # records of a batch whose message has not been read yet
        if left != self._left:
            self._left, self._stuck_since = left, now
        for job in self._batch[: len(self._batch) - left]:
            held = self.held.get(handle(job))
            if held is not None and held.started is None:
                held.started = now
        return True

    def is_stuck(self, seconds: float) -> bool:
        """Whether jobs wait in the baton and none has been started for so long."""
        return self._left > 0 and time.monotonic() - self._stuck_since > seconds

    def take(self, records: Sequence[tuple[int, int]]) -> list[Lease]:
        """The jobs of these records of the baton are not the process's any more."""
        self.unpack()
        self._left = 0
        self._early += [record for record in records if record[0] != self._generation]
        taken = [
            handle(self._batch[index]) for generation, index in records if generation == self._generation
        ]
        return [held.lease for held in (self.held.pop(lease, None) for lease in taken) if held]

    def untold(self) -> list[Held]:
        """Jobs of the batch that have started and whose start the lease keeper has not sent; it is asked to send it now."""
        found = [
            held
            for job in self._batch
            if (held := self.held.get(handle(job))) and held.started and not held.told
        ]
        for held in found:
            held.told = True
        return found

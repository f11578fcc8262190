"""What keeps the lanes going when processes and workers die: their jobs come back, and turn messages are replaced."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from laneway.lanes.commands.base import Arg, Command
from laneway.lanes.model import JobState, Lease, LostJob, TypeLimit


@dataclass(frozen=True, slots=True)
class Lose(Command[list[LostJob]]):
    """Take back the jobs that ran in a process that died, and make them suspects. Without jobs it only wakes workers.

    If there is one job, it ran alone and has lost its process. At `max_losses` in a row it has failed with `WorkerLost`.
    """

    script: ClassVar[str] = "lose"
    worker: str
    leases: Sequence[Lease]
    started_us: Sequence[int]
    max_losses: int = 3

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `lose.lua`."""
        yield self.worker
        yield self.max_losses
        yield _worker_lost(f"the job ran alone in {self.max_losses} processes in a row that died")
        for lease, started_us in zip(self.leases, self.started_us, strict=True):
            yield lease.handle
            yield lease.attempt
            yield started_us

    def parse(self, reply: Any) -> list[LostJob]:
        """Read the reply of `lose.lua`."""
        return _parse_lost(reply)


@dataclass(frozen=True, slots=True)
class WorkerLossLimits:
    """What becomes of a job whose whole worker is lost, several times in a row."""

    max_losses: int = 20
    """At this many in a row the job has failed."""
    backoff_seconds: float = 1
    """How long the job waits after the second one; doubled for each further one."""
    backoff_max_seconds: float = 300


WORKER_LOSS_LIMITS = WorkerLossLimits()


@dataclass(frozen=True, slots=True)
class Expire(Command[list[LostJob]]):
    """Take back jobs whose lease has run out, make due retries startable, and replace missing turn messages."""

    script: ClassVar[str] = "expire"
    limit: int = 500
    """Maximum of leases that have run out."""
    outage_seconds: float = 0
    """A gap this long between two expires means that Redis was away: then live holders get time to renew before their leases
    expire. 0: every lease that has run out expires."""
    losses: WorkerLossLimits = WORKER_LOSS_LIMITS

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `expire.lua`."""
        yield self.limit
        yield int(self.outage_seconds * 1000)
        yield self.losses.max_losses
        yield _worker_lost(f"{self.losses.max_losses} workers in a row were lost while they held the job")
        yield int(self.losses.backoff_seconds * 1000)
        yield int(self.losses.backoff_max_seconds * 1000)

    def parse(self, reply: Any) -> list[LostJob]:
        """Read the reply of `expire.lua`."""
        return _parse_lost(reply)


@dataclass(frozen=True, slots=True)
class Turns(Command[int]):
    """Store the turn message (empty: keep the stored one) and have at least `wanted` of them wait. Return how many were missing."""

    script: ClassVar[str] = "turns"
    message: bytes
    wanted: int

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `turns.lua`."""
        return self.message, self.wanted

    def parse(self, reply: Any) -> int:
        """Read the reply of `turns.lua`."""
        return int(reply)


@dataclass(frozen=True, slots=True)
class Reassert(Command[list[str]]):
    """Restore the turn message and the default number of slots if Redis has lost them. Return the keys that were restored.

    `wanted`: how many turns shall wait at least when the message was lost. `types`: all types that the worker knows.
    """

    script: ClassVar[str] = "reassert"
    message: bytes
    slots: int
    wanted: int
    types: Sequence[TypeLimit] = ()

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `reassert.lua`."""
        yield from (self.message, self.slots, self.wanted)
        for type_, running, starts, period_seconds in self.types:
            yield f"{running} {starts} {int(period_seconds * 1000)} {type_}"

    def parse(self, reply: Any) -> list[str]:
        """Return the names of the restored keys."""
        return [name.decode() for name in reply]


def _worker_lost(message: str) -> bytes:
    return json.dumps({"type": "WorkerLost", "message": message}).encode()


def _parse_lost(reply: Any) -> list[LostJob]:
    return [
        LostJob(
            user.decode(),
            job_id.decode(),
            JobState.QUEUED if result == b"returned" else JobState(result.decode()),
            int(attempts),
            type_.decode(),
        )
        for user, job_id, result, attempts, type_ in reply
    ]

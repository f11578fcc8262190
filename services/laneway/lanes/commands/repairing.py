"""What keeps the lanes going when processes die: leases expire, and turn messages are replaced."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from laneway.lanes.commands.base import Arg, Command
from laneway.lanes.model import Expired, JobState


@dataclass(frozen=True, slots=True)
class Expire(Command[list[Expired]]):
    """Take back jobs whose lease has run out, make due retries startable, and replace missing turn messages."""

    script: ClassVar[str] = "expire"
    limit: int = 500
    """Maximum of leases that have run out."""
    error: bytes = b'{"type":"WorkerLost","message":"the worker process died or lost its lease"}'
    """The error of failed attempts, as JSON text."""
    outage_seconds: float = 0
    """A gap this long between two expires means that Redis was away: then live holders get time to renew before their leases
    expire. 0: every lease that has run out expires."""
    handles: Sequence[str] = ()
    """Leases of processes that are known to be dead: they expire whether they have run out or not."""

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `expire.lua`."""
        return self.limit, self.error, int(self.outage_seconds * 1000), *self.handles

    def parse(self, reply: Any) -> list[Expired]:
        """Read the reply of `expire.lua`."""
        return [
            Expired(
                user.decode(),
                job_id.decode(),
                JobState.QUEUED if result == b"returned" else JobState(result.decode()),
                int(attempts),
                type_.decode(),
            )
            for user, job_id, result, attempts, type_ in reply
        ]


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

    `wanted`: how many turns shall wait at least when the message was lost.
    """

    script: ClassVar[str] = "reassert"
    message: bytes
    slots: int
    wanted: int

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `reassert.lua`."""
        return self.message, self.slots, self.wanted

    def parse(self, reply: Any) -> list[str]:
        """Return the names of the restored keys."""
        return [name.decode() for name in reply]

"""Permits of limited types: a worker asks for them before it starts a job, and whoever ends jobs calls those that wait."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from laneway.lanes.commands.base import Arg, Command
from laneway.lanes.model import Lease, TypeLimit

GRANTED = 1
"""Reply of `Permit` for a job that may start. Every other job has gone back, or its lease is another's."""


class Asking(NamedTuple):
    """A claimed job of a limited type, and the limits of its type."""

    lease: Lease
    limit: TypeLimit


@dataclass(frozen=True, slots=True)
class Permit(Command[list[int]]):
    """Ask for a permit for each of these jobs, in order. Reply for each: GRANTED; 3 it waits in its lane; CANCELLED; 0 stale.

    A permit holds as long as the lease. Jobs that get none have gone back: only those with GRANTED may start.
    """

    script: ClassVar[str] = "permit"
    jobs: Sequence[Asking]

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `permit.lua`."""
        for lease, limit in self.jobs:
            yield from (lease.handle, lease.user, lease.type)
            yield from (limit.max_running, limit.max_starts, int(limit.period_seconds * 1000))

    def parse(self, reply: Any) -> list[int]:
        """Read the reply of `permit.lua`."""
        return list(reply)


@dataclass(frozen=True, slots=True)
class CallWaiters(Command[int]):
    """Let as many jobs ask again as there are permits, of some types or of all limited ones. Return how many may start now."""

    script: ClassVar[str] = "call_waiters"
    types: Sequence[str] = ()

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `call_waiters.lua`."""
        return self.types

    def parse(self, reply: Any) -> int:
        """Read the reply of `call_waiters.lua`."""
        return int(reply)

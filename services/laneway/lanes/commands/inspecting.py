"""Commands that read jobs and lanes and write nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from laneway.lanes.codec import decode_held_job, decode_job
from laneway.lanes.commands.base import Arg, Command
from laneway.lanes.model import (
    HeldJob,
    Job,
    LaneLine,
    LaneView,
    Occupant,
    PermitWait,
    Ring,
    RingLane,
    TypeLimit,
    TypeUse,
    Wait,
    seq_of,
)


@dataclass(frozen=True, slots=True)
class InspectJob(Command[Job | None]):
    """Read one of the user's jobs. None if Redis does not have it or it is another user's."""

    script: ClassVar[str] = "inspect_job"
    user: str
    job_id: str

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `inspect_job.lua`."""
        return self.user, self.job_id

    def parse(self, reply: Any) -> Job | None:
        """Read the reply of `inspect_job.lua`."""
        if not reply:
            return None
        position, spec, ended, fields, delayed = reply
        return decode_job(self.job_id, spec, ended, fields, position or None, is_delayed=delayed == 1)


@dataclass(frozen=True, slots=True)
class InspectJobs(Command[list[Job]]):
    """Read the user's jobs that MongoDB does not have yet, newest first, whose `enqueued_us` is before `bound_us`.

    Or oldest first, after `bound_us`.
    """

    script: ClassVar[str] = "inspect_jobs"
    user: str
    bound_us: int
    limit: int
    oldest_first: bool = False

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `inspect_jobs.lua`."""
        return self.user, self.bound_us, self.limit, "oldest" if self.oldest_first else "newest"

    def parse(self, reply: Any) -> list[Job]:
        """Read the reply of `inspect_jobs.lua`."""
        return [
            decode_job(job_id.decode(), spec, ended, fields, is_delayed=delayed == 1)
            for job_id, spec, ended, fields, delayed in reply
        ]


@dataclass(frozen=True, slots=True)
class InspectLane(Command[LaneView]):
    """Read the state of one user's lane. All zero when it is empty."""

    script: ClassVar[str] = "inspect_lane"
    user: str

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `inspect_lane.lua`."""
        return (self.user,)

    def parse(self, reply: Any) -> LaneView:
        """Read the reply of `inspect_lane.lua`."""
        queued, running, _size, slots, paused, oldest, delayed = reply
        return LaneView(queued, running, slots, paused == 1, int(oldest, 16) if oldest else None, delayed)


@dataclass(frozen=True, slots=True)
class InspectWait(Command[Wait | None]):
    """Read what one of the user's jobs waits for. None if the lane does not hold it."""

    script: ClassVar[str] = "inspect_wait"
    user: str
    job_id: str

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `inspect_wait.lua`."""
        return self.user, self.job_id

    def parse(self, reply: Any) -> Wait | None:
        """Read the reply of `inspect_wait.lua`."""
        if not reply:
            return None
        in_front, slots, paused, ring_place, ring_lanes, ring_wait_us, in_flight, permit, *occupants = reply
        return Wait(
            in_front,
            slots,
            paused == 1,
            ring_place,
            ring_lanes,
            ring_wait_us / 1_000_000,
            in_flight,
            PermitWait(permit[0], _type_use(permit[1:])) if permit else None,
            tuple(
                Occupant(job_id.decode(), claimed == 1, due_ms * 1000 if due_ms >= 0 else None)
                for job_id, claimed, due_ms in occupants
            ),
        )


@dataclass(frozen=True, slots=True)
class InspectLanes(Command[list[LaneLine]]):
    """Read a page of all lanes in order of user names, after `after`. `with_oldest` costs a quarter more.

    With a `prefix` only lanes of users whose names begin with it; `after` must be one of them.
    """

    script: ClassVar[str] = "inspect_lanes"
    after: str = ""
    limit: int = 500
    with_oldest: bool = False
    prefix: str = ""

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `inspect_lanes.lua`."""
        return self.after, self.limit, int(self.with_oldest), self.prefix

    def parse(self, reply: Any) -> list[LaneLine]:
        """Read the reply of `inspect_lanes.lua`."""
        return [
            LaneLine(
                user.decode(), jobs, taken, slots, seq_of(oldest.decode()) if oldest else None, blocked == 1
            )
            for user, jobs, taken, slots, oldest, blocked in reply
        ]


@dataclass(frozen=True, slots=True)
class InspectRing(Command[Ring]):
    """Read the first lanes of the ring, in the order in which they take turns."""

    script: ClassVar[str] = "inspect_ring"
    limit: int = 100

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `inspect_ring.lua`."""
        return (self.limit,)

    def parse(self, reply: Any) -> Ring:
        """Read the reply of `inspect_ring.lua`."""
        length, now_us, *lanes = reply
        return Ring(length, now_us, tuple(RingLane(user.decode(), *figures) for user, *figures in lanes))


@dataclass(frozen=True, slots=True)
class InspectTypes(Command[list[TypeUse]]):
    """Read the limited types."""

    script: ClassVar[str] = "inspect_types"

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `inspect_types.lua`."""
        return ()

    def parse(self, reply: Any) -> list[TypeUse]:
        """Read the reply of `inspect_types.lua`."""
        return [_type_use(line) for line in reply]


@dataclass(frozen=True, slots=True)
class InspectLeases(Command[list[HeldJob]]):
    """Read a page of the jobs that workers hold, after the first `skip` of them.

    A lease that is renewed between two pages may be in both or in none.
    """

    script: ClassVar[str] = "inspect_leases"
    skip: int = 0
    limit: int = 200

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `inspect_leases.lua`."""
        return self.skip, self.limit

    def parse(self, reply: Any) -> list[HeldJob]:
        """Read the reply of `inspect_leases.lua`."""
        return [
            decode_held_job(job_id.decode(), user, type_, fields) for job_id, user, type_, fields in reply
        ]


def _type_use(line: Sequence[Any]) -> TypeUse:
    type_, running, waiting, most, starts, period_us = line
    return TypeUse(TypeLimit(type_.decode(), most, starts, period_us / 1_000_000), running, waiting)

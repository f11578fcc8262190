"""The command that finds jobs by a filter, for what is done to many of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from laneway.lanes.commands.base import Arg, Command
from laneway.lanes.model import JobState


class LiveJob(NamedTuple):
    """A job that has not ended."""

    user: str
    job_id: str
    state: JobState


class Piece(NamedTuple):
    """Jobs that were found. `next` is `before` of the next piece; '' after the last."""

    jobs: list[LiveJob]
    next: str


@dataclass(frozen=True, slots=True)
class InspectSelection(Command[Piece]):
    """Find jobs of the user's lane, or delayed ones, that match; without a user the delayed ones of everybody.

    Waiting jobs come first, the newest of them before the others, then those that run. `from_us` and `before_us` limit
    `Job.enqueued_us`; `until_us` limits the acceptance.
    """

    script: ClassVar[str] = "inspect_selection"
    where: Literal["lane", "delayed"]
    user: str
    until_us: int
    from_us: int
    before_us: int
    states: Collection[JobState]
    type: str = ""
    before: str = "+inf"
    limit: int = 200
    """The largest number of jobs to look at."""

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `inspect_selection.lua`."""
        yield self.where
        yield self.user
        yield self.before
        yield self.limit
        yield self.until_us
        yield self.from_us
        yield self.before_us
        yield self.type
        yield "".join(f",{state.value}," for state in self.states)

    def parse(self, reply: Any) -> Piece:
        """Read the reply of `inspect_selection.lua`."""
        jobs = [
            LiveJob(user.decode(), job_id.decode(), JobState(state.decode()))
            for user, job_id, state in reply[1:]
        ]
        return Piece(jobs, reply[0].decode())

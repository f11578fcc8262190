"""How ended jobs get from the outbox to MongoDB: one janitor at a time reads them and, once they are stored, forgets them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from laneway.lanes.codec import decode_ended_job
from laneway.lanes.commands.base import Arg, Command
from laneway.lanes.model import Job


@dataclass(frozen=True, slots=True)
class Outbox(Command[list[Job]]):
    """Read the oldest ended jobs that MongoDB does not have yet, after the first `behind` of them.

    At most `limit` jobs, and fewer if they have more than `max_bytes` (up to 16 jobs may exceed that). A job of which it is
    lost how it ended has failed, with the reason `lost`.
    """

    script: ClassVar[str] = "outbox"
    limit: int
    behind: int = 0
    max_bytes: int = 4_000_000

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `outbox.lua`."""
        return self.limit, self.behind, self.max_bytes

    def parse(self, reply: Any) -> list[Job]:
        """Read the reply of `outbox.lua`."""
        return [
            decode_ended_job(job_id.decode(), spec, ended)
            for job_id, spec, ended in zip(*reply, strict=True)
            if spec is not None or ended is not None  # else another janitor has archived it
        ]


@dataclass(frozen=True, slots=True)
class Archived(Command[int]):
    """Forget ended jobs that MongoDB has now, with their unique keys. Return how many were forgotten."""

    script: ClassVar[str] = "archived"
    job_ids: Sequence[str]
    unique_keys: Mapping[str, str] = field(default_factory=dict)
    """`<user>:<unique key>` of the jobs that have one, by their ids."""

    @classmethod
    def of(cls, jobs: Sequence[Job]) -> Self:
        """Return the command that forgets these jobs."""
        keys = {job.job_id: f"{job.user}:{job.unique_key}" for job in jobs if job.unique_key}
        return cls([job.job_id for job in jobs], keys)

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `archived.lua`."""
        if not self.unique_keys:
            return self.job_ids
        keys = self.unique_keys
        return [f"{job_id}:{keys[job_id]}" if job_id in keys else job_id for job_id in self.job_ids]

    def parse(self, reply: Any) -> int:
        """Read the reply of `archived.lua`."""
        return int(reply)


@dataclass(frozen=True, slots=True)
class HoldArchiver(Command[bool]):
    """Become the one janitor that archives, or stay so, for `seconds` from now. False if another one is.

    `token`: random text that stands for this janitor.
    """

    script: ClassVar[str] = "hold_archiver"
    token: str
    seconds: float

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `hold_archiver.lua`."""
        return self.token, int(self.seconds * 1000)

    def parse(self, reply: Any) -> bool:
        """Read the reply of `hold_archiver.lua`."""
        return bool(reply == 1)


@dataclass(frozen=True, slots=True)
class LeaveArchiver(Command[bool]):
    """Let another janitor archive. False if this one did not hold the lock any more."""

    script: ClassVar[str] = "leave_archiver"
    token: str

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `leave_archiver.lua`."""
        return (self.token,)

    def parse(self, reply: Any) -> bool:
        """Read the reply of `leave_archiver.lua`."""
        return bool(reply == 1)

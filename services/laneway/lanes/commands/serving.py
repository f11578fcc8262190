"""What a worker sends: it claims jobs, starts them, keeps their leases and finishes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, ClassVar

from laneway.lanes.codec import decode_spec
from laneway.lanes.commands.base import Arg, Command
from laneway.lanes.model import Claimed, Lease, Outcome

MAX_FINISH_JOBS, MAX_FINISH_BYTES = 1000, 16_000_000
"""Limits of one `Finish`: Lua's stack has room for some 4,000 jobs, and Redis takes up to a gigabyte in one command."""
CANCELLED = 2
"""Reply of `Release` for a job that had been asked to stop."""


@dataclass(frozen=True, slots=True)
class Claim(Command[Claimed]):
    """Take up to `limit` jobs, one lane after another.

    Each lease runs out `lease_seconds` from now by Redis's clock: renew it or the job is given away. No other process gets
    jobs of the same lanes until these are started, finished or released. Empty when nothing is ready.
    """

    script: ClassVar[str] = "claim"
    limit: int
    lease_seconds: float
    with_followers: bool = False
    """Lanes may give more jobs than they have free slots. The caller keeps the rule of `Lease.follows`."""

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `claim.lua`."""
        return self.limit, int(self.lease_seconds * 1000), int(self.with_followers)

    def parse(self, reply: Any) -> Claimed:
        """Read the reply of `claim.lua`."""
        token, now_us, wait_ms, ids, specs, attempts, losses, follows = reply
        token = token.decode()
        leases = []
        rows = zip(ids, specs, attempts, losses or repeat(None), follows or repeat(0), strict=False)
        for job_id, spec, attempt, lost, is_follower in rows:
            accepted = decode_spec(spec)
            leases.append(
                Lease(
                    token,
                    accepted.user,
                    job_id.decode(),
                    accepted.type,
                    accepted.request,
                    attempt + 1,
                    accepted.max_attempts,
                    lost is not None and lost.startswith(b"1"),
                    is_follower == 1,
                )
            )
        return Claimed(int(now_us), tuple(leases), None if wait_ms < 0 else wait_ms / 1000)


@dataclass(frozen=True, slots=True)
class Start(Command[list[int]]):
    """Record that jobs have started, each at `started_us`. Reply for each: 1 recorded, 0 stale, 2 recorded and asked to stop."""

    script: ClassVar[str] = "start"
    worker: str
    leases: Sequence[Lease]
    started_us: Sequence[int]

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `start.lua`."""
        yield self.worker
        for lease, started_us in zip(self.leases, self.started_us, strict=True):
            yield lease.handle
            yield lease.user
            yield lease.attempt
            yield started_us

    def parse(self, reply: Any) -> list[int]:
        """Read the reply of `start.lua`."""
        return list(reply)


@dataclass(frozen=True, slots=True)
class Finish(Command[list[bool]]):
    """Record how attempts ended. Reply for each: whether it counted. False: the lease was another's, and nothing changed.

    An outcome with the state `queued` gives an interrupted job back, uncharged.
    """

    script: ClassVar[str] = "finish"
    worker: str
    outcomes: Sequence[Outcome]

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `finish.lua`."""
        yield self.worker
        for outcome in self.outcomes:
            lease = outcome.lease
            yield lease.handle
            yield lease.user
            yield f"{outcome.state}\t".encode() + outcome.log if outcome.log else outcome.state
            yield lease.attempt
            yield outcome.started_us
            yield outcome.body
            yield int(outcome.delay_seconds * 1000)

    def parse(self, reply: Any) -> list[bool]:
        """Read the reply of `finish.lua`."""
        return [r == 1 for r in reply]

    @classmethod
    def pieces(cls, worker: str, outcomes: Sequence[Outcome]) -> list[Finish]:
        """Return the commands that record any number of outcomes, in order."""
        pieces: list[list[Outcome]] = [[]]
        size = 0
        for outcome in outcomes:
            size += len(outcome.body) + len(outcome.log)
            if pieces[-1] and (len(pieces[-1]) >= MAX_FINISH_JOBS or size > MAX_FINISH_BYTES):
                pieces.append([])
                size = len(outcome.body) + len(outcome.log)
            pieces[-1].append(outcome)
        return [cls(worker, piece) for piece in pieces if piece]


@dataclass(frozen=True, slots=True)
class Release(Command[list[int]]):
    """Give back claimed jobs that have not started. Reply for each: 1 returned, CANCELLED, or 0 stale."""

    script: ClassVar[str] = "release"
    leases: Sequence[Lease]
    delay_seconds: float = 0
    """How long the jobs wait until they may be claimed again."""

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `release.lua`."""
        yield int(self.delay_seconds * 1000)
        for lease in self.leases:
            yield lease.handle
            yield lease.user

    def parse(self, reply: Any) -> list[int]:
        """Read the reply of `release.lua`."""
        return list(reply)


@dataclass(frozen=True, slots=True)
class Renew(Command[list[int]]):
    """Renew leases for `lease_seconds` from now. Reply for each: 1 renewed, 0 lost, 2 renewed and asked to stop."""

    script: ClassVar[str] = "renew"
    lease_seconds: float
    handles: Sequence[str]

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `renew.lua`."""
        yield int(self.lease_seconds * 1000)
        yield from self.handles

    def parse(self, reply: Any) -> list[int]:
        """Read the reply of `renew.lua`."""
        return list(reply)


@dataclass(frozen=True, slots=True)
class Progress(Command[bool]):
    """Record the progress of a running job. False if the lease is another's."""

    script: ClassVar[str] = "progress"
    lease: Lease
    percent: float
    note: str

    def args(self) -> Iterable[Arg]:
        """Return ARGV of `progress.lua`."""
        note = self.note.encode("utf-8", "backslashreplace")  # a handler's text may hold anything
        return self.lease.handle, self.lease.user, self.percent, note

    def parse(self, reply: Any) -> bool:
        """Read the reply of `progress.lua`."""
        return bool(reply == 1)

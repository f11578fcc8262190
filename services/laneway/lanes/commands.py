"""The typed face of the scripts: for each, what goes in and what comes out. No input or output happens here.

A command is a value; `store.Lanes` and `store.AsyncLanes` send it:

    accepted = await lanes.run(Enqueue("ann", [job], limits))
    claimed = lanes.run(Claim(limit=64, lease_seconds=30))

Each docstring says what the caller must know; what a script guarantees and costs stands in its header.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, ClassVar, Generic, TypeVar

from laneway.lanes import errors
from laneway.lanes.model import (
    Accepted,
    Claimed,
    Expired,
    Job,
    JobState,
    LaneLine,
    LaneView,
    Lease,
    NewJob,
    Outcome,
)
from laneway.lanes.texts import read_ended_job, read_job, read_spec, spec_text

T = TypeVar("T")
Arg = str | bytes | int | float


class Command(Generic[T]):
    """One call of one script."""

    script: ClassVar[str]

    def args(self) -> Iterable[Arg]:
        """ARGV, in the script's order."""
        raise NotImplementedError

    def parse(self, reply: Any) -> T:
        """The reply's meaning; raises the `LaneError` that a refusing status stands for."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class EnqueueLimits:
    """What a lane may hold and how fast it may grow. `backlog`: ended jobs that may wait for MongoDB."""

    lane_length: int = 100_000
    backlog: int = 200_000
    rate_per_second: float = 0
    idempotency_seconds: float = 86_400


@dataclass(frozen=True, slots=True)
class Enqueue(Command[Accepted]):
    """Accept one user's jobs, all or none, in order. Raises a `Refused` when they are not accepted."""

    script: ClassVar[str] = "enqueue"
    user: str
    jobs: Sequence[NewJob]
    limits: EnqueueLimits = field(default_factory=EnqueueLimits)
    idempotency_key: str = ""
    fingerprint: str = ""
    """Of the request, without blanks: the same key with another fingerprint is refused."""
    token_id: str = ""
    """Of the caller's JWT: refused if it has been revoked."""

    def args(self) -> Iterable[Arg]:
        yield self.user
        yield self.idempotency_key
        yield self.fingerprint
        yield int(self.limits.idempotency_seconds * 1000)
        yield self.limits.lane_length
        yield self.limits.backlog
        yield self.limits.rate_per_second
        yield self.token_id
        for job in self.jobs:
            yield job.nonce
            yield spec_text(self.user, job)

    def parse(self, reply: Any) -> Accepted:
        status = reply[0].decode()
        match status:
            case "accepted" | "repeated":
                return Accepted(tuple(i.decode() for i in reply[2:]), reply[1], status == "repeated")
            case "full":
                raise errors.LaneFull(reply[1] / 1000)
            case "fast":
                raise errors.TooFast(reply[1] / 1000)
            case "backlog":
                raise errors.HistoryBacklogFull(reply[1] / 1000)
            case "mismatch":
                raise errors.IdempotencyMismatch("the idempotency key was used for another request")
            case "revoked":
                raise errors.TokenRevoked("the token has been revoked")
        raise errors.LaneError(f"enqueue answered {status!r}")


@dataclass(frozen=True, slots=True)
class Claim(Command[Claimed]):
    """Take up to `limit` jobs, one lane after another; each lease runs out `lease_seconds` from now by Redis's clock:
    renew it or the job is given away. Nothing else of their lanes is given to anybody until they are started, finished or released.
    """

    script: ClassVar[str] = "claim"
    limit: int
    lease_seconds: float

    def args(self) -> Iterable[Arg]:
        return self.limit, int(self.lease_seconds * 1000)

    def parse(self, reply: Any) -> Claimed:
        token, now_us, wait_ms, ids, specs, attempts, suspicions = reply
        token = token.decode()
        leases = []
        for job_id, spec, tried, lost in zip(ids, specs, attempts, suspicions or repeat(None), strict=False):
            user, type_, most, request = read_spec(spec)
            leases.append(
                Lease(
                    token,
                    user,
                    job_id.decode(),
                    type_,
                    request,
                    tried + 1,
                    most,
                    lost is not None,
                )
            )
        return Claimed(int(now_us), tuple(leases), None if wait_ms < 0 else wait_ms / 1000)


@dataclass(frozen=True, slots=True)
class Start(Command[list[int]]):
    """Record that jobs have started (`started_us` each). Reply for each: 1 recorded, 0 stale, 2 recorded and asked to stop.

    `about`: they are about to start, and are charged should their process die from now on; nothing else of their lanes is given
    to anybody until a second `Start` says that they have.
    """

    script: ClassVar[str] = "start"
    worker: str
    leases: Sequence[Lease]
    started_us: Sequence[int]
    charge_first: bool = False

    def args(self) -> Iterable[Arg]:
        yield self.worker
        yield int(self.charge_first)
        for lease, started_us in zip(self.leases, self.started_us, strict=True):
            yield lease.handle
            yield lease.user
            yield lease.attempt
            yield started_us

    def parse(self, reply: Any) -> list[int]:
        return list(reply)


PIECE_JOBS, PIECE_BYTES = 1000, 16_000_000
"""What one `Finish` may have: Lua's stack has room for some 4,000 jobs, a server takes some gigabyte in one command."""


@dataclass(frozen=True, slots=True)
class Finish(Command[list[bool]]):
    """Record how attempts ended. Reply for each: whether it counted (False: the lease was another's, nothing changed)."""

    script: ClassVar[str] = "finish"
    worker: str
    outcomes: Sequence[Outcome]

    def args(self) -> Iterable[Arg]:
        yield self.worker
        for outcome in self.outcomes:
            lease = outcome.lease
            yield lease.handle
            yield lease.user
            yield outcome.state
            yield lease.attempt
            yield outcome.started_us
            yield outcome.body
            yield int(outcome.delay_seconds * 1000)

    def parse(self, reply: Any) -> list[bool]:
        return [r == 1 for r in reply]

    @classmethod
    def pieces(cls, worker: str, outcomes: Sequence[Outcome]) -> list[Finish]:
        """For any number of outcomes, in order."""
        pieces: list[list[Outcome]] = [[]]
        size = 0
        for outcome in outcomes:
            size += len(outcome.body)
            if pieces[-1] and (len(pieces[-1]) >= PIECE_JOBS or size > PIECE_BYTES):
                pieces.append([])
                size = len(outcome.body)
            pieces[-1].append(outcome)
        return [cls(worker, piece) for piece in pieces if piece]


CANCELLED = 2
"""Reply of `Release` for a job that had been asked to stop."""


@dataclass(frozen=True, slots=True)
class Release(Command[list[int]]):
    """Give back claimed jobs that have not started. Reply for each: 1 it went back, CANCELLED, or 0 stale."""

    script: ClassVar[str] = "release"
    leases: Sequence[Lease]

    def args(self) -> Iterable[Arg]:
        for lease in self.leases:
            yield lease.handle
            yield lease.user

    def parse(self, reply: Any) -> list[int]:
        return list(reply)


@dataclass(frozen=True, slots=True)
class Renew(Command[list[int]]):
    """Renew leases for `lease_seconds` from now. Reply for each: 1 renewed, 0 lost, 2 renewed and asked to stop."""

    script: ClassVar[str] = "renew"
    lease_seconds: float
    handles: Sequence[str]

    def args(self) -> Iterable[Arg]:
        yield int(self.lease_seconds * 1000)
        yield from self.handles

    def parse(self, reply: Any) -> list[int]:
        return list(reply)


@dataclass(frozen=True, slots=True)
class Expire(Command[list[Expired]]):
    """Take back jobs whose lease has run out, promote due retries, repair missing turns.

    `limit`: most leases that have run out. `outage_seconds`: when nobody has sent this for so long Redis was away, and who lives has
    some seconds to renew before anything is expired (0: does not ask for that). `handles`: these leases as well, whether they have
    run out or not, for those who hold them are dead. `error`: JSON text for failed attempts.
    """

    script: ClassVar[str] = "expire"
    limit: int = 500
    error: bytes = b'{"type":"WorkerLost","message":"the worker process died or lost its lease"}'
    outage_seconds: float = 0
    handles: Sequence[str] = ()

    def args(self) -> Iterable[Arg]:
        return self.limit, self.error, int(self.outage_seconds * 1000), *self.handles

    def parse(self, reply: Any) -> list[Expired]:
        return [
            Expired(
                user.decode(),
                job_id.decode(),
                JobState.QUEUED if fate == b"returned" else JobState(fate.decode()),
                int(attempts),
                type_.decode(),
            )
            for user, job_id, fate, attempts, type_ in reply
        ]


@dataclass(frozen=True, slots=True)
class Cancel(Command[str]):
    """Cancel one of the user's jobs: `cancelled`, `stopping` (it runs and has been asked to), `ended`, or `unknown`."""

    script: ClassVar[str] = "cancel"
    user: str
    job_id: str
    reason: str = "cancelled by the user"

    def args(self) -> Iterable[Arg]:
        return self.user, self.job_id, self.reason

    def parse(self, reply: Any) -> str:
        return str(reply.decode())


@dataclass(frozen=True, slots=True)
class Purge(Command[tuple[list[str], bool]]):
    """Cancel what the lane holds and does not run, accepted up to `until_us`; the ids, and whether to call again for more.

    What is claimed and not known to run is asked to stop, and is not among the ids.
    """

    script: ClassVar[str] = "purge"
    user: str
    until_us: int
    reason: str
    limit: int = 500

    def args(self) -> Iterable[Arg]:
        return self.user, self.until_us, self.reason, self.limit

    def parse(self, reply: Any) -> tuple[list[str], bool]:
        return [i.decode() for i in reply[:-1]], reply[-1] == 1


@dataclass(frozen=True, slots=True)
class Pause(Command[bool]):
    """Start nothing more of the user's lane. False if it was paused already."""

    script: ClassVar[str] = "pause"
    user: str

    def args(self) -> Iterable[Arg]:
        return (self.user,)

    def parse(self, reply: Any) -> bool:
        return bool(reply == 1)


@dataclass(frozen=True, slots=True)
class Resume(Pause):
    """Let a paused lane go on. False if it was not paused."""

    script: ClassVar[str] = "resume"


@dataclass(frozen=True, slots=True)
class Limit(Command[None]):
    """Set the slots of a user's lane (None: the default again), or the default with user `*`."""

    script: ClassVar[str] = "limit"
    user: str
    slots: int | None

    def args(self) -> Iterable[Arg]:
        return self.user, "" if self.slots is None else self.slots

    def parse(self, reply: Any) -> None:
        del reply


@dataclass(frozen=True, slots=True)
class Turns(Command[int]):
    """Say what a turn message looks like (empty: as before), and have at least `wanted` of them wait. How many were missing."""

    script: ClassVar[str] = "turns"
    message: bytes
    wanted: int

    def args(self) -> Iterable[Arg]:
        return self.message, self.wanted

    def parse(self, reply: Any) -> int:
        return int(reply)


@dataclass(frozen=True, slots=True)
class Progress(Command[bool]):
    """Record how far a running job is. False if the lease is another's."""

    script: ClassVar[str] = "progress"
    lease: Lease
    percent: float
    note: str

    def args(self) -> Iterable[Arg]:
        note = self.note.encode("utf-8", "backslashreplace")  # a handler's text may hold anything
        return self.lease.handle, self.lease.user, self.percent, note

    def parse(self, reply: Any) -> bool:
        return bool(reply == 1)


@dataclass(frozen=True, slots=True)
class InspectJob(Command[Job | None]):
    """One of the user's live jobs; None if Redis does not have it or it is another's."""

    script: ClassVar[str] = "inspect_job"
    user: str
    job_id: str

    def args(self) -> Iterable[Arg]:
        return self.user, self.job_id

    def parse(self, reply: Any) -> Job | None:
        if not reply:
            return None
        position, spec, ended, fields = reply
        return read_job(self.job_id, spec, ended, fields, position or None)


@dataclass(frozen=True, slots=True)
class InspectJobs(Command[list[Job]]):
    """The user's jobs that MongoDB does not have yet, newest first, accepted before `before_us`."""

    script: ClassVar[str] = "inspect_jobs"
    user: str
    before_us: int
    limit: int

    def args(self) -> Iterable[Arg]:
        return self.user, self.before_us, self.limit

    def parse(self, reply: Any) -> list[Job]:
        return [read_job(job_id.decode(), spec, ended, fields) for job_id, spec, ended, fields in reply]


@dataclass(frozen=True, slots=True)
class InspectLane(Command[LaneView]):
    """One user's lane; all zero when it holds nothing."""

    script: ClassVar[str] = "inspect_lane"
    user: str

    def args(self) -> Iterable[Arg]:
        return (self.user,)

    def parse(self, reply: Any) -> LaneView:
        queued, running, _size, slots, paused, oldest = reply
        return LaneView(queued, running, slots, paused == 1, int(oldest, 16) if oldest else None)


@dataclass(frozen=True, slots=True)
class InspectLanes(Command[list[LaneLine]]):
    """A page of all lanes in order of user names, after `after`."""

    script: ClassVar[str] = "inspect_lanes"
    after: str = ""
    limit: int = 500

    def args(self) -> Iterable[Arg]:
        return self.after, self.limit

    def parse(self, reply: Any) -> list[LaneLine]:
        return [LaneLine(user.decode(), jobs, taken, slots) for user, jobs, taken, slots in reply]


@dataclass(frozen=True, slots=True)
class Outbox(Command[list[Job]]):
    """The oldest ended jobs that MongoDB does not have yet, behind the first `behind` of them: at most `limit`, and fewer where they
    have more than `most_bytes` (some 16 jobs above that)."""

    script: ClassVar[str] = "outbox"
    limit: int
    behind: int = 0
    most_bytes: int = 4_000_000

    def args(self) -> Iterable[Arg]:
        return self.limit, self.behind, self.most_bytes

    def parse(self, reply: Any) -> list[Job]:
        return [
            read_ended_job(job_id.decode(), spec, ended)
            for job_id, spec, ended in zip(*reply, strict=True)
            if spec is not None and ended is not None
        ]


@dataclass(frozen=True, slots=True)
class Archived(Command[int]):
    """Forget ended jobs that MongoDB has now. How many were forgotten."""

    script: ClassVar[str] = "archived"
    job_ids: Sequence[str]

    def args(self) -> Iterable[Arg]:
        return self.job_ids

    def parse(self, reply: Any) -> int:
        return int(reply)

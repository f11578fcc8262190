"""The values that commands take and return. All are immutable.

Values that exist once a job are structs of msgspec, which are made in a quarter of the time of a named tuple. The others
are frozen dataclasses. Times named `..._us` are microseconds since 2020-01-01 UTC by Redis's clock.
More than 250 lines, because it is one list.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import msgspec

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
SEQ_DIGITS = 13
ID_LENGTH = 25


class JobState(StrEnum):
    """The state of a job. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing changes this state any more."""
        return self in _ENDS


_ENDS = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


def time_of(us: int) -> datetime:
    """Return microseconds since 2020 as a time in UTC."""
    return EPOCH + timedelta(microseconds=us)


def us_at(moment: datetime) -> int:
    """Return a time with a time zone as microseconds since 2020; the inverse of `time_of`."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def us_of(seconds: int, microseconds: int) -> int:
    """Return a Unix time, in the two parts in which Redis's TIME gives it, as microseconds since 2020."""
    return (seconds - int(EPOCH.timestamp())) * 1_000_000 + microseconds


def seq_of(job_id: str) -> int:
    """Return the tick at which a job enters its lane, in microseconds since 2020: that of its acceptance, unless it is delayed.

    Ticks order jobs over all lanes.
    """
    return int(job_id[:SEQ_DIGITS], 16)


LOST_LOG = b"lost"
"""In the place of a run's log whose process is dead, as in `scripts/_logs.lua`."""


class NewJob(msgspec.Struct, frozen=True, gc=False):
    """A request on its way into a lane. `nonce`: 12 random hex digits that make its id unguessable.

    It enters the lane `delay_seconds` after its acceptance, or at `not_before_us`; at once if that is past. Give one of the two.
    """

    nonce: str
    type: str
    request: bytes
    max_attempts: int
    delay_seconds: float = 0
    not_before_us: int = 0
    unique_key: str = ""
    """While a job of the user with this key is in its lane or delayed, this one is a duplicate, and is not enqueued."""
    schedule: str = ""
    """The name of the user's schedule that enqueues it."""


class Lease(msgspec.Struct, frozen=True, gc=False):
    """A job that a worker holds. `attempt`: the number of the attempt that starts next, from 1."""

    token: str
    user: str
    job_id: str
    type: str
    request: bytes
    attempt: int
    max_attempts: int
    suspect: bool
    """The job may have killed a process or a worker. It must run alone."""
    follows: bool = False
    """The job is a follower: it has no slot of its own, and runs in the slot of a job of the same lane and claim that ended
    before it."""

    @property
    def handle(self) -> str:
        """The member of the key `leases`: fencing token and job id."""
        return f"{self.token}:{self.job_id}"


@dataclass(frozen=True, slots=True)
class Claimed:
    """The result of a claim. `next_due_seconds`: when the next retry or delayed job is due; None if there is none."""

    now_us: int
    leases: tuple[Lease, ...]
    next_due_seconds: float | None


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """How an attempt ended. `body`: the result or the error, as JSON text. `delay_seconds`: delay of the retry."""

    lease: Lease
    state: JobState
    started_us: int
    body: bytes
    delay_seconds: float = 0
    log: bytes = b""
    """The log of the run as `run_log.encode_run` writes it; LOST_LOG if only Redis has it; empty if the job ended and the
    run has logged nothing."""

    @property
    def waited_seconds(self) -> float:
        """Time from the job's entry into its lane to this start."""
        return (self.started_us - seq_of(self.lease.job_id)) / 1_000_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """The result of an enqueue. `position`: place of the first job among the waiting ones, from 1; 0 if it is delayed, runs or
    has ended."""

    job_ids: tuple[str, ...]
    position: int
    repeated: bool
    """The idempotency key was known. Nothing was enqueued, and these are the jobs of the first time."""
    duplicates: tuple[int, ...] = ()
    """Which of the jobs are duplicates, from 0. In place of each stands the job that holds its unique key."""

    @property
    def new(self) -> list[int]:
        """Which of the jobs this enqueue has made, from 0."""
        if self.repeated:
            return []
        if not self.duplicates:
            return list(range(len(self.job_ids)))
        duplicates = set(self.duplicates)
        return [i for i in range(len(self.job_ids)) if i not in duplicates]


class Job(msgspec.Struct, frozen=True, gc=False):
    """A job as Redis knows it. `request`, `result` and `error` are JSON text."""

    job_id: str
    user: str
    type: str
    request: bytes
    state: JobState
    attempts: int
    max_attempts: int
    position: int | None = None
    progress: float | None = None
    note: str | None = None
    result: bytes | None = None
    error: bytes | None = None
    reason: str | None = None
    worker: str | None = None
    started_us: int | None = None
    finished_us: int | None = None
    is_delayed: bool = False
    """The job has not entered its lane."""
    log: bytes | None = None
    """Of an ended job: what its runs have logged (`run_log.decode`)."""
    unique_key: str | None = None
    schedule: str | None = None

    @property
    def enqueued_us(self) -> int:
        """When the job enters its lane: at its acceptance, unless it is delayed."""
        return seq_of(self.job_id)

    @property
    def not_before_us(self) -> int | None:
        """When a delayed job enters its lane. None once it has."""
        return self.enqueued_us if self.is_delayed else None


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job that a worker holds. `worker` and `started_us` are None until it has started.

    `worker` is `<host>:<process id>`. `attempt`: the number of the attempt that runs or starts next, from 1.
    """

    job_id: str
    user: str
    type: str
    attempt: int
    worker: str | None
    started_us: int | None


class TypeLimit(NamedTuple):
    """The limits of a type over all lanes. 0: no such limit."""

    type: str
    max_running: int = 0
    max_starts: int = 0
    """In any period of `period_seconds`."""
    period_seconds: float = 0


@dataclass(frozen=True, slots=True)
class TypeUse:
    """A limited type: its limits, and how many of its jobs have a permit or wait for one."""

    limit: TypeLimit
    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class PermitWait:
    """A job waits for a permit of its type. `place`: its place among the jobs of all lanes that do, from 1."""

    place: int
    use: TypeUse


@dataclass(frozen=True, slots=True)
class LostJob:
    """A job that was taken back from a dead process or worker. `state` queued: it came back to its lane, uncharged."""

    user: str
    job_id: str
    state: JobState
    attempts: int
    type: str


@dataclass(frozen=True, slots=True)
class LaneView:
    """The state of one lane. `queued`: jobs that do not run, including those that wait for a retry."""

    queued: int
    running: int
    slots: int
    paused: bool
    oldest_us: int | None
    delayed: int
    """Delayed jobs that have not entered the lane. They are not among the queued."""


@dataclass(frozen=True, slots=True)
class Occupant:
    """A job that has a slot: it runs, a worker has claimed it, or it waits until `due_us`."""

    job_id: str
    claimed: bool
    """It has never started, as far as Redis knows."""
    due_us: int | None


@dataclass(frozen=True, slots=True)
class Wait:
    """What a job waits for that has not ended. `in_front`: jobs of its lane that start before it."""

    in_front: int
    slots: int
    paused: bool
    ring_place: int
    """Place of the lane among the lanes that take turns, from 1; 0 if no job of it may start now."""
    ring_lanes: int
    ring_wait_seconds: float
    """How long the first of these lanes has waited for a worker."""
    in_flight: int
    """Jobs that workers hold, over all lanes."""
    permit: PermitWait | None
    """None unless it waits for a permit of its type."""
    occupants: tuple[Occupant, ...]


@dataclass(frozen=True, slots=True)
class LaneLine:
    """One line of the list of lanes. `taken`: slots in use. `slots`: 0 while the lane is paused.

    `oldest_us`: when the oldest job was accepted that holds no slot; None if there is none, or if it was not asked for.
    """

    user: str
    jobs: int
    taken: int
    slots: int
    oldest_us: int | None = None
    is_blocked: bool = False
    """Nothing more of the lane starts before one of its jobs that was given back for later, for want of a permit, for example."""

    @property
    def usable(self) -> int:
        """How many processes could work on the lane now, those included that wait for the end of a delay."""
        return min(self.jobs, self.slots, self.taken) if self.is_blocked else min(self.jobs, self.slots)


class RingLane(NamedTuple):
    """A lane in the ring. `taken`: slots in use. `since_us`: since when it is in the ring, so since when it waits for its turn."""

    user: str
    jobs: int
    taken: int
    slots: int
    since_us: int


@dataclass(frozen=True, slots=True)
class Ring:
    """The ring at one moment. `length`: how many lanes are in it. `lanes`: the first of them; the first one's turn is next."""

    length: int
    now_us: int
    lanes: tuple[RingLane, ...]

"""What the scripts speak of, frozen (named tuples where there is one for every job: they are made in half the time). Times are microseconds since 2020-01-01 UTC by Redis's clock (`..._us`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
SEQ_DIGITS = 13
ID_LENGTH = 25


class JobState(StrEnum):
    """Where a job is. The last three are ends: nothing changes them."""

    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in _ENDS


_ENDS = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


def time_of(us: int) -> datetime:
    """Microseconds since 2020 as a time in UTC."""
    return EPOCH + timedelta(microseconds=us)


def seq_of(job_id: str) -> int:
    """The tick of a job's acceptance, microseconds since 2020: the order of acceptance over all lanes of a shard."""
    return int(job_id[:SEQ_DIGITS], 16)


class NewJob(NamedTuple):
    """A request on its way into a lane. `nonce`: 12 random hex digits, so that ids cannot be guessed."""

    nonce: str
    type: str
    request: bytes
    max_attempts: int


class Lease(NamedTuple):
    """A job in a worker's hands. `attempt` is the number of the attempt that starts next, from 1."""

    token: str
    user: str
    job_id: str
    type: str
    request: bytes
    attempt: int
    max_attempts: int
    suspect: bool
    """A process died while it held this job, before it was known to have started: it is run on its own."""

    @property
    def handle(self) -> str:
        """The fencing token and the id, as the scripts want them."""
        return f"{self.token}:{self.job_id}"


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim gave. `next_retry_seconds`: when the next retry is due, None if there is none."""

    now_us: int
    leases: tuple[Lease, ...]
    next_retry_seconds: float | None


class Outcome(NamedTuple):
    """How an attempt ended. `body`: the result, or the error, as JSON text. `delay_seconds`: of the retry."""

    lease: Lease
    state: JobState
    started_us: int
    body: bytes
    delay_seconds: float = 0

    @property
    def waited_seconds(self) -> float:
        """From the job's acceptance to this start."""
        return (self.started_us - seq_of(self.lease.job_id)) / 1_000_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an enqueue. `position`: of the first job among those that wait, from 1; 0 when it runs or has ended."""

    job_ids: tuple[str, ...]
    position: int
    repeated: bool
    """The idempotency key was known: nothing was enqueued, these are the jobs of the first time."""


class Job(NamedTuple):
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

    @property
    def enqueued_us(self) -> int:
        return seq_of(self.job_id)


@dataclass(frozen=True, slots=True)
class Expired:
    """A job whose lease ran out. `state` queued: it had not started and is not charged."""

    user: str
    job_id: str
    state: JobState
    attempts: int
    type: str


@dataclass(frozen=True, slots=True)
class LaneView:
    """One lane. `queued`: jobs that do not run (waiting for a retry included)."""

    queued: int
    running: int
    slots: int
    paused: bool
    oldest_us: int | None


@dataclass(frozen=True, slots=True)
class LaneLine:
    """One line of the list of lanes. `usable`: how many processes could work on it now (0 while paused)."""

    user: str
    jobs: int
    taken: int
    slots: int

    @property
    def usable(self) -> int:
        return min(self.jobs, self.slots)

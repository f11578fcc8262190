"""The messages between a pool process and the lease keeper.

They travel over a Unix socket in both directions: four bytes with the length, then one MessagePack message. A pool process
announces what it starts before it starts it. What it wrote before it died is still read, because the kernel keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

from laneway.handlers import Spec
from laneway.lanes.model import Lease
from laneway.worker.counts import Counts

T = TypeVar("T")
_LENGTH_BYTES = 4
_encoder = msgspec.msgpack.Encoder()


class HeldJob(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A job in the hands of a pool process, as far as the lease keeper must know it."""

    token: str
    user: str
    job_id: str
    type: str
    attempt: int
    max_attempts: int
    hard_seconds: float | None
    """The hard time limit. None: no limit."""

    @classmethod
    def of(cls, lease: Lease, spec: Spec | None) -> HeldJob:
        """Describe a claimed job. `spec`: None for a job that does not start."""
        return cls(
            lease.token,
            lease.user,
            lease.job_id,
            lease.type,
            lease.attempt,
            lease.max_attempts,
            spec.hard_seconds if spec else None,
        )

    @property
    def handle(self) -> str:
        """The fencing token and the id, as the scripts take them."""
        return f"{self.token}:{self.job_id}"

    def lease(self) -> Lease:
        """Return the lease without the request, which the lease keeper never needs."""
        return Lease(
            self.token,
            self.user,
            self.job_id,
            self.type,
            b"",
            self.attempt,
            self.max_attempts,
            suspect=False,
        )


_decode_jobs = msgspec.msgpack.Decoder(list[HeldJob]).decode


class _Message(msgspec.Struct, array_like=True, tag=True, gc=False):
    """A message; its class name travels with it."""


class Hello(_Message):
    """First message of a pool process: who it is."""

    pid: int
    parent: int
    """Process id of the Celery process that it belongs to."""


class TurnBegan(_Message):
    """The process serves a turn from now on."""


class TurnEnded(_Message):
    """The process serves no turn any more."""


class BatchPlanned(_Message):
    """The process is about to put the start tokens of these plain jobs into its pipe."""

    generation: int
    """Number of the batch, 0 to 255, as in its start tokens."""
    count: int
    """How many jobs are in it."""
    packed: msgspec.Raw
    """The jobs as MessagePack: most batches are over before anybody asks what is in them."""

    @classmethod
    def of(cls, generation: int, jobs: Sequence[HeldJob]) -> BatchPlanned:
        """Announce a batch of these jobs."""
        return cls(generation, len(jobs), msgspec.Raw(_encoder.encode(jobs)))

    def jobs(self) -> list[HeldJob]:
        """Return the jobs in the order of their start tokens."""
        return _decode_jobs(self.packed)


class BatchRecorded(_Message):
    """All ends of the planned batch are recorded; the process holds none of its leases any more."""


class TasksPlanned(_Message):
    """The process is about to start these async jobs."""

    jobs: list[HeldJob]


class ReturnPlanned(_Message):
    """The process is about to give these claimed jobs back. If it dies or stands still before it has, the lease keeper does."""

    jobs: list[HeldJob]


class ReturnEnded(_Message):
    """The planned return is over; the process holds none of its leases any more."""


class LeasesEnded(_Message):
    """The process no longer holds these leases."""

    handles: list[str]


class CountsReported(_Message):
    """What the process has counted since its last report."""

    counts: Counts


class ShutDown(_Message):
    """The worker shuts down: claim nothing more, give back what has not started."""


class Interrupt(_Message):
    """The grace time is over: cancel what runs."""


class StopJobs(_Message):
    """The jobs of these leases were asked to stop, or belong to others now."""

    handles: list[str]


FromProcess = (
    Hello
    | TurnBegan
    | TurnEnded
    | BatchPlanned
    | BatchRecorded
    | TasksPlanned
    | ReturnPlanned
    | ReturnEnded
    | LeasesEnded
    | CountsReported
)
FromLeaseKeeper = ShutDown | Interrupt | StopJobs


def encode(message: FromProcess | FromLeaseKeeper) -> bytes:
    """Return the bytes of a message, its length included."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


class MessageReader(Generic[T]):
    """Cuts a stream of bytes into messages of one direction: `MessageReader(FromProcess)`."""

    def __init__(self, types: object) -> None:
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(types)
        self._rest = b""

    def feed(self, data: bytes) -> list[T]:
        """Return the messages that `data` completes, in order."""
        data, at = self._rest + data, 0
        messages = []
        while len(data) - at >= _LENGTH_BYTES:
            end = at + _LENGTH_BYTES + int.from_bytes(data[at : at + _LENGTH_BYTES], "big")
            if end > len(data):
                break
            messages.append(self._decoder.decode(data[at + _LENGTH_BYTES : end]))
            at = end
        self._rest = data[at:]
        return messages

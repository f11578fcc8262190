"""Messages between pool processes and the lease keeper arrive whole and in order, however the socket cuts them."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from msgspec.structs import replace

from laneway.handlers import Spec
from laneway.lanes.model import Lease
from laneway.worker import protocol
from laneway.worker.counts import Counts
from laneway.worker.protocol import FromLeaseKeeper, FromProcess, HeldJob, MessageReader

LEASE = Lease("7", "ann ä", "0" * 25, "work", b'{"large": "request"}', 2, 3, suspect=False)
SPEC = Spec("work", print, False, False, 3, 2, 5, None, 1.5)
JOB = HeldJob.of(LEASE, SPEC)
MESSAGES: list[Any] = [
    protocol.Hello(4711, 4710),
    protocol.TurnBegan(),
    protocol.BatchPlanned.of(255, [JOB] * 256),
    protocol.TasksPlanned([JOB]),
    protocol.ReturnPlanned([JOB]),
    protocol.ReturnEnded(),
    protocol.LeasesEnded([JOB.handle]),
    protocol.BatchRecorded(),
    protocol.CountsReported(Counts(ends={("failed", "a|b"): 3})),
    protocol.TurnEnded(),
]
ANSWERS: list[Any] = [protocol.ShutDown(), protocol.Interrupt(), protocol.StopJobs([JOB.handle])]


@pytest.mark.parametrize("size", [1, 3, 1000, 1_000_000])
@pytest.mark.parametrize(("direction", "messages"), [(FromProcess, MESSAGES), (FromLeaseKeeper, ANSWERS)])
def test_messages_arrive_whole_and_in_order(direction: Any, messages: list[Any], size: int) -> None:
    assert {type(message) for message in messages} == set(get_args(direction)), "each kind is tried"
    stream = b"".join(protocol.encode(message) for message in messages)
    reader: MessageReader[Any] = MessageReader(direction)
    pieces = (stream[at : at + size] for at in range(0, len(stream), size))
    assert [message for piece in pieces for message in reader.feed(piece)] == messages


def test_a_message_of_the_other_direction_is_refused() -> None:
    reader: MessageReader[FromProcess] = MessageReader(FromProcess)
    with pytest.raises(msgspec.ValidationError):
        reader.feed(protocol.encode(protocol.ShutDown()))


def test_the_lease_keeper_learns_all_of_a_job_but_its_request() -> None:
    assert JOB.lease() == replace(LEASE, request=b"")
    assert JOB.handle == LEASE.handle
    assert JOB.hard_seconds == 1.5
    assert protocol.BatchPlanned.of(1, [JOB, JOB]).jobs() == [JOB, JOB]

"""Jobs that wait for a permit are called when one is free, whatever has become of those before them."""

from __future__ import annotations

import pytest

from laneway.lanes.commands import GRANTED, CallWaiters, Cancel, Limit, Pause, Purge, Resume
from laneway.lanes.model import JobState, Lease
from tests.lanes.driver import FOR_EVER, Driver, texts

WAITS = 3


def waiting(lanes: Driver) -> list[str]:
    return texts(lanes.client.zrange(lanes.key("waiting:gpu"), 0, -1))


@pytest.fixture
def queue(lanes: Driver) -> tuple[Lease, Lease, Lease]:
    """One job has the only permit; those of bob and eve wait for it."""
    for user in ("ann", "bob", "eve"):
        lanes.enqueue(user, type_="gpu")
    first, second, third = lanes.claim()
    assert lanes.ask(first, second, third, running=1) == [GRANTED, WAITS, WAITS]
    return first, second, third


def test_with_a_free_permit_the_first_waiter_may_start(lanes: Driver, queue: tuple[Lease, ...]) -> None:
    assert lanes.run(CallWaiters(["gpu"])) == 0
    lanes.finish(queue[0])
    assert lanes.run(CallWaiters(["gpu"])) == 1
    assert lanes.ring() == ["bob"]
    assert lanes.where("bob", queue[1].job_id) == ["waiting"]
    assert lanes.run(CallWaiters()) == 0, "it has been called"
    assert waiting(lanes) == [queue[1].job_id, queue[2].job_id], "it keeps its place until it has asked"


def test_a_call_wakes_workers(lanes: Driver, queue: tuple[Lease, ...]) -> None:
    lanes.finish(queue[0])
    lanes.client.delete(lanes.keys.wakeups)
    lanes.run(CallWaiters(["gpu"]))
    assert lanes.client.llen(lanes.keys.wakeups) == 1


@pytest.mark.parametrize("how", ["cancelled", "purged", "paused", "no slot", "spec lost"])
def test_a_waiter_that_cannot_start_holds_up_nobody(
    lanes: Driver, queue: tuple[Lease, ...], how: str
) -> None:
    first, second, _ = queue
    match how:
        case "cancelled":
            lanes.run(Cancel("bob", second.job_id))
        case "purged":
            lanes.run(Purge("bob", FOR_EVER, "gone"))
        case "paused":
            lanes.run(Pause("bob"))
        case "no slot":
            lanes.run(Limit("bob", 0))
        case _:
            lanes.client.delete(lanes.key(f"spec:{second.job_id}"))
    lanes.finish(first)
    lanes.run(CallWaiters(["gpu"]))
    assert lanes.ring() == ["eve"]


def test_a_waiter_of_a_paused_lane_asks_again_when_the_lane_goes_on(
    lanes: Driver, queue: tuple[Lease, ...]
) -> None:
    lanes.run(Pause("bob"))
    lanes.finish(queue[0])
    lanes.run(CallWaiters(["gpu"]))
    (third,) = lanes.claim()
    lanes.ask(third, running=1)
    lanes.run(Resume("bob"))
    (second,) = lanes.claim()
    assert lanes.ask(second, running=1) == [WAITS]
    lanes.finish(third)
    lanes.run(CallWaiters(["gpu"]))
    (second,) = lanes.claim()
    assert lanes.ask(second, running=1) == [GRANTED]


def test_a_waiter_whose_lane_is_paused_after_its_call_holds_up_nobody_for_long(
    lanes: Driver, queue: tuple[Lease, ...]
) -> None:
    lanes.finish(queue[0])
    lanes.run(CallWaiters(["gpu"]))
    lanes.run(Pause("bob"))
    lanes.run(CallWaiters())
    assert lanes.ring() == ["eve"]


def test_a_retry_that_waits_is_not_held_up_by_a_later_job_of_its_lane(lanes: Driver) -> None:
    """A retry keeps its slot and does not block its lane, so the next job of the lane may come to wait behind it."""
    lanes.enqueue("ann", 2, type_="gpu")
    lanes.enqueue("bob", type_="gpu")
    retry, other, later = lanes.claim()
    lanes.release(later)
    lanes.ask(retry, running=1)
    lanes.start(retry)
    lanes.finish(retry, state=JobState.RETRYING)
    assert lanes.ask(other, running=1) == [GRANTED]
    again, later = lanes.claim()
    assert (again.job_id, later.attempt) == (retry.job_id, 1)
    assert lanes.ask(again, later, running=1) == [WAITS, WAITS]
    assert lanes.where("ann", again.job_id, later.job_id) == ["started", "claimed"]
    lanes.finish(other)
    lanes.run(CallWaiters(["gpu"]))
    again, later = lanes.claim()
    assert lanes.ask(again, later, running=1) == [GRANTED, WAITS]


def test_of_many_permits_as_many_waiters_are_called(lanes: Driver) -> None:
    for i in range(6):
        lanes.enqueue(f"u{i}", type_="gpu")
    leases = lanes.claim()
    assert lanes.ask(*leases, running=3) == [GRANTED] * 3 + [WAITS] * 3
    lanes.finish(*leases[:2])
    assert lanes.run(CallWaiters()) == 2
    assert lanes.ring() == ["u3", "u4"]


def test_types_do_not_wait_for_each_other(lanes: Driver) -> None:
    for user, type_ in (("ann", "gpu"), ("bob", "mail"), ("eve", "gpu"), ("zoe", "mail")):
        lanes.enqueue(user, type_=type_)
    ann, bob, eve, zoe = lanes.claim()
    assert lanes.ask(ann, bob, eve, zoe, running=1) == [GRANTED, GRANTED, WAITS, WAITS]
    lanes.finish(bob)
    lanes.run(CallWaiters())
    assert lanes.ring() == ["zoe"]


def test_without_limited_types_a_call_changes_nothing(lanes: Driver) -> None:
    lanes.enqueue("ann")
    before = lanes.snapshot()
    assert lanes.run(CallWaiters()) == lanes.run(CallWaiters(["echo"])) == 0
    assert lanes.snapshot() == before

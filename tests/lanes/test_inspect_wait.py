"""inspect_wait: reads what a job waits for."""

from __future__ import annotations

from laneway.lanes.commands import CallWaiters, InspectWait, Limit, Pause
from laneway.lanes.model import JobState, PermitWait, TypeLimit, TypeUse, Wait
from tests.lanes.driver import Driver


def wait_of(lanes: Driver, job_id: str, user: str = "ann") -> Wait:
    wait = lanes.run(InspectWait(user, job_id))
    assert wait is not None
    return wait


def test_a_job_that_the_lane_does_not_hold(lanes: Driver) -> None:
    (job_id,) = lanes.enqueue("ann")
    assert lanes.run(InspectWait("bob", job_id)) is None
    (lease,) = lanes.claim()
    lanes.finish(lease)
    assert lanes.run(InspectWait("ann", job_id)) is None


def test_the_jobs_in_front_are_those_that_start_before_it(lanes: Driver) -> None:
    first, second, third, fourth = lanes.enqueue("ann", 4)
    assert [wait_of(lanes, job_id).in_front for job_id in (first, second, third, fourth)] == [0, 1, 2, 3]
    running, failed = lanes.claim(2)
    lanes.start(running, failed)
    assert wait_of(lanes, fourth).in_front == 1
    lanes.finish(failed, state=JobState.RETRYING)
    assert wait_of(lanes, fourth).in_front == 2, "a retry comes before jobs that have not run"
    assert wait_of(lanes, second).in_front == 0
    assert wait_of(lanes, first).in_front == 0


def test_the_jobs_that_have_the_slots(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 4)
    running, delayed, claimed = lanes.claim(3)
    lanes.start(running, delayed)
    lanes.finish(delayed, state=JobState.RETRYING, delay=100)
    wait = wait_of(lanes, ids[3])
    taken = {one.job_id: one for one in wait.occupants}
    assert set(taken) == set(ids[:3])
    assert (taken[ids[0]].claimed, taken[ids[0]].due_us) == (False, None)
    assert (taken[claimed.job_id].claimed, taken[claimed.job_id].due_us) == (True, None)
    due_us = taken[ids[1]].due_us or 0
    assert abs(due_us - lanes.now_us() - 100_000_000) < 10_000_000
    assert wait.in_flight == 2


def test_the_lane_and_the_ring(lanes: Driver) -> None:
    lanes.run(Limit("ann", 2))
    (job_id,) = lanes.enqueue("ann")
    lanes.enqueue("bob")
    wait = wait_of(lanes, job_id)
    assert (wait.slots, wait.paused, wait.ring_place, wait.ring_lanes) == (2, False, 1, 2)
    assert 0 <= wait.ring_wait_seconds < 60
    lanes.client.zadd(lanes.keys.ring, {"bob": lanes.now_us() - 90_000_000})
    wait = wait_of(lanes, job_id)
    assert wait.ring_place == 2
    assert 90 <= wait.ring_wait_seconds < 150
    lanes.run(Pause("ann"))
    wait = wait_of(lanes, job_id)
    assert (wait.paused, wait.ring_place, wait.ring_lanes) == (True, 0, 1)


def test_a_job_that_waits_for_a_permit(lanes: Driver) -> None:
    for user in ("bob", "eve", "ann"):
        lanes.enqueue(user, type_="gpu")
    first, second, third = lanes.claim()
    lanes.ask(first, second, third, running=1, starts=9, period_seconds=60)
    waiting = wait_of(lanes, third.job_id)
    assert waiting.permit == PermitWait(2, TypeUse(TypeLimit("gpu", 1, 9, 60), running=1, waiting=2))
    assert wait_of(lanes, first.job_id, "bob").permit is None, "it has one"
    lanes.finish(first)
    lanes.run(CallWaiters())
    assert wait_of(lanes, second.job_id, "eve").permit is None, "it has been called"
    assert wait_of(lanes, third.job_id).permit

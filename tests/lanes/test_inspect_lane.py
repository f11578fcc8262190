"""inspect_lane: reads the numbers of one lane."""

from __future__ import annotations

import pytest

from laneway.lanes.commands import InspectLane, Limit, Pause
from laneway.lanes.model import JobState, LaneView, seq_of
from tests.lanes.driver import Driver


def test_an_empty_lane(lanes: Driver) -> None:
    assert lanes.run(InspectLane("ann")) == LaneView(0, 0, 5, paused=False, oldest_us=None, delayed=0)
    assert lanes.all_keys() == set()


def test_running_and_queued_jobs_are_counted(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 6)
    claimed, started, delayed, due = lanes.claim(4)
    assert lanes.run(InspectLane("ann")) == LaneView(
        2, 4, 5, paused=False, oldest_us=seq_of(ids[0]), delayed=0
    )
    lanes.start(started)
    lanes.finish(delayed, state=JobState.RETRYING, delay=100)
    lanes.finish(due, state=JobState.RETRYING)
    assert lanes.run(InspectLane("ann")) == LaneView(
        4, 2, 5, paused=False, oldest_us=seq_of(ids[0]), delayed=0
    )
    lanes.finish(claimed)
    assert lanes.run(InspectLane("ann")) == LaneView(
        4, 1, 5, paused=False, oldest_us=seq_of(ids[1]), delayed=0
    )


def test_followers_do_not_run_while_the_slots_are_in_use(lanes: Driver) -> None:
    lanes.run(Limit("ann", 3))
    ids = lanes.enqueue("ann", 20)
    first, *others = lanes.claim(15, with_followers=True)
    assert lanes.run(InspectLane("ann")) == LaneView(
        17, 3, 3, paused=False, oldest_us=seq_of(ids[0]), delayed=0
    )
    lanes.start(first)
    lanes.finish(*others[:-1])
    assert lanes.run(InspectLane("ann")) == LaneView(
        5, 2, 3, paused=False, oldest_us=seq_of(ids[0]), delayed=0
    )


@pytest.mark.parametrize("oldest", range(4))
def test_the_oldest_job_is_found_wherever_it_is(lanes: Driver, oldest: int) -> None:
    ids = lanes.enqueue("ann", 4)
    leases = lanes.claim(4)
    lanes.finish(*leases[:oldest])
    lanes.release(leases[3])
    if oldest < 2:
        lanes.start(leases[1])
    if oldest < 3:
        lanes.finish(leases[2], state=JobState.RETRYING)
    assert lanes.run(InspectLane("ann")).oldest_us == seq_of(ids[oldest])


def test_slots_and_pause(lanes: Driver) -> None:
    lanes.run(Limit("*", 3))
    lanes.run(Limit("ann", 2))
    lanes.run(Pause("bob"))
    assert [(v.slots, v.paused) for v in (lanes.run(InspectLane(u)) for u in ("ann", "bob", "eve"))] == [
        (2, False),
        (3, True),
        (3, False),
    ]

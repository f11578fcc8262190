"""start: charges claimed jobs an attempt, and opens their lanes to other processes again."""

from __future__ import annotations

from laneway.lanes.commands import Cancel, Start
from laneway.lanes.model import JobState
from tests.lanes.driver import Driver


def test_a_started_job_is_charged_and_its_lane_goes_on(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 2)
    (lease,) = lanes.claim(1)
    assert lanes.run(Start("w7", [lease], [123456])) == [1]
    assert lanes.lane("ann") == [("started", ids[0]), ("waiting", ids[1])]
    job = lanes.job(ids[0])
    assert (job["state"], job["attempts"], job["worker"], job["started_us"]) == (
        "running",
        "1",
        "w7",
        "123456",
    )
    assert lanes.ring() == ["ann"]
    assert lanes.leases() == {lease.handle}


def test_the_lane_waits_for_the_last_claimed_job(lanes: Driver) -> None:
    lanes.enqueue("ann", 5)
    first, second = lanes.claim(2)
    lanes.start(first)
    assert lanes.ring() == []
    lanes.start(second)
    assert lanes.ring() == ["ann"]


def test_the_last_slot_leaves_the_lane_out_of_the_ring(lanes: Driver) -> None:
    lanes.enqueue("ann", 6)
    leases = lanes.claim()
    assert len(leases) == 5
    lanes.start(*leases)
    assert lanes.ring() == []


def test_repeating_it_changes_nothing(lanes: Driver) -> None:
    lanes.enqueue("ann", 2)
    (lease,) = lanes.claim(1)
    lanes.start(lease)
    before = lanes.snapshot()
    assert lanes.start(lease) == [1]
    assert lanes.snapshot() == before


def test_a_stale_start_changes_nothing(lanes: Driver) -> None:
    (old,) = lanes.claimed("ann")
    lanes.lose(old)
    (new,) = lanes.claim()
    before = lanes.snapshot()
    assert lanes.start(old) == [0]
    assert lanes.snapshot() == before
    lanes.finish(new)
    before = lanes.snapshot()
    assert lanes.start(new) == [0]
    assert lanes.snapshot() == before


def test_start_returns_that_a_job_was_asked_to_stop(lanes: Driver) -> None:
    first, second = lanes.claimed("ann", 2)
    lanes.run(Cancel("ann", second.job_id))
    assert lanes.start(first, second) == [1, 2]


def test_a_retry_is_charged_again(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    lanes.finish(lease, state=JobState.RETRYING)
    (again,) = lanes.claim()
    assert lanes.job(again.job_id)["state"] == "retrying"
    lanes.start(again)
    job = lanes.job(again.job_id)
    assert (job["state"], job["attempts"]) == ("running", "2")

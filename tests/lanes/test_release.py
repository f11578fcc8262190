"""release: returns claimed jobs that have not started to their places, uncharged."""

from __future__ import annotations

from laneway.lanes.commands import Cancel
from laneway.lanes.model import JobState
from tests.lanes.driver import Driver


def test_released_jobs_are_where_they_were(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 4)
    leases = lanes.claim(3)
    assert lanes.release(*leases) == [True] * 3
    assert lanes.lane("ann") == [("waiting", job_id) for job_id in ids]
    assert lanes.leases() == set()
    assert lanes.ring() == ["ann"]
    assert lanes.job(ids[0])["attempts"] == "0"
    again = lanes.claim(3)
    assert [lease.job_id for lease in again] == ids[:3]
    assert not any(lease.suspect for lease in again)


def test_a_retry_goes_back_to_the_head_and_keeps_its_slot(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 2)
    lanes.finish(*lanes.claim(1), state=JobState.RETRYING)
    (again,) = lanes.claim(1)
    lanes.release(again)
    assert lanes.lane("ann") == [("due", ids[0]), ("waiting", ids[1])]
    (third,) = lanes.claim(1)
    assert (third.job_id, third.attempt) == (ids[0], 2)


def test_the_lane_goes_on_when_the_last_claimed_job_is_back(lanes: Driver) -> None:
    first, second = lanes.claimed("ann", 2)
    lanes.release(second)
    assert lanes.ring() == []
    lanes.start(first)
    assert lanes.ring() == ["ann"]


def test_a_job_that_has_started_is_left_alone(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    before = lanes.snapshot()
    assert lanes.release(lease) == [False]
    assert lanes.snapshot() == before


def test_a_stale_release_changes_nothing(lanes: Driver) -> None:
    (old,) = lanes.claimed("ann")
    lanes.lose(old)
    assert lanes.release(old) == [False]
    (new,) = lanes.claim()
    before = lanes.snapshot()
    assert lanes.release(old) == [False]
    assert lanes.snapshot() == before
    lanes.finish(new)
    assert lanes.release(new) == [False]


def test_a_job_that_was_asked_to_stop_does_not_come_back(lanes: Driver) -> None:
    first, second = lanes.claimed("ann", 2)
    assert lanes.run(Cancel("ann", first.job_id, "enough")) == "stopping"
    assert lanes.release(first, second) == [2, 1]
    job = lanes.job(first.job_id)
    assert (job["state"], job["reason"], job["attempts"]) == ("cancelled", "enough", "0")
    assert lanes.done() == [first.job_id]
    assert lanes.lane("ann") == [("waiting", second.job_id)]
    assert lanes.cancels() == set()


def test_a_lane_that_was_not_served_returns_to_the_front_of_the_ring(lanes: Driver) -> None:
    for user in ("ann", "bob", "eve", "tom"):
        lanes.enqueue(user, 3)
    first, second = lanes.claim(2)
    assert lanes.ring() == ["eve", "tom"]
    assert lanes.release(first, second) == [1, 1]
    assert lanes.ring() == ["ann", "bob", "eve", "tom"]


def test_a_lane_that_was_served_goes_to_the_end_even_if_some_jobs_came_back(lanes: Driver) -> None:
    lanes.enqueue("ann", 5)
    lanes.enqueue("bob", 5)
    kept, *back = [lease for lease in lanes.claim(4) if lease.user == "ann"]
    lanes.release(*back)
    lanes.enqueue("eve")
    lanes.start(kept)
    assert lanes.ring() == ["eve", "ann"]


def test_a_job_that_returns_for_later_and_has_never_run_blocks_its_lane(lanes: Driver) -> None:
    """Jobs of a lane start in the order of their acceptance."""
    ids = lanes.enqueue("ann", 3)
    (lease,) = lanes.claim(1)
    assert lanes.release(lease, delay=100) == [1]
    assert lanes.lane("ann") == [("claimed", ids[0]), ("waiting", ids[1]), ("waiting", ids[2])]
    assert lanes.claim() == []
    assert lanes.job(ids[0])["attempts"] == "0"
    lanes.age_retry(ids[0])
    again = lanes.claim()
    assert [(one.job_id, one.attempt) for one in again] == [(job_id, 1) for job_id in ids]
    assert not again[0].suspect


def test_a_job_that_returns_for_later_and_has_run_keeps_its_slot_and_the_others_go_on(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 2)
    lanes.finish(*lanes.claim(1), state=JobState.RETRYING)
    (again,) = lanes.claim(1)
    lanes.release(again, delay=100)
    assert lanes.lane("ann") == [("started", ids[0]), ("waiting", ids[1])]
    assert [lease.job_id for lease in lanes.claim()] == [ids[1]]


def test_a_job_that_waits_for_later_can_be_cancelled_and_its_lane_goes_on(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 2)
    (lease,) = lanes.claim(1)
    lanes.release(lease, delay=100)
    assert lanes.run(Cancel("ann", ids[0])) == "cancelled"
    assert lanes.ring() == ["ann"]
    assert lanes.retries() == set()

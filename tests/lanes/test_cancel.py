"""cancel: a job that does not run is cancelled at once; a running one is asked to stop."""

from __future__ import annotations

import pytest

from laneway.lanes.commands import Archived, Cancel, Limit
from laneway.lanes.model import JobState
from tests.lanes.driver import Driver


def test_a_waiting_job_is_cancelled(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 2)
    assert lanes.run(Cancel("ann", ids[0], "enough")) == "cancelled"
    assert lanes.lane("ann") == [("waiting", ids[1])]
    job = lanes.job(ids[0])
    assert (job["state"], job["reason"], job["attempts"]) == ("cancelled", "enough", "0")
    assert "finished_us" in job
    assert lanes.done() == [ids[0]]
    assert lanes.ring() == ["ann"]


def test_a_lane_that_lost_a_job_keeps_its_place_in_the_ring(lanes: Driver) -> None:
    """Cancelling one job does not delay the user's other jobs."""
    ids = lanes.enqueue("ann", 2)
    lanes.enqueue("bob")
    assert lanes.run(Cancel("ann", ids[1])) == "cancelled"
    assert lanes.ring() == ["ann", "bob"]


def test_the_last_job_takes_its_lane_with_it(lanes: Driver) -> None:
    (job_id,) = lanes.enqueue("ann")
    lanes.run(Cancel("ann", job_id))
    assert lanes.all_keys() == {f"spec:{job_id}", f"ended:{job_id}", "outbox", "clock", "wakeups"}


@pytest.mark.parametrize("delay", [0, 100])
def test_a_retry_is_cancelled_and_its_slot_is_free(lanes: Driver, delay: float) -> None:
    lanes.run(Limit("*", 1))
    ids = lanes.enqueue("ann", 2)
    lanes.finish(*lanes.claim(), state=JobState.RETRYING, delay=delay)
    assert lanes.run(Cancel("ann", ids[0])) == "cancelled"
    assert lanes.retries() == set()
    assert lanes.job(ids[0])["attempts"] == "1"
    assert [lease.job_id for lease in lanes.claim()] == [ids[1]]


@pytest.mark.parametrize("started", [True, False], ids=["running", "claimed"])
def test_a_job_in_flight_is_asked_to_stop(lanes: Driver, *, started: bool) -> None:
    (lease,) = lanes.started("ann") if started else lanes.claimed("ann")
    lane = lanes.lane("ann")
    assert lanes.run(Cancel("ann", lease.job_id, "enough")) == "stopping"
    assert lanes.run(Cancel("ann", lease.job_id, "enough")) == "stopping"
    assert lanes.lane("ann") == lane
    assert lanes.leases() == {lease.handle}
    assert lanes.renew(lease) == [2]
    assert lanes.finish(lease, state=JobState.CANCELLED) == [True]
    job = lanes.job(lease.job_id)
    assert (job["state"], job["reason"]) == ("cancelled", "enough")
    assert lanes.cancels() == set()


def test_an_ended_job_stays_as_it_is(lanes: Driver) -> None:
    (lease,) = lanes.claimed("ann")
    lanes.finish(lease)
    before = lanes.snapshot()
    assert lanes.run(Cancel("ann", lease.job_id)) == "ended"
    assert lanes.snapshot() == before


def test_another_users_job_and_one_that_never_existed_are_unknown(lanes: Driver) -> None:
    (job_id,) = lanes.enqueue("ann")
    before = lanes.snapshot()
    assert lanes.run(Cancel("bob", job_id)) == "unknown"
    assert lanes.run(Cancel("ann", "0" * 25)) == "unknown"
    assert lanes.snapshot() == before


def test_an_archived_job_is_unknown(lanes: Driver) -> None:
    (lease,) = lanes.claimed("ann")
    lanes.finish(lease)
    lanes.run(Archived([lease.job_id]))
    assert lanes.run(Cancel("ann", lease.job_id)) == "unknown"


def test_a_running_job_is_left_alone_if_only_others_are_wanted(lanes: Driver) -> None:
    (running,) = lanes.started("ann")
    (claimed,) = lanes.claimed("ann")
    (waiting,) = lanes.enqueue("ann")
    answers = [
        lanes.run(Cancel("ann", job_id, "enough", stop_running=False))
        for job_id in (running.job_id, claimed.job_id, waiting)
    ]
    assert answers == ["running", "stopping", "cancelled"]
    assert {entry.partition(":")[0] for entry in lanes.cancels()} == {claimed.job_id}

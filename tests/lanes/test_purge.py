"""purge: cancels the jobs of a lane that do not run."""

from __future__ import annotations

from laneway.lanes.commands import CANCELLED, Limit, Purge
from laneway.lanes.model import JobState, seq_of
from tests.lanes.driver import FOR_EVER, Driver

RETRYING = JobState.RETRYING


def test_waiting_due_and_delayed_jobs_are_cancelled_and_running_ones_are_not(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 5)
    running, due, delayed = lanes.claim(3)
    lanes.finish(delayed, state=RETRYING, delay=100)
    lanes.finish(due, state=RETRYING)
    lanes.start(running)
    cancelled, more = lanes.run(Purge("ann", FOR_EVER, "gone"))
    assert (sorted(cancelled), more) == (ids[1:], False)
    assert lanes.lane("ann") == [("started", ids[0])]
    for job_id, attempts in zip(ids[1:], "1100", strict=True):
        job = lanes.job(job_id)
        assert (job["state"], job["reason"], job["attempts"]) == ("cancelled", "gone", attempts)
    assert sorted(lanes.done()) == ids[1:]
    assert lanes.retries() == set()
    assert lanes.ring() == []
    assert lanes.finish(running) == [True]


def test_a_claimed_job_is_cancelled_unless_it_runs(lanes: Driver) -> None:
    ends, starts, back, later = lanes.claimed("ann", 4)
    assert lanes.run(Purge("ann", seq_of(back.job_id), "gone")) == ([], False)
    assert lanes.finish(ends) == [True]
    assert lanes.start(starts) == [2]
    assert lanes.release(back, later) == [CANCELLED, 1]
    assert lanes.job(ends.job_id)["state"] == "succeeded"
    assert (lanes.job(back.job_id)["state"], lanes.job(back.job_id)["reason"]) == ("cancelled", "gone")


def test_a_job_that_waits_after_it_was_lost_is_cancelled(lanes: Driver) -> None:
    dead, returned = lanes.claimed("ann", 2)
    lanes.process_dies(dead)
    lanes.release(returned, delay=100)
    cancelled, _ = lanes.run(Purge("ann", FOR_EVER, "gone"))
    assert sorted(cancelled) == [dead.job_id, returned.job_id]
    assert lanes.all_keys() >= {"outbox"}
    assert not {"losses", "retries", "lanes"} & lanes.all_keys()


def test_jobs_accepted_later_stay(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 4)
    lanes.finish(*lanes.claim(2), state=RETRYING)
    cancelled, _ = lanes.run(Purge("ann", seq_of(ids[2]), "gone"))
    assert sorted(cancelled) == ids[:3]
    assert lanes.lane("ann") == [("waiting", ids[3])]
    assert lanes.ring() == ["ann"]


def test_a_delayed_retry_that_came_later_stays(lanes: Driver) -> None:
    first, second = lanes.claimed("ann", 2)
    lanes.finish(first, second, state=RETRYING, delay=100)
    assert lanes.run(Purge("ann", seq_of(first.job_id), "gone")) == ([first.job_id], False)
    assert lanes.retries() == {second.job_id}


def test_a_long_lane_is_purged_in_pieces(lanes: Driver) -> None:
    lanes.run(Limit("*", 2))
    ids = lanes.enqueue("ann", 9)
    lanes.finish(*lanes.claim(2), state=RETRYING)
    cancelled: list[str] = []
    pieces, more = 0, True
    while more:
        piece, more = lanes.run(Purge("ann", FOR_EVER, "gone", limit=3))
        assert len(piece) <= 3
        cancelled += piece
        pieces += 1
    assert (cancelled, pieces) == (ids, 4)
    assert lanes.known_lanes() == lanes.ring() == []


def test_other_lanes_are_untouched(lanes: Driver) -> None:
    (other,) = lanes.enqueue("bob")
    lanes.enqueue("ann", 2)
    lanes.run(Purge("ann", FOR_EVER, "gone"))
    assert lanes.lane("bob") == [("waiting", other)]
    assert lanes.ring() == ["bob"]


def test_an_empty_lane_has_nothing_to_purge(lanes: Driver) -> None:
    assert lanes.run(Purge("ann", FOR_EVER, "gone")) == ([], False)
    assert lanes.all_keys() == set()

"""lose: the jobs of a dead process come back at once; only a job that ran alone in it has a loss."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from laneway.lanes.commands import Cancel, Lose
from laneway.lanes.keys import TURN_PLACEHOLDER
from laneway.lanes.model import JobState, LostJob
from tests.lanes.driver import Driver


@pytest.mark.parametrize("known_to_redis", [True, False])
def test_a_job_that_ran_alone_comes_back_uncharged_as_a_suspect(
    lanes: Driver, *, known_to_redis: bool
) -> None:
    ids = lanes.enqueue("ann", 2, max_attempts=1)
    (lease,) = lanes.claim(1)
    if known_to_redis:
        lanes.start(lease)
    assert lanes.process_dies(lease) == [LostJob("ann", ids[0], JobState.QUEUED, 0, "echo")]
    assert lanes.lane("ann") == [("due", ids[0]), ("waiting", ids[1])], "it keeps its slot"
    job = lanes.job(ids[0])
    assert (job["state"], job["attempts"], job["losses"]) == ("queued", "0", "1 1 0")
    assert (job["worker"], job["started_us"]) == ("w1", "1000")
    assert lanes.leases() == set()
    assert lanes.ring() == ["ann"]
    again = lanes.claim()
    assert [(one.job_id, one.attempt, one.suspect) for one in again] == [
        (ids[0], 1, True),
        (ids[1], 1, False),
    ]


def test_a_job_that_ran_alone_in_too_many_dead_processes_has_failed(lanes: Driver) -> None:
    (lease,) = lanes.claimed("ann", max_attempts=9)
    for _ in range(2):
        assert lanes.process_dies(lease)[0].state is JobState.QUEUED
        (lease,) = lanes.claim()
    assert lanes.process_dies(lease) == [LostJob("ann", lease.job_id, JobState.FAILED, 0, "echo")]
    job = lanes.job(lease.job_id)
    assert (job["state"], job["attempts"], job["worker"], job["started_us"]) == ("failed", "0", "w1", "1000")
    assert json.loads(job["error"])["type"] == "WorkerLost"
    assert "3 processes in a row" in json.loads(job["error"])["message"]
    assert lanes.done() == [lease.job_id]
    assert lanes.lane("ann") == []
    assert "losses" not in lanes.all_keys()


def test_jobs_that_ran_beside_each_other_are_suspects_without_a_loss_however_often(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 3, max_attempts=1)
    for _ in range(10):
        leases = lanes.claim()
        assert [(lease.job_id, lease.attempt) for lease in leases] == [(job_id, 1) for job_id in ids]
        lanes.start(*leases)
        lost = lanes.process_dies(*leases)
        assert {(job.state, job.attempts) for job in lost} == {(JobState.QUEUED, 0)}
        assert {lanes.job(job_id)["losses"] for job_id in ids} == {"1 0 0"}
    assert all(lease.suspect for lease in lanes.claim())


@pytest.mark.parametrize("state", [JobState.RETRYING, JobState.SUCCEEDED, JobState.FAILED])
def test_an_attempt_that_ends_by_itself_clears_suspicion_and_losses(lanes: Driver, state: JobState) -> None:
    (lease,) = lanes.started("ann")
    lanes.process_dies(lease)
    (lease,) = lanes.claim()
    assert lanes.finish(lease, state=state) == [True]
    assert "losses" not in lanes.all_keys()
    assert not any(again.suspect for again in lanes.claim())


def test_an_interrupted_job_comes_back_uncharged_and_its_losses_stay(lanes: Driver) -> None:
    (first, second) = lanes.started("ann", 2, max_attempts=1)
    lanes.process_dies(first)
    (first,) = lanes.claim()
    assert lanes.finish(first, second, state=JobState.QUEUED) == [True, True]
    assert [where for where, _ in lanes.lane("ann")] == ["due", "due"]
    assert [(lease.job_id, lease.attempt, lease.suspect) for lease in lanes.claim()] == [
        (first.job_id, 1, True),
        (second.job_id, 1, False),
    ]
    assert lanes.job(first.job_id)["losses"] == "1 1 0"


def test_an_interrupted_job_that_was_asked_to_stop_is_cancelled(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    lanes.run(Cancel("ann", lease.job_id, "enough"))
    lanes.finish(lease, state=JobState.QUEUED)
    assert (lanes.job(lease.job_id)["state"], lanes.job(lease.job_id)["reason"]) == ("cancelled", "enough")
    assert lanes.cancels() == set()


def test_a_lost_job_that_was_asked_to_stop_is_cancelled(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    lanes.run(Cancel("ann", lease.job_id, "enough"))
    assert lanes.process_dies(lease) == [LostJob("ann", lease.job_id, JobState.CANCELLED, 0, "echo")]
    assert lanes.job(lease.job_id)["reason"] == "enough"
    assert lanes.cancels() == set()


def test_it_takes_just_the_given_leases_and_no_stale_one(lanes: Driver) -> None:
    first, second, third = lanes.started("ann", 3)
    lanes.age(second)
    stale = replace(third, token="1")
    lost = lanes.process_dies(third, stale, first)
    assert [job.job_id for job in lost] == [third.job_id, first.job_id]
    assert lanes.leases() == {second.handle}
    before = lanes.snapshot()
    assert lanes.process_dies(third, stale, first) == []
    assert lanes.snapshot() == before


def test_a_turn_that_a_dead_process_had_taken_is_replaced(lanes: Driver) -> None:
    """Even if none of its jobs had started."""
    lanes.client.set(lanes.keys.turn, TURN_PLACEHOLDER)
    (lease,) = lanes.claimed("ann")
    lanes.age(lease)
    lanes.enqueue("bob")
    lanes.client.delete(lanes.keys.turns, lanes.keys.wakeups)
    assert lanes.run(Lose("w1", [], [])) == []
    assert lanes.leases() == {lease.handle}, "whichever leases have run out, expire takes them"
    assert lanes.client.llen(lanes.keys.turns) == lanes.client.llen(lanes.keys.wakeups) == 1

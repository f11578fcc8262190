"""expire: jobs of lost workers run again, due retries become startable, missing turns are replaced."""

from __future__ import annotations

import json

import pytest

from laneway.lanes.commands import Cancel, Expire, Limit, WorkerLossLimits
from laneway.lanes.keys import TURN_PLACEHOLDER
from laneway.lanes.model import JobState, LostJob
from tests.lanes.driver import Driver


def test_leases_that_have_not_run_out_are_left_alone(lanes: Driver) -> None:
    lanes.started("ann")
    before = lanes.snapshot()
    assert lanes.run(Expire()) == []
    assert lanes.snapshot() == before


def test_a_started_job_comes_back_uncharged_to_the_head_of_its_lane_and_keeps_its_slot(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 2, max_attempts=1)
    (lease,) = lanes.claim(1)
    lanes.start(lease)
    assert lanes.lose(lease) == [LostJob("ann", ids[0], JobState.QUEUED, 0, "echo")]
    assert lanes.lane("ann") == [("due", ids[0]), ("waiting", ids[1])]
    job = lanes.job(ids[0])
    assert (job["state"], job["attempts"]) == ("queued", "0")
    assert lanes.leases() == set()
    assert lanes.ring() == ["ann"]
    (again,) = lanes.claim(1)
    assert (again.job_id, again.attempt) == (ids[0], 1)


def test_earlier_attempts_stay_charged(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    lanes.finish(lease, state=JobState.RETRYING, body=b'{"type":"Earlier"}')
    (again,) = lanes.claim()
    lanes.start(again)
    assert lanes.lose(again) == [LostJob("ann", lease.job_id, JobState.QUEUED, 1, "echo")]
    job = lanes.job(lease.job_id)
    assert (job["state"], job["attempts"], job["error"]) == ("retrying", "1", '{"type":"Earlier"}')


def test_from_the_second_lost_worker_in_a_row_on_a_job_is_suspect_and_comes_back_after_a_backoff(
    lanes: Driver,
) -> None:
    limits = WorkerLossLimits(max_losses=9, backoff_seconds=2, backoff_max_seconds=7)
    (lease,) = lanes.started("ann", max_attempts=1)
    assert lanes.lose(lease, limits=limits)[0].state is JobState.QUEUED
    (lease,) = lanes.claim()
    assert not lease.suspect, "most workers are lost by no fault of a job"
    for delay_ms in (2000, 4000, 7000, 7000):
        lanes.start(lease)
        before_ms = lanes.now_us() / 1000
        assert lanes.lose(lease, limits=limits)[0].state is JobState.QUEUED
        assert lanes.where("ann", lease.job_id) == ["started"], "it keeps its slot"
        due_ms = lanes.client.zscore(lanes.keys.retries, lease.job_id)
        assert before_ms + delay_ms - 1 <= due_ms <= lanes.now_us() / 1000 + delay_ms
        assert lanes.claim() == []
        lanes.age_retry(lease.job_id)
        (lease,) = lanes.claim()
        assert (lease.attempt, lease.suspect) == (1, True)


@pytest.mark.parametrize("how", ["claimed", "started"])
def test_a_job_that_has_lost_too_many_workers_in_a_row_has_failed(lanes: Driver, how: str) -> None:
    limits = WorkerLossLimits(max_losses=3, backoff_seconds=0)
    (lease,) = lanes.claimed("ann", max_attempts=1)
    states: list[JobState] = []
    while not states or states[-1] is JobState.QUEUED:
        if how == "started":
            lanes.start(lease)
        (lost,) = lanes.lose(lease, limits=limits)
        states.append(lost.state)
        lease = next(iter(lanes.claim()), lease)
    assert states == [JobState.QUEUED, JobState.QUEUED, JobState.FAILED]
    job = lanes.job(lease.job_id)
    assert (job["state"], job["attempts"]) == ("failed", "0")
    assert json.loads(job["error"])["type"] == "WorkerLost"
    assert "3 workers in a row" in json.loads(job["error"])["message"]
    if how == "started":
        assert (job["worker"], job["started_us"]) == ("w1", "1000"), "where and when it was lost"
    assert lanes.done() == [lease.job_id]
    assert lanes.lane("ann") == []
    assert lanes.known_lanes() == []
    assert "losses" not in lanes.all_keys()


def test_an_attempt_that_ends_by_itself_clears_the_losses(lanes: Driver) -> None:
    limits = WorkerLossLimits(max_losses=3, backoff_seconds=0)
    (lease,) = lanes.started("ann", max_attempts=9)
    for _ in range(4):
        for _ in range(2):
            assert lanes.lose(lease, limits=limits)[0].state is JobState.QUEUED
            (lease,) = lanes.claim()
        assert lease.suspect
        lanes.finish(lease, state=JobState.RETRYING)
        assert "losses" not in lanes.all_keys()
        (lease,) = lanes.claim()
        assert not lease.suspect
    assert lease.attempt == 5


def test_a_job_that_was_only_claimed_returns_to_its_place(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 2, max_attempts=1)
    (lease,) = lanes.claim(1)
    assert lanes.lose(lease) == [LostJob("ann", ids[0], JobState.QUEUED, 0, "echo")]
    assert lanes.lane("ann") == [("waiting", ids[0]), ("waiting", ids[1])]
    (lease,) = lanes.claim(1)
    lanes.lose(lease, limits=WorkerLossLimits(backoff_seconds=0))
    again = lanes.claim()
    assert [(one.job_id, one.attempt, one.suspect) for one in again] == [
        (ids[0], 1, True),
        (ids[1], 1, False),
    ]


def test_a_claimed_retry_returns_to_the_head(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 2)
    lanes.finish(*lanes.claim(1), state=JobState.RETRYING)
    (again,) = lanes.claim(1)
    assert lanes.lose(again) == [LostJob("ann", ids[0], JobState.QUEUED, 1, "echo")]
    assert lanes.lane("ann") == [("due", ids[0]), ("waiting", ids[1])]


def test_a_running_job_that_was_asked_to_stop_is_cancelled(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    lanes.run(Cancel("ann", lease.job_id, "enough"))
    assert lanes.lose(lease) == [LostJob("ann", lease.job_id, JobState.CANCELLED, 0, "echo")]
    assert lanes.job(lease.job_id)["reason"] == "enough"
    assert lanes.done() == [lease.job_id]
    assert lanes.cancels() == set()


def test_a_claimed_job_that_was_asked_to_stop_is_cancelled(lanes: Driver) -> None:
    (lease,) = lanes.claimed("ann")
    lanes.run(Cancel("ann", lease.job_id, "enough"))
    assert lanes.lose(lease) == [LostJob("ann", lease.job_id, JobState.CANCELLED, 0, "echo")]
    assert lanes.done() == [lease.job_id]
    assert lanes.cancels() == set()
    assert lanes.all_keys() == {f"spec:{lease.job_id}", f"ended:{lease.job_id}", "outbox", "clock", "wakeups"}


def test_all_jobs_of_a_dead_worker_come_back_in_order(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 4)
    leases = lanes.claim(3)
    lanes.start(leases[0])
    lanes.lose(*leases)
    assert lanes.lane("ann") == [("due", ids[0]), *(("waiting", job_id) for job_id in ids[1:])]
    assert [lease.job_id for lease in lanes.claim()] == ids


def test_it_expires_no_more_than_its_limit_oldest_first(lanes: Driver) -> None:
    first, second, third = lanes.started("ann", 3)
    for age, lease in enumerate((second, third, first)):
        lanes.client.zadd(lanes.keys.leases, {lease.handle: age + 1}, xx=True)
    assert [job.job_id for job in lanes.run(Expire(limit=2))] == [second.job_id, third.job_id]
    assert [job.job_id for job in lanes.run(Expire(limit=2))] == [first.job_id]


LOOK = Expire(outage_seconds=3)


def expire_after(lanes: Driver, *seconds: float, look: Expire = LOOK) -> list[str]:
    """Run expire after each of these pauses. Return the ids of the jobs that the last one took back."""
    taken: list[LostJob] = []
    for later in seconds:
        for field in ("last", "since", "up_to"):
            lanes.client.hincrby(lanes.key("expiry"), field, -int(later * 1000))
        for lease in lanes.leases():
            lanes.client.zincrby(lanes.keys.leases, -later * 1000, lease)
        taken = lanes.run(look)
    return [job.job_id for job in taken]


@pytest.fixture
def watched(lanes: Driver) -> Driver:
    """Lanes on which a janitor has run expire for some time."""
    lanes.run(LOOK)
    expire_after(lanes, 2, 2, 2, 2)
    return lanes


def test_after_an_outage_live_holders_can_renew_before_leases_expire(watched: Driver) -> None:
    alive, dead = watched.started("ann", 2)
    assert expire_after(watched, 60) == []
    assert watched.renew(alive) == [1]
    assert expire_after(watched, 2, 2, 2) == []
    assert expire_after(watched, 2) == [dead.job_id]
    assert watched.leases() == {alive.handle}
    assert expire_after(watched, *[2] * 10) == []
    assert expire_after(watched, 2) == [alive.job_id]


def test_leases_are_spared_after_a_second_outage_as_well(watched: Driver) -> None:
    alive, dead = watched.started("ann", 2)
    assert expire_after(watched, 60, 2, 60, 2, 40) == []
    assert watched.renew(alive) == [1]
    assert expire_after(watched, 2, 2, 2, 2) == [dead.job_id]


def test_leases_that_ran_out_before_an_outage_are_not_spared(watched: Driver) -> None:
    lost, held = watched.started("ann", 2)
    watched.age(lost)
    assert expire_after(watched, 60) == [lost.job_id]
    assert watched.leases() == {held.handle}


def test_a_jump_of_rediss_clock_is_an_outage(watched: Driver) -> None:
    (lease,) = watched.started("ann")
    hour = 3600
    assert expire_after(watched, hour) == []  # forward
    assert watched.renew(lease) == [1]
    assert expire_after(watched, 2, 2, 2, 2, -hour, 2) == []  # and back
    assert watched.renew(lease) == [1]
    assert expire_after(watched, *[2] * 14) == []
    assert expire_after(watched, 2) == [lease.job_id]


def test_a_janitor_may_run_seldom(watched: Driver) -> None:
    seldom = Expire(outage_seconds=60)
    (lease,) = watched.started("ann")
    assert expire_after(watched, 20, look=seldom) == []
    assert expire_after(watched, 20, look=seldom) == [lease.job_id]


def test_due_retries_become_startable(lanes: Driver) -> None:
    lanes.run(Limit("*", 1))
    (lease,) = lanes.claimed("ann")
    lanes.enqueue("ann")
    lanes.finish(lease, state=JobState.RETRYING, delay=10)
    lanes.run(Expire())
    assert lanes.where("ann", lease.job_id) == ["started"]
    lanes.age_retry(lease.job_id)
    assert lanes.run(Expire()) == []
    assert lanes.where("ann", lease.job_id) == ["due"]
    assert lanes.retries() == set()
    assert lanes.ring() == ["ann"]


def test_missing_turns_are_replaced(lanes: Driver) -> None:
    lanes.client.set(lanes.keys.turn, TURN_PLACEHOLDER)
    lanes.enqueue("ann")
    lanes.client.delete(lanes.keys.turns, lanes.keys.wakeups)
    lanes.run(Expire())
    assert lanes.client.llen(lanes.keys.turns) == lanes.client.llen(lanes.keys.wakeups) == 1
    lanes.run(Expire())
    assert lanes.client.llen(lanes.keys.turns) == lanes.client.llen(lanes.keys.wakeups) == 1


def test_an_empty_ring_needs_no_turn(lanes: Driver) -> None:
    lanes.client.set(lanes.keys.turn, TURN_PLACEHOLDER)
    lanes.run(Expire())
    assert lanes.all_keys() == {"turn"}

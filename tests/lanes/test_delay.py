"""Delayed jobs: when they enter their lane, in which order, and what happens to them before."""

from __future__ import annotations

import pytest

from laneway.lanes import errors
from laneway.lanes.commands import (
    Archived,
    Cancel,
    Claim,
    Enqueue,
    EnqueueLimits,
    Expire,
    InspectJob,
    InspectJobs,
    InspectLane,
    InspectLanes,
    InspectWait,
    Purge,
)
from laneway.lanes.model import JobState, NewJob, seq_of
from laneway.lanes.purge import purge
from tests.lanes.driver import FOR_EVER, Driver, new_job

SOON = 1e-6
"""A delay that is over before the next command."""
HOUR_US = 3_600_000_000


def test_a_delayed_job_enters_its_lane_when_it_is_due_and_not_before(lanes: Driver) -> None:
    (job_id,) = lanes.enqueue("ann", delay=0.5)
    assert lanes.claim() == []
    assert lanes.lane("ann") == []
    assert lanes.ring() == lanes.known_lanes() == []
    while lanes.now_us() < seq_of(job_id):
        pass
    (lease,) = lanes.claim()
    assert lease.job_id == job_id
    assert lanes.delayed("ann") == []
    lanes.finish(lease)
    lanes.run(Archived(lanes.done()))
    assert lanes.all_keys() <= {"clock", "wakeups"}


def test_a_job_enters_at_the_moment_that_was_asked_for(lanes: Driver) -> None:
    moment_us = lanes.now_us() + HOUR_US
    (job_id,) = lanes.enqueue("ann", not_before_us=moment_us)
    assert seq_of(job_id) == moment_us
    before_us = lanes.now_us()
    (job_id,) = lanes.enqueue("ann", delay=3600)
    assert before_us + HOUR_US <= seq_of(job_id) <= lanes.now_us() + HOUR_US


def test_a_moment_in_the_past_delays_nothing(lanes: Driver) -> None:
    accepted = lanes.accept("ann", not_before_us=1)
    assert accepted.position == 1
    assert [lease.job_id for lease in lanes.claim()] == list(accepted.job_ids)


def test_jobs_enter_in_the_order_of_their_moments_before_those_accepted_later(lanes: Driver) -> None:
    (first,) = lanes.enqueue("ann")
    (second,) = lanes.enqueue("ann", delay=SOON)
    (last,) = lanes.enqueue("ann")
    lanes.run(Expire())
    assert lanes.lane("ann") == [("waiting", first), ("waiting", second), ("waiting", last)]


def test_jobs_of_one_moment_enter_in_the_order_of_their_acceptance(lanes: Driver) -> None:
    moment_us = lanes.now_us() + HOUR_US
    ids: list[str] = []
    for user, count in (("ann", 1), ("bob", 3), ("ann", 40), ("ann", 1), ("bob", 100), ("ann", 2)):
        ids += lanes.enqueue(user, count, not_before_us=moment_us)
    assert ids == sorted(ids)
    assert [seq_of(job_id) for job_id in ids] == [moment_us + n for n in range(len(ids))]
    (between,) = lanes.enqueue("ann", not_before_us=moment_us + 50)
    (after,) = lanes.enqueue("ann", not_before_us=moment_us + 1000)
    assert seq_of(between) == moment_us + len(ids), "the first free microsecond"
    assert seq_of(after) == moment_us + 1000


@pytest.mark.parametrize("taken", [*range(1, 20), 300])
def test_the_first_free_microsecond_is_found(lanes: Driver, taken: int) -> None:
    moment_us = lanes.now_us() + HOUR_US
    lanes.client.zadd(lanes.keys.delayed, {f"bob:{n:025}": moment_us + n for n in range(taken)})
    lanes.client.zadd(lanes.keys.delayed, {"bob:" + "f" * 25: moment_us + taken + 1})
    first, second = (lanes.enqueue("ann", not_before_us=moment_us)[0] for _ in range(2))
    assert (seq_of(first), seq_of(second)) == (moment_us + taken, moment_us + taken + 2)


def test_a_batch_may_hold_both_kinds(lanes: Driver) -> None:
    jobs = [new_job(delay=3600), new_job(), new_job(delay=1800), new_job()]
    later, one, sooner, two = lanes.run(Enqueue("ann", jobs)).job_ids
    assert lanes.lane("ann") == [("waiting", one), ("waiting", two)]
    assert lanes.delayed("ann") == [sooner, later]
    assert lanes.ring() == lanes.known_lanes() == ["ann"]
    assert lanes.accept("ann").position == 3


def test_many_due_jobs_of_others_do_not_let_a_later_job_pass(lanes: Driver) -> None:
    """A claim admits 256 jobs. The lanes that it serves get the due ones of their own first."""
    lanes.run(Enqueue("bob", [new_job(delay=SOON) for _ in range(600)]))
    delayed = lanes.enqueue("ann", 7, delay=SOON)
    later = lanes.enqueue("ann", 3)
    assert lanes.ring() == ["ann"]
    started: list[str] = []
    while len(started) < 10:
        leases = lanes.claim(6)
        lanes.start(*leases)
        lanes.finish(*leases)
        started += [lease.job_id for lease in leases if lease.user == "ann"]
    assert started == [*delayed, *later]


def test_a_claim_says_when_the_next_job_is_due(lanes: Driver) -> None:
    lanes.enqueue("ann", delay=500)
    lanes.enqueue("ann", delay=900)
    wait = lanes.run(Claim(1, 30)).next_due_seconds
    assert wait is not None
    assert 499 < wait <= 500
    (lease,) = lanes.claimed("bob")
    lanes.start(lease)
    lanes.finish(lease, state=JobState.RETRYING, delay=100)
    wait = lanes.run(Claim(1, 30)).next_due_seconds
    assert wait is not None
    assert 99 < wait <= 100


def test_the_first_job_of_all_to_enter_wakes_one_process_that_stands_by(lanes: Driver) -> None:
    def wakes(delay: float) -> bool:
        lanes.client.delete(lanes.keys.wakeups)
        lanes.enqueue("ann", 2, delay=delay)
        return bool(lanes.client.llen(lanes.keys.wakeups))

    assert [wakes(delay) for delay in (900, 950, 800)] == [True, False, True]


def test_what_becomes_due_calls_a_worker(lanes: Driver) -> None:
    lanes.client.set(lanes.keys.turn, "turn")
    lanes.enqueue("ann", delay=SOON)
    lanes.client.delete(lanes.keys.wakeups)
    lanes.run(Expire())
    assert lanes.ring() == ["ann"]
    assert lanes.client.llen(lanes.keys.turns) == lanes.client.llen(lanes.keys.wakeups) == 1


# -- limits -------------------------------------------------------------------------------------------------------


def test_delayed_jobs_count_in_the_length_of_the_lane(lanes: Driver) -> None:
    lanes.enqueue("ann", 2)
    lanes.enqueue("ann", 2, delay=3600, lane_length=5)
    for delay in (0, 3600):
        with pytest.raises(errors.LaneFull):
            lanes.enqueue("ann", 2, delay=delay, lane_length=5)
    lanes.enqueue("ann", lane_length=5)


def test_delayed_jobs_count_in_the_bytes_of_the_lane(lanes: Driver) -> None:
    limits = EnqueueLimits(lane_bytes=50_000, request_max_bytes=1000)
    request = b'"%b"' % (b"x" * 998)
    lanes.run(Enqueue("ann", [new_job(request, delay=3600) for _ in range(24)], limits))
    lanes.run(Enqueue("ann", [new_job(request) for _ in range(24)], limits))
    for delay in (0, 3600):
        with pytest.raises(errors.LaneFull, match="bytes"):
            lanes.run(Enqueue("ann", [new_job(request, delay=delay) for _ in range(2)], limits))


def test_a_repeated_request_returns_the_delayed_job(lanes: Driver) -> None:
    first = lanes.accept("ann", delay=3600, idempotency_key="k", fingerprint="f")
    again = lanes.accept("ann", delay=3600, idempotency_key="k", fingerprint="f")
    assert (again.job_ids, again.position, again.repeated) == (first.job_ids, 0, True)
    assert len(lanes.delayed("ann")) == 1


# -- before they enter --------------------------------------------------------------------------------------------


def test_a_delayed_job_is_shown_to_its_user_alone(lanes: Driver) -> None:
    (job_id,) = lanes.enqueue("ann", delay=3600)
    job = lanes.run(InspectJob("ann", job_id))
    assert job is not None
    assert (job.state, job.position, job.type, job.request) == (JobState.QUEUED, None, "echo", b"null")
    assert job.not_before_us == job.enqueued_us == seq_of(job_id)
    assert lanes.run(InspectJob("bob", job_id)) is None
    assert lanes.run(InspectWait("ann", job_id)) is None


def test_a_job_that_has_entered_is_not_delayed_any_more(lanes: Driver) -> None:
    (job_id,) = lanes.enqueue("ann", delay=SOON)
    lanes.run(Expire())
    job = lanes.run(InspectJob("ann", job_id))
    assert job is not None
    assert (job.not_before_us, job.position) == (None, 1)


def test_delayed_jobs_are_listed_in_order_with_the_others(lanes: Driver) -> None:
    (later,) = lanes.enqueue("ann", delay=3600)
    (sooner,) = lanes.enqueue("ann", delay=1800)
    (now,) = lanes.enqueue("ann")
    listed = lanes.run(InspectJobs("ann", FOR_EVER, 9))
    assert [job.job_id for job in listed] == [later, sooner, now]
    assert [job.not_before_us is None for job in listed] == [False, False, True]
    before, after = (
        lanes.run(InspectJobs("ann", seq_of(sooner), 9, oldest_first=oldest)) for oldest in (False, True)
    )
    assert [job.job_id for job in before] == [now]
    assert [job.job_id for job in after] == [later]


def test_delayed_jobs_are_counted_apart_and_are_no_work_for_workers(lanes: Driver) -> None:
    lanes.enqueue("ann", 3, delay=3600)
    view = lanes.run(InspectLane("ann"))
    assert (view.queued, view.running, view.oldest_us, view.delayed) == (0, 0, None, 3)
    assert lanes.run(InspectLanes()) == [], "the survey adds up these"


def test_a_delayed_job_can_be_cancelled(lanes: Driver) -> None:
    (job_id,) = lanes.enqueue("ann", delay=3600)
    assert lanes.run(Cancel("bob", job_id)) == "unknown"
    assert lanes.run(Cancel("ann", job_id, "enough")) == "cancelled"
    assert lanes.run(Cancel("ann", job_id)) == "ended"
    job = lanes.job(job_id)
    assert (job["state"], job["reason"], job["type"]) == ("cancelled", "enough", "echo")
    lanes.run(Archived(lanes.done()))
    assert lanes.all_keys() <= {"clock", "wakeups"}


def test_a_purge_takes_what_was_accepted_before_it_whenever_it_is_due(lanes: Driver) -> None:
    old = lanes.enqueue("ann", 3) + lanes.enqueue("ann", 700, delay=3600)
    until_us = lanes.now_us()
    kept = lanes.enqueue("ann", 2, delay=1800)
    entered = lanes.enqueue("ann")
    cancelled = [job_id for piece in purge(lanes.lanes, "ann", until_us, "gone") for job_id in piece]
    assert sorted(cancelled) == sorted(old)
    assert lanes.delayed("ann") == kept
    assert [job_id for _, job_id in lanes.lane("ann")] == entered


def test_a_purge_of_the_lane_leaves_delayed_jobs_to_the_other_command(lanes: Driver) -> None:
    lanes.enqueue("ann", delay=3600)
    assert lanes.run(Purge("ann", FOR_EVER, "gone")) == ([], False)


# -- damage -------------------------------------------------------------------------------------------------------


def test_a_foreign_member_holds_up_nobody(lanes: Driver) -> None:
    lanes.client.zadd(lanes.keys.delayed, {"garbage": 1, "x:" + "g" * 25: 2})
    (job_id,) = lanes.enqueue("ann", delay=SOON)
    assert [lease.job_id for lease in lanes.claim()] == [job_id]
    assert not lanes.client.exists(lanes.keys.delayed)


def test_a_foreign_key_of_one_user_holds_up_nobody_else(lanes: Driver) -> None:
    (lost,) = lanes.enqueue("ann", delay=SOON)
    (job_id,) = lanes.enqueue("bob", delay=SOON)
    for name in ("lane:ann", "delayed:ann"):
        lanes.client.delete(lanes.key(name))
        lanes.client.set(lanes.key(name), "foreign")
    assert {lease.job_id for lease in lanes.claim()} == {lost, job_id}


def test_a_job_whose_request_is_lost_ends_when_it_is_due(lanes: Driver) -> None:
    (job_id,) = lanes.enqueue("ann", delay=SOON)
    lanes.client.delete(lanes.key(f"later:{job_id}"))
    assert lanes.run(InspectJob("ann", job_id)) is None
    assert lanes.claim() == []
    assert lanes.job(job_id)["reason"] == "lost"
    assert lanes.done() == [job_id]


def test_a_job_must_not_have_two_moments() -> None:
    with pytest.raises(ValueError, match="not both"):
        list(Enqueue("ann", [NewJob("0" * 12, "echo", b"1", 3, 5, 5)]).args())

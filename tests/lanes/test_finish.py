"""finish: records how attempts ended, fenced; slots are freed and lanes go on."""

from __future__ import annotations

import pytest

from laneway.lanes import errors
from laneway.lanes.commands import Cancel, Finish, Limit
from laneway.lanes.model import JobState, Lease, Outcome
from tests.lanes.driver import Driver

RETRYING = JobState.RETRYING


@pytest.mark.parametrize("started", [True, False], ids=["started", "only claimed"])
@pytest.mark.parametrize(
    ("state", "field"),
    [(JobState.SUCCEEDED, "result"), (JobState.FAILED, "error"), (JobState.CANCELLED, "error")],
)
def test_an_ended_job_leaves_its_lane_and_waits_for_the_archive(
    lanes: Driver, state: JobState, field: str, *, started: bool
) -> None:
    (lease,) = lanes.started("ann") if started else lanes.claimed("ann")
    before = lanes.now_us()
    assert lanes.run(Finish("w9", [Outcome(lease, state, 4711, b'{"x":1}')])) == [True]
    job = lanes.job(lease.job_id)
    assert (job["state"], job["attempts"], job["worker"], job["started_us"]) == (state, "1", "w9", "4711")
    assert job[field] == '{"x":1}'
    assert before <= int(job["finished_us"]) <= lanes.now_us()
    assert lanes.done() == [lease.job_id]
    assert lanes.all_keys() == {f"spec:{lease.job_id}", f"ended:{lease.job_id}", "outbox", "clock", "wakeups"}


def test_a_freed_slot_brings_the_lane_back_into_the_ring(lanes: Driver) -> None:
    lanes.enqueue("ann", 6)
    leases = lanes.claim()
    lanes.start(*leases)
    assert lanes.ring() == []
    lanes.finish(leases[2])
    assert lanes.ring() == ["ann"]
    assert lanes.leases() == {lease.handle for lease in leases} - {leases[2].handle}


def test_many_users_jobs_end_together(lanes: Driver) -> None:
    for user in ("ann", "bob", "eve"):
        lanes.enqueue(user, 7)
    leases = lanes.claim(15)
    assert lanes.finish(*leases) == [True] * 15
    assert lanes.done() == [lease.job_id for lease in leases]
    assert sorted(lanes.ring()) == ["ann", "bob", "eve"]
    assert lanes.leases() == set()


def test_a_finish_that_comes_late_changes_nothing(lanes: Driver) -> None:
    (old,) = lanes.started("ann")
    lanes.lose(old)
    for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, RETRYING):
        before = lanes.snapshot()
        assert lanes.finish(old, state=state) == [False]
        assert lanes.snapshot() == before
    (new,) = lanes.claim()
    before = lanes.snapshot()
    assert lanes.finish(old) == [False]
    assert lanes.snapshot() == before
    assert lanes.finish(new) == [True]


def test_a_late_finish_does_not_disturb_the_others_of_its_batch(lanes: Driver) -> None:
    first, second, third = lanes.started("ann", 3)
    lanes.lose(second)
    assert lanes.finish(first, second, third) == [True, False, True]
    assert lanes.done() == [first.job_id, third.job_id]


def test_finishing_twice_ends_once(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    assert lanes.finish(lease) == [True]
    before = lanes.snapshot()
    assert lanes.finish(lease, state=JobState.FAILED) == [False]
    assert lanes.snapshot() == before


def test_a_retry_without_delay_is_first_in_its_lane(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 3)
    (lease,) = lanes.claim(1)
    assert lanes.finish(lease, state=RETRYING, body=b'"boom"') == [True]
    assert lanes.lane("ann") == [("due", ids[0]), ("waiting", ids[1]), ("waiting", ids[2])]
    job = lanes.job(ids[0])
    assert (job["state"], job["attempts"], job["error"]) == ("retrying", "1", '"boom"')
    assert "finished_us" not in job
    assert lanes.ring() == ["ann"]
    assert lanes.done() == []


def test_a_retry_with_delay_keeps_its_slot_while_it_waits(lanes: Driver) -> None:
    lanes.run(Limit("*", 2))
    ids = lanes.enqueue("ann", 4)
    (lease,) = lanes.claim(1)
    before_ms = lanes.now_us() // 1000
    lanes.finish(lease, state=RETRYING, delay=50)
    due_ms = lanes.client.zscore(lanes.keys.retries, ids[0])
    assert before_ms + 50_000 <= due_ms <= lanes.now_us() // 1000 + 50_000
    assert lanes.where("ann", ids[0]) == ["started"]
    assert lanes.leases() == set()
    assert [one.job_id for one in lanes.claim()] == [ids[1]]  # the other slot goes on


def test_with_one_slot_nothing_overtakes_a_retry(lanes: Driver) -> None:
    lanes.run(Limit("*", 1))
    ids = lanes.enqueue("ann", 2)
    lanes.finish(*lanes.claim(), state=RETRYING, delay=50)
    assert lanes.ring() == []
    assert lanes.claim() == []
    lanes.age_retry(ids[0])
    assert [lease.job_id for lease in lanes.claim()] == [ids[0]]


def test_a_retry_of_a_job_that_was_asked_to_stop_is_cancelled(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    lanes.run(Cancel("ann", lease.job_id, "enough"))
    lanes.finish(lease, state=RETRYING, delay=10)
    job = lanes.job(lease.job_id)
    assert (job["state"], job["reason"]) == ("cancelled", "enough")
    assert lanes.done() == [lease.job_id]
    assert lanes.retries() == lanes.cancels() == set()


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED])
def test_a_job_that_ended_before_it_could_be_stopped_keeps_its_end(lanes: Driver, state: JobState) -> None:
    (lease,) = lanes.started("ann")
    lanes.run(Cancel("ann", lease.job_id))
    lanes.finish(lease, state=state)
    assert lanes.job(lease.job_id)["state"] == state
    assert lanes.cancels() == set()


def test_the_same_lease_twice_ends_its_job_once(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    assert lanes.finish(lease, lease) == [True, False]
    assert lanes.done() == [lease.job_id]


def test_without_outcomes_nothing_changes(lanes: Driver) -> None:
    assert lanes.run(Finish("w1", [])) == []


def test_any_number_of_ends_is_sent_in_pieces(lanes: Driver) -> None:
    """With thousands at once the script would run out of stack in the middle."""
    leases = []
    for at in range(4100):
        lanes.enqueue(f"u{at}")
    while new := lanes.claim(256):
        leases += new
    outcomes = [Outcome(lease, JobState.SUCCEEDED, 1000, b"1") for lease in leases]
    with pytest.raises(errors.ScriptFailed, match="too many jobs at once"):
        lanes.run(Finish("w1", outcomes))
    assert len(lanes.leases()) == len(lanes.known_lanes()) == 4100, "nothing was changed"
    replies = lanes.lanes.run_all(Finish.pieces("w1", outcomes))
    assert [counted for reply in replies for counted in reply] == [True] * 4100
    assert len(lanes.done()) == 4100


def test_pieces_are_limited_in_bytes_too_and_keep_the_order() -> None:
    lease = Lease("7", "ann", "0" * 25, "echo", b"null", 1, 3, suspect=False)
    sizes = [9_000_000, 9_000_000, 1, 20_000_000, *[1] * 1001]
    outcomes = [Outcome(lease, JobState.SUCCEEDED, 1000, b"1" * size) for size in sizes]
    pieces = Finish.pieces("w1", outcomes)
    assert [len(piece.outcomes) for piece in pieces] == [1, 2, 1, 1000, 1]
    assert [outcome for piece in pieces for outcome in piece.outcomes] == outcomes
    assert Finish.pieces("w1", []) == []

"""enqueue: accepts all of a user's jobs or none, in one step with the idempotency key, the limits and the revocation."""

from __future__ import annotations

import secrets

import pytest
from msgspec.structs import replace

from laneway.lanes import errors
from laneway.lanes.commands import Enqueue, EnqueueLimits, Limit, Outbox
from laneway.lanes.keys import TURN_PLACEHOLDER
from laneway.lanes.model import ID_LENGTH, JobState, NewJob, seq_of
from tests.lanes.driver import Driver, new_job


def test_a_job_waits_in_its_lane_and_the_lane_in_the_ring(lanes: Driver) -> None:
    before = lanes.now_us()
    accepted = lanes.run(Enqueue("ann", [NewJob("00ff00ff00ff", "echo", b'{"a":1}', 4)]))
    (job_id,) = accepted.job_ids
    assert (accepted.position, accepted.repeated) == (1, False)
    assert len(job_id) == ID_LENGTH
    assert job_id.endswith("00ff00ff00ff")
    assert before <= seq_of(job_id) <= lanes.now_us()
    assert lanes.lane("ann") == [("waiting", job_id)]
    assert lanes.ring() == ["ann"]
    assert lanes.known_lanes() == ["ann"]
    assert lanes.job(job_id) == {
        "user": "ann",
        "type": "echo",
        "request": '{"a":1}',
        "attempts": "0",
        "max_attempts": "4",
    }
    assert lanes.all_keys() == {"lane:ann", f"spec:{job_id}", "ring", "lanes", "clock", "wakeups"}


def test_ids_are_in_the_order_of_acceptance_also_when_the_clock_steps_back(lanes: Driver) -> None:
    future_us = lanes.now_us() + 3_600_000_000
    lanes.client.set(lanes.key("clock"), future_us)
    ids = lanes.enqueue("ann", 3) + lanes.enqueue("bob") + lanes.enqueue("ann")
    assert ids == sorted(ids)
    assert len({seq_of(job_id) for job_id in ids}) == 5
    assert min(map(seq_of, ids)) > future_us


def test_position_counts_the_jobs_that_wait_in_front(lanes: Driver) -> None:
    assert lanes.accept("ann", 3).position == 1
    assert lanes.accept("ann", 2).position == 4
    assert lanes.accept("bob").position == 1
    lanes.claim(2)  # one job of each
    assert lanes.accept("ann").position == 5


def test_the_largest_batch_is_accepted_at_once(lanes: Driver) -> None:
    count = 10_000  # the most that LANEWAY_BATCH_MAX allows
    ids = lanes.enqueue("ann", count, idempotency_key="k", fingerprint="f")
    assert len(ids) == count
    assert [job_id for _, job_id in lanes.lane("ann")] == ids
    assert lanes.enqueue("ann", count, idempotency_key="k", fingerprint="f") == ids


def test_a_known_idempotency_key_gives_the_first_answer_again(lanes: Driver) -> None:
    lanes.enqueue("ann", 2)
    first = lanes.accept("ann", 2, idempotency_key="k", fingerprint="f")
    before = lanes.snapshot()
    again = lanes.accept("ann", 2, idempotency_key="k", fingerprint="f")
    assert again.repeated
    assert (again.job_ids, again.position) == (first.job_ids, 3)
    assert lanes.snapshot() == before

    lanes.claim()
    assert lanes.accept("ann", 2, idempotency_key="k", fingerprint="f").position == 0


def test_an_idempotency_key_is_the_users_own_and_runs_out(lanes: Driver) -> None:
    mine = lanes.accept("ann", idempotency_key="k", fingerprint="f", idempotency_seconds=100)
    other = lanes.accept("bob", idempotency_key="k", fingerprint="g")
    assert not other.repeated
    assert mine.job_ids != other.job_ids
    assert 99_000 < lanes.client.pttl(lanes.key("idem:ann:k")) <= 100_000


def test_an_idempotency_key_is_not_taken_for_another_request(lanes: Driver) -> None:
    lanes.enqueue("ann", idempotency_key="k", fingerprint="f")
    before = lanes.snapshot()
    with pytest.raises(errors.IdempotencyMismatch):
        lanes.enqueue("ann", idempotency_key="k", fingerprint="g")
    assert lanes.snapshot() == before


def test_a_repeated_request_is_answered_also_when_the_lane_is_full(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 2, idempotency_key="k", fingerprint="f", lane_length=2)
    assert lanes.enqueue("ann", 2, idempotency_key="k", fingerprint="f", lane_length=2, backlog=0) == ids


def test_a_full_lane_takes_none_of_a_batch(lanes: Driver) -> None:
    lanes.enqueue("ann", 2, lane_length=4)
    lanes.claim(1)  # jobs in flight count, too
    before = lanes.snapshot()
    with pytest.raises(errors.LaneFull) as refused:
        lanes.enqueue("ann", 3, lane_length=4, idempotency_key="k", fingerprint="f")
    assert refused.value.retry_after_seconds > 0
    assert lanes.snapshot() == before
    assert len(lanes.enqueue("ann", 2, lane_length=4, idempotency_key="k", fingerprint="f")) == 2
    assert len(lanes.enqueue("bob", 4, lane_length=4)) == 4


def test_a_full_outbox_stops_acceptance(lanes: Driver) -> None:
    lanes.finish(*lanes.claimed("ann", 2))
    before = lanes.snapshot()
    with pytest.raises(errors.HistoryBacklogFull) as refused:
        lanes.enqueue("bob", backlog=2)
    assert refused.value.retry_after_seconds > 0
    assert lanes.snapshot() == before
    assert lanes.enqueue("bob", backlog=3)


def test_a_user_may_burst_for_a_second_and_then_has_to_wait(lanes: Driver) -> None:
    rate = 0.01  # a job in 100 s
    lanes.enqueue("ann", rate_per_second=rate)
    before = lanes.snapshot()
    with pytest.raises(errors.TooFast) as refused:
        lanes.enqueue("ann", rate_per_second=rate)
    assert 90 < refused.value.retry_after_seconds <= 100
    assert lanes.snapshot() == before
    assert lanes.enqueue("bob", rate_per_second=rate)
    assert len(lanes.enqueue("eve", 1000, rate_per_second=1000)) == 1000
    assert 0 < lanes.client.pttl(lanes.key("rate:ann")) <= 100_010  # then it is forgotten


def test_each_job_of_a_batch_counts_for_the_rate(lanes: Driver) -> None:
    """Otherwise batches would allow a thousand times the rate."""
    rate = 0.01  # a job in 100 s
    lanes.enqueue("ann", 3, rate_per_second=rate)
    with pytest.raises(errors.TooFast) as refused:
        lanes.enqueue("ann", rate_per_second=rate)
    assert 290 < refused.value.retry_after_seconds <= 300


def test_a_revoked_token_is_refused(lanes: Driver) -> None:
    lanes.client.set(lanes.keys.revoked("t1"), 1)
    with pytest.raises(errors.TokenRevoked):
        lanes.enqueue("ann", token_id="t1")
    assert lanes.all_keys() == {"revoked:t1"}
    assert lanes.enqueue("ann", token_id="t2")


def test_earlier_log_ins_are_refused_and_api_keys_are_not(lanes: Driver) -> None:
    lanes.client.set(lanes.keys.revoked("log-ins/ann"), 1_000)
    for logged_in_ms in (1, 1_000):
        with pytest.raises(errors.TokenRevoked):
            lanes.enqueue("ann", token_id="t1", logged_in_ms=logged_in_ms)
    assert lanes.enqueue("ann", token_id="t1", logged_in_ms=1_001)
    assert lanes.enqueue("ann", token_id="key/1", logged_in_ms=0)
    assert lanes.enqueue("bob", token_id="t1", logged_in_ms=1)


def test_a_lane_without_a_free_slot_stays_out_of_the_ring(lanes: Driver) -> None:
    lanes.run(Limit("*", 1))
    (first,) = lanes.started("ann")
    lanes.enqueue("ann", 2)
    assert lanes.ring() == []
    lanes.finish(first)
    assert lanes.ring() == ["ann"]


def test_a_lane_that_runs_and_has_a_free_slot_joins_the_ring(lanes: Driver) -> None:
    lanes.started("ann")
    assert lanes.ring() == []
    lanes.enqueue("ann")
    assert lanes.ring() == ["ann"]


def test_a_lane_whose_job_is_claimed_stays_out_of_the_ring(lanes: Driver) -> None:
    (first,) = lanes.claimed("ann")
    lanes.enqueue("ann")
    assert lanes.ring() == []
    lanes.start(first)
    assert lanes.ring() == ["ann"]


def test_a_lane_keeps_its_place_in_the_ring_when_more_is_enqueued(lanes: Driver) -> None:
    for user in ("ann", "bob", "ann"):
        lanes.enqueue(user)
    assert lanes.ring() == ["ann", "bob"]


def test_there_are_as_many_turns_and_wakeups_as_the_ring_can_use(lanes: Driver) -> None:
    template = f'{{"id":"{TURN_PLACEHOLDER}","size":34,"again":"{TURN_PLACEHOLDER}"}}'
    lanes.client.set(lanes.keys.turn, template)
    for user in ("ann", "ann", "bob"):
        lanes.enqueue(user, 3)
    turns = lanes.client.lrange(lanes.keys.turns, 0, -1)
    assert len(turns) == len(set(turns)) == lanes.client.llen(lanes.keys.wakeups) == 2
    for turn in turns:
        assert len(turn) == len(template)
        assert TURN_PLACEHOLDER.encode() not in turn

    for number in range(70):
        lanes.enqueue(f"user{number}")
    assert lanes.client.llen(lanes.keys.turns) == lanes.client.llen(lanes.keys.wakeups) == 64


def test_before_the_first_worker_no_turn_is_pushed(lanes: Driver) -> None:
    lanes.enqueue("ann")
    assert lanes.client.exists(lanes.keys.turns) == 0


def test_any_bytes_are_kept_unchanged(lanes: Driver) -> None:
    request = secrets.token_bytes(100) + b'\x00\r\n"'
    lanes.run(Enqueue("ann", [new_job(request)], EnqueueLimits()))
    (lease,) = lanes.claim()
    assert lease.request == request
    lanes.finish(lease, body=request, state=JobState.FAILED)
    assert [(job.request, job.error) for job in lanes.run(Outbox(1))] == [(request, request)]


@pytest.mark.parametrize(("user", "type_"), [("an\nn", "echo"), ("ann", "ec\nho")])
def test_a_line_feed_in_a_name_is_refused(lanes: Driver, user: str, type_: str) -> None:
    with pytest.raises(ValueError, match="line feed"):
        lanes.run(Enqueue(user, [new_job(type_=type_)]))
    assert lanes.all_keys() == set()


def test_an_empty_batch_writes_nothing(lanes: Driver) -> None:
    assert lanes.enqueue("ann", 0) == []
    assert lanes.all_keys() == set()


@pytest.mark.parametrize("nonce", ["", "abc", "0" * 11, "0" * 13, "g" * 12, "A" * 12, "0" * 11 + "\n"])
def test_a_nonce_of_another_form_is_refused(lanes: Driver, nonce: str) -> None:
    """Scripts tell a job's id from its lease by its length."""
    with pytest.raises(ValueError, match="nonce"):
        lanes.run(Enqueue("ann", [NewJob(nonce, "echo", b"null", 3)]))
    assert lanes.all_keys() == set()


# -- bytes --------------------------------------------------------------------------------------------------------


def test_a_lane_that_holds_too_many_bytes_takes_no_more(lanes: Driver) -> None:
    limits = EnqueueLimits(lane_bytes=50_000, request_max_bytes=1000)
    large = new_job(b'"%b"' % (b"x" * 998))
    for n in range(49):
        lanes.run(Enqueue("ann", [replace(large, nonce=f"{n:012x}")], limits))
    with pytest.raises(errors.LaneFull, match="bytes"):
        lanes.run(Enqueue("ann", [large], limits))
    lanes.run(Enqueue("bob", [large], limits))  # another lane
    lanes.enqueue("ann")  # without the limit


def test_a_lane_of_many_small_jobs_is_measured_by_a_sample(lanes: Driver) -> None:
    limits = EnqueueLimits(lane_bytes=100_000, request_max_bytes=1000)
    lanes.enqueue("ann", 1000)
    lanes.run(Enqueue("ann", [new_job(b"1")], limits))


def test_a_batch_counts_with_all_its_bytes(lanes: Driver) -> None:
    limits = EnqueueLimits(lane_bytes=10_000, request_max_bytes=1000)
    batch = [replace(new_job(b'"%b"' % (b"x" * 998)), nonce=f"{n:012x}") for n in range(12)]
    with pytest.raises(errors.LaneFull, match="bytes"):
        lanes.run(Enqueue("ann", batch, limits))
    assert lanes.lane("ann") == []

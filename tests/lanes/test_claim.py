"""claim: takes jobs off the ring, one lane after another, each under a lease; a lane belongs to one claimant at a time."""

from __future__ import annotations

from collections import Counter

from laneway.lanes.commands import Claim, Enqueue, Limit, Pause
from laneway.lanes.keys import TURN_PLACEHOLDER
from laneway.lanes.model import JobState
from tests.lanes.driver import Driver, new_job


def test_an_empty_ring_gives_no_jobs(lanes: Driver) -> None:
    before = lanes.now_us()
    claimed = lanes.run(Claim(10, 30))
    assert (claimed.leases, claimed.next_due_seconds) == ((), None)
    assert before <= claimed.now_us <= lanes.now_us()
    assert lanes.all_keys() == set()


def test_a_claimed_job_has_a_lease_with_a_deadline_by_rediss_clock(lanes: Driver) -> None:
    (job_id,) = lanes.enqueue("ann", max_attempts=7)
    before_ms = lanes.now_us() // 1000
    (lease,) = lanes.run(Claim(10, 30)).leases
    after_ms = lanes.now_us() // 1000
    assert (lease.user, lease.job_id, lease.type, lease.request) == ("ann", job_id, "echo", b"null")
    assert (lease.attempt, lease.max_attempts, lease.suspect) == (1, 7, False)
    deadline = lanes.client.zscore(lanes.keys.leases, lease.handle)
    assert before_ms + 30_000 <= deadline <= after_ms + 30_000
    assert lanes.lane("ann") == [("claimed", job_id)]
    assert lanes.job(job_id)["attempts"] == "0"  # it is charged when it starts


def test_each_claim_has_a_token_of_its_own(lanes: Driver) -> None:
    lanes.enqueue("ann")
    lanes.enqueue("bob")
    (first,), (second,) = lanes.claim(1), lanes.claim(1)
    assert first.token != second.token


def test_one_of_each_lane_then_the_second_of_each(lanes: Driver) -> None:
    ann, bob, eve = lanes.enqueue("ann", 3), lanes.enqueue("bob", 1), lanes.enqueue("eve", 2)
    claimed = [lease.job_id for lease in lanes.claim(9)]
    assert claimed == [ann[0], bob[0], eve[0], ann[1], eve[1], ann[2]]


def test_a_small_claim_serves_as_many_lanes_as_it_can(lanes: Driver) -> None:
    for user in ("ann", "bob", "eve"):
        lanes.enqueue(user, 5)
    assert [lease.user for lease in lanes.claim(2)] == ["ann", "bob"]
    assert lanes.ring() == ["eve"]


def test_lanes_share_a_claim_evenly(lanes: Driver) -> None:
    for number in range(4):
        lanes.enqueue(f"user{number}", 5)
    assert Counter(lease.user for lease in lanes.claim(8)) == {f"user{number}": 2 for number in range(4)}


def test_no_more_than_the_limit_and_every_lane_of_the_round_gets_one(lanes: Driver) -> None:
    for number in range(4):
        lanes.enqueue(f"user{number}", 5)
    for limit in range(1, 12):
        leases = lanes.claim(limit)
        assert len(leases) <= limit
        assert len({lease.user for lease in leases}) == min(limit, 4)
        assert lanes.release(*leases) == [True] * len(leases)


def test_a_lane_gives_no_more_than_its_free_slots(lanes: Driver) -> None:
    lanes.run(Limit("ann", 3))
    ids = lanes.enqueue("ann", 5)
    leases = lanes.claim(2)
    lanes.start(*leases)
    leases += lanes.claim(10)
    assert [lease.job_id for lease in leases] == ids[:3]


def test_a_lane_with_a_claimed_job_is_given_to_nobody_else(lanes: Driver) -> None:
    ids = lanes.enqueue("ann", 4)
    mine = lanes.claim(2)
    assert [lease.job_id for lease in mine] == ids[:2]
    assert lanes.claim() == []
    lanes.start(mine[0])
    assert lanes.claim() == []
    lanes.finish(mine[1])
    assert [lease.job_id for lease in lanes.claim()] == ids[2:]


def test_a_lane_goes_to_the_end_of_the_ring_once_its_jobs_have_started(lanes: Driver) -> None:
    for user in ("ann", "bob", "eve"):
        lanes.enqueue(user, 3)
    lanes.start(*lanes.claim(1))
    assert lanes.ring() == ["bob", "eve", "ann"]


def test_due_jobs_come_before_waiting_ones(lanes: Driver) -> None:
    lanes.run(Limit("*", 2))
    ids = lanes.enqueue("ann", 4)
    first, second = lanes.claim(2)
    lanes.finish(second, state=JobState.RETRYING)
    lanes.finish(first)
    assert [lease.job_id for lease in lanes.claim()] == [ids[1], ids[2]]
    assert lanes.lane("ann") == [("claimed", ids[1]), ("claimed", ids[2]), ("waiting", ids[3])]


def test_a_retry_whose_time_has_come_is_claimed_with_its_next_attempt(lanes: Driver) -> None:
    (lease,) = lanes.claimed("ann")
    lanes.finish(lease, state=JobState.RETRYING, delay=100)
    wait = lanes.run(Claim(10, 30))
    assert wait.leases == ()
    assert wait.next_due_seconds is not None
    assert 90 < wait.next_due_seconds <= 100
    lanes.age_retry(lease.job_id)
    again = lanes.run(Claim(10, 30))
    assert again.next_due_seconds is None
    assert [(one.job_id, one.attempt) for one in again.leases] == [(lease.job_id, 2)]
    assert lanes.retries() == set()


def test_a_lane_whose_limit_was_lowered_leaves_the_ring(lanes: Driver) -> None:
    lanes.run(Limit("*", 3))
    (first, *_) = ids = lanes.enqueue("ann", 3)
    lanes.start(*lanes.claim(1))
    lanes.run(Limit("*", 1))  # the default: no lane is updated at once
    assert lanes.claim() == []
    assert lanes.ring() == []
    assert lanes.where("ann", *ids) == ["started", "waiting", "waiting"]
    (handle,) = lanes.leases()
    assert handle.endswith(first)


def test_a_paused_lane_is_not_claimed(lanes: Driver) -> None:
    lanes.enqueue("ann")
    lanes.enqueue("bob")
    lanes.run(Pause("ann"))
    assert [lease.user for lease in lanes.claim()] == ["bob"]


def test_lanes_that_a_claim_leaves_in_the_ring_get_a_turn(lanes: Driver) -> None:
    lanes.client.set(lanes.keys.turn, TURN_PLACEHOLDER)
    lanes.enqueue("ann")
    lanes.enqueue("bob")
    lanes.client.delete(lanes.keys.turns, lanes.keys.wakeups)  # somebody took them
    assert len(lanes.claim(1)) == 1
    assert lanes.client.llen(lanes.keys.turns) == lanes.client.llen(lanes.keys.wakeups) == 1


def test_a_lane_alone_gives_followers_beyond_its_slots(lanes: Driver) -> None:
    lanes.run(Limit("ann", 2))
    ids = lanes.enqueue("ann", 9)
    leases = lanes.claim(7, with_followers=True)
    assert [lease.job_id for lease in leases] == ids[:7]
    assert [lease.follows for lease in leases] == [False] * 2 + [True] * 5
    assert lanes.claim(with_followers=True) == [], "the lane is nobody else's"
    lanes.finish(*leases[:6])
    assert lanes.ring() == []
    lanes.finish(leases[6])
    assert [lease.job_id for lease in lanes.claim()] == ids[7:]


def test_lanes_share_a_claim_with_followers_evenly(lanes: Driver) -> None:
    lanes.run(Limit("*", 1))
    for user in ("ann", "bob", "eve"):
        lanes.enqueue(user, 9)
    leases = lanes.claim(9, with_followers=True)
    assert [lease.user for lease in leases] == ["ann", "bob", "eve"] * 3
    assert [lease.follows for lease in leases] == [False] * 3 + [True] * 6


def test_slots_that_are_taken_are_no_slots_for_a_claim_with_followers(lanes: Driver) -> None:
    lanes.run(Limit("ann", 3))
    ids = lanes.enqueue("ann", 9)
    lanes.start(*lanes.claim(2))
    leases = lanes.claim(4, with_followers=True)
    assert [lease.job_id for lease in leases] == ids[2:6]
    assert [lease.follows for lease in leases] == [False, True, True, True]


def test_a_lane_without_a_free_slot_gives_no_followers(lanes: Driver) -> None:
    lanes.run(Limit("*", 3))
    lanes.enqueue("ann", 9)
    lanes.start(*lanes.claim(1))
    lanes.run(Limit("*", 1))  # the default: ann's lane stays in the ring, and has no free slot any more
    lanes.enqueue("bob", 1)
    assert [lease.user for lease in lanes.claim(with_followers=True)] == ["bob"]


def test_retries_that_are_due_come_before_followers(lanes: Driver) -> None:
    lanes.run(Limit("ann", 2))
    ids = lanes.enqueue("ann", 5)
    lanes.finish(*lanes.claim(2), state=JobState.RETRYING)
    leases = lanes.claim(with_followers=True)
    assert [lease.job_id for lease in leases] == ids
    assert [lease.follows for lease in leases] == [False] * 2 + [True] * 3


def test_followers_that_come_back_are_where_they_were(lanes: Driver) -> None:
    lanes.run(Limit("ann", 1))
    ids = lanes.enqueue("ann", 4)
    first, *followers = lanes.claim(with_followers=True)
    lanes.start(first)
    lanes.release(*followers)
    assert lanes.lane("ann") == [("started", ids[0]), *(("waiting", job_id) for job_id in ids[1:])]
    assert lanes.ring() == []
    lanes.finish(first)
    assert [lease.job_id for lease in lanes.claim(1)] == [ids[1]]


def test_followers_of_a_lost_worker_come_back_uncharged(lanes: Driver) -> None:
    lanes.run(Limit("ann", 1))
    ids = lanes.enqueue("ann", 4)
    lanes.lose(*lanes.claim(with_followers=True))
    assert lanes.lane("ann") == [("waiting", job_id) for job_id in ids]
    assert [lease.attempt for lease in lanes.claim(with_followers=True)] == [1] * 4


def test_types_and_requests_are_returned_unchanged(lanes: Driver) -> None:
    lanes.run(Enqueue("ann", [new_job(b"[1,2]", type_="wordcount"), new_job(b"{}", type_="sleep")]))
    assert [(lease.type, lease.request) for lease in lanes.claim()] == [
        ("wordcount", b"[1,2]"),
        ("sleep", b"{}"),
    ]

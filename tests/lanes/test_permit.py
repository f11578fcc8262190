"""Permits: at most so many jobs of a type run at once, or start in a period, over all lanes."""

from __future__ import annotations

import time

from laneway.lanes.commands import CANCELLED, GRANTED, CallWaiters, Cancel, Expire
from laneway.lanes.model import JobState, Lease
from tests.lanes.driver import Driver, texts

STALE, WAITS = 0, 3


def claimed_of(lanes: Driver, *users: str, count: int = 1) -> list[Lease]:
    """Enqueue jobs of the type `gpu` for each user, and claim them."""
    for user in users:
        lanes.enqueue(user, count, type_="gpu")
    return lanes.claim()


def permits(lanes: Driver) -> list[str]:
    return texts(lanes.client.zrange(lanes.key("permits:gpu"), 0, -1))


def waiting(lanes: Driver) -> list[str]:
    return texts(lanes.client.zrange(lanes.key("waiting:gpu"), 0, -1))


def test_no_more_jobs_get_permits_than_may_run(lanes: Driver) -> None:
    leases = claimed_of(lanes, "ann", "bob", "eve")
    assert lanes.ask(*leases, running=2) == [GRANTED, GRANTED, WAITS]
    assert permits(lanes) == sorted(lease.handle for lease in leases[:2])
    assert lanes.leases() == {lease.handle for lease in leases[:2]}
    assert waiting(lanes) == [leases[2].job_id]


def test_a_job_without_a_permit_keeps_its_place_and_blocks_only_its_lane(lanes: Driver) -> None:
    first, second = claimed_of(lanes, "ann", "bob")
    lanes.ask(first, second, running=1)
    lanes.enqueue("bob", type_="echo")
    lanes.enqueue("eve", type_="echo")
    assert [lease.user for lease in lanes.claim()] == ["eve"]
    assert lanes.where("bob", second.job_id) == ["claimed"]
    assert lanes.job(second.job_id)["attempts"] == "0", "uncharged"


def test_a_lease_that_is_gone_frees_its_permit_whatever_ended_it(lanes: Driver) -> None:
    first, *others = claimed_of(lanes, "ann", "bob", "eve", "zoe")
    assert lanes.ask(first, running=1) == [GRANTED]
    assert lanes.ask(others[0], running=1) == [WAITS]
    lanes.finish(first)
    lanes.run(CallWaiters())
    (again,) = lanes.claim()
    assert lanes.ask(again, running=1) == [GRANTED]
    lanes.process_dies(again)
    assert lanes.ask(others[1], running=1) == [GRANTED]
    lanes.release(others[1])
    assert lanes.ask(others[2], running=1) == [GRANTED]
    lanes.lose(others[2])
    (next_one, *_) = lanes.claim()
    assert lanes.ask(next_one, running=1) == [GRANTED]
    assert permits(lanes) == [next_one.handle]


def test_jobs_that_wait_come_before_jobs_that_ask_later(lanes: Driver) -> None:
    first, second, third = claimed_of(lanes, "ann", "bob", "eve")
    lanes.ask(first, second, running=1)
    lanes.finish(first)
    assert lanes.ask(third, running=1) == [WAITS], "bob's job has waited longer"
    lanes.run(CallWaiters(["gpu"]))
    (called,) = lanes.claim()
    assert called.user == "bob"
    assert lanes.ask(called, running=1) == [GRANTED]


def test_a_job_that_asks_again_too_early_keeps_its_place(lanes: Driver) -> None:
    first, second, third = claimed_of(lanes, "ann", "bob", "eve")
    lanes.ask(first, second, third, running=1)
    lanes.age_retry(second.job_id)
    (again,) = lanes.claim()
    assert lanes.ask(again, running=1) == [WAITS]
    assert waiting(lanes) == [second.job_id, third.job_id]


def test_lanes_take_turns(lanes: Driver) -> None:
    """Ann's ten jobs came first, and each other lane has one."""
    lanes.enqueue("ann", 10, type_="gpu")
    for user in ("bob", "eve", "zoe"):
        lanes.enqueue(user, 2, type_="gpu")
    order: list[str] = []
    while leases := lanes.claim(4):
        first = first_of_each_lane(lanes, leases)
        replies = lanes.ask(*first, running=1)
        running = [lease for lease, reply in zip(first, replies, strict=True) if reply == GRANTED]
        order += [lease.user for lease in running]
        lanes.finish(*running)
        lanes.run(CallWaiters(["gpu"]))
    assert len(order) == 16
    assert sorted(order[:4]) == sorted(order[4:8]) == ["ann", "bob", "eve", "zoe"], order


def first_of(leases: list[Lease]) -> list[Lease]:
    return list({lease.user: lease for lease in reversed(leases)}.values())[::-1]


def first_of_each_lane(lanes: Driver, leases: list[Lease]) -> list[Lease]:
    """Give back all but the first job of each lane, as a worker does."""
    first = first_of(leases)
    lanes.release(*[lease for lease in leases if lease not in first])
    return first


def test_a_job_asked_to_stop_ends_instead_of_waiting(lanes: Driver) -> None:
    first, second = claimed_of(lanes, "ann", "bob")
    assert lanes.run(Cancel("bob", second.job_id)) == "stopping"
    assert lanes.ask(first, second, running=1) == [GRANTED, CANCELLED]
    assert lanes.job(second.job_id)["state"] == "cancelled"
    assert waiting(lanes) == []


def test_a_waiting_job_can_be_cancelled(lanes: Driver) -> None:
    first, second = claimed_of(lanes, "ann", "bob")
    lanes.ask(first, second, running=1)
    assert lanes.run(Cancel("bob", second.job_id)) == "cancelled"
    lanes.run(CallWaiters())
    assert waiting(lanes) == [second.job_id], "no permit is free, so nobody looks at it"
    lanes.finish(first)
    lanes.run(CallWaiters())
    assert waiting(lanes) == []


def test_a_lease_of_another_gets_no_permit_and_changes_nothing(lanes: Driver) -> None:
    (lease,) = claimed_of(lanes, "ann")
    lanes.release(lease)
    before = lanes.snapshot()
    assert lanes.ask(lease, running=1) == [STALE]
    (again,) = lanes.claim()
    lanes.start(again)
    assert lanes.ask(again, running=1) == [STALE], "it runs"
    assert "permits:gpu" not in {*before, *lanes.all_keys()}


def test_no_more_jobs_start_in_a_period_than_the_rate_says(lanes: Driver) -> None:
    leases = claimed_of(lanes, "ann", "bob", "eve")
    assert lanes.ask(*leases, starts=2, period_seconds=1000) == [GRANTED, GRANTED, WAITS]
    lanes.finish(*leases[:2])
    assert lanes.run(CallWaiters()) == 0
    assert lanes.claim() == []
    due_ms = lanes.client.zscore(lanes.keys.retries, leases[2].job_id)
    assert 990_000 < due_ms - lanes.now_us() / 1000 <= 1000_002, "it asks again when the rate lets it start"


def test_a_job_that_waits_for_the_rate_starts_by_itself_when_its_time_has_come(lanes: Driver) -> None:
    """No end of another job calls it."""
    first, second = claimed_of(lanes, "ann", "bob")
    assert lanes.ask(first, second, starts=1, period_seconds=0.05) == [GRANTED, WAITS]
    deadline = time.monotonic() + 10
    while not (leases := lanes.claim()):
        assert time.monotonic() < deadline
    assert lanes.ask(*leases, starts=1, period_seconds=0.05) == [GRANTED]


def test_over_any_window_no_more_start_than_the_rate_says(lanes: Driver) -> None:
    for i in range(12):
        lanes.enqueue(f"u{i}", 2, type_="gpu")
    granted: list[int] = []
    deadline = time.monotonic() + 20
    while len(granted) < 24:
        assert time.monotonic() < deadline
        leases = first_of_each_lane(lanes, lanes.claim())
        replies = lanes.ask(*leases, starts=5, period_seconds=0.1) if leases else []
        running = [lease for lease, reply in zip(leases, replies, strict=True) if reply == GRANTED]
        starts = [int(us) for us in lanes.client.lrange(lanes.key("starts:gpu"), 0, -1)]
        granted = [*starts[: len(running)], *granted]
        lanes.finish(*running)
    assert all(a - b >= 100_000 for a, b in zip(granted, granted[5:], strict=False)), granted


def test_a_rate_does_not_let_more_run_than_may_run(lanes: Driver) -> None:
    leases = claimed_of(lanes, "ann", "bob")
    assert lanes.ask(*leases, running=1, starts=9, period_seconds=1) == [GRANTED, WAITS]


def test_the_starts_are_forgotten_after_the_period(lanes: Driver) -> None:
    (lease,) = claimed_of(lanes, "ann")
    lanes.ask(lease, starts=3, period_seconds=100)
    assert 0 < lanes.client.pttl(lanes.key("starts:gpu")) <= 100_001


def test_each_asker_applies_its_own_limits(lanes: Driver) -> None:
    """Two releases of a handler run side by side."""
    first, second = claimed_of(lanes, "ann", "bob")
    assert lanes.ask(first, running=1) == [GRANTED]
    assert lanes.ask(second, running=2) == [GRANTED]


def test_a_waiting_job_asks_again_within_a_minute_even_if_the_queue_of_waiters_is_lost(lanes: Driver) -> None:
    first, second = claimed_of(lanes, "ann", "bob")
    lanes.ask(first, second, running=1)
    lanes.finish(first)
    lanes.client.delete(lanes.key("waiting:gpu"))
    due_ms = lanes.client.zscore(lanes.keys.retries, second.job_id)
    assert 50_000 < due_ms - lanes.now_us() / 1000 <= 60_000
    lanes.age_retry(second.job_id)
    lanes.run(Expire())
    (again,) = lanes.claim()
    assert lanes.ask(again, running=1) == [GRANTED]


def test_a_retry_needs_a_permit_too_and_holds_none_while_it_waits(lanes: Driver) -> None:
    first, second = claimed_of(lanes, "ann", "bob")
    lanes.ask(first, second, running=1)
    lanes.start(first)
    lanes.finish(first, state=JobState.RETRYING, delay=1000)
    lanes.run(CallWaiters())
    (called,) = lanes.claim()
    assert lanes.ask(called, running=1) == [GRANTED]
    lanes.age_retry(first.job_id)
    (retry,) = lanes.claim()
    assert lanes.ask(retry, running=1) == [WAITS]
    assert lanes.where("ann", retry.job_id) == ["started"], "it keeps its slot"

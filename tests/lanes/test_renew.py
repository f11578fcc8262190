"""renew: leases last as long as their worker renews them."""

from __future__ import annotations

from laneway.lanes.commands import Cancel, Expire, Renew
from tests.lanes.driver import Driver


def test_a_renewed_lease_lasts_from_now_by_rediss_clock(lanes: Driver) -> None:
    (lease,) = lanes.started("ann")
    lanes.age(lease)
    before_ms = lanes.now_us() // 1000
    assert lanes.renew(lease, lease_seconds=60) == [1]
    deadline = lanes.client.zscore(lanes.keys.leases, lease.handle)
    assert before_ms + 60_000 <= deadline <= lanes.now_us() // 1000 + 60_000
    assert lanes.run(Expire()) == []


def test_a_lost_lease_is_not_made_again(lanes: Driver) -> None:
    kept, lost = lanes.started("ann", 2)
    lanes.lose(lost)
    before = lanes.leases()
    assert lanes.renew(lost, kept) == [0, 1]
    assert lanes.leases() == before


def test_it_returns_which_jobs_were_asked_to_stop(lanes: Driver) -> None:
    first, second = lanes.started("ann", 2)
    lanes.run(Cancel("ann", second.job_id))
    assert lanes.renew(first, second) == [1, 2]


def test_zero_seconds_lets_a_dead_processs_leases_run_out_at_once(lanes: Driver) -> None:
    first, second = lanes.started("ann", 2)
    assert lanes.renew(first, lease_seconds=0) == [1]
    assert [job.job_id for job in lanes.run(Expire())] == [first.job_id]
    assert lanes.leases() == {second.handle}


def test_without_leases_nothing_is_renewed(lanes: Driver) -> None:
    assert lanes.run(Renew(30, [])) == []

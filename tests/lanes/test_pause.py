"""pause: nothing more of a lane starts; running jobs go on."""

from __future__ import annotations

import pytest

from laneway.lanes.commands import Claim, Expire, InspectLane, Limit, Pause
from laneway.lanes.model import JobState
from tests.lanes.driver import Driver


@pytest.fixture(params=[None, 5], ids=["no default set", "default set"])
def either(lanes: Driver, request: pytest.FixtureRequest) -> Driver:
    """Lanes with and without a default number of slots in `limits`."""
    lanes.run(Limit("*", request.param))
    return lanes


def test_a_paused_lane_leaves_the_ring_and_enqueued_jobs_wait(either: Driver) -> None:
    either.enqueue("ann", 2)
    assert either.run(Pause("ann")) is True
    assert either.ring() == []
    either.enqueue("ann")
    assert either.ring() == []
    assert either.claim() == []
    assert either.run(InspectLane("ann")).paused


def test_pausing_twice_is_pausing_once(either: Driver) -> None:
    assert [either.run(Pause("ann")) for _ in range(2)] == [True, False]


def test_an_empty_lane_can_be_paused_before_its_first_job(either: Driver) -> None:
    either.run(Pause("ann"))
    either.enqueue("ann")
    assert either.ring() == []
    assert either.claim() == []


def test_running_jobs_go_on_and_the_others_stay(either: Driver) -> None:
    first, second = either.started("ann", 2)
    either.enqueue("ann")
    either.run(Pause("ann"))
    assert either.renew(first) == [1]
    assert either.finish(first) == [True]
    assert either.finish(second, state=JobState.RETRYING, delay=10) == [True]
    either.age_retry(second.job_id)
    either.run(Expire())
    assert either.where("ann", second.job_id) == ["due"]
    assert either.ring() == []
    assert either.claim() == []


def test_others_go_on(either: Driver) -> None:
    either.run(Pause("ann"))
    either.run(Limit("bob", 1))
    for user in ("ann", "bob", "eve"):
        either.enqueue(user, 2)
    assert [lease.user for lease in either.run(Claim(9, 30)).leases] == ["bob", "eve", "eve"]

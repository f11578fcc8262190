"""resume: a paused lane goes on."""

from __future__ import annotations

from laneway.lanes.commands import InspectLane, Pause, Resume
from laneway.lanes.keys import TURN_PLACEHOLDER
from tests.lanes.driver import Driver


def test_a_lane_goes_on_where_it_was_and_wakes_a_worker(lanes: Driver) -> None:
    lanes.client.set(lanes.keys.turn, TURN_PLACEHOLDER)
    lanes.run(Pause("ann"))
    ids = lanes.enqueue("ann", 2)
    assert lanes.client.llen(lanes.keys.turns) == 0
    assert lanes.run(Resume("ann")) is True
    assert lanes.ring() == ["ann"]
    assert lanes.client.llen(lanes.keys.turns) == 1
    assert [lease.job_id for lease in lanes.claim()] == ids
    assert not lanes.run(InspectLane("ann")).paused


def test_a_lane_that_was_not_paused_stays_as_it_is(lanes: Driver) -> None:
    lanes.enqueue("ann")
    before = lanes.snapshot()
    assert lanes.run(Resume("ann")) is False
    assert lanes.snapshot() == before


def test_an_idle_user_leaves_no_key(lanes: Driver) -> None:
    lanes.run(Pause("ann"))
    assert lanes.all_keys() == {"limits"}
    assert lanes.run(Resume("ann")) is True
    assert lanes.all_keys() == set()

"""limit: sets how many jobs of a lane may be in flight."""

from __future__ import annotations

import pytest

from laneway.lanes.commands import InspectLane, Limit
from tests.lanes.driver import Driver


def slots_in_use(lanes: Driver, user: str) -> int:
    """Return how many of ten jobs can be in flight at once. All of them end."""
    lanes.enqueue(user, 10)
    leases = lanes.claim()
    lanes.start(*leases)
    assert lanes.claim() == []
    lanes.finish(*leases)
    while rest := lanes.claim():
        lanes.finish(*rest)
    return len(leases)


def test_a_lane_has_five_slots_without_any_setting(lanes: Driver) -> None:
    assert slots_in_use(lanes, "ann") == 5


def test_a_lanes_own_limit_overrides_the_default(lanes: Driver) -> None:
    lanes.run(Limit("*", 2))
    lanes.run(Limit("ann", 7))
    assert slots_in_use(lanes, "ann") == 7
    assert slots_in_use(lanes, "bob") == 2
    lanes.run(Limit("ann", None))
    assert slots_in_use(lanes, "ann") == 2
    lanes.run(Limit("*", None))
    assert slots_in_use(lanes, "ann") == 5


@pytest.mark.parametrize("slots", [1, 9])
def test_a_lanes_own_limit_holds_also_when_it_is_the_only_one(lanes: Driver, slots: int) -> None:
    lanes.run(Limit("ann", slots))
    assert slots_in_use(lanes, "ann") == slots
    assert slots_in_use(lanes, "bob") == 5


def test_a_lowered_limit_interrupts_nothing_and_holds_from_then_on(lanes: Driver) -> None:
    lanes.enqueue("ann", 6)
    leases = lanes.claim(3)
    lanes.start(*leases)
    lanes.run(Limit("ann", 2))
    assert lanes.ring() == []
    assert lanes.leases() == {lease.handle for lease in leases}
    lanes.finish(leases[0])
    assert lanes.ring() == []
    lanes.finish(leases[1])
    assert len(lanes.claim()) == 1


def test_a_raised_limit_brings_the_lane_into_the_ring(lanes: Driver) -> None:
    lanes.run(Limit("ann", 1))
    lanes.enqueue("ann", 3)
    lanes.start(*lanes.claim())
    assert lanes.ring() == []
    lanes.run(Limit("ann", 2))
    assert lanes.ring() == ["ann"]
    assert lanes.run(InspectLane("ann")).slots == 2


def test_a_changed_default_holds_from_the_lanes_next_step_on(lanes: Driver) -> None:
    lanes.run(Limit("*", 1))
    lanes.enqueue("ann", 3)
    (lease,) = lanes.claim()
    lanes.run(Limit("*", 2))
    lanes.start(lease)
    assert lanes.ring() == ["ann"]

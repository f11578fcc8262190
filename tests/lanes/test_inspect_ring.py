"""inspect_ring: reads the lanes in the order in which they take turns."""

from __future__ import annotations

import random

from laneway.lanes.commands import InspectRing, Limit, Pause
from tests.lanes.driver import Driver


def users(lanes: Driver) -> list[str]:
    return [lane.user for lane in lanes.run(InspectRing()).lanes]


def test_an_empty_ring(lanes: Driver) -> None:
    lanes.claimed("ann")
    found = lanes.run(InspectRing())
    assert (found.length, found.lanes) == (0, ()), "the job of the only lane is claimed"


def test_lanes_with_their_figures(lanes: Driver) -> None:
    before = lanes.now_us()
    lanes.run(Limit("ann", 2))
    lanes.run(Pause("dan"))
    lanes.enqueue("dan", 9)
    lanes.started("ann")
    lanes.enqueue("ann", 3)
    lanes.enqueue("bob", 1)
    found = lanes.run(InspectRing())
    assert [lane[:4] for lane in found.lanes] == [("ann", 4, 1, 2), ("bob", 1, 0, 5)]
    ann, bob = found.lanes
    assert before < ann.since_us < bob.since_us < found.now_us <= lanes.now_us()


def test_only_the_first_lanes_are_read_and_all_are_counted(lanes: Driver) -> None:
    for user in ("eve", "dan", "bob", "ann"):
        lanes.enqueue(user)
    found = lanes.run(InspectRing(3))
    assert found.length == 4
    assert [lane.user for lane in found.lanes] == ["eve", "dan", "bob"]


def test_lanes_are_served_in_the_order_that_was_said(lanes: Driver) -> None:
    """Whatever was started, finished or given back before."""
    chance = random.Random(7)
    names = [f"user{number}" for number in range(9)]
    for _ in range(60):
        for user in chance.sample(names, 3):
            lanes.enqueue(user, chance.randint(1, 4))
        said = users(lanes)
        leases = lanes.claim(chance.randint(1, len(said)))
        assert [lease.user for lease in leases] == said[: len(leases)]
        kept = [lease for lease in leases if chance.random() < 0.8]
        back = [lease for lease in leases if lease not in kept]
        ahead = [user for user in said if user in {lease.user for lease in back}]
        if back:
            lanes.release(*back)
            assert users(lanes)[: len(ahead)] == ahead, "a turn that was given back comes first"
        lanes.start(*kept)
        lanes.finish(*kept)


def test_a_lane_that_was_served_goes_behind_all_others(lanes: Driver) -> None:
    for user in ("ann", "bob", "eve"):
        lanes.enqueue(user, 5)
    (lease,) = lanes.claim(1)
    assert users(lanes) == ["bob", "eve"], "until its job has started"
    lanes.start(lease)
    assert users(lanes) == ["bob", "eve", "ann"]

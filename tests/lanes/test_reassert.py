"""reassert: restores the turn message and the default number of slots, if Redis has lost them."""

from __future__ import annotations

from laneway.lanes.commands import InspectLane, Limit, Reassert, Turns
from laneway.lanes.keys import TURN_PLACEHOLDER
from tests.lanes.driver import Driver

MESSAGE = b"turn " + TURN_PLACEHOLDER.encode()


def reassert(lanes: Driver) -> list[str]:
    return lanes.run(Reassert(MESSAGE, 2, 3))


def test_what_was_lost_is_restored_with_a_turn_for_each_process(lanes: Driver) -> None:
    assert reassert(lanes) == ["limits", "turn"]
    assert lanes.client.llen(lanes.keys.turns) == 3
    assert lanes.run(InspectLane("ann")).slots == 2
    assert reassert(lanes) == []
    assert lanes.client.llen(lanes.keys.turns) == 3


def test_what_another_worker_has_set_stays(lanes: Driver) -> None:
    lanes.run(Limit("*", 7))
    lanes.run(Turns(b"another " + TURN_PLACEHOLDER.encode(), 1))
    before = lanes.snapshot()
    assert reassert(lanes) == []
    assert lanes.snapshot() == before


def test_turns_that_wait_already_are_not_doubled(lanes: Driver) -> None:
    lanes.run(Turns(MESSAGE, 2))
    lanes.client.delete(lanes.keys.turn)
    assert reassert(lanes) == ["limits", "turn"]
    assert lanes.client.llen(lanes.keys.turns) == 3

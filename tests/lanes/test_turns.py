"""turns: stores the turn message and pushes missing ones."""

from __future__ import annotations

from laneway.lanes.commands import Turns
from laneway.lanes.keys import TURN_PLACEHOLDER
from tests.lanes.driver import Driver, texts


def test_missing_turns_are_pushed_each_with_its_own_id(lanes: Driver) -> None:
    assert lanes.run(Turns(f"{TURN_PLACEHOLDER} and {TURN_PLACEHOLDER}".encode(), 3)) == 3
    waiting = texts(lanes.client.lrange(lanes.keys.turns, 0, -1))
    ids = {message.partition(" ")[0] for message in waiting}
    assert set(waiting) == {f"{one} and {one}" for one in ids}
    assert len(ids) == 3
    assert {len(one) for one in ids} == {len(TURN_PLACEHOLDER)}


def test_no_more_are_pushed_than_are_missing_and_the_message_stays(lanes: Driver) -> None:
    lanes.run(Turns(b"a turn", 2))
    assert (lanes.run(Turns(b"", 1)), lanes.run(Turns(b"", 3))) == (0, 1)
    assert lanes.client.lrange(lanes.keys.turns, 0, -1) == [b"a turn"] * 3


def test_without_a_message_no_turn_is_pushed(lanes: Driver) -> None:
    lanes.run(Turns(b"", 1))
    assert lanes.all_keys() == set()

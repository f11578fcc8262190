"""watch: the events of users with live connections are kept, for a bounded time and number."""

from __future__ import annotations

from laneway.lanes.commands import Replay, Watch
from tests.lanes.driver import Driver


def test_it_says_whose_events_were_kept_all_along(lanes: Driver) -> None:
    assert lanes.run(Watch(["ann"], 60)) == [False]
    assert lanes.run(Watch(["bob", "ann"], 60)) == [False, True]
    assert lanes.run(Watch([], 60)) == []


def test_everything_is_forgotten_unless_it_is_renewed(lanes: Driver) -> None:
    lanes.run(Watch(["ann"], 60))
    for key in ("watched", "backlog:ann"):
        assert 59_000 < lanes.client.pttl(lanes.key(key)) <= 60_000
    lanes.enqueue("ann")
    lanes.run(Watch(["ann"], 90))
    for key in ("watched", "backlog:ann"):
        assert 89_000 < lanes.client.pttl(lanes.key(key)) <= 90_000


def test_a_backlog_has_a_bound(lanes: Driver) -> None:
    lanes.run(Watch(["ann"], 60))
    lanes.enqueue("ann", 1000)
    assert 300 <= lanes.client.xlen(lanes.key("backlog:ann")) <= 400


def test_entries_go_on_when_a_backlog_begins_anew(lanes: Driver) -> None:
    """Otherwise a client could take new events for old ones."""
    lanes.run(Watch(["ann"], 60))
    lanes.enqueue("ann")
    last = lanes.run(Replay("ann")).newest
    lanes.client.unlink(lanes.key("backlog:ann"))
    while lanes.client.time() <= (int(last[:-5]), int(last[-5:-2]) * 1000 + 999):
        pass  # the same millisecond
    lanes.run(Watch(["ann"], 60))
    assert not lanes.run(Replay("ann", last)).complete

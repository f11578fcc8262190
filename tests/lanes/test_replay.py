"""replay: the events after one that a client has received, or the news that some are missing."""

from __future__ import annotations

import pytest

from laneway.lanes.commands import Backlog, Replay, Watch
from laneway.lanes.events import NO_ENTRY, Event, is_entry, parse, position
from tests.lanes.driver import Driver


def test_it_returns_what_came_after_an_entry_in_order(lanes: Driver) -> None:
    lanes.run(Watch(["ann"], 60))
    begun = lanes.run(Replay("ann")).newest
    ids = lanes.enqueue("ann", 3)
    newest, complete, events = lanes.run(Replay("ann", begun))
    assert [event.job_id for event in events] == ids
    assert (newest, complete) == (events[-1].entry, True)
    assert lanes.run(Replay("ann", events[0].entry)).events == events[1:]
    assert lanes.run(Replay("ann", newest)) == Backlog(newest, True, [])


def test_without_an_entry_it_returns_only_the_newest(lanes: Driver) -> None:
    assert lanes.run(Replay("ann")) == Backlog("", True, [])
    lanes.run(Watch(["ann"], 60))
    lanes.enqueue("ann", 3)
    newest, complete, events = lanes.run(Replay("ann"))
    assert (position(newest) > position(NO_ENTRY), complete, events) == (True, True, [])


@pytest.mark.parametrize("entry", [NO_ENTRY, "1-1", "999999999999999999-1"])
def test_an_entry_that_is_not_kept_means_that_some_are_missing(lanes: Driver, entry: str) -> None:
    assert not lanes.run(Replay("ann", entry)).complete
    lanes.run(Watch(["ann"], 60))
    lanes.enqueue("ann", 3)
    assert lanes.run(Replay("ann", entry))[1:] == (False, [])


def test_entries_are_told_from_other_texts() -> None:
    assert [is_entry(text) for text in ("1-0", NO_ENTRY, "999999999999999999-1")] == [True] * 3
    others = ("", "1", "1-", "-1", "1-2-3", "a-1", "1-1 ", "+", "-", "\u0661-1", "9" * 19 + "-1")
    assert not any(map(is_entry, others))


def test_an_event_is_parsed_with_and_without_an_entry() -> None:
    job_id = "0" * 25
    assert parse(f"{job_id} queued 0".encode()) == Event(job_id, "queued")
    assert parse(f"17-3 {job_id} running 2".encode()) == Event(job_id, "running", 2, entry="17-3")
    progress = Event(job_id, "progress", percent=1.5, note="a note - 2-1", entry="17-4")
    assert parse(f"17-4 {job_id} progress 1.5 a note - 2-1".encode()) == progress

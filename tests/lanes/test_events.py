"""Job events: published to the user's live connections and kept for a while, and free of cost while nobody watches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from laneway.lanes.commands import Cancel, Progress, Purge, Replay, Watch
from laneway.lanes.events import Event, parse
from laneway.lanes.model import JobState
from tests.lanes.driver import FOR_EVER, Driver


class Listener:
    """Listens to one user's events."""

    def __init__(self, lanes: Driver, user: str) -> None:
        self.entries: list[str] = []
        self.heard: Any = lanes.client.pubsub()
        self.heard.subscribe(lanes.keys.events(user))
        assert self.heard.get_message(timeout=5)["type"] == "subscribe"

    def next(self) -> Event:
        message = self.heard.get_message(timeout=5)
        assert message, "nothing was told"
        event = parse(message["data"])
        self.entries.append(event.entry)
        return replace(event, entry="")

    def silent(self, lanes: Driver, user: str) -> bool:
        """Return whether nothing came before a message that is sent now."""
        lanes.client.publish(lanes.keys.events(user), "x end 0")
        return self.next().state == "end"


@pytest.fixture
def listener(lanes: Driver) -> Iterator[Listener]:
    listener = Listener(lanes, "ann")
    yield listener
    listener.heard.close()


def test_every_step_of_a_job_is_published(lanes: Driver, listener: Listener) -> None:
    lanes.run(Watch(["ann"], 60))
    (lease,) = lanes.started("ann")
    lanes.run(Progress(lease, 40, "half of it"))
    lanes.finish(lease, state=JobState.RETRYING)
    (again,) = lanes.claim()
    lanes.finish(again)
    told = [listener.next() for _ in range(5)]
    job_id = lease.job_id
    assert told == [
        Event(job_id, "queued", 0),
        Event(job_id, "running", 1),
        Event(job_id, "progress", percent=40, note="half of it"),
        Event(job_id, "retrying", 1),
        Event(job_id, "succeeded", 2),
    ]
    (cancelled,), (purged,) = lanes.enqueue("ann"), lanes.enqueue("ann")
    lanes.run(Cancel("ann", cancelled))
    lanes.run(Purge("ann", FOR_EVER, "gone"))
    told = [listener.next() for _ in range(4)]
    assert told[2:] == [Event(cancelled, "cancelled", 0), Event(purged, "cancelled", 0)]
    (lease,) = lanes.started("ann", max_attempts=1)
    lanes.process_dies(lease, max_losses=1)
    assert [listener.next().state for _ in range(3)] == ["queued", "running", "failed"]


def test_a_user_receives_no_events_of_others(lanes: Driver, listener: Listener) -> None:
    lanes.run(Watch(["ann", "bob"], 60))
    lanes.finish(*lanes.started("bob", 2))
    assert listener.silent(lanes, "ann")


def test_nothing_is_published_while_nobody_watches(lanes: Driver, listener: Listener) -> None:
    lanes.finish(*lanes.started("ann", 2))
    assert listener.silent(lanes, "ann")


def test_nothing_is_published_or_kept_for_a_user_whom_nobody_watches(
    lanes: Driver, listener: Listener
) -> None:
    lanes.run(Watch(["bob"], 60))
    (lease, _) = lanes.started("ann", 2)
    lanes.run(Progress(lease, 1, ""))
    assert listener.silent(lanes, "ann")
    assert "backlog:ann" not in lanes.all_keys()


def test_what_is_published_is_kept_under_the_same_entry(lanes: Driver, listener: Listener) -> None:
    lanes.run(Watch(["ann"], 60))
    begun = lanes.run(Replay("ann")).newest
    (lease,) = lanes.started("ann")
    lanes.run(Progress(lease, 40, "half of it"))
    heard = [listener.next() for _ in range(3)]
    backlog = lanes.run(Replay("ann", begun))
    assert [replace(event, entry="") for event in backlog.events] == heard
    assert [event.entry for event in backlog.events] == listener.entries
    assert (backlog.newest, backlog.complete) == (listener.entries[-1], True)

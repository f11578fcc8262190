"""Job events: published to the user's connections, and free of cost while nobody is connected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from laneway.lanes.commands import Cancel, Progress, Purge
from laneway.lanes.events import Event, parse
from laneway.lanes.model import JobState
from tests.lanes.driver import FOR_EVER, Driver


class Listener:
    """Listens to one user's events."""

    def __init__(self, lanes: Driver, user: str) -> None:
        self.heard: Any = lanes.client.pubsub()
        self.heard.subscribe(lanes.keys.events(user))
        assert self.heard.get_message(timeout=5)["type"] == "subscribe"

    def next(self) -> Event:
        message = self.heard.get_message(timeout=5)
        assert message, "nothing was told"
        return parse(message["data"])

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
    lanes.client.zadd(lanes.key("presence"), {"ann": 1})
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
    lanes.client.zadd(lanes.key("presence"), {"ann": 1})
    lanes.finish(*lanes.started("bob", 2))
    assert listener.silent(lanes, "ann")


def test_nothing_is_published_while_nobody_is_connected(lanes: Driver, listener: Listener) -> None:
    lanes.finish(*lanes.started("ann", 2))
    assert listener.silent(lanes, "ann")

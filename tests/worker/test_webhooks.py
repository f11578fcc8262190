"""Deliveries by real workers to a real receiver: signed, in order, tried again, and lost by no kill; and nobody waits for them."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pymongo
import pytest
from standardwebhooks.webhooks import Webhook

from laneway.delivery_lanes import DeliveryLane, is_delivery_lane
from laneway.lanes.model import us_of
from laneway.webhooks.sending import AT_ONCE
from laneway.webhooks.signing import secret_of
from laneway.worker.pool.isolation import LATER_SECONDS
from tests.receiver import Received, Receiver, receiving
from tests.worker.running import System, Worker, running, wait_for

KEY = "a key of the tests, 32 bytes long"
SETTINGS: dict[str, Any] = {"webhooks_key": KEY, "webhooks_allow_private": "127.0.0.0/8", "lease_seconds": 2}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@contextmanager
def database(system: System) -> Iterator[Any]:
    assert system.mongo
    with pymongo.MongoClient[dict[str, Any]](system.mongo[0]) as client:
        yield client[system.mongo[1]]


def add(system: System, user: str, url: str, webhook_id: str = "0123456789ab") -> None:
    document = {"_id": webhook_id, "user": user, "url": url, "types": [], "secret": 1}
    document |= {"states": ["succeeded", "failed", "cancelled"], "created_at": datetime.now(UTC)}
    with database(system) as collections:
        collections.webhooks.insert_one(document)


def last(system: System, webhook_id: str = "0123456789ab") -> dict[str, Any] | None:
    with database(system) as collections:
        found = collections.webhooks.find_one({"_id": webhook_id})
    return found["last"] if found and found.get("last") else None


def start(system: System, **more: Any) -> Any:
    return running(system, **SETTINGS | more)


def test_ends_are_delivered_signed_and_in_order(janitor_system: System, receiver: Receiver) -> None:
    system, ann = janitor_system, "ann"
    add(system, ann, f"{receiver.url}/hooks")
    with start(system) as worker:
        ids = system.enqueue(ann, "echo", *range(20))
        (failed,) = system.enqueue(ann, "flaky", {"fail_times": 5}, attempts=1)
        wait_for(lambda: len(receiver.received) == 21)
        wait_for(lambda: worker.metric('laneway_webhook_deliveries_total{outcome="delivered"}') == 21)
        for request in receiver.received:
            Webhook(secret_of(KEY, "0123456789ab", 1)).verify(request.body, request.headers)
        assert {*receiver.events()} == {*(("job.succeeded", i) for i in ids), ("job.failed", failed)}
        assert len({request.message_id for request in receiver.received}) == 21
        assert worker.metric("laneway_jobs_archived_total") == 21, "deliveries are not archived"
    recorded = last(system)
    assert recorded
    assert recorded["delivered"]
    with database(system) as collections:
        assert collections.history.count_documents({}) == 21


def test_with_one_slot_deliveries_arrive_in_the_order_of_the_ends(
    janitor_system: System, receiver: Receiver
) -> None:
    system, ann = janitor_system, "ann"
    add(system, ann, receiver.url)
    with start(system, lane_concurrency=1):
        ids = system.enqueue(ann, "echo", *range(30))
        wait_for(lambda: len(receiver.received) == 30)
    assert [job_id for _, job_id in receiver.events()] == ids


def test_a_delivery_is_tried_again_with_the_same_id(janitor_system: System, receiver: Receiver) -> None:
    """After 5 s, by the lanes' own backoff; the receiver sees a fresh signature."""
    system, ann = janitor_system, "ann"
    receiver.answer = lambda _: 500 if len(receiver.received) == 1 else 204
    add(system, ann, receiver.url)
    with start(system):
        system.enqueue(ann, "echo", 1)
        wait_for(lambda: last(system))
    first, second = receiver.received
    assert first.message_id == second.message_id
    assert first.body == second.body
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert 4.5 < second.at - first.at < 15
    recorded = last(system)
    assert recorded
    assert (recorded["delivered"], recorded["attempts"]) == (True, 2)


@pytest.mark.thorough  # a delivery is a job, and those are tested with deaths
def test_a_worker_that_is_killed_in_the_middle_loses_no_delivery(
    janitor_system: System, receiver: Receiver
) -> None:
    system, ann = janitor_system, "ann"
    add(system, ann, receiver.url)
    hold = threading.Event()
    receiver.answer = lambda _: 204 if hold.wait(30) else 500
    with start(system) as worker:
        ids = system.enqueue(ann, "echo", *range(40))
        wait_for(lambda: len(receiver.received) >= 5)
        worker.signal_all(signal.SIGKILL)
    cut_short = {request.message_id for request in receiver.received}
    hold.set()
    lane = DeliveryLane(ann, "0123456789ab").name
    with start(system):
        wait_for(lambda: {job_id for _, job_id in receiver.events()} == set(ids), 30)
        wait_for(lambda: system.view(lane).queued + system.view(lane).running == 0, 30)
    again = [r.message_id for r in receiver.received].count
    assert all(again(message_id) >= 2 for message_id in cut_short), "at least once"


def test_410_disables_a_webhook(janitor_system: System, receiver: Receiver) -> None:
    system, ann = janitor_system, "ann"
    receiver.answer = lambda _: 410
    add(system, ann, receiver.url)
    with start(system), database(system) as collections:
        system.enqueue(ann, "echo", 1)
        wait_for(lambda: collections.webhooks.find_one({"disabled_reason": "the receiver answered 410"}))
        (job_id,) = system.enqueue(ann, "echo", 2)
        wait_for(lambda: collections.history.find_one({"_id": f"{ann}/{job_id}"}))
    assert len(receiver.received) == 1


@pytest.mark.thorough  # tests/webhooks shows which are refused
def test_a_private_address_is_refused_at_delivery(janitor_system: System, receiver: Receiver) -> None:
    system, ann = janitor_system, "ann"
    add(system, ann, f"https://127.0.0.1:{receiver.port}/")
    lane = DeliveryLane(ann, "0123456789ab").name
    with start(system, webhooks_allow_private="10.0.0.0/8") as worker:
        system.enqueue(ann, "echo", 1)
        wait_for(lambda: any(e["event"] == "retried" and e["user"] == lane for e in worker.lines()))
        assert "not public" in worker.tail()
    assert receiver.received == []


def logged(worker: Worker, event: str) -> dict[str, list[str]]:
    """The deliveries in the lines of a worker's log with this event, in order, by lane."""
    found: dict[str, list[str]] = {}
    for line in worker.lines():
        if line["event"] == event and is_delivery_lane(line["user"]):
            found.setdefault(line["user"], []).append(line["job_id"])
    return found


def test_slow_receivers_do_not_hold_up_the_jobs_of_users(janitor_system: System, receiver: Receiver) -> None:
    """As many slow deliveries as the process may run async jobs: users' async and plain jobs run all the same."""
    system = janitor_system
    hold = threading.Event()
    receiver.answer = lambda _: 204 if hold.wait(60) else 500
    users = [f"slow{n}" for n in range(20)]
    for n, user in enumerate(users):
        add(system, user, receiver.url, f"{n:012x}")
    more = {"worker_processes": 1, "async_jobs": 2 * AT_ONCE, "janitor_interval_seconds": 0.1}
    with start(system, **more) as worker:
        for user in users:
            system.enqueue(user, "echo", *range(5))
        wait_for(lambda: len(receiver.received) >= AT_ONCE)
        began = time.monotonic()
        plain, tasks = (
            system.enqueue("ann", "echo", *range(20)),
            system.enqueue("bob", "sleep", {"seconds": 0.1}),
        )
        system.ended("ann", plain, 10)
        system.ended("bob", tasks, 10)
        assert time.monotonic() - began < 5
        assert len(receiver.received) <= AT_ONCE, "one process sends no more at once"
        hold.set()
        wait_for(lambda: len({r.message_id for r in receiver.received}) == 100, 60)
        accepted, started = logged(worker, "accepted"), logged(worker, "started")
        assert len(accepted) == len(users)
        first_starts = {
            lane: list(dict.fromkeys(ids)) for lane, ids in started.items()
        }  # one may have run out of time
        assert first_starts == accepted, "those that found no room went back to their places"


def test_deliveries_that_find_no_room_wait_for_it_briefly(janitor_system: System, receiver: Receiver) -> None:
    """The wait is read off Redis, where the load of the machine does not change it: a busy machine only looks later."""
    system, is_open = janitor_system, threading.Event()

    def answer(_received: Received) -> int:
        is_open.wait(60)
        return 204

    receiver.answer = answer
    users = [f"u{n}" for n in range(2 * AT_ONCE)]
    for n, user in enumerate(users):
        add(system, user, receiver.url, f"{n:012x}")
        system.enqueue(user, "echo", 1)

    def crowd() -> list[float]:
        """How many seconds each of those that found no room waits from now on, once all have been turned away."""
        returned: Any = system.lanes.client.zrange(system.keys.retries, 0, -1, withscores=True)
        seconds, microseconds = system.lanes.client.time()
        waits = [due_ms / 1e3 - us_of(seconds, microseconds) / 1e6 for _, due_ms in returned]
        return waits if len(receiver.received) == len(waits) == AT_ONCE else []

    with start(system, worker_processes=1, janitor_interval_seconds=0.1):
        waits = wait_for(crowd, 60)
        is_open.set()
        wait_for(lambda: len({received.message_id for received in receiver.received}) == len(users), 60)
    assert max(waits) < LATER_SECONDS / 5

"""Ended jobs become deliveries on a real Redis and MongoDB: none is lost or made twice, whenever the archiver dies."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import orjson
import pymongo
import pytest
from msgspec.structs import replace
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from laneway import announcing
from laneway.announcing import Announcer
from laneway.delivery_lanes import DELIVERY, DeliveryLane
from laneway.lanes.commands import EnqueueLimits, InspectJobs
from laneway.lanes.keys import Keys
from laneway.lanes.model import Job, JobState
from laneway.lanes.store import Lanes, connect
from laneway.storage import webhook_targets
from laneway.storage.activity_writer import ActivityWriter
from laneway.storage.archiver import Archiver
from laneway.storage.history_writer import HistoryWriter
from laneway.storage.mongo import connect_janitor
from laneway.storage.webhook_targets import WebhookTargets
from laneway.storage.webhooks import KNOWN_SECONDS
from laneway.telemetry.job_log import JobLog
from tests.lanes.driver import Driver

HOOK = "0123456789ab"
LANE = DeliveryLane("ann", HOOK).name
GONE = b'{"type":"Gone","message":"the receiver answered 410"}'
FAILED = b'{"type":"DeliveryFailed","message":"the receiver answered 500"}'


class Killed(BaseException):
    """The archiver dies."""


class Mortal(Lanes):
    """The archiver dies before it sends the `nth` command of this script, or right after it."""

    def __init__(self, lanes: Lanes, script: str, *, after: bool = False) -> None:
        super().__init__(lanes.client, lanes.keys)
        self.script, self.after = script, after

    def run_all(self, commands: Any) -> list[Any]:
        """Send commands, and die."""
        is_it = any(command.script == self.script for command in commands)
        if is_it and not self.after:
            raise Killed
        results = super().run_all(commands)
        if is_it:
            raise Killed
        return results


class Part:
    """An archiver with webhooks, as a janitor has it."""

    def __init__(self, redis_url: str, mongo_url: str, prefix: str, database: str) -> None:
        self.driver = Driver(redis_url, prefix)
        self.lanes = Lanes(connect(redis_url), Keys(prefix))
        self.mongo_url, self.database = mongo_url, connect_janitor(mongo_url)[database]
        self.activity = ActivityWriter(self.database)

    def add(self, webhook_id: str = HOOK, user: str = "ann", **fields: Any) -> None:
        document = {"_id": webhook_id, "user": user, "url": "https://example.com/", "types": [], "secret": 1}
        document |= {"states": ["succeeded", "failed", "cancelled"], "created_at": datetime.now(UTC)}
        self.database.webhooks.insert_one(document | fields)

    def webhook(self, webhook_id: str = HOOK) -> dict[str, Any]:
        found = self.database.webhooks.find_one({"_id": webhook_id})
        assert found
        return found

    def archive(self, lanes: Lanes | None = None) -> dict[str, int]:
        """Archive everything, and return what was counted of deliveries."""
        lanes = lanes or self.lanes
        announcer = Announcer(lanes, WebhookTargets(self.database), JobLog("test", "ERROR"))
        history = HistoryWriter(self.database)
        Archiver(lanes, history, self.activity, lambda _: None, announcer).run()
        counts: dict[str, int] = dict(announcer.counts.outcomes.items())
        counts |= {"accepted": announcer.counts.accepted, "disabled": announcer.counts.webhooks_disabled}
        return {name: count for name, count in counts.items() if count}

    def serve(self, lane: str, state: JobState, body: bytes = b'"done"', limit: int = 100) -> list[str]:
        """Run the jobs of a lane that can start. Others go back."""
        leases = self.driver.claim(limit)
        mine = [lease for lease in leases if lease.user == lane]
        self.driver.release(*(lease for lease in leases if lease.user != lane))
        self.driver.start(*mine)
        self.driver.finish(*mine, state=state, body=body)
        return [lease.job_id for lease in mine]

    def end(
        self, user: str = "ann", count: int = 1, state: JobState = JobState.SUCCEEDED, **more: Any
    ) -> list[str]:
        """Enqueue jobs and run them."""
        self.driver.enqueue(user, count, **more)
        body = b'{"type":"E","message":"m"}' if state is JobState.FAILED else b'{"n":1}'
        return self.serve(user, state, body)

    def deliveries(self, lane: str = LANE) -> list[Job]:
        """Those that have not ended, in order."""
        jobs = self.lanes.run(InspectJobs(lane, 0, 1000, oldest_first=True))
        return [job for job in jobs if not job.state.ended]

    def events(self, lane: str = LANE) -> list[dict[str, Any]]:
        return [orjson.loads(orjson.loads(job.request)["body"]) for job in self.deliveries(lane)]

    def announced(self, lane: str = LANE) -> list[str]:
        """The jobs whose ends wait for their delivery, in order."""
        return [event["data"]["job_id"] for event in self.events(lane)]


@pytest.fixture
def part(redis_url: str, mongo_url: str, prefix: str, mongo_database: str) -> Part:
    return Part(redis_url, mongo_url, prefix, mongo_database)


def test_the_end_of_a_job_becomes_a_delivery(part: Part) -> None:
    part.add()
    (job_id,) = part.end()
    part.archive()
    (job,) = part.deliveries()
    delivery = orjson.loads(job.request)
    assert (job.type, delivery["url"]) == (DELIVERY, "https://example.com/")
    assert delivery["message_id"] == f"msg_{HOOK}_{job_id}"
    event = orjson.loads(delivery["body"])
    assert (event["type"], event["data"]["job_id"]) == ("job.succeeded", job_id)
    assert (event["data"]["result"], event["data"]["state"]) == ({"n": 1}, "succeeded")
    assert event["timestamp"] == event["data"]["finished_at"]
    assert part.driver.done() == []


def test_deliveries_are_in_the_order_of_the_ends(part: Part) -> None:
    part.add()
    ended = [job_id for _ in range(4) for job_id in part.end(count=5)]
    part.archive()
    assert part.announced() == ended


def test_states_and_types_are_chosen(part: Part) -> None:
    part.add("a" * 12, states=["failed"])
    part.add("b" * 12, types=["resize"])
    part.add("c" * 12, types=["resize", "echo"])
    part.end()
    part.end(state=JobState.FAILED)
    part.archive()
    types = {w: [e["type"] for e in part.events(DeliveryLane("ann", w * 12).name)] for w in "abc"}
    assert types == {"a": ["job.failed"], "b": [], "c": ["job.succeeded", "job.failed"]}


def test_other_users_and_disabled_webhooks_get_nothing(part: Part) -> None:
    part.add(user="bob")
    part.add("d" * 12, disabled_reason="because")
    part.end()
    part.archive()
    assert part.driver.known_lanes() == []


@pytest.mark.parametrize(
    ("script", "after"), [("enqueue", False), ("enqueue", True), ("archived", False), ("archived", True)]
)
def test_an_archiver_that_dies_anywhere_loses_no_delivery_and_makes_none_twice(
    part: Part, script: str, after: bool
) -> None:
    part.add()
    ended = part.end(count=5)
    with pytest.raises(Killed):
        part.archive(Mortal(part.lanes, script, after=after))
    part.archive()
    assert part.announced() == ended
    assert part.database.history.count_documents({}) == 5


def test_a_delivery_that_was_stored_before_the_crash_is_made_although_its_job_is_known(part: Part) -> None:
    """The history has the job: that says nothing about its delivery."""
    part.add()
    part.end()
    with pytest.raises(Killed):
        part.archive(Mortal(part.lanes, "enqueue"))
    assert part.database.history.count_documents({}) == 1
    part.archive()
    assert len(part.announced()) == 1


def test_deliveries_are_no_part_of_history_activity_and_dead_letters(part: Part) -> None:
    part.add()
    part.end()
    part.archive()
    part.serve(LANE, JobState.FAILED, FAILED)
    part.archive()
    part.activity.flush()
    assert [d["user"] for d in part.database.history.find()] == ["ann"]
    assert part.database.dead_letters.count_documents({}) == 0
    counted = [d for d in part.database.activity.find() if "failed" in str(d)]
    assert counted == []
    assert part.driver.done() == []
    assert part.deliveries() == [], "the end of a delivery is not delivered"


def test_the_last_delivery_is_recorded(part: Part) -> None:
    part.add()
    (job_id,) = part.end()
    assert part.archive() == {"accepted": 1}
    part.serve(LANE, JobState.SUCCEEDED, b'{"status":202}')
    assert part.archive() == {"delivered": 1}
    last = part.webhook()["last"]
    assert (last["delivered"], last["attempts"]) == (True, 1)
    assert (last["detail"], last["message_id"]) == ("the receiver answered 202", f"msg_{HOOK}_{job_id}")
    part.end()
    part.archive()
    part.serve(LANE, JobState.FAILED, FAILED)
    assert part.archive() == {"failed": 1}
    assert part.webhook()["last"]["detail"] == "the receiver answered 500"
    assert part.webhook().get("disabled_reason") is None, "attempts were left"


def test_410_disables_and_cancels_what_waits(part: Part) -> None:
    part.add()
    part.end(count=5)
    part.end(count=5)
    part.archive()
    (lease, *others) = [lease for lease in part.driver.claim(100) if lease.user == LANE]
    part.driver.release(*others)
    part.driver.start(lease)
    part.driver.finish(lease, state=JobState.FAILED, body=GONE)
    assert part.archive() == {"failed": 1, "disabled": 1}
    assert part.webhook()["disabled_reason"] == "the receiver answered 410"
    assert part.deliveries() == []
    assert part.archive() == {"cancelled": 9}
    assert part.webhook()["last"]["detail"] == "the receiver answered 410"
    part.end()
    part.archive()
    assert part.deliveries() == []


@pytest.mark.parametrize("meanwhile", [False, True])
def test_a_receiver_that_was_away_for_days_is_disabled_unless_it_took_something_meanwhile(
    part: Part, meanwhile: bool
) -> None:
    part.add()
    part.end(count=2)
    part.archive()
    leases = [lease for lease in part.driver.claim(100) if lease.user == LANE]
    part.driver.start(*leases)
    if meanwhile:
        part.driver.finish(leases[1])
        part.archive()
    last_attempt = replace(leases[0], attempt=leases[0].max_attempts)
    part.driver.finish(last_attempt, state=JobState.FAILED, body=FAILED)
    part.archive()
    assert bool(part.webhook().get("disabled_reason")) is not meanwhile


def test_a_failed_test_delivery_disables_nothing(part: Part) -> None:
    part.add()
    lane = DeliveryLane("ann", HOOK, is_test=True).name
    part.driver.enqueue(lane, max_attempts=1)
    part.serve(lane, JobState.FAILED, GONE)
    part.archive()
    assert part.webhook()["last"]["detail"] == "the receiver answered 410"
    assert part.webhook().get("disabled_reason") is None


def test_a_webhook_whose_receiver_is_away_holds_a_limited_number_of_deliveries(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcing, "LIMITS", EnqueueLimits(lane_length=3))
    part.add()
    ended = part.end(count=5)
    assert part.archive() == {"accepted": 3, "dropped": 2}
    assert part.announced() == ended[:3]
    assert part.driver.done() == [], "the archiver goes on"


def test_damaged_webhooks_and_deliveries_hold_up_nobody(part: Part) -> None:
    part.add("e" * 12, states=["exploded"])
    part.add()
    part.end()
    part.archive()
    assert len(part.deliveries()) == 1
    (job,) = part.deliveries()
    part.serve(LANE, JobState.FAILED, b'"not what we write"')
    part.driver.client.delete(part.driver.key(f"spec:{job.job_id}"))
    part.archive()
    assert part.driver.done() == []


def test_large_values_are_left_out_and_named(part: Part) -> None:
    part.add()
    part.driver.enqueue("ann")
    part.serve("ann", JobState.SUCCEEDED, b'"' + b"x" * 20_000 + b'"')
    part.archive()
    (event,) = part.events()
    assert (event["data"]["result"], event["data"]["omitted"]) == (None, ["result"])
    assert event["data"]["request"] is None


def test_users_without_webhooks_cost_no_question(part: Part) -> None:
    """Beyond one in a quarter of a second. Whoever adds a webhook waits as long, so none is overlooked."""
    part.add(user="bob")
    asked: list[str] = []

    class Listener(CommandListener):
        def started(self, event: CommandStartedEvent) -> None:
            if event.command_name == "find" and event.command["find"] == "webhooks":
                asked.append(str(event.command["filter"]))

        def succeeded(self, event: CommandSucceededEvent) -> None:
            """Do nothing."""

        def failed(self, event: CommandFailedEvent) -> None:
            """Do nothing."""

    with pymongo.MongoClient[dict[str, Any]](part.mongo_url, event_listeners=[Listener()]) as client:
        targets = WebhookTargets(client[part.database.name])
        clock = time.monotonic()
        assert [targets.of_users({"ann", "cleo"}) for _ in range(100)] == [{}] * 100
        passed = time.monotonic() - clock
        assert 1 <= len(asked) <= 1 + passed / KNOWN_SECONDS
        assert targets.of_users({"ann", "bob"}).keys() == {"bob"}
        part.add("f" * 12, user="ann")
        time.sleep(KNOWN_SECONDS)
        assert targets.of_users({"ann", "bob"}).keys() == {"ann", "bob"}


@pytest.mark.parametrize("most", [0, 1, 100])
def test_many_users_with_webhooks_are_asked_for_by_batch(
    part: Part, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(webhook_targets, "MAX_KNOWN", most)
    part.add(user="bob")
    part.add("a" * 12, user="ann")
    assert WebhookTargets(part.database).of_users({"ann", "cleo"}).keys() == {"ann"}

"""Firing schedules: each fire time once, whatever dies and however many janitors there are, and none holds up another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
import pytest

from laneway import janitor as janitor_module
from laneway.choices import Missed
from laneway.fire_times import MAX_MISSED, Cron, Every, Timing
from laneway.janitor import Janitor
from laneway.lanes.commands import EnqueueLimits, InspectJob
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.keys import Keys
from laneway.lanes.model import seq_of, time_of
from laneway.lanes.store import Lanes, connect
from laneway.presence import PresenceSweeper
from laneway.scheduler import KEY_SECONDS, RETRY_PAUSE, Pass, Scheduler
from laneway.storage.activity_writer import ActivityWriter
from laneway.storage.due_schedules import DueSchedules, Move
from laneway.storage.history_writer import HistoryWriter
from laneway.storage.schedules import SchedulesUnavailable
from laneway.telemetry.job_log import JobLog
from tests.lanes.driver import Driver
from tests.schedules import insert_schedule


class DiesBeforeMoving(DueSchedules):
    """MongoDB goes away after the jobs have been enqueued."""

    def move(self, moves: Sequence[Move]) -> None:
        raise SchedulesUnavailable("the connection broke")


class World:
    """Lanes and schedules of one test, and schedulers on them."""

    def __init__(self, redis_url: str, prefix: str, mongo_url: str, database: str) -> None:
        self.lanes = Driver(redis_url, prefix)
        self.database = pymongo.MongoClient[dict[str, Any]](mongo_url, tz_aware=True)[database]
        self._redis_url, self._prefix = redis_url, prefix

    def close(self) -> None:
        self.lanes.close()
        self.database.client.close()

    def scheduler(self, kind: type[DueSchedules] = DueSchedules, **limits: Any) -> Scheduler:
        lanes = Lanes(connect(self._redis_url), Keys(self._prefix))
        return Scheduler(lanes, kind(self.database), JobLog("test", "ERROR"), EnqueueLimits(**limits))

    def janitor(self) -> Janitor:
        lanes = Lanes(connect(self._redis_url), Keys(self._prefix))
        return Janitor(
            lanes,
            HistoryWriter(self.database),
            ActivityWriter(self.database),
            PresenceSweeper(lanes),
            JobLog("test", "ERROR"),
            grace_seconds=60,
            policy="purge",
            backlog=1000,
            scheduler=self.scheduler(),
        )

    def now(self) -> datetime:
        """The time by Redis's clock."""
        seconds, _ = self.lanes.client.time()
        return datetime.fromtimestamp(seconds, UTC)

    def put(
        self, user: str, name: str = "s", *, every: int = 3600, ago: float = 0, missed: Missed = Missed.ONCE
    ) -> datetime:
        """Store a schedule whose earliest fire time passed `ago` seconds ago, and return that fire time."""
        first = self.now() - timedelta(seconds=ago)
        timing = Every(every, first - timedelta(seconds=every))
        self.store(user, name, timing, first, missed)
        return first

    def store(self, user: str, name: str, timing: Timing, first: datetime, missed: Missed) -> None:
        insert_schedule(self.database, user, name, timing, first, missed)

    def schedule(self, user: str, name: str = "s") -> dict[str, Any]:
        found = self.database.schedules.find_one({"_id": f"{user}/{name}"})
        assert found
        return found

    def retry_now(self, user: str, name: str = "s") -> None:
        """Let the wait after a refusal be over."""
        self.database.schedules.update_one({"_id": f"{user}/{name}"}, {"$set": {"due_at": self.now()}})

    def jobs(self, user: str) -> list[str]:
        return [job_id for _, job_id in self.lanes.lane(user)]

    def end_jobs(self, user: str) -> None:
        leases = [lease for lease in self.lanes.claim() if lease.user == user]
        self.lanes.start(*leases)
        self.lanes.finish(*leases)


def fire(scheduler: Scheduler) -> Pass:
    """Make one pass, and add up what it did."""
    done = list(scheduler.fire())
    return Pass(sum(p.fired for p in done), sum(p.refused for p in done), sum(p.missed for p in done))


@pytest.fixture
def world(redis_url: str, prefix: str, mongo_url: str, mongo_database: str) -> Iterator[World]:
    world = World(redis_url, prefix, mongo_url, mongo_database)
    yield world
    world.close()


def test_a_due_schedule_is_enqueued_and_moves_on(world: World) -> None:
    first = world.put("ann")
    assert (fire(world.scheduler()).fired, fire(world.scheduler()).fired) == (1, 0)
    (job_id,) = world.jobs("ann")
    job = world.lanes.job(job_id)
    assert (job["type"], job["request"], job["max_attempts"]) == ("echo", '"scheduled"', "3")
    moved = world.schedule("ann")
    assert moved["next_at"] == moved["due_at"] == first + timedelta(hours=1)
    assert (moved["last_fired_at"], moved["last_job_id"], moved["last_error"]) == (first, job_id, None)


def test_what_is_not_due_yet_does_not_fire(world: World) -> None:
    world.put("ann", ago=-30)
    assert fire(world.scheduler()) == Pass(0, 0, 0)
    assert world.jobs("ann") == []


def test_two_janitors_at_once_fire_every_time_once(world: World) -> None:
    """40 schedules of four users with 50 missed times each, fired by three janitors at the same time."""
    users = [f"user{i}" for i in range(4)]
    for i in range(40):
        world.put(users[i % 4], f"s{i}", every=10, ago=490 + i % 5, missed=Missed.ALL)
    start = threading.Barrier(3)

    def run(scheduler: Scheduler) -> int:
        start.wait(10)
        return sum(fire(scheduler).fired for _ in range(5))

    with ThreadPoolExecutor(3) as pool:
        fired = list(pool.map(run, [world.scheduler() for _ in range(3)]))
    jobs = sum(len(world.jobs(user)) for user in users)
    assert jobs == sum(fired)
    # A fire time every 10 s: meanwhile each schedule may have had one more, or two on a slow machine.
    times = sum(
        (
            world.schedule(users[i % 4], f"s{i}")["next_at"]
            - world.schedule(users[i % 4], f"s{i}")["created_at"]
        )
        // timedelta(seconds=10)
        for i in range(40)
    )
    assert jobs == times
    assert jobs >= 40 * 50


@pytest.mark.parametrize("missed", list(Missed))
def test_another_janitor_goes_on_where_one_died_before_the_move(world: World, missed: Missed) -> None:
    first = world.put("ann", missed=missed)
    with pytest.raises(SchedulesUnavailable):
        fire(world.scheduler(DiesBeforeMoving))
    assert len(world.jobs("ann")) == 1
    assert world.schedule("ann")["next_at"] == first
    assert fire(world.scheduler()).fired == 0, "it was fired already"
    assert len(world.jobs("ann")) == 1
    moved = world.schedule("ann")
    assert (moved["next_at"], moved["last_job_id"]) == (first + timedelta(hours=1), world.jobs("ann")[0])


def test_the_payload_may_change_between_the_two_tries(world: World) -> None:
    first = world.put("ann")
    with pytest.raises(SchedulesUnavailable):
        fire(world.scheduler(DiesBeforeMoving))
    world.database.schedules.update_one({"_id": "ann/s"}, {"$set": {"request": b'"another"'}})
    assert fire(world.scheduler()).fired == 0
    assert len(world.jobs("ann")) == 1
    assert world.schedule("ann")["next_at"] > first


def test_a_fire_time_is_skipped_while_a_job_has_the_schedules_unique_key(world: World) -> None:
    """It counts as fired, with the job that holds the key. After that job the next fire time makes one."""
    world.put("ann")
    world.database.schedules.update_one({"_id": "ann/s"}, {"$set": {"unique_key": "k"}})
    assert fire(world.scheduler()).fired == 1
    (job,) = world.jobs("ann")
    found = world.lanes.run(InspectJob("ann", job))
    assert found
    assert (found.unique_key, found.schedule) == ("k", "s")
    first = world.schedule("ann")["next_at"] - timedelta(hours=1)
    world.database.schedules.update_one({"_id": "ann/s"}, {"$set": {"next_at": first, "due_at": first}})
    world.lanes.client.unlink(
        *(world.lanes.key(key) for key in world.lanes.all_keys() if key.startswith("idem:"))
    )
    passed = fire(world.scheduler())
    assert (passed.fired, passed.refused, world.jobs("ann")) == (0, 0, [job])
    skipped = world.schedule("ann")
    assert (skipped["next_at"] > first, skipped["last_job_id"], skipped["last_error"]) == (True, job, None)
    world.end_jobs("ann")
    world.database.schedules.update_one({"_id": "ann/s"}, {"$set": {"next_at": first, "due_at": first}})
    assert fire(world.scheduler()).fired == 1
    assert world.jobs("ann") not in ([], [job])


def test_fire_times_are_remembered_for_a_day_whatever_the_setting_for_clients(world: World) -> None:
    world.put("ann")
    fire(world.scheduler(idempotency_seconds=1))
    (key,) = (key for key in world.lanes.all_keys() if key.startswith("idem:ann:schedule:s:"))
    assert world.lanes.client.ttl(world.lanes.key(key)) > KEY_SECONDS - 60


@pytest.mark.parametrize(
    ("missed", "times", "jobs"),
    [
        (Missed.SKIP, 1, 0),
        (Missed.ONCE, 3, 1),
        (Missed.ALL, 3, 3),
        (Missed.ALL, MAX_MISSED + 50, MAX_MISSED),
    ],
)
def test_missed_fire_times_are_made_up_for_by_policy(
    world: World, missed: Missed, times: int, jobs: int
) -> None:
    first = world.put("ann", every=1000, ago=times * 1000 - 500, missed=missed)
    done = fire(world.scheduler())
    assert (done.fired, done.refused, done.missed) == (jobs, 0, jobs < times)
    assert len(world.jobs("ann")) == jobs
    assert world.schedule("ann")["next_at"] == first + timedelta(seconds=1000 * times)


def test_a_paused_schedule_fires_by_policy_when_it_is_resumed(world: World) -> None:
    world.put("ann", every=1000, ago=2500)
    world.database.schedules.update_one({"_id": "ann/s"}, {"$set": {"paused": True}})
    assert fire(world.scheduler()).fired == 0
    world.database.schedules.update_one({"_id": "ann/s"}, {"$set": {"paused": False}})
    assert fire(world.scheduler()).fired == 1
    assert fire(world.scheduler()).fired == 0


def test_pausing_beside_the_janitor_neither_loses_nor_repeats_a_fire_time(world: World) -> None:
    first = world.put("ann", "s0", every=1000, ago=2500, missed=Missed.ALL)
    for i in range(1, 30):
        world.put("ann", f"s{i}", every=1000, ago=2500, missed=Missed.ALL)
    stop = threading.Event()

    def pause_and_resume() -> None:
        while not stop.is_set():
            for paused in (True, False):
                world.database.schedules.update_many({}, {"$set": {"paused": paused}})

    with ThreadPoolExecutor(1) as pool:
        pausing = pool.submit(pause_and_resume)
        for _ in range(20):
            fire(world.scheduler())
        stop.set()
        pausing.result(10)
    fire(world.scheduler())
    assert len(world.jobs("ann")) == 30 * 3
    moved = [schedule["next_at"] - first for schedule in world.database.schedules.find()]
    assert all(timedelta(seconds=3000) <= by < timedelta(seconds=3060) for by in moved)


def test_a_full_lane_is_tried_again_and_holds_up_nobody(world: World) -> None:
    world.lanes.enqueue("ann")
    first = world.put("ann", ago=2)
    world.put("bob", ago=1)
    scheduler = world.scheduler(lane_length=1)
    done = fire(scheduler)
    assert (done.fired, done.refused, done.missed) == (1, 1, 0)
    assert len(world.jobs("bob")) == 1
    refused = world.schedule("ann")
    assert (refused["next_at"], refused["last_error"]) == (first, "the lane is full")
    assert refused["due_at"] > world.now() + RETRY_PAUSE / 2, "it is not tried in every pass"
    world.end_jobs("ann")
    world.retry_now("ann")
    assert fire(scheduler).fired == 1
    moved = world.schedule("ann")
    assert (moved["last_error"], moved["last_fired_at"]) == (None, first)


def test_a_full_lane_in_the_middle_of_missed_times_keeps_their_order(world: World) -> None:
    world.put("ann", every=1000, ago=3500, missed=Missed.ALL)
    scheduler = world.scheduler(lane_length=2)
    assert (fire(scheduler).fired, len(world.jobs("ann"))) == (2, 2)
    world.end_jobs("ann")
    world.retry_now("ann")
    assert fire(scheduler).fired == 2
    assert world.schedule("ann")["last_error"] is None


def test_once_gives_up_a_refused_time_for_the_next_one(world: World) -> None:
    world.lanes.enqueue("ann")
    world.put("ann", every=1000, ago=1500)
    scheduler = world.scheduler(lane_length=1)
    for _ in range(2):
        world.retry_now("ann")
        fire(scheduler)
    world.end_jobs("ann")
    world.retry_now("ann")
    assert fire(scheduler).fired == 1
    assert fire(scheduler).fired == 0


def test_a_time_zone_that_is_gone_holds_up_nobody(world: World) -> None:
    world.store(
        "ann", "s", Cron("* * * * *", "Mars/Olympus"), world.now() - timedelta(seconds=9), Missed.ONCE
    )
    world.put("bob")
    assert fire(world.scheduler()).fired == 1
    assert "Mars/Olympus" in world.schedule("ann")["last_error"]


def test_many_due_schedules_fire_in_one_pass(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laneway.scheduler.SLICE", 3)
    for i in range(10):
        world.put("ann", f"s{i}")
    assert fire(world.scheduler()).fired == 10
    assert len(world.jobs("ann")) == 10


def test_without_redis_nothing_moves(world: World) -> None:
    first = world.put("ann")
    scheduler = world.scheduler()

    def run_all(_commands: object) -> list[object]:
        return [StoreUnavailable("no memory")]

    scheduler._lanes.run_all = run_all  # type: ignore[method-assign, assignment]
    with pytest.raises(StoreUnavailable):
        fire(scheduler)
    assert world.schedule("ann")["next_at"] == first


def test_the_janitor_fires_within_a_second_and_counts(world: World) -> None:
    janitor, stop = world.janitor(), threading.Event()
    thread = threading.Thread(target=janitor.run, args=(stop, 1.0))
    thread.start()
    try:
        first = world.put("ann", ago=-2)
        until(lambda: world.jobs("ann"))
    finally:
        stop.set()
        thread.join(10)
    late = time_of(seq_of(world.jobs("ann")[0])) - first
    assert timedelta(0) <= late < timedelta(seconds=janitor_module.FIRE_INTERVAL_SECONDS + 0.5)
    assert janitor.stats.schedules_fired == 1
    assert janitor.stats.last_firing > 0


def test_a_silent_mongodb_holds_up_no_shutdown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(janitor_module, "FIRE_INTERVAL_SECONDS", 0.01)
    asked, answer = threading.Event(), threading.Event()

    def silent(*_: object) -> list[object]:
        asked.set()
        answer.wait(60)
        return []

    monkeypatch.setattr(DueSchedules, "due", silent)
    janitor, stop = world.janitor(), threading.Event()
    thread = threading.Thread(target=janitor.run, args=(stop, 0.1))
    thread.start()
    assert asked.wait(10)
    stop.set()
    thread.join(janitor_module.FIRE_END_SECONDS + 5)
    assert not thread.is_alive()
    answer.set()


def test_the_janitor_goes_on_when_mongodb_is_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(janitor_module, "FIRE_INTERVAL_SECONDS", 0.01)
    world.put("ann")
    janitor, stop, tries = world.janitor(), threading.Event(), []
    due = DueSchedules.due

    def away(self: DueSchedules, now: datetime, limit: int) -> Any:
        tries.append(now)
        if len(tries) < 5:
            raise SchedulesUnavailable("no server")
        return due(self, now, limit)

    monkeypatch.setattr(DueSchedules, "due", away)
    thread = threading.Thread(target=janitor.run, args=(stop, 1.0))
    thread.start()
    try:
        until(lambda: world.jobs("ann"))
    finally:
        stop.set()
        thread.join(10)
    assert len(world.jobs("ann")) == 1


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


DAMAGE: list[dict[str, Any]] = [
    {"start_at": None},
    {"every_seconds": None},
    {"every_seconds": "60"},
    {"every_seconds": 0},
    {"cron": 5, "time_zone": "UTC"},
    {"cron": "* * * * *", "time_zone": ["UTC"]},
    {"next_at": None},
    {"next_at": "soon"},
    {"request": "text"},
    {"type": "two\nlines"},
    {"type": "t" * 700},
    {"missed": "never"},
]


def test_a_schedule_that_cannot_be_read_holds_up_no_other(world: World) -> None:
    """A newer release may have written it."""
    for number, fields in enumerate(DAMAGE):
        world.put("ann", f"s{number}")
        world.database.schedules.update_one({"_id": f"ann/s{number}"}, {"$set": fields})
    world.put("bob")
    done = fire(world.scheduler())
    assert len(world.jobs("bob")) == done.fired == 1
    assert world.jobs("ann") == []
    for number in range(len(DAMAGE) - 1):
        assert "put it again" in world.schedule("ann", f"s{number}")["last_error"], DAMAGE[number]
    assert fire(world.scheduler()) == Pass(0, 0, 0), "they are looked at again later"

"""Activity: starts and ends are counted once, by minute and by hour; quantiles are within their error; old counts are deleted."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pymongo
import pytest

from laneway.lanes.commands import Outbox
from laneway.lanes.keys import Keys
from laneway.lanes.model import EPOCH, Job, JobState
from laneway.lanes.store import Lanes, connect
from laneway.storage import activity_writer
from laneway.storage.activity import ACTIVITY, hour_key, minute_key
from laneway.storage.activity_reader import Activity, ActivityReader
from laneway.storage.activity_writer import AcceptanceCounter, ActivityWriter
from laneway.storage.archiver import Archiver
from laneway.storage.documents import HistoryUnavailable
from laneway.storage.histogram import BUCKETS, bucket_of, quantiles, seconds_of
from laneway.storage.history_writer import HistoryWriter
from laneway.storage.mongo import connect_async, connect_janitor
from tests.lanes.driver import Driver

NOON = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)
"""An hour that is not too old to be kept."""
NOON_US = int((NOON - EPOCH).total_seconds()) * 1_000_000
SECOND, MINUTE, HOUR = 1_000_000, 60_000_000, 3_600_000_000
MAX_ERROR = 0.0625
"""Of a quantile, as the documentation of the API says."""


def job(
    accepted_us: int,
    started_us: int | None,
    finished_us: int,
    state: JobState = JobState.SUCCEEDED,
    attempts: int = 1,
) -> Job:
    job_id = f"{accepted_us:013x}{'f' * 12}"
    times = {"started_us": started_us, "finished_us": finished_us}
    return Job(job_id, "ann", "echo", b"1", state, attempts, 3, **times)  # type: ignore[arg-type]


class Store:
    def __init__(self, url: str, name: str) -> None:
        self.url, self.name = url, name
        self.database = pymongo.MongoClient[dict[str, Any]](url)[name]
        self.writer = ActivityWriter(self.database)

    def points(self, start: datetime, end: datetime, step_seconds: int = 60) -> dict[datetime, Activity]:
        async def run() -> dict[datetime, Activity]:
            async with connect_async(self.url, timeout_seconds=10, appname="test") as client:
                return await ActivityReader(client[self.name]).points(start, end, step_seconds)

        return asyncio.run(run())


@pytest.fixture
def store(mongo_url: str, mongo_database: str) -> Store:
    return Store(mongo_url, mongo_database)


def test_buckets_are_in_order_without_gaps_and_as_exact_as_they_say() -> None:
    numbers = [*range(5000), *(2**n + d for n in range(13, 41) for d in (-1, 0, 1))]
    buckets = [bucket_of(number) for number in numbers]
    assert all(0 <= after - before <= 1 for before, after in pairwise(buckets[:5000]))
    assert buckets == sorted(buckets)
    assert max(buckets) == BUCKETS - 1
    for number, bucket in zip(numbers, buckets, strict=True):
        if number < 2**40:
            assert abs(seconds_of(bucket) * 1e6 - number) <= MAX_ERROR * number, number
    assert bucket_of(-5) == 0


def test_quantiles_are_within_their_error_also_after_adding_up() -> None:
    chance = random.Random(1)
    samples = [int(chance.lognormvariate(12, 2)) for _ in range(10_000)]
    parts = [Counter(map(bucket_of, samples[part::7])) for part in range(7)]
    found = quantiles(sum(parts, Counter()))
    assert found
    samples.sort()
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        true = samples[int(share * len(samples)) - 1]
        assert found[name] * 1e6 == pytest.approx(true, rel=MAX_ERROR + 0.001)
    assert quantiles({}) is None


def test_jobs_count_in_the_minutes_of_their_start_and_of_their_end(store: Store) -> None:
    at = NOON_US
    store.writer.ended(
        [
            job(at, at + 10 * SECOND, at + 70 * SECOND),
            job(at, at + 90 * SECOND, at + 95 * SECOND, JobState.FAILED, attempts=3),
            job(at, None, at + 2 * HOUR, JobState.CANCELLED),
        ]
    )
    store.writer.flush()
    points = store.points(NOON, NOON + timedelta(minutes=3))
    assert list(points) == [NOON + timedelta(minutes=n) for n in range(3)]
    first, second, third = points.values()
    assert first.counters == {"started": 1} | dict.fromkeys(
        ["accepted", "succeeded", "failed", "cancelled"], 0
    )
    assert (second.counters["started"], second.counters["succeeded"], second.counters["failed"]) == (1, 1, 1)
    assert first.wait_seconds == pytest.approx(dict.fromkeys(["p50", "p95", "p99"], 10), rel=MAX_ERROR)
    assert second.wait_seconds is None, "the wait of a job that was tried again is not known"
    assert second.run_seconds == pytest.approx({"p50": 5, "p95": 60, "p99": 60}, rel=MAX_ERROR)
    assert not any(third.counters.values())
    hours = store.points(NOON, NOON + timedelta(hours=3), 3600)
    assert [one.counters["started"] for one in hours.values()] == [2, 0, 0]
    assert [one.counters["cancelled"] for one in hours.values()] == [0, 0, 1]


def test_steps_add_minutes_up(store: Store) -> None:
    store.writer.ended([job(NOON_US, NOON_US, NOON_US + n * MINUTE) for n in range(10)])
    store.writer.flush()
    points = store.points(NOON, NOON + timedelta(minutes=9, seconds=1), 300)
    assert [one.counters["succeeded"] for one in points.values()] == [5, 5]
    assert [sum(one.run.values()) for one in points.values()] == [5, 5]


def test_a_batch_that_is_archived_again_counts_once(
    store: Store, redis_url: str, mongo_url: str, mongo_database: str, prefix: str
) -> None:
    """As after a crash between MongoDB's answer and Redis's."""
    driver = Driver(redis_url, prefix)
    history = HistoryWriter(connect_janitor(mongo_url)[mongo_database])
    leases = driver.started("ann", 3)
    driver.finish(*leases[:2])
    outbox = driver.run(Outbox(10))
    assert history.store(outbox) == outbox
    assert history.store(outbox) == []
    store.writer.ended(outbox)
    driver.finish(leases[2])
    archiver = Archiver(Lanes(connect(redis_url), Keys(prefix)), history, store.writer, lambda _jobs: None)
    archiver.run()
    store.writer.flush()
    now = datetime.now(UTC)
    points = store.points(now.replace(minute=0, second=0, microsecond=0), now + timedelta(hours=1), 3600)
    assert sum(point.counters["succeeded"] for point in points.values()) == 3
    driver.close()


def test_counts_are_kept_while_mongodb_is_away(store: Store) -> None:
    away = ActivityWriter(pymongo.MongoClient("mongodb://127.0.0.1:1", serverSelectionTimeoutMS=50)["x"])
    away.ended([job(NOON_US, NOON_US, NOON_US)])
    for _ in range(2):
        with pytest.raises(HistoryUnavailable):
            away.flush()
    away.ended([job(NOON_US, NOON_US, NOON_US)])
    away._database = store.writer._database
    away.flush()  # the counts of before the outage
    away.flush()
    away.flush()
    (point,) = store.points(NOON, NOON + timedelta(minutes=1)).values()
    assert point.counters["succeeded"] == 2


def test_old_minutes_and_hours_are_deleted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    day = 24 * HOUR
    kept = [NOON_US - 71 * HOUR, NOON_US]
    store.writer.ended([job(at, at, at) for at in (NOON_US - 91 * day, NOON_US - 74 * HOUR, *kept)])
    monkeypatch.setattr(activity_writer, "now", lambda: NOON)
    store.writer.flush()
    found = {document["_id"] for document in store.database[ACTIVITY].find()}
    hours = {hour_key(at // HOUR) for at in (NOON_US - 74 * HOUR, *kept)}
    assert found == {minute_key(at // MINUTE) for at in kept} | hours


def test_many_writers_add_up(store: Store, mongo_url: str, mongo_database: str) -> None:
    async def accept(counter: AcceptanceCounter) -> None:
        for n in range(20):
            counter.add(f"{NOON_US + n:013x}{'f' * 12}", 3)
            await counter.flush()

    async def run() -> None:
        async with connect_async(mongo_url, timeout_seconds=20, appname="test") as client:
            counters = [AcceptanceCounter(client[mongo_database]) for _ in range(3)]
            await asyncio.gather(*map(accept, counters))
            for counter in counters:
                for _ in range(40):  # one flush carries out what an earlier one was refused
                    await counter.flush()

    asyncio.run(run())
    (point,) = store.points(NOON, NOON + timedelta(minutes=1)).values()
    assert point.counters["accepted"] == 180

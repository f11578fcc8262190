"""The janitor's archive: more jobs than one batch has, jobs that Redis has lost, and MongoDB away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
import structlog

from laneway.dev.embedded import free_port
from laneway.janitor import UNSERVED_SECONDS, Janitor
from laneway.presence import PresenceSweeper
from laneway.storage.activity_writer import ActivityWriter
from laneway.storage.archiver import BATCH_JOBS, BATCHES_IN_FLIGHT
from laneway.storage.documents import HistoryUnavailable
from laneway.storage.history_writer import HistoryWriter
from laneway.storage.mongo import connect_janitor
from laneway.telemetry.janitor_metrics import JanitorCollector
from laneway.telemetry.job_log import JobLog
from tests.lanes.driver import Driver
from tests.worker.running import Worker

JOBS = BATCH_JOBS * (BATCHES_IN_FLIGHT + 1) + 7


@pytest.fixture
def lanes(redis_url: str, prefix: str) -> Iterator[Driver]:
    driver = Driver(redis_url, prefix)
    yield driver
    driver.close()


def janitor(lanes: Driver, redis_url: str, mongo_url: str, database: str) -> Janitor:
    return Janitor(
        lanes.lanes,
        HistoryWriter(connect_janitor(mongo_url)[database]),
        ActivityWriter(connect_janitor(mongo_url)[database]),
        PresenceSweeper(lanes.lanes),
        JobLog("worker", "ERROR"),
        grace_seconds=60,
        policy="purge",
        backlog=JOBS,
    )


def end(lanes: Driver, count: int) -> list[str]:
    """Let that many jobs of many users end; their ids, in the order in which they did."""
    for number in range(count):
        lanes.enqueue(f"user{number % 100}")
    while leases := lanes.claim(200):
        lanes.finish(*leases)
    return lanes.done()


def test_all_batches_are_stored_once_and_forgotten(
    lanes: Driver, redis_url: str, mongo_url: str, mongo_database: str
) -> None:
    ended = end(lanes, JOBS)
    assert len(ended) == JOBS
    archivist = janitor(lanes, redis_url, mongo_url, mongo_database)
    archivist.archive()
    assert archivist.stats.archived == JOBS
    with pymongo.MongoClient[dict[str, Any]](mongo_url) as mongo:
        stored = [document["_id"] for document in mongo[mongo_database]["history"].find({}, {"_id": 1})]
    assert sorted(key.rpartition("/")[2] for key in stored) == sorted(ended)
    assert lanes.done() == []
    assert not [key for key in lanes.all_keys() if key.startswith(("spec:", "ended:", "job:"))]


def test_nothing_is_forgotten_that_mongodb_did_not_take(
    lanes: Driver, redis_url: str, mongo_url: str, mongo_database: str
) -> None:
    ended = end(lanes, BATCH_JOBS + 1)
    before = lanes.snapshot()
    away = janitor(lanes, redis_url, f"mongodb://127.0.0.1:{free_port()}/?timeoutMS=500", mongo_database)
    with pytest.raises(HistoryUnavailable):
        away.archive()
    assert lanes.snapshot() == before, "and the lock is released"
    assert away.stats.archived == 0
    back = janitor(lanes, redis_url, mongo_url, mongo_database)
    back.archive()
    assert back.stats.archived == len(ended)
    assert lanes.done() == []


def figures(janitor: Janitor) -> dict[str, float]:
    """What the janitor counts, as Prometheus reads it: by name, and by the kind of damage."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for metric in JanitorCollector(janitor.stats).collect()
        for sample in metric.samples
    }


def test_a_job_that_redis_has_lost_is_logged_and_counted_once(
    lanes: Driver, redis_url: str, mongo_url: str, mongo_database: str
) -> None:
    lost, kept = lanes.enqueue("ann", 2)
    lanes.client.delete(lanes.key(f"spec:{lost}"))
    archivist = janitor(lanes, redis_url, mongo_url, mongo_database)
    with structlog.testing.capture_logs() as logged:
        archivist.tidy()
        for _ in range(2):
            archivist.tidy()
            archivist.archive()
    assert [line for line in logged if line["event"] == "job_lost"] == [
        {"event": "job_lost", "job_id": lost, "user": "ann", "log_level": "error"}
    ]
    (mended,) = [line for line in logged if line["event"] == "damage_mended"]
    assert (mended["spec"], mended["log_level"]) == (1, "error")
    found = figures(archivist)
    assert (found["laneway_jobs_lost_total"], found["laneway_damage_mended_total spec"]) == (1, 1)
    with pymongo.MongoClient[dict[str, Any]](mongo_url) as mongo:
        (stored,) = mongo[mongo_database]["history"].find()
    assert (stored["_id"].rpartition("/")[2], stored["state"]) == (lost, "failed")
    assert [lease.job_id for lease in lanes.claim()] == [kept]


def test_a_ring_that_nobody_serves_is_logged_and_counted(
    lanes: Driver, redis_url: str, mongo_url: str, mongo_database: str
) -> None:
    watcher = janitor(lanes, redis_url, mongo_url, mongo_database)
    lanes.enqueue("ann")
    watcher.tidy()  # it has seen who is first
    lanes.client.zincrby(lanes.keys.ring, -(UNSERVED_SECONDS + 60) * 1_000_000, "ann")
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            watcher.tidy()
    assert [line["event"] for line in logged] == ["ring_unserved"], "not with each pass"
    assert figures(watcher)["laneway_ring_unserved_seconds"] > UNSERVED_SECONDS


def test_a_worker_without_a_janitor_does_not_load_the_driver_of_mongodb(shared: Worker) -> None:
    libraries = Path(f"/proc/{shared.lease_keeper}/maps").read_text()
    assert "/hiredis/" in libraries
    assert "/bson/" not in libraries

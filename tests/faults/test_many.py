"""Many jobs, many users, and a restart with many queued jobs: all of them end in order, and nothing leaks."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pymongo
import pytest

from chaos import collection
from chaos.checker import order
from chaos.checker.timeline import Timeline
from chaos.clients import bulk
from chaos.clients.bulk import BulkRequest
from chaos.clients.tokens import sign_token
from chaos.event_times import handler_starts
from chaos.records import History, read_history
from chaos.system.programs import wait_for
from chaos.system.system import System

pytestmark = [pytest.mark.timeout(500), pytest.mark.usefixtures("tools")]
DRAIN_SECONDS = 240.0
BATCH = 1000
TURN_SECONDS = 5.0
"""How long a single job may wait behind 100,000 jobs of another lane, on a shared machine. tests/worker/test_fairness.py holds
the promise of one second."""
FIRST_SECONDS = 15.0


def drained(system: System) -> bool:
    """Tell whether Redis holds no job."""
    with system.redis.client() as redis:
        return not redis.exists(system.keys.lanes, system.keys.outbox)


def archived_states(system: System) -> dict[str, str]:
    """Return the state of every job in the history, by id."""
    with pymongo.MongoClient[dict[str, Any]](system.mongo.url) as mongo:
        found = mongo["laneway"]["history"].find({}, {"state": 1})
        return {document["_id"].rpartition("/")[2]: document["state"] for document in found}


def await_and_judge(system: System, ids: Iterable[str]) -> History:
    """Wait until every job has succeeded, check order, slots and leases, and return the records."""
    wait_for(
        lambda: drained(system), DRAIN_SECONDS, "all jobs have ended and are in MongoDB", poll_seconds=0.2
    )
    assert archived_states(system) == dict.fromkeys(ids, "succeeded")
    history = read_history(system.records, system.limits)
    timeline = Timeline(history)
    for rule in (order.check_starts, order.check_slots):
        _, broken = rule(history, timeline)
        assert broken == []
    assert order.check_leases(timeline)[1] == []
    assert collection.leftover_keys(system) == []
    return history


@pytest.mark.parametrize("jobs", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_many_jobs_in_one_lane(tmp_path: Path, jobs: int) -> None:
    with System(tmp_path, apis=1, workers=1, proxied=False).running() as system:
        token, begun = sign_token(system.secret, "heavy"), time.monotonic()
        requests = (
            BulkRequest(token, "work", tuple({"n": n} for n in range(BATCH))) for _ in range(jobs // BATCH)
        )
        ids = bulk.enqueue(system.urls, requests, connections=1)
        accepted = time.monotonic() - begun
        lone_ns = time.monotonic_ns()
        lone = bulk.enqueue(system.urls, [BulkRequest(sign_token(system.secret, "light"), "work", ({},))])
        waited = _seconds_until_start(system, lone[0], lone_ns)
        history = await_and_judge(system, [*ids, *lone])
        ended = time.monotonic() - begun
    assert len(history.attempts) == jobs + 1
    print(
        f"{jobs:,} jobs in one lane: accepted in {accepted:.1f} s, ended and archived after {ended:.1f} s; "
        f"a job of another user started after {waited:.2f} s"
    )
    assert waited < TURN_SECONDS


def _seconds_until_start(system: System, job_id: str, since_ns: int) -> float:
    """Return the seconds until a job started."""

    def found() -> int | None:
        history = read_history(system.records, system.limits)
        return next((one.start_ns for one in history.attempts if one.job_id == job_id), None)

    start_ns = wait_for(found, DRAIN_SECONDS, "the job has started", poll_seconds=0.5)
    assert start_ns is not None
    return (start_ns - since_ns) / 1e9


@pytest.mark.parametrize("users", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_many_users_with_one_job_each(tmp_path: Path, users: int) -> None:
    with System(tmp_path, apis=1, workers=1, proxied=False).running() as system:
        with system.redis.client() as redis:
            connections = redis.info("clients")["connected_clients"]
        begun = time.monotonic()
        requests = (
            BulkRequest(sign_token(system.secret, f"user{number:06d}"), "work", ({},))
            for number in range(users)
        )
        ids = bulk.enqueue(system.urls, requests)
        accepted = time.monotonic() - begun
        history = await_and_judge(system, ids)
        ended = time.monotonic() - begun
        with system.redis.client() as redis:
            more = redis.info("clients")["connected_clients"] - connections
            keys, memory = redis.dbsize(), redis.info("memory")["used_memory"]
    assert len({attempt.user for attempt in history.attempts}) == users
    print(
        f"{users:,} users: accepted in {accepted:.1f} s ({users / accepted:,.0f} a second), ended and archived after {ended:.1f} s; "
        f"{more} more connections to Redis, {keys} keys and {memory / 1e6:.1f} MB in it afterwards"
    )
    assert more < 64
    assert keys < 20


def test_a_restart_of_everything_with_50_000_queued(tmp_path: Path) -> None:
    with System(tmp_path, proxied=False).running() as system:
        for worker in system.workers:  # so that all jobs are still queued when everything dies
            worker.wanted = False
            worker.kill()
        requests = [
            BulkRequest(
                sign_token(system.secret, f"user{number:03d}"), "work", tuple({"n": n} for n in range(50))
            )
            for number in range(1000)
        ]
        ids = bulk.enqueue(system.urls, requests)
        for program in system.programs:
            program.signal(signal.SIGKILL)
        system.mongo.kill()
        system.redis.cut_power()

        begun_ns, started = time.monotonic_ns(), handler_starts(system.records)
        for program in system.programs:
            program.wanted = True
        system.redis.start()
        loaded = (time.monotonic_ns() - begun_ns) / 1e9
        system.mongo.start()
        first_ns = wait_for(lambda: started.after(begun_ns), 60, "the first job starts")[0]
        first = (first_ns - begun_ns) / 1e9
        await_and_judge(system, ids)
        ended = (time.monotonic_ns() - begun_ns) / 1e9
    print(
        f"restart of everything with 50,000 queued: Redis had loaded them after {loaded:.2f} s, first job after {first:.2f} s, "
        f"all ended and archived after {ended:.1f} s"
    )
    assert first < FIRST_SECONDS

"""SIGTERM: what runs ends within the grace time, the rest goes back to the head of its lane, and the exit code is 0."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.system.proxy import Proxy
from laneway.dev.embedded import free_port
from laneway.lanes.commands import Cancel
from laneway.lanes.model import JobState
from laneway.worker.lease_keeper.pool_health import CHECK_SECONDS, PATIENCE_SECONDS
from tests.worker.running import System, fresh, running, wait_for

LEASE_SECONDS = 30
POD_SECONDS = 15
"""Beyond its grace time the chart gives a stopping worker this long before it is killed."""


def test_what_runs_ends_and_what_has_not_started_goes_back(system: System) -> None:
    with running(system) as worker:
        running_user, lane, other = system.user(), system.user(slots=2), system.user()
        ids = {running_user: system.enqueue(running_user, "queuer", *[{"gate": "end"}] * 3)}
        system.await_starts(3, running_user)
        ids[lane] = system.enqueue(lane, "gated", *[{"gate": "end"}] * 10)  # one of them in each process
        system.await_starts(2, lane)
        ids[other] = system.enqueue(other, "work", *[{}] * 10)
        worker.terminate()
        wait_for(lambda: sum(line["event"] == "shutdown_received" for line in worker.lines()) == 2)
        system.notes.open("end")
        assert worker.exit_code(20) == 0
        assert worker.strays() == []
    assert {(job.state, job.attempts) for job in system.jobs(running_user, ids[running_user])} == {
        (JobState.SUCCEEDED, 1)
    }
    assert [(job.state, job.attempts) for job in system.jobs(lane, ids[lane])] == [
        *[(JobState.SUCCEEDED, 1)] * 2,
        *[(JobState.QUEUED, 0)] * 8,
    ]
    assert {(job.state, job.attempts) for job in system.jobs(other, ids[other])} == {(JobState.QUEUED, 0)}
    assert system.leases() == 0
    assert {run.outcome for run in system.notes.runs(running_user, lane)} == {"returned"}

    with running(system):  # and the next one goes on where it ended
        for user in (lane, other):
            assert {job.state for job in system.ended(user, ids[user])} == {JobState.SUCCEEDED}
            assert [run.job_id for run in system.notes.runs(user)] == ids[user]


@pytest.mark.thorough  # it waits for the janitor
def test_a_worker_ends_soon_though_its_janitor_waits_for_mongodb(redis_url: str, tmp_path: Path) -> None:
    """The janitor has 20 s for an operation."""
    with (
        fresh(redis_url, tmp_path, (f"mongodb://127.0.0.1:{free_port()}", "none")) as system,
        running(system) as worker,
    ):
        user = system.user()
        system.ended(user, system.enqueue(user, "work", {}))
        threading.Event().wait(1.5)  # a pass begins each second
        worker.terminate()
        began = time.monotonic()
        assert worker.exit_code(30) == 0
        assert time.monotonic() - began < 12


@pytest.mark.thorough  # it waits for the lease keeper's patience
def test_a_long_shutdown_is_a_good_end(system: System) -> None:
    """Its pool is short of processes then, for longer than a pool that works may be."""
    with running(system, shutdown_grace_seconds=60) as worker:
        user = system.user()
        (job_id,) = system.enqueue(user, "queuer", {"gate": "long"})
        system.await_starts(1, user)
        worker.terminate()
        wait_for(lambda: worker.metric("laneway_worker_pool_processes") < worker.processes)
        threading.Event().wait(PATIENCE_SECONDS + 2 * CHECK_SECONDS)
        system.notes.open("long")
        assert worker.exit_code(20) == 0
    assert system.job(user, job_id).state == JobState.SUCCEEDED


def test_what_runs_longer_than_the_grace_time_is_interrupted_and_runs_again(system: System) -> None:
    grace_seconds = 1
    with running(system, shutdown_grace_seconds=grace_seconds) as worker:
        plain, tasks, last = system.user(), system.user(), system.user(slots=1)
        ids = {tasks: system.enqueue(tasks, "queuer", *[{"gate": "long", "times": 1}] * 2)}
        ids[tasks] += system.enqueue(tasks, "queuer", {"gate": "long", "times": 1, "ignore": True})
        ids[last] = system.enqueue(last, "queuer", {"gate": "long"}, attempts=1)
        ids[last] += system.enqueue(last, "work", {}, attempts=1)
        system.await_starts(4, tasks, last)
        ids[plain] = system.enqueue(plain, "gated", {"gate": "long", "times": 1})
        ids[plain] += system.enqueue(plain, "light", {"gil": 20})
        system.await_starts(2, plain)
        worker.terminate()
        assert worker.exit_code(grace_seconds + POD_SECONDS) == 0
    for user in (plain, tasks):
        assert {(job.state, job.attempts) for job in system.jobs(user, ids[user])} == {(JobState.QUEUED, 0)}
    assert {(job.state, job.attempts) for job in system.jobs(last, ids[last])} == {(JobState.QUEUED, 0)}
    assert system.leases() == 0
    assert not system.lanes.client.exists(system.keys.prefix + "losses"), "a shutdown makes no suspects"

    with running(system, shutdown_grace_seconds=grace_seconds):
        system.notes.open("long")
        for user in (tasks, last, plain):
            jobs = system.ended(user, ids[user])
            assert {(job.state, job.attempts) for job in jobs} == {(JobState.SUCCEEDED, 1)}


@pytest.mark.thorough  # the test above interrupts jobs of other kinds
def test_a_cancelled_job_that_tidies_up_longer_than_the_grace_time_is_cancelled(system: System) -> None:
    """Its attempts are spent, and yet it has not failed."""
    with running(system, shutdown_grace_seconds=0.2) as worker:
        user = system.user()
        (job_id,) = system.enqueue(user, "tidy", {"ms": 60_000}, attempts=1)
        system.await_starts(1, user)
        assert system.lanes.run(Cancel(user, job_id)) == "stopping"
        wait_for(lambda: system.notes.count("tidying", user) == 1)
        worker.terminate()
        assert worker.exit_code(20) == 0
    assert system.job(user, job_id).state is JobState.CANCELLED


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    """Between the worker and Redis; the test itself speaks to Redis directly."""
    proxy = Proxy(int(redis_url.rpartition(":")[2].partition("/")[0]))
    proxy.start()
    yield proxy
    proxy.stop()


def through(proxy: Proxy, url: str) -> str:
    return url.replace(f":{proxy.target_port}/", f":{proxy.port}/")


@pytest.mark.thorough  # the first test gives back what has been claimed
def test_a_claim_that_is_under_way_when_the_worker_stops_is_given_back(system: System, proxy: Proxy) -> None:
    """The answer comes after the stop: nothing of it starts. Each answer of Redis takes 2 s, and several are needed."""
    with running(system, redis_url=through(proxy, system.redis_url), shutdown_grace_seconds=30) as worker:
        warm = system.user()
        system.ended(warm, system.enqueue(warm, "wait", *[{}] * 5))
        proxy.delay(1)
        user = system.user()
        ids = system.enqueue(user, "queuer", *[{"gate": "never"}] * 3)
        wait_for(lambda: system.leases() > 0)
        worker.terminate()
        wait_for(lambda: system.leases() == 0, 20)
        proxy.heal()
        assert worker.exit_code(20) == 0
    assert {(job.state, job.attempts) for job in system.jobs(user, ids)} == {(JobState.QUEUED, 0)}
    assert system.notes.runs(user) == []


@pytest.mark.thorough  # two more workers for what the first test shows
def test_a_worker_that_stops_under_load_loses_nothing(system: System) -> None:
    users = [system.user() for _ in range(40)]
    ids = {user: system.enqueue(user, "work", *[{"ms": 1}] * 50) for user in users}
    waiting = [system.user() for _ in range(40)]
    ids |= {user: system.enqueue(user, "wait", *[{"ms": 20}] * 20) for user in waiting}
    with running(system, wait=False) as worker:
        system.await_starts(200, seconds=60)
        worker.terminate()
        assert worker.exit_code(20) == 0
    assert system.leases() == 0
    assert {run.outcome for run in system.notes.runs()} == {"returned"}
    with running(system):
        for user, some in ids.items():
            jobs = system.ended(user, some, 30)
            assert {(job.state, job.attempts) for job in jobs} == {(JobState.SUCCEEDED, 1)}
            assert [run.job_id for run in system.notes.runs(user)] == some

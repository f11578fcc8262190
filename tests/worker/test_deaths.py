"""Whatever is killed, nothing is lost and no attempt is charged: what ran runs again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from laneway.lanes.model import JobState, time_of
from tests.worker.running import Worker, database, fresh, running, wait_for

LEASE_SECONDS = 60
AT_ONCE_SECONDS = 15
"""Well below the lease: a process of the pool is replaced, and what it held runs again."""


@pytest.fixture(scope="module")
def worker(redis_url: str, mongo_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with (
        database(mongo_url) as mongo,
        fresh(redis_url, tmp_path_factory.mktemp("deaths"), mongo) as system,
        running(system, lease_seconds=LEASE_SECONDS) as worker,
    ):
        yield worker


@pytest.fixture(autouse=True)
def _whole(worker: Worker) -> None:
    worker.await_ready()
    wait_for(lambda: worker.in_flight() == 0)


def test_jobs_that_ran_in_a_killed_process_run_again_at_once(worker: Worker) -> None:
    system = worker.system
    lost, kept, waiting = system.user(), system.user(), system.user()
    ids = {lost: system.enqueue(lost, "queuer", *[{"gate": "killed", "times": 1}] * 5)}
    system.await_starts(5, lost)
    pids = {run.pid for run in system.notes.runs(lost)}
    ids[kept] = system.enqueue(kept, "gated", *[{"gate": "killed", "times": 1}] * len(worker.pool))
    system.await_starts(len(worker.pool), kept)  # now no process takes anything more
    ids[waiting] = system.enqueue(waiting, "work", *[{}] * 10)
    victim = pids.pop()
    os.kill(victim, signal.SIGKILL)
    killed_ns = time.monotonic_ns()
    killed = {run.job_id for run in system.notes.runs() if run.pid == victim and run.end_ns is None}
    assert len(killed) >= 2
    for user in (lost, kept):
        again = system.ended(user, sorted(killed & set(ids[user])), AT_ONCE_SECONDS)
        assert {(job.state, job.attempts) for job in again} == {(JobState.SUCCEEDED, 1)}
    wait_for(lambda: worker.metric('laneway_worker_events_total{event="run_interrupted"}') >= len(killed))
    system.notes.open("killed")
    for user in (lost, kept, waiting):
        for job in system.ended(user, ids[user], AT_ONCE_SECONDS):
            assert (job.state, job.attempts) == (JobState.SUCCEEDED, 1)
    assert [run.job_id for run in system.notes.runs(waiting)] == ids[waiting]
    for run in system.notes.runs(lost, kept):
        if run.number == 2:
            assert (run.start_ns - killed_ns) / 1e9 < AT_ONCE_SECONDS
    wait_for(lambda: killed <= worker.logged("interrupted"), what=worker.tail)


def test_jobs_of_a_batch_that_had_not_started_are_no_suspects(worker: Worker) -> None:
    """On a busy machine jobs look slow, and the process may have claimed the deadly one alone. Then it shows nothing."""
    jobs_at_death = [kill_a_process_with_a_batch(worker)]
    while jobs_at_death[-1] == 1 and len(jobs_at_death) < 5:
        worker.await_ready()
        jobs_at_death.append(kill_a_process_with_a_batch(worker))
    assert jobs_at_death[-1] > 1, "nothing waited behind it: this shows nothing"


def kill_a_process_with_a_batch(worker: Worker) -> int:
    """A job kills its process. All others run once, and none is charged. Return how many jobs the process had."""
    system = worker.system
    system.learn()
    first, second = system.user(), system.user()
    for user in (first, second):  # one of them in each process
        system.enqueue(user, "gated", {"gate": user})
    system.await_starts(2, first, second)
    deadly = system.user()
    (killer,) = system.enqueue(deadly, "light", {"harm": {"how": "kill"}})
    others = [system.user() for _ in range(10)]
    ids = {user: system.enqueue(user, "light", *[{"ms": 1}] * 5) for user in others}
    system.notes.open(first)
    try:
        (job,) = system.ended(deadly, [killer], AT_ONCE_SECONDS)
        assert (job.state, job.attempts) == (JobState.SUCCEEDED, 1)
        for user in others:
            jobs = system.ended(user, ids[user], AT_ONCE_SECONDS)
            assert {(job.state, job.attempts) for job in jobs} == {(JobState.SUCCEEDED, 1)}
            assert [run.job_id for run in system.notes.runs(user)] == ids[user]
    finally:
        system.notes.open(second)
    died = [line for line in worker.lines() if line["event"] == "process_died"][-1]
    assert died["running"] == 1, "of a batch, the marked job alone ran"
    assert worker.logged("interrupted") & {i for some in ids.values() for i in some} == set()
    return int(died["jobs"])


def test_with_one_slot_what_was_killed_runs_again_before_the_next(worker: Worker) -> None:
    system = worker.system
    user = system.user(slots=1)
    ids = system.enqueue(
        user, "harm", {"how": "kill", "times": 1}, {"how": "kill", "times": 2}, *[{"times": 0}] * 3
    )
    ids += system.enqueue(user, "harmasync", {"how": "kill", "times": 1}, {"times": 0})
    system.ended(user, ids, 3 * AT_ONCE_SECONDS)
    order = [(run.job_id, run.number) for run in system.notes.runs(user)]
    runs = (2, 3, 1, 1, 1, 2, 1)
    assert order == [(i, n) for i, most in zip(ids, runs, strict=True) for n in range(1, most + 1)]
    assert {run.attempt for run in system.notes.runs(user)} == {1}


@pytest.mark.parametrize("type_", ["harm", pytest.param("harmasync", marks=pytest.mark.thorough)])
def test_jobs_that_were_about_to_go_back_do_so_when_their_process_dies(worker: Worker, type_: str) -> None:
    """The first job kills its process at once; what the process had claimed behind it must not wait for its leases."""
    system = worker.system
    user = system.user(slots=1)
    for _ in range(3):
        system.learn()  # the process asks for large batches, and for followers
        ids = system.enqueue(user, type_, {"how": "kill", "times": 1}, *[{"times": 0}] * 12)
        system.ended(user, ids, AT_ONCE_SECONDS)


def test_the_first_job_of_a_worker_has_its_time_of_start_though_its_process_is_killed(worker: Worker) -> None:
    """The lease keeper sends the start, and must know Redis's clock by then."""
    system = worker.system
    with fresh(system.redis_url, system.folder) as own, running(own, worker_processes=1):
        user = own.user()
        (job_id,) = own.enqueue(user, "harm", {"how": "kill"}, attempts=1)
        (job,) = own.ended(user, [job_id], 3 * AT_ONCE_SECONDS)
        assert job.state == JobState.FAILED
        assert job.started_us is not None
        assert abs(time_of(job.started_us) - datetime.now(UTC)) < timedelta(minutes=1)


def test_what_a_handler_leaves_to_be_raised_after_it_ends_its_process(worker: Worker) -> None:
    """Or that process would have turns and run nothing."""
    system, before = worker.system, set(worker.pool)
    user = system.user()
    (job,) = system.ended(user, system.enqueue(user, "harm", {"how": "alarm of its own"}))
    assert (job.state, job.attempts) == (JobState.SUCCEEDED, 1)
    wait_for(lambda: set(worker.pool) != before)
    worker.await_ready()
    jobs = system.ended(user, system.enqueue(user, "work", *[{"ms": 50}] * 4))
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}


def test_the_only_process_of_a_worker_is_replaced_soon(worker: Worker) -> None:
    system = worker.system
    with (
        fresh(system.redis_url, system.folder, system.mongo) as own,
        running(own, worker_processes=1) as single,
    ):
        took = 0.0
        for _ in range(4):
            user = own.user()
            (job_id,) = own.enqueue(user, "queuer", {"gate": "single", "times": 1})
            own.await_starts(1, user)
            os.kill(single.pool[0], signal.SIGKILL)
            killed = time.monotonic()
            (job,) = own.ended(user, [job_id], AT_ONCE_SECONDS)
            assert (job.state, job.attempts) == (JobState.SUCCEEDED, 1)
            took += time.monotonic() - killed
            single.await_ready()
        assert took < 8, "left to itself, Celery looks every 5 s"

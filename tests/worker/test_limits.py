"""Time limits, and handlers that hold the interpreter: the lease is kept, or the process is ended, and nobody else suffers."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from laneway.lanes.commands import Cancel
from laneway.lanes.model import Job, JobState
from tests.worker.running import System, Worker, database, fresh, running, wait_for

LEASE_SECONDS = 1


@pytest.fixture(scope="module")
def worker(redis_url: str, mongo_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """Short leases, and a janitor that gives away what is not renewed."""
    with (
        database(mongo_url) as mongo,
        fresh(redis_url, tmp_path_factory.mktemp("limits"), mongo) as system,
        running(system, lease_seconds=LEASE_SECONDS, janitor_interval_seconds=0.2) as worker,
    ):
        yield worker


@pytest.fixture(autouse=True)
def _whole(worker: Worker) -> None:
    worker.await_ready()


def error(job: Job) -> Any:
    assert job.error is not None
    return orjson.loads(job.error)


def holding(system: System) -> Path:
    """Make the pipe that a handler opens while it holds the interpreter. It does so until the test opens it for writing."""
    pipe = system.folder / f"{secrets.token_hex(4)}.pipe"
    os.mkfifo(pipe)
    return pipe


@pytest.mark.parametrize("c", [pytest.param(False, marks=pytest.mark.thorough), True])
def test_a_handler_that_holds_the_interpreter_keeps_its_lease_and_runs_once(worker: Worker, c: bool) -> None:
    system = worker.system
    user, other = system.user(), system.user()
    (job_id,) = system.enqueue(user, "gil", {"seconds": 3 * LEASE_SECONDS, "c": c})
    system.await_starts(1, user)
    rest = system.enqueue(other, "work", *[{}] * 20)
    system.ended(other, rest, 10)
    (job,) = system.ended(user, [job_id], 60)
    assert (job.state, job.attempts) == (JobState.SUCCEEDED, 1)
    (holder,) = system.notes.runs(user)
    served = system.notes.runs(other)
    assert {run.pid for run in served}.isdisjoint({holder.pid}), "the other process serves the rest"
    assert max(run.end_ns or 0 for run in served) < (holder.end_ns or 0), "and does not wait for this one"


def test_what_waits_behind_one_that_holds_the_interpreter_goes_back(worker: Worker) -> None:
    """One process has the fast ones in its batch, behind one that holds the interpreter from its first moment on."""
    system = worker.system
    system.learn()
    blockers = [system.user() for _ in worker.pool]
    for user in blockers:
        system.enqueue(user, "gated", {"gate": "gil"})
    system.await_starts(len(blockers), *blockers)
    first = system.user()
    release = holding(system)
    (holder,) = system.enqueue(first, "light", {"ms": 0, "pipe": release.name})
    others = [system.user() for _ in range(10)]
    ids = {user: system.enqueue(user, "light", *[{"ms": 1}] * 5) for user in others}
    behind = system.enqueue(first, "light", *[{"ms": 1}] * 5)
    system.notes.open("gil")
    system.await_starts(1, first)
    for user in others:
        assert {job.attempts for job in system.ended(user, ids[user], 30)} == {1}
    assert {job.attempts for job in system.ended(first, behind, 30)} == {1}
    release.open("wb").close()
    (job,) = system.ended(first, [holder], 30)
    assert (job.state, job.attempts) == (JobState.SUCCEEDED, 1)
    runs = system.notes.runs(first, *others)
    assert len(runs) == 56


def test_a_lane_goes_on_behind_its_job_that_holds_the_interpreter_alone(worker: Worker) -> None:
    """The process cannot report the start, and without it no other process may start jobs of the lane."""
    system = worker.system
    user = system.user()
    release = holding(system)
    (holder,) = system.enqueue(user, "light", {"ms": 0, "pipe": release.name})
    system.await_starts(1, user)
    behind = system.enqueue(user, "light", *[{"ms": 1}] * 4)
    assert {job.attempts for job in system.ended(user, behind, 30)} == {1}
    release.open("wb").close()
    (job,) = system.ended(user, [holder], 30)
    assert (job.state, job.attempts) == (JobState.SUCCEEDED, 1)


@pytest.mark.parametrize("type_", ["soft", "softasync"])
def test_the_soft_limit_is_raised_in_the_handler_and_retried(worker: Worker, type_: str) -> None:
    system = worker.system
    user = system.user()
    late, kept, fast = system.ended(
        user, system.enqueue(user, type_, {}, {"keep": True}, {"seconds": 0.01}, attempts=2)
    )
    assert (late.state, late.attempts) == (JobState.FAILED, 2)
    assert error(late)["type"] == "SoftTimeLimit"
    assert "soft time limit" in error(late)["message"]
    assert (kept.state, kept.attempts, kept.result) == (JobState.SUCCEEDED, 1, b'"what it had"')
    assert (fast.state, fast.attempts, fast.result) == (JobState.SUCCEEDED, 1, b'"in time"')
    for run in system.notes.runs(user):
        assert (run.end_ns or 0) - run.start_ns < 2e9


@pytest.mark.parametrize("request_", [{}, {"gil": True}])
def test_the_hard_limit_ends_a_plain_handler_whatever_it_does(
    worker: Worker, request_: dict[str, Any]
) -> None:
    system = worker.system
    user, other = system.user(), system.user()
    never, twice = system.enqueue(user, "hard", request_, {**request_, "times": 1}, attempts=2)
    neighbours = system.enqueue(other, "wait", *[{"ms": 300, "attempts": 3}] * 5)
    failed, second = system.ended(user, [never, twice], 30)
    assert (failed.state, failed.attempts) == (JobState.FAILED, 2)
    assert error(failed)["type"] == "TimeLimit"
    assert (second.state, second.attempts, second.result) == (JobState.SUCCEEDED, 2, b'"in time"')
    wait_for(lambda: never in worker.logged("failed") and {never, twice} <= worker.logged("retried"))
    for state in ("failed", "retrying"):
        assert worker.metric(f'laneway_attempts_total{{state="{state}",type="hard"}}') > 0
    assert {job.state for job in system.ended(other, neighbours, 30)} == {JobState.SUCCEEDED}
    ends = [(run.job_id, run.number) for run in system.notes.runs(user) if run.end_ns]
    assert ends == [(twice, 2)], "no handler that is killed sees its end"


@pytest.mark.parametrize("request_", [{}, {"swallow": True}])
def test_the_hard_limit_ends_an_async_handler_whatever_it_does(
    worker: Worker, request_: dict[str, Any]
) -> None:
    system = worker.system
    user = system.user()
    never, twice = system.enqueue(user, "hardasync", request_, {**request_, "times": 1}, attempts=2)
    failed, second = system.ended(user, [never, twice], 30)
    assert (failed.state, failed.attempts) == (JobState.FAILED, 2)
    assert error(failed)["type"] == "TimeLimit"
    assert "0.5 s" in error(failed)["message"]
    assert second.state is JobState.SUCCEEDED
    assert second.attempts in {1, 2}, (
        "its process may be killed for the other one first, and then its run is not charged"
    )


def test_an_async_handler_that_swallows_its_cancelling_ends_at_the_hard_limit(worker: Worker) -> None:
    """As cancelled, and it does not run again."""
    system = worker.system
    user = system.user()
    (job_id,) = system.enqueue(user, "hardasync", {"swallow": True}, attempts=3)
    system.await_starts(1, user)
    system.lanes.run(Cancel(user, job_id))
    (job,) = system.ended(user, [job_id], 10)
    assert (job.state, job.attempts) == (JobState.CANCELLED, 1)


def test_what_a_hard_limit_takes_along_runs_again_at_once(worker: Worker) -> None:
    """All async jobs of a process die with it. The limit names its culprit: they are neither charged nor suspects."""
    system = worker.system
    other = system.user()
    beside = system.enqueue(other, "queuer", *[{"gate": "along", "times": 1}] * 5, attempts=1)
    system.await_starts(5, other)
    users = [system.user() for _ in worker.pool]
    jobs = [system.enqueue(one, "hard", {"times": 1}, attempts=2)[0] for one in users]  # one for each process
    for one, job_id in zip(users, jobs, strict=True):
        assert system.ended(one, [job_id], 30)[0].state == JobState.SUCCEEDED
    assert {(job.state, job.attempts) for job in system.ended(other, beside, 30)} == {(JobState.SUCCEEDED, 1)}
    assert not system.lanes.client.exists(system.keys.prefix + "losses")


def test_a_limit_of_zero_is_none(worker: Worker) -> None:
    user = worker.system.user()
    (job,) = worker.system.ended(user, worker.system.enqueue(user, "boundless", {}))
    assert (job.state, job.error) == (JobState.SUCCEEDED, None)


def test_a_limit_is_no_limit_for_those_who_come_after(worker: Worker) -> None:
    """The alarm of a soft limit does not ring in a job that has none."""
    system = worker.system
    user = system.user(slots=1)
    ids = []
    for _ in range(5):
        ids += system.enqueue(user, "soft", {"seconds": 0.01}, attempts=1)  # its limit is 0.3 s
        ids += system.enqueue(user, "work", {"ms": 400}, attempts=1)
    assert {job.state for job in system.ended(user, ids)} == {JobState.SUCCEEDED}


def test_the_next_attempt_waits_until_the_killed_process_is_dead(worker: Worker) -> None:
    system = worker.system
    user = system.user()
    (job,) = system.ended(user, system.enqueue(user, "bulky", {"bytes": 3_000_000_000}, attempts=2), 30)
    assert (job.state, job.attempts) == (JobState.SUCCEEDED, 2)
    assert job.result in {b'"gone"', b'"Z"'}

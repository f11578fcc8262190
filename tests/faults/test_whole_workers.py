"""Whole workers die, or a part of one does: no job is lost, none is charged, and a job that takes its worker along fails."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson
import pytest

from laneway.lanes.commands import Expire, WorkerLossLimits
from laneway.lanes.model import JobState
from tests.worker.running import System, Worker, running, wait_for

AT_ONCE_SECONDS = 8
"""From the end of a lease to the end of the short job that held it, on a machine under load."""


PARTS: dict[str, Callable[[Worker], int]] = {
    "lease_keeper": lambda worker: worker.lease_keeper,
    "celery": lambda worker: worker.celery,
    "supervisor": lambda worker: worker.pid,
}


def kill(worker: Worker, part: str) -> None:
    """Kill this part of a worker, or all of its processes at once."""
    if part == "all":
        worker.signal_all(signal.SIGKILL)
    else:
        os.kill(PARTS[part](worker), signal.SIGKILL)


@pytest.mark.parametrize("part", ["all", *PARTS])
def test_a_whole_worker_killed_three_times_fails_no_job(system: System, part: str) -> None:
    """A rollout gone wrong, a lost node, a cgroup's group kill: nobody is charged, and nobody has a loss."""
    user, tasks = system.user(slots=1), system.user()
    ids = {user: system.enqueue(user, "gated", {"gate": "three", "times": 3}, {"gate": "three"}, attempts=1)}
    ids[tasks] = system.enqueue(tasks, "queuer", *[{"gate": "three", "times": 3}] * 3, attempts=1)
    limits = WorkerLossLimits(backoff_seconds=0.01)
    for number in range(1, 4):
        with running(system, worker_processes=2, lease_seconds=1, shutdown_grace_seconds=0.5) as worker:
            wait_for(partial(has_run, system, [ids[user][0], *ids[tasks]], number), 30, what=worker.tail)
            kill(worker, part)
            worker.process.wait(30)
            wait_for(lambda worker=worker: not worker.everything(), 30)  # type: ignore[misc]
        wait_for(lambda: not system.lanes.run(Expire(losses=limits)) and system.leases() == 0)
    system.notes.open("three")
    with running(system, worker_processes=2):
        for one, some in ids.items():
            jobs = system.ended(one, some, 30)
            assert {(job.state, job.attempts) for job in jobs} == {(JobState.SUCCEEDED, 1)}


def has_run(system: System, job_ids: list[str], number: int) -> bool:
    """Whether one of these jobs, or all the first time, has begun this run: suspects run one after another."""
    numbers = {run.job_id: run.number for run in system.notes.runs()}
    begun = [numbers.get(job_id, 0) >= number for job_id in job_ids]
    return all(begun) if number == 1 else any(begun)


@pytest.mark.parametrize("type_", ["harm", "harmatonce"])
def test_a_job_that_takes_the_whole_worker_with_it_fails_in_the_end(system: System, type_: str) -> None:
    """Nobody is left to report it, so its lost workers are counted; it waits longer from one to the next."""
    user = system.user()
    (job_id,) = system.enqueue(user, type_, {"how": "pod"}, attempts=1)
    limits = WorkerLossLimits(max_losses=4, backoff_seconds=0.2)
    deaths = 0
    while not system.job(user, job_id).state.ended and deaths < 6:
        with running(system, wait=False, worker_processes=1, lease_seconds=1) as worker:
            worker.process.wait(60)
            wait_for(lambda worker=worker: not worker.everything())  # type: ignore[misc]
        wait_for(lambda: system.lanes.run(Expire(losses=limits)) or system.leases() == 0)
        deaths += 1
    job = system.job(user, job_id)
    assert (job.state, job.attempts, deaths) == (JobState.FAILED, 0, 4)
    assert orjson.loads(job.error or b"")["type"] == "WorkerLost"


@pytest.mark.parametrize("part", PARTS)
def test_when_a_part_of_a_worker_is_killed_it_ends_whole_and_another_takes_over(
    janitor_system: System, part: str
) -> None:
    own, lease_seconds = janitor_system, 3
    settings: dict[str, Any] = {"lease_seconds": lease_seconds, "shutdown_grace_seconds": 1}
    with running(own, **settings) as first:
        running_user, lane = own.user(slots=3), own.user(slots=1)
        ids = {running_user: own.enqueue(running_user, "queuer", *[{"gate": part, "times": 1}] * 3)}
        ids[lane] = own.enqueue(lane, "gated", {"gate": part, "times": 1}, *[{"gate": part, "times": 0}] * 5)
        own.await_starts(4, running_user, lane)
        with running(own, wait=False, **settings) as second:
            second.await_ready()
            kill(first, part)
            killed = time.monotonic()
            for user, some in ids.items():
                jobs = own.ended(user, some, lease_seconds + AT_ONCE_SECONDS)
                assert {job.state for job in jobs} == {JobState.SUCCEEDED}
            took = time.monotonic() - killed
            assert first.exit_code(15) == (-signal.SIGKILL if part == "supervisor" else 1)
            assert took < lease_seconds + AT_ONCE_SECONDS
            jobs = own.jobs(running_user, ids[running_user]) + own.jobs(lane, ids[lane])
            assert {job.attempts for job in jobs} == {1}, "a lost worker charges nobody"
            runs = [run.job_id for run in own.notes.runs(lane)]
            assert runs == [ids[lane][0], *ids[lane]]
            second.terminate()
            assert second.exit_code() == 0

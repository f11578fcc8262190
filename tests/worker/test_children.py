"""Processes that handlers start: they work as anywhere, and end with the process that ran the handler."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import orjson
import pytest

from laneway.lanes.model import JobState
from tests.worker.running import System, Worker, running, wait_for


@pytest.mark.parametrize(
    ("type_", "methods"), [("parallel", ["fork", "spawn", "forkserver"]), ("parallelasync", ["fork"])]
)
def test_multiprocessing_works_in_a_handler(shared: Worker, type_: str, methods: list[str]) -> None:
    system = shared.system
    user = system.user()
    jobs = system.ended(user, system.enqueue(user, type_, *methods), 60)
    for job in jobs:
        assert job.state is JobState.SUCCEEDED, job.error
        assert orjson.loads(job.result or b"") == [0, [1, 4, 9], [1, 4, 9], {"a": 1}]


def test_what_a_handler_leaves_running_ends_with_its_process_and_with_the_worker(system: System) -> None:
    user = system.user()
    with running(system, worker_processes=1) as worker:
        own = set(worker.everything())
        (job,) = system.ended(user, system.enqueue(user, "leavechildren", "overrun"))
        assert job.state is JobState.FAILED
        wait_for(lambda: len(set(worker.everything()) - own) <= 1, what=lambda: left_over(worker, own))
        worker.await_ready()
        wait_for(lambda: any(line["event"] == "orphans_killed" for line in worker.lines()))
        own = set(worker.everything())
        (job,) = system.ended(user, system.enqueue(user, "leavechildren", "return"))
        assert job.state is JobState.SUCCEEDED
        wait_for(lambda: len(left_over(worker, own)) == 2)  # they live as long as their process
        worker.terminate()
        assert worker.exit_code() == 0  # once all have ended


@pytest.mark.parametrize(
    "part",
    ["supervisor", *(pytest.param(one, marks=pytest.mark.thorough) for one in ("celery", "lease_keeper"))],
)
def test_what_a_handler_leaves_running_ends_when_a_part_of_its_worker_is_killed(
    system: System, part: str
) -> None:
    user = system.user()
    with running(system, worker_processes=1, shutdown_grace_seconds=1) as worker:
        own = set(worker.everything())
        (job,) = system.ended(user, system.enqueue(user, "leavechildren", "return"))
        assert job.state is JobState.SUCCEEDED
        wait_for(lambda: len(left_over(worker, own)) == 2, what=lambda: left_over(worker, own))
        os.kill(worker.pid if part == "supervisor" else getattr(worker, part), signal.SIGKILL)
        assert worker.exit_code()  # once all have ended


def left_over(worker: Worker, own: set[int]) -> list[bytes]:
    """The commands of those processes that are not the worker's own."""
    return [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in set(worker.everything()) - own]

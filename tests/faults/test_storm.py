"""Processes of a worker are killed at random, 20 times, under load: each job ends, each lane in order, no two live leases."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from functools import partial

from laneway.lanes.model import JobState
from tests.worker.notes import Run
from tests.worker.running import System, Worker, running, wait_for

JOBS, USERS, KILLS = 5000, 50, 20
LEASE_SECONDS = 2
SEED = int(os.environ.get("WORKER_TEST_SEED", "1"))


def kill_one(worker: Worker, chance: random.Random, killed_ns: dict[int, int]) -> bool:
    """One process of the pool that was not killed before, if there is one now."""
    pool = [pid for pid in worker.pool if pid not in killed_ns]
    if not pool:
        return False
    pid = chance.choice(pool)
    killed_ns[pid] = time.monotonic_ns()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return True


def enough(system: System, wanted: int) -> bool:
    return system.notes.count("end") >= wanted


def check_order(ids: list[str], runs: list[Run]) -> None:
    """First starts in order; what a job that died had before it may be seen again, but nothing is overtaken."""
    assert list(dict.fromkeys(run.job_id for run in runs)) == ids


def check_alone(runs: list[Run], killed_ns: dict[int, int]) -> None:
    """No job runs twice at once: a run without an end ended with its process."""
    last_end: dict[str, int] = {}
    for run in runs:
        end = run.end_ns or killed_ns[run.pid]
        assert run.start_ns >= last_end.get(run.job_id, 0), run
        last_end[run.job_id] = max(end, last_end.get(run.job_id, 0))


def test_20_kills_while_5000_jobs_run(janitor_system: System) -> None:
    system, chance = janitor_system, random.Random(SEED)
    users = [system.user() for _ in range(USERS)]
    ids: dict[str, list[str]] = {user: [] for user in users}
    killed_ns: dict[int, int] = {}
    with running(
        system, lease_seconds=LEASE_SECONDS, janitor_interval_seconds=0.2, backoff_seconds=0
    ) as worker:
        for part in range(4):  # plain and async in turns, in each lane
            for user in users:
                type_ = ("work", "wait")[part % 2]
                ids[user] += system.enqueue(user, type_, *[{"ms": part}] * (JOBS // USERS // 4), attempts=50)
        for number in range(KILLS):
            wanted = (number + 1) * JOBS // (KILLS + 2)
            wait_for(partial(enough, system, wanted), 30, what=worker.tail)
            wait_for(partial(kill_one, worker, chance, killed_ns))
        for user in users:
            jobs = system.ended(user, ids[user], 30)
            assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    for user in users:
        runs = system.notes.runs(user)
        check_order(ids[user], runs)
        check_alone(runs, killed_ns)

"""Types with limits, on real workers: never more at once, or in a second, than the type allows, and no permit lies idle."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from laneway.dev import embedded
from laneway.lanes.model import JobState
from laneway.lanes.scripts import load
from tests.worker.notes import Run
from tests.worker.running import System, fresh, running, wait_for

HANDLERS = "tests.worker.limited,tests.worker.handlers"
MOST = 3


def most_at_once(runs: Sequence[Run], died_ns: int | None = None) -> int:
    """How many ran at the same time, as they noted themselves. A run without an end died with its worker."""
    steps = [(run.start_ns, 1) for run in runs]
    steps += [(run.end_ns or died_ns or time.monotonic_ns(), -1) for run in runs]
    now = most = 0
    for _, step in sorted(steps):
        now += step
        most = max(most, now)
    return most


@pytest.fixture(scope="module")
def pair(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Lanes that two workers serve, for the tests that leave them so."""
    with (
        fresh(redis_url, tmp_path_factory.mktemp("pair")) as system,
        running(system, wait=False, handlers=HANDLERS, worker_processes=3) as one,
        running(system, wait=False, handlers=HANDLERS, worker_processes=3) as two,
    ):
        one.await_ready()
        two.await_ready()
        yield system


@pytest.mark.parametrize("type_", ["narrow", pytest.param("narrowasync", marks=pytest.mark.thorough)])
def test_over_all_workers_and_users_no_more_run_at_once_and_no_permit_lies_idle(
    pair: System, type_: str
) -> None:
    """Fifty users have two jobs each. One fails once, and its retry needs a permit, too.

    Permits go to who asked first. A lane with several slots may ask for two jobs at once, one with a single slot only for one.
    """
    system = pair
    users = [system.user(slots=1 if i % 2 else None) for i in range(50)]
    strict = users[1::2]
    ids = {
        user: system.enqueue(user, type_, *[{"ms": 150, "fails": int(i == 0)}] * 2)
        for i, user in enumerate(users)
    }
    all_wait_ns = time.monotonic_ns()
    for user in users:
        assert {job.state for job in system.ended(user, ids[user], 90)} == {JobState.SUCCEEDED}
    runs = system.notes.runs(*users)
    assert most_at_once(runs) == MOST
    seconds = (max(run.end_ns or 0 for run in runs) - runs[0].start_ns) / 1e9
    ideal = sum((run.end_ns or 0) - run.start_ns for run in runs) / 1e9 / MOST
    assert seconds < 1.5 * ideal, (seconds, ideal)
    for user in users[1:]:
        assert [run.job_id for run in runs if run.user == user] == ids[user], "in order"
    later = [run.user for run in runs if run.start_ns > all_wait_ns and run.user in strict]
    one_round = later[: len(set(later))]
    assert len(one_round) >= 15, "most of them waited"
    assert len(set(one_round)) >= 0.9 * len(one_round), "lanes take turns"


@pytest.mark.thorough  # two workers; the next test kills one process
def test_a_killed_worker_leaves_its_permits_to_others(janitor_system: System) -> None:
    system = janitor_system
    users = [system.user() for _ in range(10)]
    options: dict[str, Any] = {"handlers": HANDLERS, "lease_seconds": 2, "worker_processes": 3}
    with running(system, **options) as doomed:
        held = {user: system.enqueue(user, "narrow", {"ms": 30_000, "times": 1}) for user in users[:MOST]}
        system.await_starts(MOST, *users)
        with running(system, **options):
            for user in users[MOST:]:
                held[user] = system.enqueue(user, "narrow", *[{"ms": 20}] * 3)
            wait_for(lambda: int(system.lanes.client.zcard(system.keys.prefix + "waiting:narrow")) == 7)
            assert system.notes.count("start", *users[MOST:]) == 0, "there is no permit for them"
            doomed.signal_all(signal.SIGKILL)
            died_ns = time.monotonic_ns()
            for user in users[MOST:]:
                assert {job.state for job in system.ended(user, held[user], 60)} == {JobState.SUCCEEDED}
            runs = system.notes.runs(*users[MOST:])
            assert most_at_once(runs, died_ns) <= MOST
            assert (runs[0].start_ns - died_ns) / 1e9 < 8, "a lease of two seconds, and the janitor's round"


def test_a_process_that_dies_leaves_its_permit_at_once(janitor_system: System) -> None:
    """The lease keeper gives the lease back, and the janitor's next round calls who waits. No lease has to run out."""
    system = janitor_system
    users = [system.user() for _ in range(MOST + 1)]
    with running(system, handlers=HANDLERS, worker_processes=4):
        for user in users[:MOST]:
            system.enqueue(user, "narrow", {"ms": 20_000}, attempts=1)
        system.await_starts(MOST, *users)
        (job_id,) = system.enqueue(users[-1], "narrow", {"ms": 1})
        wait_for(lambda: int(system.lanes.client.zcard(system.keys.prefix + "waiting:narrow")) == 1)
        os.kill(system.notes.runs(users[0])[0].pid, signal.SIGKILL)
        system.ended(users[-1], [job_id], 10)


def test_other_types_and_other_users_do_not_wait(pair: System) -> None:
    system = pair
    users = [system.user() for _ in range(8)]
    for user in users:
        system.enqueue(user, "narrowasync", *[{"ms": 5000}] * 2)
    system.await_starts(MOST, *users)
    other = system.user()
    began = time.monotonic()
    system.ended(other, system.enqueue(other, "wait", *[{"ms": 1}] * 50))
    assert time.monotonic() - began < 3
    assert most_at_once(system.notes.runs(*users)) == MOST


def test_in_any_second_no_more_start_than_the_rate_says(pair: System) -> None:
    system = pair
    users = [system.user() for _ in range(20)]
    ids = {user: system.enqueue(user, "paced", *[{"ms": 30}] * 2) for user in users}
    for user in users:
        system.ended(user, ids[user], 30)
    starts = [job.started_us or 0 for user in users for job in system.jobs(user, ids[user])]
    noted = sorted(run.start_ns // 1000 for run in system.notes.runs(*users))
    assert len(starts) == len(noted) == 40
    slack_us = 100_000  # between its permit and its start a job may be held up
    for times in (sorted(starts), noted):
        most = max(sum(at <= other < at + 1_000_000 - slack_us for other in times) for at in times)
        assert most <= 10, times
    assert noted[-1] - noted[0] < 4_500_000, "forty at ten a second take three seconds"


def test_jobs_of_other_types_ask_for_nothing(tmp_path: Path) -> None:
    """Redis has never seen the scripts, though the worker has handlers with limits."""
    scripts = [load("permit").sha, load("call_waiters").sha]
    with embedded.valkey(tmp_path, appendfsync="no") as server, fresh(server.url, tmp_path) as system:
        client: Any = system.lanes.client
        with running(system, handlers=HANDLERS):
            user = system.user()
            system.ended(user, system.enqueue(user, "noop", *range(200)))
            assert client.script_exists(*scripts) == [False, False]
            system.ended(user, system.enqueue(user, "narrow", {"ms": 1}))
            wait_for(lambda: client.script_exists(*scripts) == [True, True])

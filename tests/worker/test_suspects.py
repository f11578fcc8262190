"""Who is charged when a process or a worker dies: the known culprit alone. Suspects run alone until they have proved innocent."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import orjson
import pytest

from laneway.lanes.commands import Claim, Lose, Pause, Resume
from laneway.lanes.model import Job, JobState
from laneway.worker.pool.isolation import QUIET_SECONDS
from tests.worker.running import System, Worker, database, fresh, running, wait_for

BYSTANDERS = 20
LEASE_SECONDS = 3
"""A claim that was under way when its process died is unknown to the lease keeper: its jobs wait for as long."""
IN_A_PROCESS = 1
"""One process, so that all jobs are in the culprit's."""
QUICK = {("harm", "kill")}
"""The others take eight seconds each too: the process dies three times."""


@pytest.fixture(scope="module")
def single(redis_url: str, mongo_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker with one process and a janitor, for all tests whose culprits end no more than that process."""
    with (
        database(mongo_url) as mongo,
        fresh(redis_url, tmp_path_factory.mktemp("suspects"), mongo) as system,
        running(system, worker_processes=IN_A_PROCESS, lease_seconds=LEASE_SECONDS) as worker,
    ):
        yield worker


@pytest.fixture
def worker(single: Worker) -> Worker:
    """The shared worker, ready again after the deaths of the test before."""
    single.await_ready()
    wait_for(lambda: single.system.leases() == 0)
    return single


def make_suspects(system: System, type_: str, *requests: object, attempts: int = 3) -> tuple[str, list[str]]:
    """Jobs that ran together in a process that died; their lane is paused."""
    user = system.user()
    ids = system.enqueue(user, type_, *requests, attempts=attempts)
    leases = [lease for lease in system.lanes.run(Claim(64, 30)).leases if lease.user == user]
    while len(leases) < 2:  # beside another: alone it would have a loss
        user_of_other = system.user()
        system.enqueue(user_of_other, "noop", {})
        leases += system.lanes.run(Claim(1, 30)).leases
    lost = system.lanes.run(Lose("test", leases, [1] * len(leases)))
    assert {job.job_id for job in lost} >= set(ids)
    system.lanes.run(Pause(user))
    return user, ids


def bystanders(system: System, type_: str, ms: int) -> dict[str, str]:
    """One job of each of some users, with one attempt each, so that any charge would end it: user -> job."""
    users = [system.user() for _ in range(BYSTANDERS)]
    return {user: system.enqueue(user, type_, {"ms": ms}, attempts=1)[0] for user in users}


def assert_unharmed(system: System, jobs: dict[str, str], seconds: float = 60) -> None:
    for user, job_id in jobs.items():
        (job,) = system.ended(user, [job_id], seconds)
        assert (job.state, job.attempts) == (JobState.SUCCEEDED, 1), job.error


def error_type(job: Job) -> str:
    return str(orjson.loads(job.error or b"")["type"])


@pytest.mark.parametrize(
    ("type_", "how"),
    [
        pytest.param(type_, how, marks=() if (type_, how) in QUICK else pytest.mark.thorough)
        for type_ in ("harm", "harmasync", "harmatonce")
        for how in ("exit", "kill", "segv", "memory")
    ],
)
def test_a_job_that_kills_its_process_fails_alone(worker: Worker, type_: str, how: str) -> None:
    """However it does it, and whether its neighbours are async or plain. Nobody else is charged or fails."""
    system, metric = worker.system, f'laneway_attempts_total{{state="failed",type="{type_}"}}'
    failed = worker.metric(metric)
    asyncs = bystanders(system, "wait", 300)
    system.await_starts(BYSTANDERS, *asyncs)
    poison = system.user()
    (job_id,) = system.enqueue(poison, type_, {"how": how}, attempts=1)
    plain = bystanders(system, "work", 2)
    (job,) = system.ended(poison, [job_id], 60)
    assert (job.state, job.attempts, error_type(job)) == (JobState.FAILED, 0, "WorkerLost")
    assert_unharmed(system, asyncs)
    assert_unharmed(system, plain)
    met = {run.job_id: run.number for run in system.notes.runs(*asyncs, *plain)}
    assert max(met.values()) <= 2, "a bystander meets the culprit at most once"
    assert not system.lanes.client.exists(system.keys.prefix + "losses")
    wait_for(lambda: worker.metric(metric) == failed + 1)


def test_a_time_limit_names_its_culprit(worker: Worker) -> None:
    """Five plain jobs past their limit, one after another, beside twenty async ones: these are neither charged nor suspects."""
    system, metric = worker.system, 'laneway_worker_events_total{event="time_limit_exceeded"}'
    exceeded = worker.metric(metric)
    users = [system.user() for _ in range(BYSTANDERS)]
    waiting = {"gate": "bystander"}
    asyncs = {user: system.enqueue(user, "queuer", waiting, attempts=1)[0] for user in users}
    late = system.user()
    system.await_starts(BYSTANDERS, *asyncs)
    ids = system.enqueue(late, "hard", *[{}] * 5, attempts=1)
    jobs = system.ended(late, ids, 60)
    assert {(job.state, job.attempts, error_type(job)) for job in jobs} == {(JobState.FAILED, 1, "TimeLimit")}
    assert not system.lanes.client.exists(system.keys.prefix + "losses")
    system.notes.open("bystander")
    assert_unharmed(system, asyncs)
    wait_for(lambda: worker.metric(metric) == exceeded + 5)


def test_a_suspect_waits_until_it_is_alone_and_holds_the_others_up_for_some_seconds_only(
    janitor_system: System,
) -> None:
    """The others run for hours. They are not put at risk, and new jobs start beside them."""
    system = janitor_system
    suspect, ids = make_suspects(system, "wait", {})
    with running(system, worker_processes=IN_A_PROCESS, lease_seconds=LEASE_SECONDS):
        busy = system.user()
        hours = system.enqueue(busy, "queuer", {"gate": "hours"})
        system.await_starts(1, busy)
        system.lanes.run(Resume(suspect))
        wait_for(lambda: system.lanes.client.zcard(system.keys.retries), QUIET_SECONDS + 10)
        user = system.user()
        system.ended(user, system.enqueue(user, "wait", {}), 5)
        assert system.notes.runs(suspect) == []
        system.notes.open("hours")
        (job,) = system.ended(suspect, ids, 20)
        assert (job.state, job.attempts) == (JobState.SUCCEEDED, 1)
        (end_ns,) = [run.end_ns for run in system.notes.runs(busy)]
        assert system.ended(busy, hours)[0].state is JobState.SUCCEEDED
        assert system.notes.runs(suspect)[0].start_ns > (end_ns or 0)


def test_nothing_runs_beside_a_suspect(janitor_system: System) -> None:
    system = janitor_system
    suspect, ids = make_suspects(system, "wait", {"ms": 1500}, {"ms": 10})
    with running(system, worker_processes=IN_A_PROCESS, lease_seconds=LEASE_SECONDS):
        system.lanes.run(Resume(suspect))
        system.await_starts(1, suspect)
        others = bystanders(system, "wait", 1) | bystanders(system, "work", 1)
        assert_unharmed(system, others)
        system.ended(suspect, ids)
        runs = system.notes.runs(suspect)
        for run in system.notes.runs(*others):
            for alone in runs:
                assert run.start_ns > (alone.end_ns or 0) or (run.end_ns or 0) < alone.start_ns


@pytest.mark.thorough  # the first test kills beside bystanders, one of them is a suspect at last
def test_a_suspect_that_kills_its_process_takes_nobody_along(janitor_system: System) -> None:
    """Jobs that have one attempt alone, so that any charge would be seen."""
    system = janitor_system
    poison, crash = make_suspects(system, "harm", {"how": "kill"}, attempts=1)
    asyncs, crash_async = make_suspects(system, "harmasync", {"how": "kill"}, attempts=1)
    with running(system, worker_processes=1, lease_seconds=2):
        blocker = system.user()
        system.enqueue(blocker, "gated", {"gate": "all"})
        system.await_starts(1, blocker)
        for user in (poison, asyncs):
            system.lanes.run(Resume(user))
        others = [system.user() for _ in range(20)]
        ids = {user: system.enqueue(user, "wait", *[{"ms": 30}] * 5, attempts=1) for user in others[:10]}
        ids |= {user: system.enqueue(user, "work", *[{"ms": 1}] * 5, attempts=1) for user in others[10:]}
        system.notes.open("all")
        assert system.ended(poison, crash, 20)[0].state == JobState.FAILED
        assert system.ended(asyncs, crash_async, 20)[0].state == JobState.FAILED
        for user in others:
            jobs = system.ended(user, ids[user], 20)
            assert {(job.state, job.attempts) for job in jobs} == {(JobState.SUCCEEDED, 1)}
        assert {run.number for run in system.notes.runs(*others)} == {1}


def test_who_ran_together_is_suspect_and_who_had_not_started_is_not(worker: Worker) -> None:
    system = worker.system
    users = [system.user() for _ in range(3)]
    ids = {user: system.enqueue(user, "queuer", {"gate": "together"})[0] for user in users}
    system.await_starts(3, *users)
    (pid,) = worker.pool
    os.kill(pid, signal.SIGKILL)
    losses = system.keys.prefix + "losses"
    system.await_starts(4, *users)
    assert system.lanes.client.hlen(losses) == 3
    system.notes.open("together")
    for user, job_id in ids.items():
        (job,) = system.ended(user, [job_id])
        assert (job.state, job.attempts) == (JobState.SUCCEEDED, 1)
    assert not system.lanes.client.exists(losses), "their attempts came to an end of their own"
    starts = sorted(run.start_ns for run in system.notes.runs(*users) if run.number == 2)
    ends = sorted(run.end_ns or 0 for run in system.notes.runs(*users) if run.number == 2)
    assert all(start > end for start, end in zip(starts[1:], ends, strict=False)), "one after another"


@pytest.mark.thorough  # test_shutdown looks for suspects too
def test_a_worker_that_is_stopped_in_order_leaves_no_suspects(system: System) -> None:
    user = system.user()
    system.enqueue(user, "queuer", *[{"gate": "order"}] * 3, attempts=1)
    with running(system, shutdown_grace_seconds=0.2) as worker:
        system.await_starts(3, user)
        worker.terminate()
        assert worker.exit_code(20) == 0
    assert not system.lanes.client.exists(system.keys.prefix + "losses")
    assert system.view(user).queued == 3
    assert system.leases() == 0

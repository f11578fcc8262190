"""A job that was in a process's hands when that died may be what killed it: it runs on its own, and holds nobody up for long."""

from __future__ import annotations

import time

import pytest

from laneway.lanes.commands import Claim, Expire, Pause, Resume
from laneway.lanes.model import JobState
from laneway.worker.pool.isolation import QUIET_SECONDS
from tests.worker.running import System, running, wait_for


def make_suspect(system: System, type_: str, *requests: object, attempts: int = 3) -> tuple[str, list[str]]:
    """Jobs that were claimed by a process which died; their lane is paused."""
    user = system.user()
    ids = system.enqueue(user, type_, *requests, attempts=attempts)
    leases = system.lanes.run(Claim(len(ids), 30)).leases
    expired = system.lanes.run(Expire(0, handles=[lease.handle for lease in leases]))
    assert [job.job_id for job in expired] == ids
    system.lanes.run(Pause(user))
    return user, ids


def test_a_suspect_waits_some_seconds_for_the_others_and_not_for_their_end(system: System) -> None:
    """The others run for hours. When the time is up it runs beside them, and the process takes new jobs again."""
    suspect, ids = make_suspect(system, "wait", {})
    with running(system, worker_processes=1):
        busy = system.user()
        system.enqueue(busy, "queuer", {"gate": "hours"})
        system.await_starts(1, busy)
        resumed_ns = time.monotonic_ns()
        system.lanes.run(Resume(suspect))
        (job,) = system.ended(suspect, ids, QUIET_SECONDS + 5)
        assert (job.state, job.attempts) == (JobState.SUCCEEDED, 1)
        waited = (system.notes.runs(suspect)[0].start_ns - resumed_ns) / 1e9
        assert waited > QUIET_SECONDS - 1, "it gave the others a chance to end before it"
        user = system.user()
        system.ended(user, system.enqueue(user, "wait", {}), 5)
        system.notes.open("hours")


def test_a_suspect_that_kills_its_process_takes_nobody_along(system: System) -> None:
    """Jobs that have one attempt alone, so that any charge would be seen."""
    poison, crash = make_suspect(system, "harm", {"how": "kill"}, attempts=1)
    asyncs, crash_async = make_suspect(system, "harmasync", {"how": "kill"}, attempts=1)
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


@pytest.mark.parametrize("type_", ["harm", "harmatonce"])
def test_a_job_that_takes_the_whole_worker_with_it_fails_after_its_attempts(
    system: System, type_: str
) -> None:
    """Nobody is left to tell that it had started; so it is charged before it does, once it is known for that."""
    user = system.user()
    (job_id,) = system.enqueue(user, type_, {"how": "pod"}, attempts=2)
    deaths = 0
    while not system.job(user, job_id).state.ended and deaths < 5:
        with running(system, wait=False, worker_processes=1, lease_seconds=1) as worker:
            worker.process.wait(60)
            wait_for(lambda worker=worker: not worker.everything())  # type: ignore[misc]
        wait_for(lambda: system.lanes.run(Expire()) or system.leases() == 0)
        deaths += 1
    job = system.job(user, job_id)
    assert (job.state, job.attempts) == (JobState.FAILED, 2), deaths

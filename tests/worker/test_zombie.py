"""A worker that stands still for longer than its leases, and then wakes: its jobs are others', and what it says of them is refused."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest

from laneway.lanes.commands import Cancel, Lose
from laneway.lanes.model import JobState
from tests.worker.running import System, Worker, running, wait_for

LEASE_SECONDS = 2


def await_lease_end(system: System) -> None:
    """Until all leases have run out: nobody renews them."""
    wait_for(lambda: system.leases() == 0, 5 * LEASE_SECONDS, what=system.leases)


def told(system: System, user: str, job_ids: list[str]) -> list[tuple[JobState, int, bytes | None]]:
    """What its user is told of a job's end."""
    return [(job.state, job.attempts, job.result) for job in system.jobs(user, job_ids)]


def refused(worker: Worker) -> float:
    with contextlib.suppress(OSError):
        return worker.metric('laneway_worker_events_total{event="late_finish_refused"}')
    return 0


@pytest.mark.thorough  # the last test refuses a late finish in one worker
def test_the_late_finish_of_a_worker_that_stood_still_is_refused(janitor_system: System) -> None:
    system = janitor_system
    with running(system, lease_seconds=LEASE_SECONDS, worker_processes=2) as zombie:
        tasks, plain, lane = system.user(), system.user(), system.user(slots=1)
        ids = {tasks: system.enqueue(tasks, "queuer", *[{"gate": "zombie", "times": 1}] * 5)}
        system.await_starts(5, tasks)
        ids[plain] = system.enqueue(plain, "gated", {"gate": "zombie", "times": 1})
        ids[lane] = system.enqueue(lane, "gated", {"gate": "zombie", "times": 1})
        system.await_starts(2, plain, lane)
        ids[lane] += system.enqueue(lane, "gated", *[{"gate": "zombie", "times": 0}] * 5)
        mine = set(zombie.pool)
        zombie.signal_all(signal.SIGSTOP)
        with running(system, lease_seconds=LEASE_SECONDS, worker_processes=1) as other:
            for user, some in ids.items():
                jobs = system.ended(user, some, LEASE_SECONDS + 10)
                assert {job.state for job in jobs} == {JobState.SUCCEEDED}
            ends = {user: told(system, user, some) for user, some in ids.items()}
            system.notes.open("zombie")
            zombie.signal_all(signal.SIGCONT)
            wait_for(lambda: refused(zombie) == 7, what=lambda: (refused(zombie), zombie.tail()))
            assert {user: told(system, user, some) for user, some in ids.items()} == ends
            assert {attempts for _, attempts, _ in ends[lane]} == {1}, "a loss is not charged"
            runs = system.notes.runs(lane)
            assert [run.job_id for run in runs] == [ids[lane][0], *ids[lane]]
            assert {run.pid for run in runs[1:]} == set(other.pool)

            zombie.await_ready()  # and it serves again
            assert set(zombie.pool) == mine
            other.terminate()
            assert other.exit_code() == 0
        user = system.user()
        assert {job.state for job in system.ended(user, system.enqueue(user, "work", *[{}] * 10))} == {
            JobState.SUCCEEDED
        }
        assert {run.pid for run in system.notes.runs(user)} <= mine


@pytest.mark.thorough  # each kind of zombie starts two workers
def test_a_process_that_wakes_starts_nothing_whose_lease_has_run_out(janitor_system: System) -> None:
    """It stood still in the midst of a batch: the rest of that has been given to others long ago."""
    system = janitor_system
    with running(system, lease_seconds=LEASE_SECONDS, worker_processes=1) as zombie:
        system.learn()
        blocker = system.user()
        system.enqueue(blocker, "gated", {"gate": "batch"})
        system.await_starts(1, blocker)
        first = system.user()
        pids = [zombie.pid, zombie.celery, zombie.lease_keeper]
        stopper = system.enqueue(first, "light", {"harm": {"how": "stop", "pids": pids}})
        users = [system.user() for _ in range(10)]
        ids = {user: system.enqueue(user, "light", *[{"ms": 1}] * 3) for user in users}
        system.notes.open("batch")
        system.await_starts(1, first)
        stopped_ns = time.monotonic_ns()
        (pid,) = zombie.pool
        with running(system, lease_seconds=LEASE_SECONDS, worker_processes=1) as other:
            for user, some in ids.items():
                assert {job.state for job in system.ended(user, some, LEASE_SECONDS + 15)} == {
                    JobState.SUCCEEDED
                }
            assert system.ended(first, stopper)[0].attempts == 1, "Redis had not heard of its start"
            zombie.signal_all(signal.SIGCONT)
            wait_for(lambda: refused(zombie) >= 1, what=zombie.tail)
            (theirs,) = other.pool
        started_late = [
            run for run in system.notes.runs(*users) if run.pid == pid and run.start_ns > stopped_ns
        ]
        assert started_late == []
        assert {run.pid for run in system.notes.runs(*users)} == {theirs}
        os.kill(pid, 0)


def test_a_lease_that_is_lost_while_its_job_runs_is_counted_once(system: System) -> None:
    """However long the job then goes on; and ends in time are never taken for losses."""
    with running(system, worker_processes=2) as worker:
        user = system.user()
        ids = system.enqueue(user, "gated", {"gate": "lost", "times": 1})
        wait_for(lambda: system.job(user, ids[0]).started_us)  # or it would be returned, uncharged
        lost = system.lanes.run(Lose("test", system.held_leases(user, "gated"), [1]))
        assert [job.job_id for job in lost] == ids
        (job,) = system.ended(user, ids)
        assert (job.state, job.attempts) == (JobState.SUCCEEDED, 1)
        system.learn()  # a thousand ends, some of them between two looks of the lease keeper's
        event = 'laneway_worker_events_total{event="lease_lost"}'
        wait_for(lambda: worker.metric(event) == 1, what=worker.tail)
        other = system.enqueue(user, "obedient", {"how": "raise"})
        wait_for(lambda: system.view(user).running == 1)
        system.lanes.run(Cancel(user, other[0]))
        system.ended(
            user, other
        )  # the lease keeper has looked once more, or it would not have been told to stop
        system.notes.open("lost")
        wait_for(lambda: refused(worker) == 1, what=worker.tail)
        assert worker.metric(event) == 1

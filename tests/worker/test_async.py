"""Async handlers overlap: a process holds as many as it is set to, and plain jobs go on beside them."""

from __future__ import annotations

from laneway.lanes.model import JobState
from tests.worker.notes import most_at_once
from tests.worker.running import Worker, wait_for


def test_two_processes_hold_200_async_jobs_at_once(shared: Worker) -> None:
    system = shared.system
    users = [system.user() for _ in range(40)]
    ids = {user: system.enqueue(user, "queuer", *[{"gate": "all at once"}] * 5) for user in users}
    system.await_starts(200, *users)
    system.notes.open("all at once")
    for user in users:
        assert {job.state for job in system.ended(user, ids[user])} == {JobState.SUCCEEDED}
    runs = system.notes.runs(*users)
    assert most_at_once(runs) == 200
    for pid in shared.pool:
        assert most_at_once([run for run in runs if run.pid == pid]) == 100


def test_a_process_never_holds_more_than_it_is_set_to(shared: Worker) -> None:
    system = shared.system
    users = [system.user() for _ in range(100)]
    ids = {user: system.enqueue(user, "wait", *[{"ms": 100}] * 5) for user in users}
    for user in users:
        system.ended(user, ids[user], 30)
    runs = system.notes.runs(*users)
    for pid in shared.pool:
        assert most_at_once([run for run in runs if run.pid == pid]) <= 100
    assert (max(r.end_ns or 0 for r in runs) - runs[0].start_ns) / 1e9 < 5, "500 jobs of 100 ms, 200 at once"


def test_plain_jobs_run_beside_async_ones(shared: Worker) -> None:
    system = shared.system
    waiting = [system.user() for _ in range(10)]
    for user in waiting:
        system.enqueue(user, "queuer", *[{"gate": "beside"}] * 5)
    system.await_starts(50, *waiting)
    user = system.user()
    system.ended(user, system.enqueue(user, "work", *[{"ms": 10}] * 50))
    assert system.notes.count("end", *waiting) == 0
    system.notes.open("beside")
    for waiter in waiting:
        wait_for(lambda waiter=waiter: system.view(waiter).running == 0)  # type: ignore[misc]


def test_the_lease_keeper_knows_what_is_in_flight(shared: Worker) -> None:
    system = shared.system
    wait_for(lambda: shared.in_flight() == 0)
    user = system.user()
    ids = system.enqueue(user, "queuer", *[{"gate": "known"}] * 5)
    system.await_starts(5, user)
    assert wait_for(lambda: shared.in_flight() == 5)
    system.notes.open("known")
    system.ended(user, ids)
    wait_for(lambda: shared.in_flight() == 0)

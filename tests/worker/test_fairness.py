"""A user's first job waits for at most one round of the ring, however many jobs others have queued."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from laneway.lanes.commands import Pause, Purge, Resume
from tests.worker.running import Worker, wait_for

JOBS = 50_000
FOREVER_US = 1 << 50


@pytest.fixture
def heavy(shared: Worker) -> Iterator[Callable[..., str]]:
    """Makes users with many queued jobs, and takes these away at the end."""
    users = []

    def make(count: int, type_: str, request: object, *, paused: bool = False) -> str:
        user = shared.system.user()
        users.append(user)
        if paused:
            shared.system.lanes.run(Pause(user))
        shared.system.enqueue(user, type_, *[request] * count)
        return user

    yield make
    for user in users:
        while shared.system.lanes.run(Purge(user, FOREVER_US, "the test is over"))[1]:
            pass
        wait_for(lambda user=user: shared.system.view(user).running == 0)  # type: ignore[misc]


@pytest.mark.parametrize("type_", ["work", "wait"])
def test_one_job_behind_50000_of_another_user_starts_within_a_second(
    shared: Worker, heavy: Callable[..., str], type_: str
) -> None:
    heavy(JOBS if type_ == "work" else JOBS // 10, type_, {"ms": 5})
    waits = []
    for _ in range(5):
        user = shared.system.user()
        enqueued_ns = time.monotonic_ns()
        ids = shared.system.enqueue(user, type_, {"ms": 5})
        shared.system.ended(user, ids, 30)
        waits.append((shared.system.notes.runs(user)[0].start_ns - enqueued_ns) / 1e9)
    assert max(waits) < 1, waits


def test_a_newcomer_waits_for_one_round(shared: Worker, heavy: Callable[..., str]) -> None:
    others = [heavy(400, "work", {"ms": 1}) for _ in range(20)]
    shared.system.await_starts(200, *others)
    user = shared.system.user()
    enqueued_ns = time.monotonic_ns()
    (job_id,) = shared.system.enqueue(user, "work", {"ms": 1})
    answered_ns = time.monotonic_ns()
    shared.system.ended(user, [job_id])
    started_ns = shared.system.notes.runs(user)[0].start_ns
    before = sum(answered_ns < run.start_ns < started_ns for run in shared.system.notes.runs(*others))
    slots = 5
    assert before <= (len(others) + shared.processes) * slots, (before, (started_ns - enqueued_ns) / 1e9)


def test_lanes_are_served_evenly(shared: Worker, heavy: Callable[..., str]) -> None:
    users = [heavy(300, "work", {"ms": 1}, paused=True) for _ in range(10)]
    shared.system.lanes.run_all([Resume(user) for user in users])  # together, or the first would be ahead
    shared.system.await_starts(1500, *users)
    runs = shared.system.notes.runs(*users)
    last = [run for run in runs if run.start_ns > runs[300].start_ns][:1000]
    counts = [sum(run.user == user for run in last) for user in users]
    assert min(counts) > 0.7 * max(counts), counts

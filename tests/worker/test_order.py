"""Jobs of a lane start in the order in which they were accepted, at most as many at once as it has slots."""

from __future__ import annotations

import itertools

import pytest

from laneway.lanes.model import JobState
from tests.worker.notes import Run, most_at_once
from tests.worker.running import System, Worker, running


def first_starts(runs: list[Run]) -> list[str]:
    return [run.job_id for run in runs if run.attempt == 1]


@pytest.mark.parametrize("type_", ["work", "wait"])
@pytest.mark.parametrize("ms", [0, pytest.param(2, marks=pytest.mark.thorough), 30])
def test_one_slot_means_strictly_one_after_another(shared: Worker, type_: str, ms: int) -> None:
    system = shared.system
    user = system.user(slots=1)
    ids = system.enqueue(user, type_, *[{"ms": ms}] * 40)
    assert {job.state for job in system.ended(user, ids)} == {JobState.SUCCEEDED}
    runs = system.notes.runs(user)
    assert [run.job_id for run in runs] == ids
    for run, following in itertools.pairwise(runs):
        assert (run.end_ns or 0) < following.start_ns


@pytest.mark.parametrize("type_", ["work", "wait"])
@pytest.mark.parametrize("ms", [0, pytest.param(2, marks=pytest.mark.thorough), 30])
def test_five_slots_start_in_order_and_are_never_exceeded(shared: Worker, type_: str, ms: int) -> None:
    system = shared.system
    user = system.user(slots=5)
    ids = system.enqueue(user, type_, *[{"ms": ms}] * 60)
    system.ended(user, ids)
    runs = system.notes.runs(user)
    assert [run.job_id for run in runs] == ids
    assert most_at_once(runs) <= 5


def test_the_slots_of_a_lane_are_used(shared: Worker) -> None:
    system = shared.system
    user = system.user(slots=5)
    ids = system.enqueue(user, "wait", *[{"ms": 200}] * 20)
    system.ended(user, ids)
    assert most_at_once(system.notes.runs(user)) == 5


@pytest.mark.parametrize("type_", ["work", "wait"])
def test_with_one_slot_nothing_overtakes_a_job_that_is_retried(shared: Worker, type_: str) -> None:
    system = shared.system
    user = system.user(slots=1)
    ids = system.enqueue(user, type_, *[{"fails": n % 3, "ms": 1} for n in range(8)])
    jobs = system.ended(user, ids)
    assert [job.attempts for job in jobs] == [1 + n % 3 for n in range(8)]
    runs = system.notes.runs(user)
    assert [(run.job_id, run.attempt) for run in runs] == [
        (job_id, attempt) for n, job_id in enumerate(ids) for attempt in range(1, 2 + n % 3)
    ]


def test_with_five_slots_a_retry_keeps_one_and_the_others_go_on(shared: Worker) -> None:
    system = shared.system
    user = system.user(slots=5)
    ids = system.enqueue(user, "work", {"fails": 2}, *[{"ms": 5}] * 30)
    system.ended(user, ids)
    runs = system.notes.runs(user)
    assert first_starts(runs) == ids
    places = [place for place, run in enumerate(runs) if run.job_id == ids[0]]
    assert [runs[place].attempt for place in places] == [1, 2, 3]
    assert places[-1] - 2 > 4, "only the four beside it had started before its last attempt"


def test_plain_and_async_jobs_of_a_lane_start_in_order(shared: Worker) -> None:
    system = shared.system
    for slots in (1, 5):
        user = system.user(slots)
        ids = [
            job_id
            for n in range(40)
            for job_id in system.enqueue(user, ("work", "wait", "wait", "work")[n % 4], {"ms": n % 3})
        ]
        system.ended(user, ids)
        assert [run.job_id for run in system.notes.runs(user)] == ids


def test_many_lanes_at_once_each_in_order(shared: Worker) -> None:
    system = shared.system
    users = [system.user() for _ in range(30)]
    ids: dict[str, list[str]] = {user: [] for user in users}
    for n in range(20):
        for user in users:
            ids[user] += system.enqueue(user, ("work", "wait")[n % 2], {"ms": (n * 7) % 4})
    for user in users:
        system.ended(user, ids[user])
        runs = system.notes.runs(user)
        assert [run.job_id for run in runs] == ids[user]
        assert most_at_once(runs) <= 5


def test_the_settings_say_how_many_slots_a_lane_has(system: System) -> None:
    with running(system, lane_concurrency=2, worker_processes=2) as worker:
        user = system.user()
        ids = system.enqueue(user, "wait", *[{"ms": 100}] * 8)
        system.ended(user, ids)
        assert worker.system.view(user).slots == 2
        assert most_at_once(system.notes.runs(user)) == 2

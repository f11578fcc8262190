"""A running job that is asked to stop hears of it; how far a job is can be seen while it runs."""

from __future__ import annotations

import pytest

from laneway.lanes.commands import Cancel
from laneway.lanes.model import JobState
from tests.worker.running import Worker, wait_for


@pytest.mark.parametrize(("how", "state"), [("raise", JobState.CANCELLED), ("return", JobState.SUCCEEDED)])
def test_a_plain_job_that_is_asked_to_stop(shared: Worker, how: str, state: JobState) -> None:
    system = shared.system
    user = system.user()
    job_id, other = system.enqueue(user, "obedient", {"how": how}, {"how": how})
    system.await_starts(2, user)
    assert system.lanes.run(Cancel(user, job_id)) == "stopping"
    (job,) = system.ended(user, [job_id], 5)
    assert (job.state, job.attempts) == (state, 1)
    assert system.job(user, other).state == JobState.RUNNING, "only the one that was asked stops"
    assert system.lanes.run(Cancel(user, other)) == "stopping"
    system.ended(user, [other], 5)
    assert len(system.notes.runs(user)) == 2


def test_a_plain_job_that_fails_after_it_was_asked_to_stop_is_not_retried(shared: Worker) -> None:
    system = shared.system
    user = system.user()
    (job_id,) = system.enqueue(user, "work", {"ms": 1500, "fails": 1})
    system.await_starts(1, user)
    assert system.lanes.run(Cancel(user, job_id)) == "stopping"
    (job,) = system.ended(user, [job_id])
    assert (job.state, job.attempts) == (JobState.CANCELLED, 1)


def test_an_async_job_is_cancelled_and_may_take_its_time_to_tidy_up(shared: Worker) -> None:
    """Longer than the lease keeper takes to ask again: it is asked once."""
    system = shared.system
    user = system.user()
    job_id, other = system.enqueue(user, "tidy", {"ms": 2500}, {"ms": 0})
    system.await_starts(2, user)
    assert system.lanes.run(Cancel(user, job_id)) == "stopping"
    (job,) = system.ended(user, [job_id], 10)
    assert (job.state, job.attempts) == (JobState.CANCELLED, 1)
    assert system.notes.count("tidied", user) == 1
    assert system.job(user, other).state == JobState.RUNNING
    assert system.lanes.run(Cancel(user, other)) == "stopping"
    assert system.ended(user, [other], 5)[0].state == JobState.CANCELLED
    assert {run.outcome for run in system.notes.runs(user)} == {"cancelled"}


def test_an_async_job_that_ignores_it_ends_as_it_would(shared: Worker) -> None:
    system = shared.system
    user = system.user()
    (job_id,) = system.enqueue(user, "queuer", {"gate": "ignored", "ignore": True})
    system.await_starts(1, user)
    assert system.lanes.run(Cancel(user, job_id)) == "stopping"
    wait_for(lambda: system.notes.count("swallowed", user) == 1, 5)
    system.notes.open("ignored")
    (job,) = system.ended(user, [job_id], 5)
    assert job.state == JobState.SUCCEEDED


def test_a_job_that_waits_never_runs_once_it_is_cancelled(shared: Worker) -> None:
    system = shared.system
    user = system.user(slots=1)
    first, second, third = system.enqueue(user, "gated", *[{"gate": "cancelled"}] * 3)
    system.await_starts(1, user)
    assert system.lanes.run(Cancel(user, second)) == "cancelled"
    system.notes.open("cancelled")
    states = [job.state for job in system.ended(user, [first, second, third])]
    assert states == [JobState.SUCCEEDED, JobState.CANCELLED, JobState.SUCCEEDED]
    assert [run.job_id for run in system.notes.runs(user)] == [first, third]


def test_a_job_that_waits_for_its_retry_is_cancelled_at_once(shared: Worker) -> None:
    system = shared.system
    user = system.user(slots=1)
    first, second = system.enqueue(user, "slowretry", {"fails": 1}, {"fails": 0})
    wait_for(lambda: system.job(user, first).state == JobState.RETRYING)
    assert system.lanes.run(Cancel(user, first)) == "cancelled"
    assert [job.state for job in system.ended(user, [first, second], 5)] == [
        JobState.CANCELLED,
        JobState.SUCCEEDED,
    ]


@pytest.mark.parametrize(
    ("reports", "seen"),
    [
        ([(50, "half")], (50, "half")),
        ([(n / 10, str(n)) for n in range(1000)] + [(99.5, "nearly")], (99.5, "nearly")),
        ([(-5, "below")], (0, "below")),
        ([(500, "above")], (100, "above")),
        ([(7, "half a pair: \ud800")], (7, "half a pair: \\ud800")),
        ([(1, "x" * 2000)], (1, "x" * 500)),
    ],
)
def test_progress_can_be_seen_while_a_job_runs(
    shared: Worker, reports: list[tuple[float, str]], seen: tuple[float, str]
) -> None:
    system = shared.system
    user = system.user()
    (job_id,) = system.enqueue(user, "report", {"reports": len(reports), "gate": user})
    (system.folder / f"{job_id}.reports").write_text(repr(reports))  # JSON cannot hold half a pair
    try:
        wait_for(lambda: (system.job(user, job_id).progress, system.job(user, job_id).note) == seen, 5)
    finally:
        system.notes.open(user)
    (job,) = system.ended(user, [job_id])
    assert (job.state, job.progress, job.note) == (JobState.SUCCEEDED, *seen)

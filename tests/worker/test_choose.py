"""Which claimed jobs a process starts, and which go back to their lanes."""

from __future__ import annotations

import time
from types import MappingProxyType

import pytest

from laneway.handlers import Context, Registry, Spec
from laneway.lanes.model import Lease
from laneway.worker.pool import isolation as isolation_module
from laneway.worker.pool.batch_sizer import MAX_WAIT_SECONDS
from laneway.worker.pool.choose import Choice, Chooser
from laneway.worker.pool.duration_estimates import DurationEstimates
from laneway.worker.pool.isolation import SuspectIsolation


def spec(type_: str, *, is_async: bool) -> Spec:
    return Spec(type_, print, is_async, False, 3, 1, 300, None, None)


REGISTRY = Registry(
    MappingProxyType(
        {
            "fast": spec("fast", is_async=False),
            "slow": spec("slow", is_async=False),
            "task": spec("task", is_async=True),
        }
    )
)


def lease(
    number: int, type_: str, user: str = "", *, attempt: int = 1, suspect: bool = False, most: int = 3
) -> Lease:
    job_id = f"{number:025}"
    return Lease("7", user or f"user{number}", job_id, type_, b"null", attempt, most, suspect)


@pytest.fixture
def isolation() -> SuspectIsolation:
    return SuspectIsolation()


@pytest.fixture
def chooser(isolation: SuspectIsolation) -> Chooser:
    durations = DurationEstimates()
    durations.learn("fast", 0.0001)
    durations.learn("slow", 1.0)
    return Chooser(
        REGISTRY,
        durations,
        isolation,
        lambda lease: Context(lease.job_id, lease.user, lease.attempt, print),
        async_jobs=4,
    )


def numbers(choice: Choice) -> tuple[list[int], list[int], list[int]]:
    """The plain ones, the tasks, and those that go back."""
    return (
        [int(job.lease.job_id) for job in choice.plain],
        [int(job.lease.job_id) for job in choice.tasks],
        [int(one.job_id) for one in choice.back],
    )


def test_fast_ones_are_kept_as_long_as_none_waits_too_long(chooser: Chooser) -> None:
    choice = chooser.choose([lease(n, "fast") for n in range(100)], 0)
    plain, _, back = numbers(choice)
    assert len(plain) == pytest.approx(MAX_WAIT_SECONDS / 0.0001, abs=1)
    assert plain + back == list(range(100))
    assert choice.planned_seconds <= MAX_WAIT_SECONDS


@pytest.mark.parametrize("type_", ["slow", "unseen"])
def test_a_slow_one_or_one_of_an_unseen_type_is_kept_alone(chooser: Chooser, type_: str) -> None:
    assert numbers(chooser.choose([lease(n, type_) for n in range(3)], 0)) == ([0], [], [1, 2])


def test_tasks_fill_the_room_that_is_left(chooser: Chooser) -> None:
    assert numbers(chooser.choose([lease(n, "task") for n in range(5)], 1)) == ([], [0, 1, 2], [3, 4])


def test_once_a_job_of_a_lane_goes_back_so_do_all_after_it(chooser: Chooser) -> None:
    leases = [
        lease(0, "slow", "ann"),
        lease(1, "slow", "bob"),
        lease(2, "task", "bob"),
        lease(3, "task", "cat"),
    ]
    assert numbers(chooser.choose(leases, 0)) == ([0], [3], [1, 2])


def test_no_task_overtakes_a_plain_job_of_its_lane(chooser: Chooser) -> None:
    leases = [
        lease(0, "task", "ann"),
        lease(1, "fast", "ann"),
        lease(2, "task", "ann"),
        lease(3, "task", "bob"),
    ]
    assert numbers(chooser.choose(leases, 0)) == ([1], [0, 3], [2])


def test_a_last_attempt_is_no_part_of_a_batch(chooser: Chooser) -> None:
    """If it took its process with it, the batch would be without a start that Redis knows."""
    first = chooser.choose([lease(0, "fast", attempt=3), lease(1, "fast")], 0)
    assert numbers(first) == ([0], [], [1])
    assert first.charge_first
    later = chooser.choose([lease(0, "fast"), lease(1, "fast", attempt=3), lease(2, "fast")], 0)
    assert numbers(later) == ([0, 2], [], [1])
    assert not later.charge_first


@pytest.mark.parametrize("type_", ["fast", "task"])
def test_nothing_is_started_beside_a_suspect(chooser: Chooser, type_: str) -> None:
    leases = [
        lease(0, type_, suspect=True),
        lease(1, "task"),
        lease(2, "fast"),
        lease(3, type_, suspect=True),
    ]
    plain, tasks, back = numbers(chooser.choose(leases, 0))
    assert (plain + tasks, back) == ([0], [1, 2, 3])


@pytest.mark.parametrize("type_", ["fast", "task"])
def test_a_suspect_waits_for_those_who_run_but_not_for_ever(
    chooser: Chooser, isolation: SuspectIsolation, monkeypatch: pytest.MonkeyPatch, type_: str
) -> None:
    leases = [lease(0, type_, suspect=True)]
    assert numbers(chooser.choose(leases, 1)) == ([], [], [0])
    assert isolation.is_quiet(1)
    assert not isolation.is_quiet(0), "it can run now"
    seconds = isolation.quiet_seconds()
    assert seconds is not None
    assert 0 < seconds <= isolation_module.QUIET_SECONDS
    later = time.monotonic() + isolation_module.QUIET_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert not isolation.is_quiet(1)
    assert isolation.quiet_seconds() is None
    plain, tasks, back = numbers(chooser.choose(leases, 1))
    assert (plain + tasks, back) == ([0], [])


@pytest.mark.parametrize("type_", ["fast", "task"])
def test_once_a_suspect_has_ended_others_are_taken_again(
    chooser: Chooser, isolation: SuspectIsolation, type_: str
) -> None:
    chooser.choose([lease(1, type_, suspect=True)], 0)
    assert isolation.is_quiet(1), "it has just begun alone"
    assert numbers(chooser.choose([lease(2, "task"), lease(3, "task")], 0)) == ([], [2, 3], [])
    assert not isolation.is_quiet(2), "however long these run, they are no suspects"


def test_a_type_without_a_handler_fails_as_a_plain_job(chooser: Chooser) -> None:
    (job,) = chooser.choose([lease(0, "unheard-of")], 0).plain
    with pytest.raises(LookupError, match="unheard-of"):
        job.spec.function(None)

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
            "unseen": spec("unseen", is_async=False),
            "task": spec("task", is_async=True),
        }
    )
)


def lease(
    number: int,
    type_: str,
    user: str = "",
    *,
    attempt: int = 1,
    suspect: bool = False,
    most: int = 3,
    follows: bool = False,
) -> Lease:
    job_id = f"{number:025}"
    return Lease("7", user or f"user{number}", job_id, type_, b"null", attempt, most, suspect, follows)


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
        lambda lease: Context(lease.job_id, lease.user, lease.attempt, print, print),
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


def test_a_follower_starts_behind_a_plain_job_of_its_lane(chooser: Chooser) -> None:
    leases = [
        lease(0, "fast", "ann"),
        lease(1, "fast", "ann", follows=True),
        lease(2, "fast", "bob", follows=True),
        lease(3, "fast", "ann", follows=True),
    ]
    assert numbers(chooser.choose(leases, 0)) == ([0, 1, 3], [], [2])


def test_a_follower_that_is_async_or_behind_async_jobs_goes_back(chooser: Chooser) -> None:
    leases = [
        lease(0, "fast", "ann"),
        lease(1, "task", "ann", follows=True),
        lease(2, "task", "bob"),
        lease(3, "fast", "bob", follows=True),
        lease(4, "task", "eve"),
        lease(5, "task", "eve", follows=True),
    ]
    choice = chooser.choose(leases, 0)
    assert numbers(choice) == ([0], [2, 4], [1, 3, 5])


def test_a_follower_behind_a_plain_job_beside_async_ones_starts(chooser: Chooser) -> None:
    leases = [
        lease(0, "task", "ann"),
        lease(1, "fast", "ann"),
        lease(2, "fast", "ann", follows=True),
    ]
    assert numbers(chooser.choose(leases, 0)) == ([1, 2], [0], [])


def test_a_follower_that_is_a_suspect_goes_back(chooser: Chooser) -> None:
    leases = [lease(0, "fast", "ann"), lease(1, "fast", "ann", follows=True, suspect=True)]
    assert numbers(chooser.choose(leases, 0)) == ([0], [], [1])


def test_a_last_attempt_is_part_of_a_batch_like_any_other(chooser: Chooser) -> None:
    choice = chooser.choose([lease(0, "fast", attempt=3), lease(1, "fast"), lease(2, "fast", attempt=3)], 0)
    assert numbers(choice) == ([0, 1, 2], [], [])


@pytest.mark.parametrize("type_", ["fast", "task"])
def test_nothing_is_started_beside_a_suspect(chooser: Chooser, type_: str) -> None:
    leases = [
        lease(0, type_, suspect=True),
        lease(1, "task"),
        lease(2, "fast"),
        lease(3, type_, suspect=True),
    ]
    choice = chooser.choose(leases, 0)
    plain, tasks, back = numbers(choice)
    assert (plain + tasks, back) == ([0], [1, 2, 3])
    assert choice.has_suspect
    assert not chooser.choose([lease(4, "fast"), lease(5, type_, suspect=True)], 0).has_suspect


@pytest.mark.parametrize("type_", ["fast", "task"])
def test_a_suspect_never_starts_beside_others_and_holds_them_up_for_some_seconds_only(
    chooser: Chooser, isolation: SuspectIsolation, monkeypatch: pytest.MonkeyPatch, type_: str
) -> None:
    """The others may run for hours."""
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    leases = [lease(0, type_, suspect=True)]
    assert numbers(chooser.choose(leases, 1)) == ([], [], [0])
    assert isolation.is_quiet(1), "nothing new is taken, so that what runs can end"
    assert not isolation.is_quiet(0), "it can run now"
    assert isolation.quiet_seconds() == isolation_module.QUIET_SECONDS
    now += isolation_module.QUIET_SECONDS
    assert not isolation.is_quiet(1)
    assert isolation.quiet_seconds() is None
    choice = chooser.choose([*leases, lease(1, "task")], 1)
    assert numbers(choice) == ([], [1], []), "the others go on"
    assert [one.job_id for one in choice.later] == [leases[0].job_id], "it waits in its lane"
    now += isolation_module.OPEN_SECONDS
    assert numbers(chooser.choose(leases, 1)) == ([], [], [0])
    assert isolation.is_quiet(1), "and the process tries once more"
    plain, tasks, _ = numbers(chooser.choose(leases, 0))
    assert plain + tasks == [0]


@pytest.mark.parametrize("type_", ["fast", "task"])
def test_nothing_is_claimed_while_a_suspect_runs_however_long(
    chooser: Chooser, isolation: SuspectIsolation, monkeypatch: pytest.MonkeyPatch, type_: str
) -> None:
    chooser.choose([lease(1, type_, suspect=True)], 0)
    later = time.monotonic() + 3600
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert isolation.is_quiet(1)
    assert isolation.quiet_seconds() is None, "only its end changes that"
    assert numbers(chooser.choose([lease(2, "task"), lease(3, "task")], 0)) == ([], [2, 3], [])
    assert not isolation.is_quiet(2), "however long these run, they are no suspects"


def test_a_job_of_an_unknown_type_waits_and_its_lane_with_it(chooser: Chooser) -> None:
    leases = [
        lease(0, "unheard-of", "ann"),
        lease(1, "fast", "ann"),
        lease(2, "fast", "bob"),
        lease(3, "unheard-of", "cat", suspect=True),
    ]
    choice = chooser.choose(leases, 0)
    assert numbers(choice) == ([2], [], [1])
    assert [int(one.job_id) for one in choice.unknown] == [0, 3]


def test_a_job_without_a_permit_takes_those_after_it_in_its_lane_along(chooser: Chooser) -> None:
    leases = [
        lease(1, "task", "ann"),
        lease(2, "fast", "bob"),
        lease(3, "task", "ann"),
        lease(4, "fast", "ann"),
        lease(5, "fast", "bob"),
        lease(6, "fast", "eve"),
    ]
    choice = chooser.choose(leases, 0)
    choice.withdraw({leases[2].handle, leases[1].handle})
    assert numbers(choice) == ([6], [1], [4, 5]), "the two themselves are back already"
    assert choice.withdrawn == 4


def test_jobs_that_could_not_ask_for_a_permit_return_later(chooser: Chooser) -> None:
    leases = [lease(1, "task", "ann"), lease(2, "fast", "ann")]
    choice = chooser.choose(leases, 0)
    choice.withdraw({leases[0].handle}, are_back=False)
    assert (choice.kept, choice.later, choice.back) == (0, leases[:1], leases[1:])

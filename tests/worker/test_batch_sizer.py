"""How many jobs a process claims next, whether they may be followers, and how long it expects a type to take."""

from __future__ import annotations

import pytest

from laneway.worker.pool.batch_sizer import MAX_WAIT_SECONDS, BatchSizer
from laneway.worker.pool.duration_estimates import DurationEstimates


def learn(
    sizer: BatchSizer, asked: int, given: int, kept: int, planned_seconds: float, tasks: int = 0
) -> None:
    sizer.learn(asked=asked, given=given, kept=kept, tasks=tasks, planned_seconds=planned_seconds)


def test_the_batch_size_doubles_while_all_is_kept_and_falls_to_what_was_kept() -> None:
    sizer = BatchSizer(64)
    sizes = []
    for _ in range(8):
        sizes.append(sizer.size)
        learn(sizer, sizer.size, sizer.size, sizer.size, 0.0)
    assert sizes == [1, 2, 4, 8, 16, 32, 64, 64]
    learn(sizer, 64, 64, 10, MAX_WAIT_SECONDS)
    assert sizer.size == 10
    learn(sizer, 10, 10, 0, 0.0)
    assert sizer.size == 1


def test_the_batch_size_does_not_grow_when_fewer_jobs_came_or_twice_as_many_would_wait_too_long() -> None:
    sizer = BatchSizer(64)
    learn(sizer, 1, 1, 1, 0.0)
    learn(sizer, 2, 1, 1, 0.0)
    assert sizer.size == 2
    learn(sizer, 2, 2, 2, MAX_WAIT_SECONDS * 0.6)
    assert sizer.size == 2


def test_followers_are_asked_for_while_all_jobs_that_start_are_plain() -> None:
    sizer = BatchSizer(64)
    assert not sizer.with_followers, "nothing is known yet"
    learn(sizer, 4, 4, 4, 0.001)
    assert sizer.with_followers
    learn(sizer, 4, 4, 4, 0.001, tasks=1)
    assert not sizer.with_followers
    learn(sizer, 4, 4, 0, 0.0)
    assert not sizer.with_followers


def test_a_duration_estimate_follows_the_newest_attempts() -> None:
    durations = DurationEstimates()
    assert durations.of("new") == float("inf")
    durations.learn("new", 1.0)
    assert durations.of("new") == 1.0
    for _ in range(50):
        durations.learn("new", 0.001)
    assert durations.of("new") == pytest.approx(0.001, rel=0.1)

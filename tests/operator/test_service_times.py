"""The mean run time of jobs that ended recently."""

from __future__ import annotations

import time

import pytest

from laneway.lanes.model import Job, JobState
from laneway.operator.service_times import WINDOW_SECONDS, ServiceTimes


def job(run_seconds: float | None) -> Job:
    finished_us = 10_000_000_000
    started_us = None if run_seconds is None else finished_us - round(run_seconds * 1_000_000)
    return Job(
        "0" * 25,
        "ann",
        "echo",
        b"null",
        JobState.SUCCEEDED,
        1,
        3,
        started_us=started_us,
        finished_us=finished_us,
    )


def test_the_mean_is_unknown_before_a_job_has_ended() -> None:
    times = ServiceTimes()
    times.add([])
    times.add([job(None)])
    assert times.mean_seconds is None


def test_the_mean_is_over_all_jobs_of_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    times = ServiceTimes()
    begin = time.monotonic()
    times.add([job(1.0), job(2.0), job(None)])
    times.add([job(6.0)])
    assert times.mean_seconds == pytest.approx(3.0)
    monkeypatch.setattr(time, "monotonic", lambda: begin + WINDOW_SECONDS / 2)
    times.add([job(11.0)])
    assert times.mean_seconds == pytest.approx(5.0)
    monkeypatch.setattr(time, "monotonic", lambda: begin + WINDOW_SECONDS + 2)
    assert times.mean_seconds == pytest.approx(11.0)
    monkeypatch.setattr(time, "monotonic", lambda: begin + 2 * WINDOW_SECONDS)
    assert times.mean_seconds is None


def test_a_clock_that_went_back_makes_no_negative_time() -> None:
    times = ServiceTimes()
    times.add([job(-5.0)])
    assert times.mean_seconds == 0

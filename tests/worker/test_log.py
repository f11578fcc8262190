"""What the worker logs of jobs."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.worker.running import Worker, wait_for


def test_each_attempt_is_logged_as_started_once(shared: Worker) -> None:
    """Also if it ends while Redis learns of its start."""
    system = shared.system
    ids = [
        job_id
        for user in [system.user() for _ in range(4)]
        for job_id in system.enqueue(user, "work", *[{"ms": ms / 2} for ms in (60, 1, 2, 3)] * 40)
    ]
    wait_for(lambda: set(ids) <= shared.logged("succeeded"), 60)
    started = Counter(line["job_id"] for line in shared.lines() if line["event"] == "started")
    assert {started[job_id] for job_id in ids} == {1}


@pytest.mark.skipif(os.geteuid() != 0, reason="Celery warns root only")
def test_celery_does_not_warn_of_being_root(shared: Worker) -> None:
    """It does so whatever its messages hold."""
    assert not [line["event"] for line in shared.lines() if "SecurityWarning" in line["event"]]

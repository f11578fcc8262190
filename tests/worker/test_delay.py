"""Delayed jobs on an idle system: a process that stands by starts them when they are due."""

from __future__ import annotations

import statistics
import time

from laneway.lanes.model import seq_of
from tests.worker.running import Worker


def test_a_delayed_job_starts_when_it_is_due(shared: Worker) -> None:
    """The janitor alone would be half a second late on average. A busy machine is as late with jobs that are due at once."""
    system = shared.system
    user, at_once, late = system.user(), [], []
    for number in range(5):
        began = time.monotonic()
        (job_id,) = system.enqueue(user, "work", {"ms": 0})
        system.await_starts(2 * number + 1, user)
        at_once.append(time.monotonic() - began)
        system.ended(user, [job_id])
        (job_id,) = system.enqueue(user, "work", {"ms": 0}, delay=0.2)
        system.await_starts(2 * number + 2, user)
        seconds, micros = system.lanes.client.time()
        late.append(int(seconds) - 1577836800 + int(micros) / 1e6 - seq_of(job_id) / 1e6)
        system.ended(user, [job_id])
    assert min(late) >= 0, "never early"
    assert statistics.median(late) < 0.2 + statistics.median(at_once)
    assert [run.attempt for run in system.notes.runs(user)] == [1] * 10

"""Runs plain handlers, one at a time, in the main thread of a pool process: only there can a signal interrupt them."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from types import FrameType
from typing import Any

from laneway.handlers import SoftTimeLimit
from laneway.lanes.model import JobState, Outcome
from laneway.worker import outcomes
from laneway.worker.pool.condition import Condition
from laneway.worker.pool.fork_guard import ForkGuard
from laneway.worker.pool.jobs import Batch, ChosenJob, Clock, EndedRun
from laneway.worker.pool.run_logs import RunLogs
from laneway.worker.pool.temporary_files import TemporaryFiles
from laneway.worker.start_tokens import RunningMark, StartTokens

LEAK_SECONDS = 0.0001
"""A handler that takes all descriptors at once takes longer. Few by few, they are looked at between two claims."""


class PlainRunner:
    """Runs batches. Another process may take start tokens of a batch, and with them its jobs, at any time."""

    def __init__(
        self,
        start_tokens: StartTokens,
        running_mark: RunningMark,
        clock: Clock,
        guard: ForkGuard,
        files: TemporaryFiles,
        condition: Condition,
        logs: RunLogs,
        *,
        lease_seconds: float,
        max_result_bytes: int,
    ) -> None:
        self._start_tokens, self._running_mark = start_tokens, running_mark
        self._clock, self._guard, self._files = clock, guard, files
        self._condition, self._logs = condition, logs
        self._lease_seconds, self._max_result_bytes = lease_seconds, max_result_bytes
        signal.signal(signal.SIGALRM, _ignore_alarm)

    def run(self, batch: Batch) -> None:
        """Run the jobs whose start tokens are left.

        The batch stops, and what has not started goes back, when the leases may have run out, when the process has no
        descriptor left, and at a follower whose lane has a failed job: that one keeps its slot until its retry has ended,
        and with one slot its retry comes before the next job. A follower that waited here would block its lane for as long as
        the jobs behind it take.
        """
        lanes_with_retry: set[str] = set()
        while token := self._start_tokens.take():
            index = token[1]
            job = batch.jobs[index]
            started = time.monotonic()
            if (
                started - batch.claimed_at > self._lease_seconds  # the whole worker stood still
                or self._condition.is_starved
                or (job.lease.follows and job.lease.user in lanes_with_retry)
            ):
                batch.unstarted = [
                    batch.jobs[index].lease for _, index in [token, *self._start_tokens.take_all()]
                ]
                break
            batch.running_since, batch.running = started, index
            self._running_mark.set(batch.generation, index)
            outcome = self._logs.attach_to(self._attempt(job, self._clock(started)))
            seconds = time.monotonic() - started
            self._condition.restore()
            if seconds > LEAK_SECONDS:
                self._condition.look_for_descriptor()
            self._running_mark.clear()
            batch.running = -1
            if outcome.state is JobState.RETRYING:
                lanes_with_retry.add(job.lease.user)
            batch.ended.append(EndedRun(outcome, seconds))
            self._files.end(job.lease)
        batch.is_over = True

    def _attempt(self, job: ChosenJob, started_us: int) -> Outcome:
        try:
            value = copy_context().run(
                self._call, job
            )  # what it sets there (decimal's context, too) goes with it
        except BaseException as error:  # noqa: BLE001 - SystemExit and the like are the handler's, not ours
            asked_to_stop = job.context is not None and job.context.cancelled()
            if not asked_to_stop:
                self._logs.add_traceback(job.lease, error)
            outcome = outcomes.raised(job.lease, job.spec, started_us, error, asked_to_stop=asked_to_stop)
        else:
            outcome = outcomes.returned(job.lease, started_us, value, self._max_result_bytes)
        self._guard.end_copy()
        return outcome

    def _call(self, job: ChosenJob) -> Any:
        self._files.begin(job.lease)
        if job.spec.soft_seconds is None:
            return self._invoke(job)
        with _soft_time_limit(job.spec.soft_seconds):
            return self._invoke(job)

    def _invoke(self, job: ChosenJob) -> Any:
        spec = job.spec
        payload = spec.payload(job.lease.request)
        self._running_mark.begin()
        return spec.result(
            spec.function(payload, job.context) if spec.wants_context else spec.function(payload)
        )


def _raise_soft_limit(_signal: int, _frame: FrameType | None) -> None:
    raise SoftTimeLimit("the soft time limit has run out")


def _ignore_alarm(_signal: int, _frame: FrameType | None) -> None:
    """Ignore an alarm that a handler set and did not wait for."""


@contextmanager
def _soft_time_limit(seconds: float) -> Iterator[None]:
    signal.signal(signal.SIGALRM, _raise_soft_limit)  # each time: a handler may have set its own
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, _ignore_alarm)

"""Runs plain handlers, one at a time, in the main thread of a pool process (only there can a signal interrupt them)."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import NamedTuple

import orjson

from laneway.handlers import SoftTimeLimit
from laneway.lanes.model import Lease, Outcome
from laneway.worker import attempt
from laneway.worker.pool.choose import ChosenJob
from laneway.worker.pool.fork_guard import ForkGuard
from laneway.worker.start_tokens import StartTokens

Clock = Callable[[float], int]
"""Turns a `time.monotonic()` of this process into microseconds since 2020 by Redis's clock."""


class Ran(NamedTuple):
    """An attempt that has ended; `seconds` is what it took."""

    outcome: Outcome
    seconds: float


@dataclass(slots=True)
class Batch:
    """Plain jobs of one claim. `ran` and `current` are written by the main thread and read by the event loop."""

    generation: int
    jobs: list[ChosenJob]
    since: float
    """Their leases run at least from then."""
    ran: deque[Ran] = field(default_factory=deque)
    current: int = -1
    current_started: float = 0
    told: int = -1
    """The job whose start was sent."""
    late: list[Lease] = field(default_factory=list)
    """Jobs that were not started any more, because their leases may have run out."""
    over: bool = False


class PlainRunner:
    """Runs batches. Another process may take jobs out of one by the baton at any time."""

    def __init__(
        self,
        start_tokens: StartTokens,
        clock: Clock,
        lease_seconds: float,
        most_result_bytes: int,
        guard: ForkGuard,
    ) -> None:
        self._start_tokens = start_tokens
        self._clock = clock
        self._lease_seconds, self._most_result_bytes = lease_seconds, most_result_bytes
        self._guard = guard
        signal.signal(signal.SIGALRM, _no_limit)

    def run(self, batch: Batch) -> None:
        while record := self._start_tokens.take():
            index = record[1]
            job = batch.jobs[index]
            if time.monotonic() - batch.since > self._lease_seconds:
                batch.late.append(job.lease)  # the whole worker stood still for a while
                continue
            batch.current_started = time.monotonic()
            batch.current = index
            outcome = self._attempt(job, self._clock(batch.current_started))
            seconds = time.monotonic() - batch.current_started
            batch.current = -1
            batch.ran.append(Ran(outcome, seconds))
        batch.over = True

    def _attempt(self, job: ChosenJob, started_us: int) -> Outcome:
        spec, lease = job.spec, job.lease
        try:
            payload = orjson.loads(lease.request)
            if spec.soft_seconds is None:
                value = spec.function(payload, job.context) if spec.wants_context else spec.function(payload)
            else:
                with _soft_time_limit(spec.soft_seconds):
                    value = (
                        spec.function(payload, job.context) if spec.wants_context else spec.function(payload)
                    )
        except BaseException as error:  # noqa: BLE001 - SystemExit and the like are the handler's, not ours
            outcome = attempt.raised(
                lease,
                spec,
                started_us,
                error,
                asked_to_stop=job.context is not None and job.context.cancelled(),
            )
        else:
            outcome = attempt.returned(lease, started_us, value, self._most_result_bytes)
        self._guard.end_copy()
        return outcome


def _soft_limit(_signal: int, _frame: FrameType | None) -> None:
    raise SoftTimeLimit("the soft time limit has run out")


def _no_limit(_signal: int, _frame: FrameType | None) -> None:
    """An alarm that some handler set and did not wait for is nobody's limit."""


@contextmanager
def _soft_time_limit(seconds: float) -> Iterator[None]:
    signal.signal(signal.SIGALRM, _soft_limit)  # each time: a handler may have set another
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, _no_limit)

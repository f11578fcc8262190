"""The forms that a job takes on its way through a pool process: chosen, part of a batch, ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from laneway.handlers import Context, Spec
from laneway.lanes.model import Lease, Outcome

Clock = Callable[[float], int]
"""Converts a `time.monotonic()` of this process to microseconds since 2020 by Redis's clock."""


class ChosenJob(msgspec.Struct, frozen=True):
    """A job that this process starts."""

    lease: Lease
    spec: Spec
    context: Context | None
    """None if the handler takes no context."""


class EndedRun(msgspec.Struct, frozen=True, gc=False):
    """A run of a handler that has ended, and how many seconds it took."""

    outcome: Outcome
    seconds: float


@dataclass(slots=True)
class Batch:
    """Plain jobs of one claim. The main thread writes `ended`, `running`, `unstarted` and `is_over`; the event loop reads them."""

    generation: int
    jobs: list[ChosenJob]
    claimed_at: float
    """Monotonic time from which the leases run at least."""
    ended: deque[EndedRun] = field(default_factory=deque)
    running: int = -1
    """Index of the job that runs now; -1 between two jobs."""
    running_since: float = 0
    start_sent: int = -1
    """Index of the newest job whose start was sent."""
    unstarted: list[Lease] = field(default_factory=list)
    """Jobs at which the batch stopped, and which go back: see `PlainRunner.run`."""
    is_over: bool = False
    is_recording: bool = False
    """Ends of the batch were collected, and Redis has not recorded them yet. For the event loop alone."""

"""Reports attempts to the log, the metrics and the duration estimates, once Redis has recorded them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from laneway.lanes.commands import Command
from laneway.lanes.model import JobState, Lease
from laneway.telemetry.job_events import JobEvent
from laneway.telemetry.job_log import JobLog
from laneway.worker import command_events
from laneway.worker.counts import Counts
from laneway.worker.pool.duration_estimates import DurationEstimates
from laneway.worker.pool.jobs import EndedRun
from laneway.worker.pool.lease_keeper_link import LeaseKeeperLink
from laneway.worker.protocol import CountsReported

COUNTS_SECONDS = 1.0
"""Shortest time between two reports of counts to the lease keeper."""


class Reports:
    """One per process. The start of each attempt is logged once, whichever of start and end is reported first."""

    def __init__(self, log: JobLog, link: LeaseKeeperLink, durations: DurationEstimates) -> None:
        self._log, self._link, self._durations = log, link, durations
        self._logged_starts: set[str] = set()
        self._counts = Counts()
        self._counts_due = 0.0

    def started(self, leases: Iterable[Lease]) -> None:
        """Report jobs that have started."""
        new = [lease for lease in leases if lease.handle not in self._logged_starts]
        self._logged_starts.update(lease.handle for lease in new)
        self._log.write(command_events.started(lease) for lease in new)

    def ended(self, runs: Sequence[EndedRun], recorded: Sequence[bool]) -> None:
        """Report runs that have ended. `recorded` says for each whether its lease still held."""
        events: list[JobEvent] = []
        logged_starts = self._logged_starts
        for run, is_recorded in zip(runs, recorded, strict=True):
            outcome, seconds = run.outcome, run.seconds
            lease = outcome.lease
            if outcome.state is not JobState.QUEUED:
                self._durations.learn(lease.type, seconds)
            if logged_starts and lease.handle in logged_starts:
                logged_starts.discard(lease.handle)
            else:
                events.append(command_events.started(lease))
            if not is_recorded:
                self._counts.event("late_finish_refused")
                continue
            self._counts.attempt(outcome, seconds)
            events.append(command_events.ended(outcome, duration_ms=int(seconds * 1_000_000) / 1000))
        self._log.write(events)
        self.send_counts()

    def replied(self, command: Command[Any], reply: Any) -> None:
        """Report the jobs that a command ended."""
        self._log.write(command_events.events_of(command, reply))

    def count(self, event: str, count: int) -> None:
        """Count an event of the worker."""
        if count:
            self._counts.event(event, count)

    def send_counts(self, *, at_once: bool = False) -> None:
        """Send the counts to the lease keeper, at most once every COUNTS_SECONDS, or `at_once`."""
        now = time.monotonic()
        if at_once or now >= self._counts_due:
            self._counts_due = now + COUNTS_SECONDS
            self._link.send(CountsReported(self._counts))
            self._counts = Counts()

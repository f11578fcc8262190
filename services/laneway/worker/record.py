"""What is told of attempts, of their ends once Redis has recorded them: the log, the counts, and how long types take."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from laneway.janitor import expired_events
from laneway.lanes.commands import CANCELLED, Command, Expire, Finish, Release
from laneway.lanes.model import JobState, Lease, Outcome
from laneway.telemetry import job_events
from laneway.telemetry.job_events import JobEvent
from laneway.telemetry.job_log import JobLog
from laneway.worker.link import Link
from laneway.worker.pool.batch_sizer import DurationEstimates
from laneway.worker.pool.plain import Ran
from laneway.worker.stats import Stats

STATS_SECONDS = 1.0


class Recorder:
    def __init__(self, log: JobLog, link: Link, durations: DurationEstimates) -> None:
        self._log, self._link, self._durations = log, link, durations
        self._logged_starts: set[str] = set()
        self._stats = Stats()
        self._stats_due = 0.0

    def started(self, leases: Iterable[Lease]) -> None:
        """These have started. Of each that is told once."""
        new = [lease for lease in leases if lease.handle not in self._logged_starts]
        self._logged_starts.update(lease.handle for lease in new)
        self._log.write(_started(lease) for lease in new)

    def ended(self, ran: Sequence[Ran], counted: Sequence[bool]) -> None:
        """These attempts have ended; `counted` says for each whether its lease still held."""
        events: list[JobEvent] = []
        for one, counts in zip(ran, counted, strict=True):
            outcome, lease = one.outcome, one.outcome.lease
            self._durations.learn(lease.type, one.seconds)
            if lease.handle in self._logged_starts:
                self._logged_starts.discard(lease.handle)
            else:
                events.append(_started(lease))
            if not counts:
                self._stats.event("late_finish_refused")
                continue
            self._stats.attempt(outcome, outcome.waited_seconds, one.seconds)
            events.append(_ended(outcome, duration_ms=round(one.seconds * 1000, 3)))
        self._log.write(events)
        self.send_stats()

    def sent(self, command: Command[Any], reply: Any) -> None:
        """A command has been heard that may have ended jobs which were given back."""
        self._log.write(events_of(command, reply))

    def count(self, event: str, count: int) -> None:
        self._stats.event(event, count)

    def send_stats(self) -> None:
        """Hand the counts to the lease keeper, at most once a second."""
        now = time.monotonic()
        if now >= self._stats_due:
            self._stats_due = now + STATS_SECONDS
            self._link.stats(self._stats.drain())


def events_of(command: Command[Any], reply: Any) -> Iterator[JobEvent]:
    """What the log is told of a command that gives jobs back, or ends them, on behalf of a process that cannot tell it itself."""
    match command:
        case Expire():
            yield from expired_events(reply)
        case Release():
            for lease, status in zip(command.leases, reply, strict=True):
                if status == CANCELLED:
                    yield job_events.ended(
                        JobState.CANCELLED, lease.job_id, lease.user, lease.type, lease.attempt
                    )
        case Finish():
            for outcome, counts in zip(command.outcomes, reply, strict=True):
                if counts:
                    yield _ended(outcome)


def _started(lease: Lease) -> JobEvent:
    return job_events.started(lease.job_id, lease.user, lease.type, lease.attempt)


def _ended(outcome: Outcome, *, duration_ms: float | None = None) -> JobEvent:
    lease = outcome.lease
    error = None if outcome.state is JobState.SUCCEEDED else outcome.body.decode()
    return job_events.ended(
        outcome.state,
        lease.job_id,
        lease.user,
        lease.type,
        lease.attempt,
        duration_ms=duration_ms,
        error=error,
    )

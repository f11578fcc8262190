"""The job events of commands that the worker sends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from laneway.lanes.commands import CANCELLED, Command, Finish, Lose, Permit, Release
from laneway.lanes.model import JobState, Lease, Outcome
from laneway.loss_events import lost_events
from laneway.telemetry import job_events
from laneway.telemetry.job_events import JobEvent


def events_of(command: Command[Any], reply: Any) -> Iterator[JobEvent]:
    """Yield an event for each job that the command ended or gave back for a process that cannot report it itself."""
    match command:
        case Lose():
            yield from lost_events(reply, "its process died")
        case Release():
            yield from _cancelled(command.leases, reply)
        case Permit():
            yield from _cancelled([asking.lease for asking in command.jobs], reply)
        case Finish():
            for outcome, counts in zip(command.outcomes, reply, strict=True):
                if counts:
                    yield ended(outcome)


def _cancelled(leases: Sequence[Lease], reply: Sequence[int]) -> Iterator[JobEvent]:
    """Yield an event for each job that went back and had been asked to stop."""
    for lease, status in zip(leases, reply, strict=True):
        if status == CANCELLED:
            yield job_events.ended(JobState.CANCELLED, lease.job_id, lease.user, lease.type, lease.attempt)


def started(lease: Lease) -> JobEvent:
    """Report that a job has started."""
    return job_events.started(lease.job_id, lease.user, lease.type, lease.attempt)


def ended(outcome: Outcome, *, duration_ms: float | None = None) -> JobEvent:
    """Report how a run ended: with its attempt, or cut short."""
    lease = outcome.lease
    if outcome.state is JobState.QUEUED:
        return job_events.interrupted(
            lease.job_id, lease.user, lease.type, lease.attempt, reason=outcome.body.decode()
        )
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

"""The job events of jobs that were taken back from dead processes and workers, by the janitor or by the lease keeper.

A module of its own, because pool processes import it: with the janitor they would import MongoDB's driver.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from laneway.lanes.model import JobState, LostJob
from laneway.telemetry import job_events


def lost_events(lost: Iterable[LostJob], reason: str) -> Iterator[job_events.JobEvent]:
    """Make the job events of jobs that were taken back from dead processes or workers."""
    for job in lost:
        if job.state is JobState.QUEUED:
            yield job_events.interrupted(job.job_id, job.user, job.type, job.attempts + 1, reason=reason)
        else:
            yield job_events.ended(job.state, job.job_id, job.user, job.type, job.attempts, reason=reason)

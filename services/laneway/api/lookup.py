"""Finds a user's jobs, which are in Redis until MongoDB has them.

Redis is asked first. A job that moves between the two questions is therefore found twice, never not at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from laneway.api.system import System
from laneway.lanes.commands import InspectJob, InspectJobs
from laneway.lanes.model import Job, JobState, seq_of
from laneway.storage.history_reader import MAX_PAGE_BYTES

PIECE = 25
"""Jobs read from Redis in one script call."""
MAX_SCANNED = 1000
"""Live jobs that one page with a filter may read."""
_NEWEST = 2**51 - 1
"""Behind every acceptance (W in the scripts)."""


async def find(system: System, user: str, job_id: str) -> Job | None:
    """Return one of the user's jobs. Raises StoreUnavailable, HistoryUnavailable."""
    return await system.lanes.run(InspectJob(user, job_id)) or await system.history.find(user, job_id)


async def live(system: System, user: str) -> AsyncIterator[Job]:
    """Yield the user's jobs that Redis has, newest first. Raises StoreUnavailable."""
    before_us = _NEWEST
    while piece := await system.lanes.run(InspectJobs(user, before_us, PIECE)):
        for job in piece:
            yield job
        before_us = piece[-1].enqueued_us


async def page(
    system: System, user: str, state: JobState | None, limit: int, before: str
) -> tuple[list[Job], str | None]:
    """Return the user's newest jobs that were accepted before the job `before` ('' for all), and where the next page begins.

    A page may be short although more jobs follow. Raises StoreUnavailable, and HistoryUnavailable unless only Redis has jobs
    in this state.
    """
    live, live_to = await _live(system, user, state, limit, before)
    jobs = {job.job_id: job for job in live}
    history_to = None
    if state is None or state.ended:
        history = await system.history.page(user, before, limit, state)
        jobs |= {job.job_id: job for job in history.jobs}
        history_to = history.scanned_to
    seen_to = max(live_to or "", history_to or "")  # one of the two was not read below this id
    found = sorted(
        (job for job in jobs.values() if job.job_id >= seen_to), key=lambda job: job.job_id, reverse=True
    )
    kept = _cut(found, limit)
    if len(kept) < len(found):
        return kept, kept[-1].job_id
    return kept, seen_to or None


async def _live(
    system: System, user: str, state: JobState | None, limit: int, before: str
) -> tuple[list[Job], str | None]:
    """Return jobs that Redis has, and the last id that was read; None if there is nothing older."""
    found: list[Job] = []
    scanned = size = 0
    last = before
    while True:
        piece = await system.lanes.run(InspectJobs(user, seq_of(last) if last else _NEWEST, PIECE))
        scanned += len(piece)
        found += [job for job in piece if state is None or job.state is state]
        size += sum(_size(job) for job in piece)
        if len(piece) < PIECE:
            return found, None
        last = piece[-1].job_id
        if len(found) >= limit or scanned >= MAX_SCANNED or size >= MAX_PAGE_BYTES:
            return found, last


def _cut(jobs: list[Job], limit: int) -> list[Job]:
    size = 0
    for i, job in enumerate(jobs[:limit]):
        size += _size(job)
        if size > MAX_PAGE_BYTES:
            return jobs[: i + 1]
    return jobs[:limit]


def _size(job: Job) -> int:
    return len(job.request) + len(job.result or b"") + len(job.error or b"")

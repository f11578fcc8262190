"""Where a user's jobs are: Redis has them until MongoDB does. Redis is asked first, so that one that moves meanwhile is seen twice, not never."""

from __future__ import annotations

from laneway.api.system import System
from laneway.lanes.commands import InspectJob, InspectJobs
from laneway.lanes.model import Job, JobState, seq_of
from laneway.storage.history_reader import MAX_PAGE_BYTES

PIECE = 25
"""Jobs read from Redis in one script call."""
MAX_SCANNED = 1000
"""Live jobs that one page with a filter looks at."""
_NEWEST = 2**51 - 1
"""Behind every acceptance (the scripts' W)."""


async def find(system: System, user: str, job_id: str) -> Job | None:
    """One of the user's jobs, wherever it is. Raises StoreUnavailable, HistoryUnavailable."""
    return await system.lanes.run(InspectJob(user, job_id)) or await system.history.find(user, job_id)


async def page(
    system: System, user: str, state: JobState | None, limit: int, before: str
) -> tuple[list[Job], str | None]:
    """The user's newest jobs accepted before the job `before` ('' for all), and from where to go on. A page may be short though there is more.

    Raises StoreUnavailable, HistoryUnavailable (not for the states that only Redis has).
    """
    live, live_to = await _live(system, user, state, limit, before)
    jobs = {job.job_id: job for job in live}
    history_to = None
    if state is None or state.ended:
        history = await system.history.page(user, before, limit, state)
        jobs |= {job.job_id: job for job in history.jobs}
        history_to = history.scanned_to
    seen_to = max(live_to or "", history_to or "")  # below it one of the two was not looked at
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
    """Jobs that Redis has, and down to which one was looked; None if down to the oldest."""
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

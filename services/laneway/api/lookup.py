"""Finds a user's jobs, which are in Redis until MongoDB has them.

Redis is asked first. A job that moves between the two questions is therefore found twice, never not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from laneway.api.system import System
from laneway.lanes.commands import InspectJob, InspectJobs, InspectLog
from laneway.lanes.model import Job
from laneway.lanes.run_log import JobLines
from laneway.storage.history_reader import MAX_PAGE_BYTES
from laneway.storage.job_query import NEVER_US, JobQuery

PIECE = 25
"""Jobs read from Redis in one script call."""
MAX_SCANNED = 1000
"""Live jobs that one page with a filter may read."""


async def find(system: System, user: str, job_id: str) -> Job | None:
    """Return one of the user's jobs. Raises StoreUnavailable, HistoryUnavailable."""
    return await system.lanes.run(InspectJob(user, job_id)) or await system.history.find(user, job_id)


async def find_log(system: System, user: str, job_id: str) -> JobLines | None:
    """Return what one of the user's jobs has logged; None if there is no such job. Raises StoreUnavailable, HistoryUnavailable."""
    found = await system.lanes.run(InspectLog(user, job_id))
    return await system.history.find_log(user, job_id) if found is None else found


async def live(system: System, user: str) -> AsyncIterator[Job]:
    """Yield the user's jobs that Redis has, newest first. Raises StoreUnavailable."""
    before_us = NEVER_US
    while piece := await system.lanes.run(InspectJobs(user, before_us, PIECE)):
        for job in piece:
            yield job
        before_us = piece[-1].enqueued_us


async def page(system: System, user: str, query: JobQuery, limit: int) -> tuple[list[Job], str | None]:
    """Return the user's jobs that are asked for, and the cursor of the next page.

    A page may be short although more jobs follow. Raises StoreUnavailable, and HistoryUnavailable unless only Redis has jobs
    in the states that are asked for.
    """
    if query.ids:
        return await _of_ids(system, user, query, limit)
    found, live_to = await _live(system, user, query, limit)
    jobs = {job.job_id: job for job in found}
    history_to = None
    if query.ended_states:
        history = await system.history.page(user, query, limit)
        jobs |= {job.job_id: job for job in history.jobs}
        history_to = history.scanned_to
    in_order = [jobs[job_id] for job_id in sorted(jobs, reverse=not query.oldest_first)]
    read_to = [end for end in (live_to, history_to) if end]
    if not read_to:
        kept = _cut(in_order, limit)
        return kept, kept[-1].job_id if len(kept) < len(in_order) else None
    # One of the two was not read beyond its end: what the other has there belongs to a later page.
    end = min(read_to) if query.oldest_first else max(read_to)
    in_order = [job for job in in_order if (job.job_id <= end if query.oldest_first else job.job_id >= end)]
    kept = _cut(in_order, limit)
    return kept, kept[-1].job_id if len(kept) < len(in_order) else end


async def _of_ids(system: System, user: str, query: JobQuery, limit: int) -> tuple[list[Job], str | None]:
    """Return the jobs with the ids of the query, and the cursor of the next page."""
    rest = [
        job_id for job_id in sorted(query.ids, reverse=not query.oldest_first) if query.has_in_range(job_id)
    ]
    found: list[Job] = []
    while rest and len(found) <= limit and sum(map(_size, found)) <= MAX_PAGE_BYTES:
        piece, rest = rest[:PIECE], rest[PIECE:]
        live = await asyncio.gather(*(system.lanes.run(InspectJob(user, job_id)) for job_id in piece))
        jobs = {job.job_id: job for job in live if job}
        others = [job_id for job_id in piece if job_id not in jobs]
        if others and query.ended_states:
            ended = await system.history.find_all(user, others, oldest_first=query.oldest_first)
            jobs |= {job.job_id: job for job in ended.jobs}
            if ended.scanned_to:
                end = piece.index(ended.scanned_to) + 1
                piece, rest = piece[:end], piece[end:] + rest
        found += [jobs[job_id] for job_id in piece if job_id in jobs and query.matches(jobs[job_id])]
    kept = _cut(found, limit)
    return kept, kept[-1].job_id if rest or len(kept) < len(found) else None


async def _live(system: System, user: str, query: JobQuery, limit: int) -> tuple[list[Job], str | None]:
    """Return jobs that Redis has, and the last id that was read; None if nothing is behind it."""
    found: list[Job] = []
    scanned = size = 0
    bound_us = query.start_us
    while True:
        piece = await system.lanes.run(InspectJobs(user, bound_us, PIECE, query.oldest_first))
        scanned += len(piece)
        found += [job for job in piece if query.matches(job)]
        size += sum(_size(job) for job in piece)
        if len(piece) < PIECE or query.is_past(piece[-1].job_id):
            return found, None
        bound_us = piece[-1].enqueued_us
        if len(found) >= limit or scanned >= MAX_SCANNED or size >= MAX_PAGE_BYTES:
            return found, piece[-1].job_id


def _cut(jobs: list[Job], limit: int) -> list[Job]:
    size = 0
    for i, job in enumerate(jobs[:limit]):
        size += _size(job)
        if size > MAX_PAGE_BYTES:
            return jobs[: i + 1]
    return jobs[:limit]


def _size(job: Job) -> int:
    return len(job.request) + len(job.result or b"") + len(job.error or b"")

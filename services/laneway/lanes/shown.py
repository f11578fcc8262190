"""Shows jobs as JSON, for the API's answers and for webhooks.

Request, result and error are JSON text already, and are passed through unchanged.
"""

from __future__ import annotations

from typing import Any

import orjson

from laneway.lanes.model import Job, time_of


def job(job: Job) -> dict[str, Any]:
    """Return a job for orjson, and for nothing else: it holds fragments of JSON text."""
    return {
        "job_id": job.job_id,
        "user": job.user,
        "type": job.type,
        "request": orjson.Fragment(job.request),
        "state": job.state.value,
        "attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "position": job.position,
        "progress": job.progress,
        "note": job.note,
        "result": None if job.result is None else orjson.Fragment(job.result),
        "error": None if job.error is None else orjson.Fragment(job.error),
        "reason": job.reason,
        "unique_key": job.unique_key,
        "schedule": job.schedule,
        "worker": job.worker,
        "not_before": time(job.not_before_us),
        "enqueued_at": time(job.enqueued_us),
        "started_at": time(job.started_us),
        "finished_at": time(job.finished_us),
    }


def time(us: int | None) -> str | None:
    """Return microseconds since 2020 as RFC 3339 in UTC."""
    return None if us is None else time_of(us).isoformat(timespec="microseconds")[:26] + "Z"

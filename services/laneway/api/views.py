"""Shows jobs as JSON. Request, result and error are JSON text already, and are passed through unchanged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from starlette.responses import Response

from laneway.lanes.model import Job, time_of
from laneway.lanes.run_log import JobLines, LogLine


def answer(content: Any, status: int = 200) -> Response:
    """Return a JSON answer."""
    return Response(orjson.dumps(content, option=orjson.OPT_UTC_Z), status, media_type="application/json")


def job(job: Job) -> dict[str, Any]:
    """Return a job for `answer`, and for nothing else: it holds fragments of JSON text."""
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
        "worker": job.worker,
        "not_before": time(job.not_before_us),
        "enqueued_at": time(job.enqueued_us),
        "started_at": time(job.started_us),
        "finished_at": time(job.finished_us),
    }


def log(job_id: str, log: JobLines) -> dict[str, Any]:
    """Return what a job has logged, for `answer`."""
    runs = [
        {
            "attempt": run.attempt,
            "state": run.state.value,
            "started_at": time(run.started_us),
            "worker": run.worker,
            "lines": log_lines(run.lines),
        }
        for run in log.runs
    ]
    return {"job_id": job_id, "dropped_runs": log.dropped_runs, "runs": runs}


def log_lines(lines: Iterable[LogLine]) -> list[dict[str, Any]]:
    """Return lines of a log, for JSON."""
    return [
        {"number": line.number, "at": time(line.at_us), "level": line.level, "text": line.text}
        for line in lines
    ]


def time(us: int | None) -> str | None:
    """Return microseconds since 2020 as RFC 3339 in UTC."""
    return None if us is None else time_of(us).isoformat(timespec="microseconds")[:26] + "Z"

"""Answers JSON, and shows jobs and what they have logged in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from starlette.responses import Response

from laneway.lanes.run_log import JobLines, LogLine
from laneway.lanes.shown import job, time

__all__ = ["answer", "job", "log", "log_lines", "time"]


def answer(content: Any, status: int = 200) -> Response:
    """Return a JSON answer."""
    return Response(orjson.dumps(content, option=orjson.OPT_UTC_Z), status, media_type="application/json")


def log(job_id: str, log: JobLines) -> dict[str, Any]:
    """Return what a job has logged, for `answer`."""
    runs = [
        {
            "attempt": run.attempt,
            "state": run.state.value,
            "started_at": time(run.started_us),
            "worker": run.worker,
            "ended_at": time(run.ended_us),
            "outcome": run.outcome,
            "error": run.error,
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

"""What the requests of a run say about its jobs: their types, and how many attempts each may have."""

from __future__ import annotations

from chaos.checker.verdict import Reports
from chaos.records import History


def types_by_job(history: History, reports: Reports) -> dict[str, str]:
    """Return the type of each job; "" if no request with its tag was recorded."""
    types = {request.tag: request.type for request in history.requests()}
    return {job_id: types.get(endings[0].tag, "") for job_id, endings in reports.items()}


def max_attempts(history: History, reports: Reports) -> dict[str, int]:
    """Return by job id how many attempts the job may have, which depends on its type."""
    limits = history.limits
    return {
        job_id: limits.attempts_of_type.get(type_, limits.max_attempts)
        for job_id, type_ in types_by_job(history, reports).items()
    }

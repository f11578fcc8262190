"""The job events of the log, and the only place where they are made.

A job event is one line of the job log: what happened, to which job of which user. Its fields have the same names whoever
writes the line, so that one query finds the whole life of a job. This module takes plain values and knows neither lanes
nor workers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

JobEvent = dict[str, Any]
"""The fields of one line: `event`, `job_id` and `user` always, the others where they are known."""

JOB_EVENTS: Mapping[str, int] = MappingProxyType(
    {
        "accepted": logging.INFO,
        "started": logging.INFO,
        "succeeded": logging.INFO,
        "cancelled": logging.INFO,
        "retried": logging.WARNING,
        "interrupted": logging.WARNING,
        "failed": logging.WARNING,
    }
)
"""The events of a job and their levels."""

STATE_EVENTS: Mapping[str, str] = MappingProxyType(
    {"succeeded": "succeeded", "failed": "failed", "cancelled": "cancelled", "retrying": "retried"}
)
"""The event that reports a job's new state. States that are missing here end no attempt."""


def accepted(job_id: str, user: str, type_: str) -> JobEvent:
    """Report that the request is in its lane."""
    return {"event": "accepted", "job_id": job_id, "user": user, "type": type_}


def started(job_id: str, user: str, type_: str, attempt: int) -> JobEvent:
    """Report the start of an attempt; the first is 1."""
    return {"event": "started", "job_id": job_id, "user": user, "type": type_, "attempt": attempt}


def ended(
    state: str,
    job_id: str,
    user: str,
    type_: str,
    attempt: int,
    *,
    duration_ms: float | None = None,
    error: str | None = None,
    reason: str | None = None,
) -> JobEvent:
    """Report the end of an attempt that put the job into `state`, a key of `STATE_EVENTS`.

    `error` is what the handler raised, as JSON text. `reason` says why somebody other than the handler ended the attempt.
    """
    event: JobEvent = {
        "event": STATE_EVENTS[state],
        "job_id": job_id,
        "user": user,
        "type": type_,
        "attempt": attempt,
    }
    if duration_ms is not None:
        event["duration_ms"] = duration_ms
    if error is not None:
        event["error"] = error
    if reason is not None:
        event["reason"] = reason
    return event


def interrupted(job_id: str, user: str, type_: str, attempt: int, *, reason: str) -> JobEvent:
    """Report that a run was cut short by no fault of its own that is known: the job runs again, and `attempt` is not charged."""
    return {
        "event": "interrupted",
        "job_id": job_id,
        "user": user,
        "type": type_,
        "attempt": attempt,
        "reason": reason,
    }


def cancelled(job_id: str, user: str, *, reason: str | None = None) -> JobEvent:
    """Report a job that was cancelled while it waited; its type and attempts are not known here."""
    event: JobEvent = {"event": "cancelled", "job_id": job_id, "user": user}
    return event if reason is None else event | {"reason": reason}

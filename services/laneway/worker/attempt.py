"""Makes an outcome of what a handler returned or raised. Whatever that was, the outcome is valid JSON text."""

from __future__ import annotations

from typing import Any

import orjson

from laneway.handlers import Cancelled, Permanent, Spec
from laneway.lanes.model import JobState, Lease, Outcome

MAX_MESSAGE_CHARACTERS = 4000
MAX_DOUBLINGS = 64
"""Of a backoff; 1,024 would be more than a float holds."""


def error_text(type_: str, message: str) -> bytes:
    """An error as JSON text `{"type", "message"}`; characters that UTF-8 cannot hold are written as escapes."""
    clean = message[:MAX_MESSAGE_CHARACTERS].encode("utf-8", "backslashreplace").decode()
    return orjson.dumps({"type": type_.encode("utf-8", "backslashreplace").decode(), "message": clean})


def returned(lease: Lease, started_us: int, value: Any, most_bytes: int) -> Outcome:
    """The job has succeeded with `value`, or failed for good because that is no JSON or larger than `most_bytes`."""
    try:
        body = orjson.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        return _failed(
            lease, started_us, error_text("ResultNotJSON", f"the handler's result is not JSON: {error}")
        )
    if len(body) > most_bytes:
        return _failed(
            lease,
            started_us,
            error_text("ResultTooLarge", f"the result has {len(body)} bytes, {most_bytes} are allowed"),
        )
    return Outcome(lease, JobState.SUCCEEDED, started_us, body)


def raised(
    lease: Lease, spec: Spec, started_us: int, error: BaseException, *, asked_to_stop: bool = False
) -> Outcome:
    """The attempt has failed: the job is retried after a backoff, has failed for good, or was cancelled."""
    body = error_text(type(error).__name__, _message(error))
    if asked_to_stop:
        return Outcome(lease, JobState.CANCELLED, started_us, body)
    if isinstance(error, Permanent | Cancelled):
        return _failed(lease, started_us, body)
    return failed_attempt(lease, spec, started_us, body)


def failed_attempt(lease: Lease, spec: Spec, started_us: int, body: bytes) -> Outcome:
    """As `raised`, for an error that is not the handler's own (a time limit, a type without handler)."""
    if lease.attempt >= lease.max_attempts:
        return _failed(lease, started_us, body)
    doublings = min(lease.attempt - 1, MAX_DOUBLINGS)
    delay = min(spec.backoff_seconds * 2**doublings, spec.backoff_max_seconds)
    return Outcome(lease, JobState.RETRYING, started_us, body, delay)


def interrupted(lease: Lease, started_us: int) -> Outcome:
    """The worker had to stop while the job ran: it runs again at once, elsewhere, or has failed if its attempts are spent."""
    body = error_text("WorkerStopped", "the worker stopped before the job had ended")
    state = JobState.RETRYING if lease.attempt < lease.max_attempts else JobState.FAILED
    return Outcome(lease, state, started_us, body)


def _failed(lease: Lease, started_us: int, body: bytes) -> Outcome:
    return Outcome(lease, JobState.FAILED, started_us, body)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as other:  # noqa: BLE001 - an exception whose text cannot be made must not take the worker down
        return f"(its text cannot be read: {type(other).__name__})"

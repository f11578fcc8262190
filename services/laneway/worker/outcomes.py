"""Turns what a handler returned or raised into the outcome of its attempt.

Whatever a handler returned or raised, the body of the outcome is valid JSON text.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import orjson

from laneway.handlers import Cancelled, Permanent, Spec
from laneway.handlers.errors import Fault, Misfit
from laneway.handlers.results import to_json
from laneway.lanes.model import JobState, Lease, Outcome

WORKER_STOPPED = "the worker stopped before the job had ended"
MAX_MESSAGE_CHARACTERS = 4000
MAX_DOUBLINGS = 64
"""Limit of the backoff's exponent: a float cannot hold 2 to the power of 1,024."""


def error_text(type_: str, message: str, faults: Sequence[Fault] = ()) -> bytes:
    """Return an error as JSON text: `type`, `message`, and `errors` if there are faults.

    Characters that UTF-8 cannot hold become escapes.
    """
    clean = message[:MAX_MESSAGE_CHARACTERS].encode("utf-8", "backslashreplace").decode()
    error: dict[str, Any] = {"type": type_.encode("utf-8", "backslashreplace").decode(), "message": clean}
    if faults:
        error["errors"] = [fault._asdict() for fault in faults]
    return orjson.dumps(error)


def returned(lease: Lease, started_us: int, value: Any, max_bytes: int) -> Outcome:
    """Make the outcome of a handler that returned: success, or a failure for good if `value` is not JSON or too large."""
    try:
        body = to_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        message = f"the handler's result is not JSON: {error}"
        if inspect.iscoroutine(value):
            value.close()
            message += "; write `async def`, and functools.wraps in a decorator between @handler and an async function"
        return _failed(lease, started_us, error_text("ResultNotJSON", message))
    if len(body) > max_bytes:
        return _failed(
            lease,
            started_us,
            error_text("ResultTooLarge", f"the result has {len(body)} bytes, {max_bytes} are allowed"),
        )
    return Outcome(lease, JobState.SUCCEEDED, started_us, body)


def raised(
    lease: Lease, spec: Spec, started_us: int, error: BaseException, *, asked_to_stop: bool = False
) -> Outcome:
    """Make the outcome of a handler that raised: a retry after a backoff, a failure for good, or a cancellation."""
    faults = error.faults if isinstance(error, Misfit) else ()
    body = error_text(type(error).__name__, _message(error), faults)
    if asked_to_stop:
        return Outcome(lease, JobState.CANCELLED, started_us, body)
    if isinstance(error, Permanent | Cancelled):
        return _failed(lease, started_us, body)
    return failed_attempt(lease, spec, started_us, body)


def failed_attempt(lease: Lease, spec: Spec, started_us: int, body: bytes) -> Outcome:
    """Make the outcome of an attempt that failed by no exception of the handler's, for example by a time limit."""
    if lease.attempt >= lease.max_attempts:
        return _failed(lease, started_us, body)
    doublings = min(lease.attempt - 1, MAX_DOUBLINGS)
    delay_seconds = min(spec.backoff_seconds * 2**doublings, spec.backoff_max_seconds)
    return Outcome(lease, JobState.RETRYING, started_us, body, delay_seconds)


def cut_short(lease: Lease, started_us: int, reason: str) -> Outcome:
    """Make the outcome of a run that somebody else ended: the job comes back to the head of its lane, uncharged."""
    return Outcome(lease, JobState.QUEUED, started_us, reason.encode())


def _failed(lease: Lease, started_us: int, body: bytes) -> Outcome:
    return Outcome(lease, JobState.FAILED, started_us, body)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as other:  # noqa: BLE001 - an exception whose text cannot be made must not end the worker
        return f"(its text cannot be read: {type(other).__name__})"

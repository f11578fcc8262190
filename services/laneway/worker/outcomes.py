"""What comes of an attempt: turns what a handler returned or raised into an outcome.

Whatever a handler returned or raised, the body of the outcome is valid JSON text.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Sequence
from enum import Enum
from typing import Any

import orjson

from laneway.handlers import Cancelled, Permanent, Spec
from laneway.handlers.errors import Fault, Misfit
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
        body = orjson.dumps(value)
        if b"null" in body and (place := _no_number(value)) is not None:
            raise ValueError(f"JSON has no NaN and no Infinity, and {place} is one: return None or a text")
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


def _no_number(value: Any) -> str | None:
    """Return the place of the first NaN or Infinity, which orjson writes as `null`: a JSON pointer. None if there is none."""
    todo: list[tuple[str, Any]] = [("#", value)]
    while todo:
        place, item = todo.pop()
        if isinstance(item, float):
            if not math.isfinite(item):
                return place
        elif isinstance(item, Enum):
            todo.append((place, item.value))
        elif isinstance(item, dict):
            todo += reversed([(f"{place}/{name}", inner) for name, inner in item.items()])
        elif isinstance(item, list | tuple):
            todo += reversed([(f"{place}/{at}", inner) for at, inner in enumerate(item)])
        elif dataclasses.is_dataclass(item):
            names = [field.name for field in dataclasses.fields(item)]
            todo += reversed([(f"{place}/{name}", getattr(item, name, None)) for name in names])
    return None


def _failed(lease: Lease, started_us: int, body: bytes) -> Outcome:
    return Outcome(lease, JobState.FAILED, started_us, body)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as other:  # noqa: BLE001 - an exception whose text cannot be made must not end the worker
        return f"(its text cannot be read: {type(other).__name__})"

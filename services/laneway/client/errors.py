"""What a call can raise. Each error has the status and the problem document of the answer, where there was one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import httpx2
import msgspec


class ClientError(Exception):
    """Base of all errors of the client."""


class JobNotEnded(ClientError):
    """`wait` ran out of time. The job goes on; wait again or cancel it."""

    def __init__(self, job_id: str, timeout_seconds: float) -> None:
        super().__init__(f"job {job_id} has not ended within {timeout_seconds:g} s")
        self.job_id = job_id


class OperationNotEnded(ClientError):
    """`wait` ran out of time. The operation goes on; wait again or cancel it."""

    def __init__(self, operation_id: str, timeout_seconds: float) -> None:
        super().__init__(f"operation {operation_id} has not ended within {timeout_seconds:g} s")
        self.operation_id = operation_id


class ServerUnavailable(ClientError):
    """The API could not be reached, or answered 5xx: Redis or MongoDB is away, or the process is shutting down.

    `retry_after_seconds` is what the server asked for, None where it did not say.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class _Problem(msgspec.Struct, frozen=True):
    """A problem document (RFC 9457)."""

    type: str = "about:blank"
    title: str = ""
    detail: str = ""
    errors: Sequence[Mapping[str, Any]] = ()


class RequestRefused(ClientError):
    """The API answered 4xx: sent again unchanged, the request would be refused again.

    `slug` is the last part of the problem's type, for programs to compare; `errors` has a JSON pointer and a sentence for
    each fault in the body.
    """

    status: ClassVar[int] = 400

    def __init__(self, problem: _Problem, retry_after_seconds: float | None = None) -> None:
        super().__init__(problem.detail or problem.title)
        self.slug = problem.type.rpartition(":")[2]
        self.title = problem.title
        self.errors = problem.errors
        self.retry_after_seconds = retry_after_seconds


class Unauthorized(RequestRefused):
    """The token is missing, expired or revoked, and the client has no password to log in again."""

    status = 401


class Forbidden(RequestRefused):
    """The caller's role does not allow this."""

    status = 403


class NotFound(RequestRefused):
    """There is no such thing, or it belongs to another user."""

    status = 404


class Conflict(RequestRefused):
    """The state of the thing does not allow this: the job has ended, say."""

    status = 409


class TooManyRequests(RequestRefused):
    """The lane is full, or requests come faster than the user's rate."""

    status = 429


_BY_STATUS = {kind.status: kind for kind in (Unauthorized, Forbidden, NotFound, Conflict, TooManyRequests)}


def error_for(response: httpx2.Response) -> ClientError:
    """The exception for an answer of 400 or more. The body must have been read."""
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except msgspec.DecodeError:  # a proxy's page, say
        problem = _Problem(title=f"{response.status_code} {response.reason_phrase}")
    retry_after_seconds = _seconds(response.headers.get("retry-after"))
    if response.status_code >= 500:
        return ServerUnavailable(problem.detail or problem.title, retry_after_seconds=retry_after_seconds)
    return _BY_STATUS.get(response.status_code, RequestRefused)(problem, retry_after_seconds)


def _seconds(header: str | None) -> float | None:
    """`Retry-After` in seconds. The API never sends the other form, a date."""
    try:
        return float(header) if header else None
    except ValueError:
        return None

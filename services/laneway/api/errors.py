"""Errors as problem documents (RFC 9457): the one place that knows which error is which HTTP status.

`type` is a URN that programs can compare, `detail` is for people. What was not foreseen is logged and answered with a bare 500.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from laneway.api.security import InvalidToken
from laneway.lanes import errors as lane_errors
from laneway.storage.documents import HistoryUnavailable
from laneway.storage.passwords import TooManyPasswords
from laneway.storage.users import CannotRegister, UsersUnavailable, WrongCredentials

MEDIA_TYPE = "application/problem+json"
WARN_SECONDS = 1.0
log = structlog.get_logger()
_warned: dict[str, tuple[int, float]] = {}
"""What was warned of: how often it has happened since, and when that was."""

_TITLES = {
    "already-ended": "The job has ended",
    "bad-request": "The request is malformed",
    "body-too-large": "The body is too large",
    "cannot-register": "This user cannot be registered",
    "draining": "This process is shutting down",
    "forbidden": "The role of the caller does not allow this",
    "history-backlog": "Ended jobs are waiting for MongoDB",
    "head-too-large": "The headers are too large",
    "history-unavailable": "MongoDB is not available",
    "idempotency-mismatch": "The idempotency key belongs to another request",
    "internal": "Something went wrong here",
    "invalid-credentials": "Wrong username or password",
    "invalid-token": "The token is missing or not valid",
    "lane-full": "The lane is full",
    "method-not-allowed": "This method is not allowed here",
    "not-found": "There is nothing here",
    "store-unavailable": "Redis is not available",
    "too-fast": "Requests come too fast",
    "too-slow": "The request took too long to come",
    "too-many-connections": "Too many live connections",
    "too-many-passwords": "Too many log-ins at once",
    "unknown-job": "There is no such job",
    "unknown-type": "No handler has this type",
    "unknown-user": "There is no such user",
    "upgrade-required": "This is a WebSocket",
    "users-unavailable": "MongoDB is not available",
}


class Problem(Exception):
    """An answer that is an error. `errors`: where in the body it is, as JSON pointers."""

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        *,
        retry_after_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.headers = dict(headers or {})
        if retry_after_seconds is not None:
            self.headers["retry-after"] = str(max(1, math.ceil(retry_after_seconds)))
        self.errors = errors

    def body(self) -> bytes:
        document: dict[str, Any] = {
            "type": f"urn:laneway:problem:{self.slug}",
            "title": _TITLES[self.slug],
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = list(self.errors)
        return orjson.dumps(document)

    def response(self) -> Response:
        return Response(
            self.body(), self.status, {**self.headers, "cache-control": "no-store"}, media_type=MEDIA_TYPE
        )


def problem_of(error: Exception) -> Problem:
    """What to answer for an error; one that was not foreseen is logged."""
    match error:
        case Problem():
            return error
        case InvalidToken():
            challenge = 'Bearer realm="laneway"' + ("" if error.missing else ', error="invalid_token"')
            return Problem(401, "invalid-token", str(error), headers={"www-authenticate": challenge})
        case lane_errors.TokenRevoked():
            return problem_of(InvalidToken(str(error)))
        case lane_errors.LaneFull():
            return Problem(429, "lane-full", str(error), retry_after_seconds=error.retry_after_seconds)
        case lane_errors.TooFast():
            return Problem(429, "too-fast", str(error), retry_after_seconds=error.retry_after_seconds)
        case lane_errors.HistoryBacklogFull():
            return Problem(503, "history-backlog", str(error), retry_after_seconds=error.retry_after_seconds)
        case lane_errors.IdempotencyMismatch():
            return Problem(400, "idempotency-mismatch", str(error))
        case lane_errors.StoreUnavailable():
            _warn("store_unavailable", error)
            return Problem(
                503, "store-unavailable", "Redis does not answer; try again", retry_after_seconds=1
            )
        case HistoryUnavailable():
            _warn("history_unavailable", error)
            return Problem(
                503, "history-unavailable", "MongoDB does not answer; try again", retry_after_seconds=2
            )
        case UsersUnavailable():
            _warn("users_unavailable", error)
            return Problem(
                503, "users-unavailable", "MongoDB does not answer; try again", retry_after_seconds=2
            )
        case CannotRegister():
            return Problem(
                400, "cannot-register", str(error), errors=[_at(["body", error.field], str(error))]
            )
        case WrongCredentials():
            return Problem(400, "invalid-credentials", str(error))
        case TooManyPasswords():
            return Problem(
                503, "too-many-passwords", str(error), retry_after_seconds=error.retry_after_seconds
            )
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            return _http(error)
    log.error("unexpected_error", exc_info=error)
    return Problem(500, "internal", "the error has been logged")


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem document."""

    async def answer(_request: Request, error: Exception) -> Response:
        return problem_of(error).response()

    for kind in (
        Exception,
        Problem,
        InvalidToken,
        lane_errors.LaneError,
        HistoryUnavailable,
        CannotRegister,
        WrongCredentials,
        TooManyPasswords,
        UsersUnavailable,
        RequestValidationError,
        HTTPException,
    ):
        app.add_exception_handler(kind, answer)


def _warn(event: str, error: Exception) -> None:
    """At most once a second: an outage meets every request."""
    now = time.monotonic()
    count, since = _warned.get(event, (0, now - WARN_SECONDS))
    if now - since < WARN_SECONDS:
        _warned[event] = (count + 1, since)
        return
    _warned[event] = (0, now)
    log.warning(event, error=str(error), more=count)


def _invalid(error: RequestValidationError) -> Problem:
    errors = [_at(item["loc"], item["msg"]) for item in error.errors()[:20]]
    detail = "; ".join(f"{item['pointer']}: {item['detail']}" for item in errors[:3])
    return Problem(400, "bad-request", detail or "the request is malformed", errors=errors)


def _at(location: Sequence[str | int], message: str) -> dict[str, str]:
    """Where and what; the first part of a location is body, query, path or header. Names of the sender's are cut short."""
    pointer = "/".join(str(part)[:64].encode("utf-8", "replace").decode() for part in location)
    return {"pointer": "#/" + pointer, "detail": message[:200].encode("utf-8", "replace").decode()}


def _http(error: HTTPException) -> Problem:
    match error.status_code:
        case 404:
            return Problem(404, "not-found", "there is no such path")
        case 405:
            return Problem(405, "method-not-allowed", "see the Allow header", headers=error.headers)
        case 413:
            return Problem(413, "body-too-large", str(error.detail), headers={"connection": "close"})
        case status if status < 500:
            return Problem(400, "bad-request", str(error.detail))
    log.error("unexpected_error", exc_info=error)
    return Problem(500, "internal", "the error has been logged")

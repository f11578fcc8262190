"""Which error is answered with which problem. Nothing else maps errors to HTTP.

An error that is not in the table is a bug: it is logged with its traceback and answered with a bare 500.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from laneway.api.problem import Problem, at, bad_request
from laneway.api.tokens import InvalidToken
from laneway.fire_times import InvalidTiming
from laneway.lanes import errors as lane_errors
from laneway.oidc.fetched import IssuerUnavailable
from laneway.storage.api_keys import TooManyKeys
from laneway.storage.documents import HistoryUnavailable
from laneway.storage.operations import OperationsUnavailable, TooManyOperations
from laneway.storage.passwords import TooManyPasswords, UnacceptablePassword
from laneway.storage.schedules import SchedulesUnavailable, TooManySchedules
from laneway.storage.users import CannotRegister, LastAdministrator, UsersUnavailable, WrongCredentials
from laneway.storage.webhooks import TooManyWebhooks, WebhooksUnavailable

WARN_SECONDS = 1.0
"""An outage meets every request. It is logged this often."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answer:
    """How an error is answered. Its text is the detail, unless `detail` replaces it.

    `log_event` names a warning to log. An error's own `retry_after_seconds` comes before the one given here.
    """

    status: int
    slug: str
    detail: str | None = None
    retry_after_seconds: float | None = None
    log_event: str = ""

    def problem(self, error: Exception) -> Problem:
        """Build the problem, and log the error if it is worth a warning."""
        if self.log_event:
            _warn(self.log_event, error)
        wait = getattr(error, "retry_after_seconds", self.retry_after_seconds)
        return Problem(self.status, self.slug, self.detail or str(error), retry_after_seconds=wait)


def _invalid_token(error: InvalidToken | lane_errors.TokenRevoked) -> Problem:
    missing = isinstance(error, InvalidToken) and error.missing
    challenge = 'Bearer realm="laneway"' + ("" if missing else ', error="invalid_token"')
    return Problem(401, "invalid-token", str(error), headers={"www-authenticate": challenge})


def _store_unavailable(error: lane_errors.StoreUnavailable) -> Problem:
    _warn("store_unavailable", error)
    return Problem(503, "store-unavailable", f"{error.reason}; try again", retry_after_seconds=1)


def _cannot_register(error: CannotRegister) -> Problem:
    return Problem(400, "cannot-register", str(error), errors=[at(["body", error.field], str(error))])


def _invalid_timing(error: InvalidTiming) -> Problem:
    return bad_request(str(error), f"#/body/{error.field}")


def _unacceptable(error: UnacceptablePassword) -> Problem:
    errors = [at(["body", "new_password"], str(error))]
    return Problem(400, "unacceptable-password", str(error), errors=errors)


def _invalid_request(error: RequestValidationError) -> Problem:
    errors = [at(item["loc"], item["msg"]) for item in error.errors()[:20]]
    detail = "; ".join(f"{item['pointer']}: {item['detail']}" for item in errors[:3])
    return Problem(400, "bad-request", detail or "the request is malformed", errors=errors)


def _http(error: HTTPException) -> Problem:
    match error.status_code:
        case 404:
            return Problem(404, "not-found", "there is no such path; paths have no slash at their end")
        case 405:
            return Problem(405, "method-not-allowed", "see the Allow header", headers=error.headers)
        case 413:
            return Problem(413, "body-too-large", str(error.detail), headers={"connection": "close"})
        case status if status < 500:
            return Problem(400, "bad-request", str(error.detail))
    return _unexpected(error)


def _unexpected(error: Exception) -> Problem:
    log.error("request_failed", exc_info=error)
    return Problem(500, "internal", "the error has been logged")


_MONGO_AWAY = "MongoDB does not answer; try again"
_MONGO_REFUSES = (
    "MongoDB refuses the user or the password: correct LANEWAY_MONGO_URL or LANEWAY_MONGO_PASSWORD"
)


def _mongo_unavailable(kind: str) -> Callable[[Exception], Problem]:
    def problem(error: Exception) -> Problem:
        _warn(kind.replace("-", "_"), error)
        detail = _MONGO_REFUSES if "AuthenticationFailed" in str(error) else _MONGO_AWAY
        return Problem(503, kind, detail, retry_after_seconds=2)

    return problem


_TABLE: Mapping[type[Exception], Answer | Callable[[Any], Problem]] = {
    Problem: lambda problem: problem,
    InvalidToken: _invalid_token,
    lane_errors.TokenRevoked: _invalid_token,
    lane_errors.LaneFull: Answer(429, "lane-full"),
    lane_errors.TooFast: Answer(429, "too-fast"),
    lane_errors.IdempotencyMismatch: Answer(400, "idempotency-mismatch"),
    lane_errors.HistoryBacklogFull: Answer(503, "history-backlog"),
    lane_errors.StoreUnavailable: _store_unavailable,
    IssuerUnavailable: Answer(
        503,
        "issuer-unavailable",
        "the OpenID Connect issuer cannot be used now; passwords, tokens of this API and API keys still work",
        retry_after_seconds=2,
        log_event="issuer_unavailable",
    ),
    HistoryUnavailable: _mongo_unavailable("history-unavailable"),
    UnacceptablePassword: _unacceptable,
    UsersUnavailable: _mongo_unavailable("users-unavailable"),
    CannotRegister: _cannot_register,
    LastAdministrator: Answer(409, "last-administrator"),
    WrongCredentials: Answer(400, "invalid-credentials"),
    InvalidTiming: _invalid_timing,
    SchedulesUnavailable: _mongo_unavailable("schedules-unavailable"),
    TooManySchedules: Answer(409, "too-many-schedules"),
    OperationsUnavailable: _mongo_unavailable("operations-unavailable"),
    TooManyOperations: Answer(409, "too-many-operations"),
    WebhooksUnavailable: _mongo_unavailable("webhooks-unavailable"),
    TooManyWebhooks: Answer(409, "too-many-webhooks"),
    TooManyKeys: Answer(409, "too-many-keys"),
    TooManyPasswords: Answer(503, "too-many-passwords", log_event="passwords_refused"),
    RequestValidationError: _invalid_request,
    HTTPException: _http,
    Exception: _unexpected,
}


def problem_of(error: Exception) -> Problem:
    """Return the problem for an error: the entry of its nearest base class in the table."""
    for kind in type(error).__mro__:
        answer = _TABLE.get(kind)
        if answer is not None:
            return answer.problem(error) if isinstance(answer, Answer) else answer(error)
    return _unexpected(error)


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem document."""

    async def answer(request: Request, error: Exception) -> Response:
        response = problem_of(error).response()
        if response.status_code == 405:
            response.headers["allow"] = _allowed_methods(app, request)
        return response

    for kind in _TABLE:
        app.add_exception_handler(kind, answer)


def _allowed_methods(app: FastAPI, request: Request) -> str:
    """Return all methods of a path. The framework's own answer names those of one endpoint."""
    operations = app.openapi()["paths"].get(getattr(request.scope.get("route"), "path", ""), ())
    methods = {method.upper() for method in operations} or {"GET"}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods and not operations else set())))


_warned: dict[str, tuple[int, float]] = {}
"""By log event: how many were left out since the last line, and when that line was written."""


def _warn(event: str, error: Exception) -> None:
    now = time.monotonic()
    count, since = _warned.get(event, (0, now - WARN_SECONDS))
    if now - since < WARN_SECONDS:
        _warned[event] = (count + 1, since)
        return
    _warned[event] = (0, now)
    log.warning(event, error=str(error), more=count)

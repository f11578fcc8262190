"""Problem documents (RFC 9457): the form of every answer that reports an error.

`type` is a URN that programs can compare, `title` is the same for all problems of a type, and `detail` says what is wrong
this time. Which error becomes which problem is in `laneway.api.errors`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.responses import Response

from laneway.telemetry import request_id

MEDIA_TYPE = "application/problem+json"
TITLES = {
    "already-ended": "The job has ended",
    "bad-request": "The request is malformed",
    "body-too-large": "The body is too large",
    "cannot-register": "This user cannot be registered",
    "disabled-by-administrator": "An administrator has disabled the webhook",
    "draining": "This process is shutting down",
    "forbidden": "The caller's role does not allow this",
    "head-too-large": "The headers are too large",
    "history-backlog": "Ended jobs are waiting for MongoDB",
    "history-unavailable": "MongoDB is not available",
    "history-long": "The history is long",
    "idempotency-mismatch": "The idempotency key belongs to another request",
    "internal": "Internal error",
    "invalid-code": "The issuer's log-in cannot be used",
    "invalid-credentials": "Wrong username or password",
    "invalid-link": "The log-in link cannot be used",
    "invalid-payload": "The payload does not fit its type",
    "invalid-token": "The token is missing or not valid",
    "issuer-unavailable": "The OpenID Connect issuer is not available",
    "last-administrator": "The last administrator keeps the role",
    "lane-full": "The lane is full",
    "log-in-too-old": "The log-in is too old",
    "log-in-needed": "An API key will not do",
    "malformed-http": "The request is not valid HTTP",
    "missing-scope": "The API key does not allow this",
    "method-not-allowed": "The method is not allowed for this path",
    "not-invited": "Registration needs an invitation",
    "no-issuer": "OpenID Connect is not set up",
    "not-a-user": "The issuer's user is no user here",
    "not-disabled-by-administrator": "No administrator has disabled the webhook",
    "not-ended": "The job has not ended",
    "not-found": "There is no such path",
    "operation-ended": "The operation has ended",
    "operations-unavailable": "MongoDB is not available",
    "registration-closed": "Registration is closed",
    "schedules-unavailable": "MongoDB is not available",
    "starting": "The system has just started",
    "store-unavailable": "Redis is not available",
    "too-fast": "Requests come too fast",
    "too-many-log-ins": "Too many log-ins wait for the issuer",
    "too-many-connections": "Too many live connections",
    "unique-key-taken": "Another job has the unique key",
    "too-many-keys": "The user has too many API keys",
    "too-many-operations": "The user has too many operations",
    "too-many-schedules": "The user has too many schedules",
    "too-many-webhooks": "The user has too many webhooks",
    "too-many-registrations": "Too many registrations from one address",
    "too-many-passwords": "Too many passwords are waiting to be checked",
    "too-slow": "The body took too long to arrive",
    "unknown-job": "There is no such job",
    "unknown-key": "There is no such API key",
    "unknown-operation": "There is no such operation",
    "unknown-schedule": "There is no such schedule",
    "unknown-type": "No handler has this type",
    "unknown-user": "There is no such user",
    "unknown-webhook": "There is no such webhook",
    "unacceptable-password": "The new password breaks a rule",
    "users-unavailable": "MongoDB is not available",
    "webhooks-off": "There are no webhooks here",
    "webhooks-unavailable": "MongoDB is not available",
}
"""By the last part of `type`."""


class Problem(Exception):
    """An error to be answered as a problem document."""

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
        """`slug` is a key of `TITLES`. `errors` say where in the request the mistakes are; see `at`."""
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.headers = dict(headers or {})
        if retry_after_seconds is not None:
            self.headers["retry-after"] = str(max(1, math.ceil(retry_after_seconds)))
        self.errors = errors

    def body(self) -> bytes:
        """Return the document as JSON text."""
        document: dict[str, Any] = {
            "type": f"urn:laneway:problem:{self.slug}",
            "title": TITLES[self.slug],
            "status": self.status,
            "detail": self.detail,
            **request_id.fields(),
        }
        if self.errors:
            document["errors"] = list(self.errors)
        return orjson.dumps(document)

    def response(self) -> Response:
        """Return the answer, which no cache may keep."""
        return Response(
            self.body(), self.status, {**self.headers, "cache-control": "no-store"}, media_type=MEDIA_TYPE
        )


def bad_request(detail: str, pointer: str = "") -> Problem:
    """A malformed request. `pointer` is the JSON pointer of the mistake, for example `#/body/requests/3`."""
    if not pointer:
        return Problem(400, "bad-request", detail)
    return Problem(
        400, "bad-request", f"{pointer}: {detail}", errors=[{"pointer": pointer, "detail": detail}]
    )


def at(location: Sequence[str | int], message: str) -> dict[str, str]:
    """One entry of `errors`. `location` begins with body, query, path or header. Names that the client chose are cut."""
    pointer = "/".join(str(part)[:64].encode("utf-8", "replace").decode() for part in location)
    return {"pointer": "#/" + pointer, "detail": message[:200].encode("utf-8", "replace").decode()}

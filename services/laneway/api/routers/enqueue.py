"""`POST /api/enqueue` and `/api/enqueue/batch`.

One round trip to Redis accepts the jobs, checks the limits and the idempotency key, and refuses a revoked token. Requests that
come at the same time share it. Headers and body are read by hand: the framework's way costs several times the work itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.types import Receive

from laneway.api import body, metrics, schemas, views
from laneway.api.deps import problems, system_of
from laneway.api.intake import fingerprint, idempotency_key
from laneway.api.problem import bad_request
from laneway.api.system import System
from laneway.api.tokens import Token, authorization_of
from laneway.api.unique_keys import raise_if_duplicate
from laneway.lanes.commands import Enqueue
from laneway.lanes.model import Accepted, NewJob
from laneway.scopes import Scope
from laneway.telemetry import job_events

PATH = "/api/enqueue"
router = APIRouter(tags=["jobs"])
_accepted_total = metrics.jobs_total.labels("queued")
IDEMPOTENCY: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            "description": "Repeating a request with its key returns the jobs of the first time, for a day.",
        }
    ],
}
_SECURITY: dict[str, Any] = {"security": [{"HTTPBearer": []}]}


async def accept_one(system: System, headers: Iterable[tuple[bytes, bytes]], receive: Receive) -> bytes:
    """Accept one request; return the answer. Raises Problem, InvalidToken, LaneError."""
    token, key = await _token_and_key(system, headers)
    job = system.intake.one(await body.read(headers, receive, system.intake.body_bytes))
    accepted = await accept(system, token, (job,), key)
    message, is_duplicate = (b"duplicate", b"true") if accepted.duplicates else (b"accepted", b"false")
    return b'{"message":"%b","job_id":"%b","position":%d,"duplicate":%b}' % (
        message,
        accepted.job_ids[0].encode(),
        accepted.position,
        is_duplicate,
    )


async def accept_many(system: System, headers: Iterable[tuple[bytes, bytes]], receive: Receive) -> bytes:
    """Accept a batch; return the answer. Raises Problem, InvalidToken, LaneError."""
    token, key = await _token_and_key(system, headers)
    jobs = system.intake.many(await body.read(headers, receive, system.intake.batch_bytes))
    accepted = await accept(system, token, jobs, key)
    return b'{"message":"accepted","job_ids":["%b"],"position":%d,"duplicates":[%b]}' % (
        '","'.join(accepted.job_ids).encode(),
        accepted.position,
        ",".join(map(str, accepted.duplicates)).encode(),
    )


async def _token_and_key(system: System, headers: Iterable[tuple[bytes, bytes]]) -> tuple[Token, str]:
    key = key_in(headers)
    token = await system.callers.verify(authorization_of(headers))
    token.require(Scope.ENQUEUE)
    return token, key


def key_in(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the idempotency key of a request, '' if it has none. Raises Problem."""
    key = None
    for name, value in headers:
        if name == b"idempotency-key":
            if key is not None:
                raise bad_request("send one Idempotency-Key header, not several")
            key = value
    return "" if key is None else idempotency_key(key)


async def accept(system: System, token: Token, jobs: Sequence[NewJob], key: str) -> Accepted:
    """Accept jobs of the token's user, under an idempotency key or ''. Raises LaneError."""
    digest = fingerprint(jobs) if key else ""
    accepted = await system.lanes.run(
        Enqueue(token.user, jobs, system.limits, key, digest, token.token_id, token.logged_in_ms)
    )
    report(system, token.user, jobs, accepted)
    return accepted


async def accept_again(system: System, token: Token, job: NewJob, key: str) -> Response:
    """Accept a request that was accepted before, as `accept` does; return the answer. Raises LaneError and Problem."""
    accepted = await accept(system, token, (job,), key)
    raise_if_duplicate(accepted)
    return answer(accepted)


def answer(accepted: Accepted) -> Response:
    """Return the answer about one job that is no duplicate."""
    job_id, position = accepted.job_ids[0], accepted.position
    return views.answer({"message": "accepted", "job_id": job_id, "position": position, "duplicate": False})


def report(system: System, user: str, jobs: Sequence[NewJob], accepted: Accepted) -> None:
    """Count the jobs that an enqueue has made, and write their lines in the log."""
    new = accepted.new
    if not new:
        return
    _accepted_total.inc(len(new))
    system.acceptances.add(accepted.job_ids[new[0]], len(new))
    for i in new:
        system.job_lines.add(job_events.accepted(accepted.job_ids[i], user, jobs[i].type))


@router.post(
    PATH,
    response_model=schemas.Enqueued,
    responses=problems(400, 401, 403, 408, 413, 429, 503),
    openapi_extra=body.documented(schemas.NewRequest) | IDEMPOTENCY | _SECURITY,
)
async def enqueue(request: Request) -> Response:
    """Put a request into the caller's lane. 200 means that it is stored and will be processed, whatever happens.

    With `delay` or `not_before` the job enters the lane at that moment. Jobs of one moment enter in the order of their acceptance.
    Until then the job is `queued`, without a position, counts in the lane's length, and can be cancelled.

    While a job of the caller with the same `unique_key` is queued, running, delayed or waiting for a retry, no second one is
    made: the answer says `"duplicate": true` and names that job.

    A payload that does not fit its type (`GET /api/types`) is answered 400, `invalid-payload`: `errors` says what is wrong where.
    """
    # `laneway.api.hot_path` serves this path. This function is its documentation, and serves it where the other is left out.
    content = await accept_one(system_of(request.scope), request.scope["headers"], request.receive)
    return Response(content, headers={"cache-control": "no-store"}, media_type="application/json")


@router.post(
    PATH + "/batch",
    response_model=schemas.EnqueuedBatch,
    responses=problems(400, 401, 403, 408, 413, 429, 503),
    openapi_extra=body.documented(schemas.NewRequests) | IDEMPOTENCY | _SECURITY,
)
async def enqueue_batch(request: Request) -> Response:
    """Put several requests into the caller's lane, in this order: all of them or none.

    `duplicates` says which requests made no job because another job holds their `unique_key`. That may be one of the same batch.

    A 400, `invalid-payload`, names the payloads that do not fit: `#/body/requests/3/request/...` is the fourth.
    """
    content = await accept_many(system_of(request.scope), request.scope["headers"], request.receive)
    return Response(content, headers={"cache-control": "no-store"}, media_type="application/json")

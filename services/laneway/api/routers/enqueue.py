"""`POST /api/enqueue`, the hot path, and `/api/enqueue/batch`.

One round trip to Redis, shared with the requests that come at the same time, accepts the jobs, checks limits and the idempotency key, and
refuses a revoked token. Everything else about them is done here by hand: the framework's way costs several times the work itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from laneway.api import body, metrics, schemas
from laneway.api.deps import problems, system_of
from laneway.api.errors import MEDIA_TYPE, problem_of
from laneway.api.intake import fingerprint, idempotency_key
from laneway.api.system import System
from laneway.lanes.commands import Enqueue
from laneway.lanes.model import Accepted, NewJob
from laneway.telemetry import job_events

PATH = "/api/enqueue"
router = APIRouter(tags=["jobs"])
_accepted_total = metrics.jobs_total.labels("queued")
_HEADERS = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
_IDEMPOTENCY = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            "description": "The same key with the same body answers the same jobs again, for a day.",
        }
    ],
    "security": [{"HTTPBearer": []}],
}


async def accept_one(system: System, headers: Iterable[tuple[bytes, bytes]], receive: Receive) -> bytes:
    """The answer. Raises Problem, InvalidToken, LaneError."""
    authorization, key = _picked(headers)
    token = system.tokens.verify(authorization)
    job = system.intake.one(await body.read(headers, receive, system.intake.body_bytes))
    accepted = await _enqueue(system, token.user, token.token_id, (job,), key)
    return b'{"message":"accepted","job_id":"%b","position":%d}' % (
        accepted.job_ids[0].encode(),
        accepted.position,
    )


async def accept_many(system: System, headers: Iterable[tuple[bytes, bytes]], receive: Receive) -> bytes:
    """The answer. Raises Problem, InvalidToken, LaneError."""
    authorization, key = _picked(headers)
    token = system.tokens.verify(authorization)
    jobs = system.intake.many(await body.read(headers, receive, system.intake.batch_bytes))
    accepted = await _enqueue(system, token.user, token.token_id, jobs, key)
    return b'{"message":"accepted","job_ids":["%b"],"position":%d}' % (
        '","'.join(accepted.job_ids).encode(),
        accepted.position,
    )


def _picked(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, str]:
    authorization, key = b"", ""
    for name, value in headers:
        if name == b"authorization":
            authorization = value
        elif name == b"idempotency-key":
            key = idempotency_key(value)
    return authorization, key


async def _enqueue(system: System, user: str, token_id: str, jobs: Sequence[NewJob], key: str) -> Accepted:
    accepted = await system.lanes.run(
        Enqueue(user, jobs, system.limits, key, fingerprint(jobs) if key else "", token_id)
    )
    if not accepted.repeated:
        _accepted_total.inc(len(jobs))
        for job_id, job in zip(accepted.job_ids, jobs, strict=True):
            system.job_lines.add(job_events.accepted(job_id, user, job.type))
    return accepted


async def serve(scope: Scope, receive: Receive, send: Send) -> int:
    """Answer `POST /api/enqueue` as a bare ASGI application; the status."""
    status, extra = 200, _HEADERS
    try:
        content = await accept_one(system_of(scope), scope["headers"], receive)
    except Exception as error:  # noqa: BLE001 - problem_of logs what was not foreseen
        problem = problem_of(error)
        status, content = problem.status, problem.body()
        extra = [(b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store")]
        extra += [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    headers = [*extra, (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
    return status


@router.post(
    PATH,
    response_model=schemas.Enqueued,
    responses=problems(400, 401, 413, 429, 503),
    openapi_extra=body.documented(schemas.NewRequest) | _IDEMPOTENCY,
)
async def enqueue(request: Request) -> Response:
    """Put a request into the caller's lane. 200 means that it is kept and will end, whatever happens.

    (`laneway.api.front` serves this path; this is its documentation, and what would serve it otherwise.)
    """
    content = await accept_one(system_of(request.scope), request.headers.raw, request.receive)
    return Response(content, headers={"cache-control": "no-store"}, media_type="application/json")


@router.post(
    PATH + "/batch",
    response_model=schemas.EnqueuedBatch,
    responses=problems(400, 401, 413, 429, 503),
    openapi_extra=body.documented(schemas.NewRequests) | _IDEMPOTENCY,
)
async def enqueue_batch(request: Request) -> Response:
    """Put several requests into the caller's lane, in this order: all of them or none."""
    content = await accept_many(system_of(request.scope), request.headers.raw, request.receive)
    return Response(content, headers={"cache-control": "no-store"}, media_type="application/json")

"""Administration of dead letters: failed jobs that nobody has retried or dropped. Operations retry or drop many at once."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from laneway.api import admin_schemas, schemas, views
from laneway.api.audit import Auditor
from laneway.api.deps import (
    Admin,
    After,
    JobId,
    Limit,
    OfType,
    OfUser,
    Sys,
    UserName,
    problems,
    unknown_job,
    valid_job_id,
)
from laneway.api.retrying import retry
from laneway.api.routers import enqueue
from laneway.api.system import System
from laneway.lanes.model import Accepted, Job
from laneway.storage.dead_letters import Selection
from laneway.storage.documents import key_of

router = APIRouter(prefix="/api/admin/dead-letters", tags=["administration"])
_PROBLEMS = problems(400, 401, 403, 503)
_PROBLEMS_OF_ONE = problems(400, 401, 403, 404, 503)


@router.get("", response_model=admin_schemas.DeadLetterPage, responses=_PROBLEMS)
async def list_dead_letters(
    _admin: Admin,
    system: Sys,
    user: OfUser = "",
    type_: OfType = "",
    failure: Annotated[
        str,
        Query(max_length=512, description="Only jobs with this kind of failure, as `/failures` lists it."),
    ] = "",
    after: After = "",
    limit: Limit = 50,
) -> Response:
    """List failed jobs that nobody has retried or dropped, ordered by user and time of acceptance."""
    jobs = await system.dead_letters.page(Selection(user, type_, failure), after, limit)
    return views.answer(
        {"jobs": [views.job(job) for job in jobs], "next": key_of(jobs[-1]) if len(jobs) == limit else None}
    )


@router.post(
    "/{user}/{job_id}/retry", response_model=schemas.Enqueued, responses=_PROBLEMS_OF_ONE | problems(409, 429)
)
async def retry_dead_letter(user: UserName, job_id: JobId, auditor: Auditor, system: Sys) -> Response:
    """Enqueue the request again as a new job of its user, and drop the dead letter. Repeating the call is harmless.

    409, `unique-key-taken`: another job has its unique key. The dead letter stays.
    """
    letter = await system.dead_letters.find(user, valid_job_id(job_id))
    if letter is None:
        raise unknown_job()
    accepted = await _retry(system, letter)
    await auditor.record("dead_letter_retried", user, job_id=job_id)
    return enqueue.answer(accepted)


@router.delete("/{user}/{job_id}", status_code=204, response_class=Response, responses=_PROBLEMS_OF_ONE)
async def drop_dead_letter(user: UserName, job_id: JobId, auditor: Auditor, system: Sys) -> Response:
    """Drop a dead letter. The job stays in its user's history."""
    if not await system.dead_letters.drop(user, valid_job_id(job_id)):
        raise unknown_job()
    await auditor.record("dead_letter_dropped", user, job_id=job_id)
    return Response(status_code=204)


async def _retry(system: System, letter: Job) -> Accepted:
    """Enqueue a request again and drop its dead letter. Raises Problem if no handler takes it any more, and Refused."""
    accepted = await retry(system, letter)
    await system.dead_letters.drop(letter.user, letter.job_id)
    return accepted

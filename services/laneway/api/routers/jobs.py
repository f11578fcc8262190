"""A user's own jobs: show one, list them, cancel one."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from laneway.api import lookup, metrics, schemas, views, why
from laneway.api.deps import Caller, Enqueuer, JobId, Limit, Sys, problems, unknown_job, valid_job_id
from laneway.api.listing import Listing
from laneway.api.problem import Problem
from laneway.api.routers import enqueue
from laneway.lanes.commands import Cancel
from laneway.lanes.model import JobState
from laneway.telemetry import job_events

router = APIRouter(prefix="/api/jobs", tags=["jobs"])


@router.get("", response_model=schemas.JobPage, responses=problems(400, 401, 403, 503))
async def list_jobs(
    system: Sys,
    caller: Caller,
    query: Listing,
    limit: Limit = 50,
) -> Response:
    """List the caller's jobs, newest first, or oldest first.

    A page may be short or even empty and still have a `next`: ask for the next page until `next` is null. A job that is asked
    for by `job_id` is left out if there is no such job of the caller, or if it does not fit the rest of the query.

    503: Redis is away, or MongoDB is. While MongoDB is away, only the states `queued`, `running` and `retrying` can be listed;
    jobs that are asked for by `job_id` can, too, as long as Redis still has all of them.
    """
    jobs, next_ = await lookup.page(system, caller.user, query, limit)
    return views.answer({"jobs": [views.job(job) for job in jobs], "next": next_})


@router.get("/{job_id}", response_model=schemas.JobReply, responses=problems(400, 401, 403, 404, 503))
async def get_job(job_id: JobId, system: Sys, caller: Caller) -> Response:
    """Show one of the caller's jobs."""
    job = await lookup.find(system, caller.user, valid_job_id(job_id))
    if job is None:
        raise unknown_job()
    return views.answer(views.job(job))


@router.get("/{job_id}/why", response_model=schemas.Why, responses=problems(400, 401, 403, 404, 503))
async def explain_job(job_id: JobId, system: Sys, caller: Caller) -> Response:
    """Say in one sentence why one of the caller's jobs has not started, with the facts behind it."""
    explained = await why.explain(system, caller.user, valid_job_id(job_id))
    if explained is None:
        raise unknown_job()
    return views.answer(explained)


@router.get("/{job_id}/logs", response_model=schemas.JobLog, responses=problems(400, 401, 403, 404, 503))
async def get_log(job_id: JobId, system: Sys, caller: Caller) -> Response:
    """Show what the handler of one of the caller's jobs has printed and logged, also while it runs."""
    log = await lookup.find_log(system, caller.user, valid_job_id(job_id))
    if log is None:
        raise unknown_job()
    return views.answer(views.log(job_id, log))


@router.post(
    "/{job_id}/again",
    response_model=schemas.Enqueued,
    responses=problems(400, 401, 403, 404, 409, 429, 503),
    openapi_extra=enqueue.IDEMPOTENCY,
)
async def run_again(job_id: JobId, request: Request, system: Sys, caller: Enqueuer) -> Response:
    """Enqueue the request of one of the caller's ended jobs again, as a new job. A failed one is no dead letter any more.

    409, `unique-key-taken`: the job has a unique key that another job holds.
    """
    key = enqueue.key_in(request.scope["headers"])
    job = await lookup.find(system, caller.user, valid_job_id(job_id))
    if job is None:
        raise unknown_job()
    if not job.state.ended:
        raise Problem(409, "not-ended", f"the job is {job.state}: only what has ended can be run again")
    again = system.intake.again(job.type, job.request, job.unique_key)
    answer = await enqueue.accept_again(system, caller, again, key)
    if job.state is JobState.FAILED:
        await system.dead_letters.drop(caller.user, job_id)
    return answer


@router.delete(
    "/{job_id}", response_model=schemas.Cancelled, responses=problems(400, 401, 403, 404, 409, 503)
)
async def cancel_job(job_id: JobId, system: Sys, caller: Caller) -> Response:
    """Cancel one of the caller's jobs. A running job is asked to stop, and may still succeed."""
    match await system.lanes.run(Cancel(caller.user, valid_job_id(job_id))):
        case "cancelled":
            metrics.jobs_total.labels("cancelled").inc()
            system.job_lines.add(job_events.cancelled(job_id, caller.user))
            return views.answer({"message": "cancelled", "job_id": job_id, "state": JobState.CANCELLED})
        case "stopping":
            return views.answer({"message": "asked to stop", "job_id": job_id, "state": JobState.RUNNING})
        case "unknown":
            if await system.history.find(caller.user, job_id) is None:
                raise unknown_job()
    raise Problem(409, "already-ended", "the job has ended: it cannot be cancelled")

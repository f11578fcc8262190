"""Administration of dead letters: failed jobs that nobody has retried or dropped."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from laneway.api import admin_schemas, body, metrics, schemas, views
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
from laneway.api.intake import fingerprint
from laneway.api.problem import Problem, bad_request
from laneway.api.system import System
from laneway.lanes.commands import Enqueue
from laneway.lanes.errors import Refused
from laneway.lanes.model import Accepted, Job, us_of
from laneway.storage.dead_letters import Selection
from laneway.storage.documents import key_of
from laneway.storage.users import canonical
from laneway.telemetry import job_events

router = APIRouter(prefix="/api/admin/dead-letters", tags=["administration"])
_PROBLEMS = problems(400, 401, 403, 503)
_PROBLEMS_OF_ONE = problems(400, 401, 403, 404, 503)
_CURSOR = re.compile(r"([^@]+)@([0-9]{1,18})")
_DROP_SECONDS = 5.0
"""How long one call goes on dropping."""
_Drop = Annotated[admin_schemas.DropDeadLetters, Depends(body.of(admin_schemas.DropDeadLetters))]
_Retry = Annotated[admin_schemas.RetryDeadLetters, Depends(body.of(admin_schemas.RetryDeadLetters))]


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
    "/retry",
    response_model=admin_schemas.RetriedDeadLetters,
    responses=_PROBLEMS | problems(408, 413, 429),
    openapi_extra=body.documented(admin_schemas.RetryDeadLetters),
)
async def retry_dead_letters(auditor: Auditor, asked: _Retry, system: Sys) -> Response:
    """Enqueue many failed requests again, each user's in the order in which they were accepted, and drop the dead letters.

    One call retries up to `limit`; repeat it with `after` until `next` is null. It ends early when a lane takes no more.
    Requests that fail again after the first call stay dead letters.
    Requests that no handler takes any more stay dead letters. Repeating a call enqueues nothing twice.
    """
    selection = _selection_of(asked)
    if asked.dry_run:
        count = await system.dead_letters.count(selection)
        return views.answer({"dry_run": True, "count": count, "refused": [], "next": None})
    last, began_us = _cursor(asked.after) if asked.after else ("", us_of(*await system.lanes.client.time()))
    selection = replace(selection, ended_by_us=began_us)
    letters = await system.dead_letters.page(selection, last, asked.limit)
    count, refused = 0, list[dict[str, str]]()
    for letter in letters:
        try:
            await _retry(system, letter)
            count += 1
        except Problem as problem:
            refused.append({"user": letter.user, "job_id": letter.job_id, "detail": problem.detail})
        except Refused:  # the lane is full, say: what follows would overtake this one
            if not count and not refused:
                raise
            break
        last = key_of(letter)
    is_end = len(letters) < asked.limit and (not letters or last == key_of(letters[-1]))
    await auditor.record(
        "dead_letters_retried", selection.user, **_recorded(selection), count=count, refused=len(refused)
    )
    return views.answer(
        {
            "dry_run": False,
            "count": count,
            "refused": refused,
            "next": None if is_end else f"{last}@{began_us}",
        }
    )


@router.post(
    "/drop",
    response_model=admin_schemas.DroppedDeadLetters,
    responses=_PROBLEMS | problems(408, 413),
    openapi_extra=body.documented(admin_schemas.DropDeadLetters),
)
async def drop_dead_letters(auditor: Auditor, asked: _Drop, system: Sys) -> Response:
    """Drop many dead letters. The jobs stay in their users' history. Repeat the call while `more` is true."""
    selection = _selection_of(asked)
    if asked.dry_run:
        count = await system.dead_letters.count(selection)
        return views.answer({"dry_run": True, "count": count, "more": False})
    count, more = await system.dead_letters.drop_many(selection, seconds=_DROP_SECONDS)
    await auditor.record("dead_letters_dropped", selection.user, **_recorded(selection), count=count)
    return views.answer({"dry_run": False, "count": count, "more": more})


@router.post(
    "/{user}/{job_id}/retry", response_model=schemas.Enqueued, responses=_PROBLEMS_OF_ONE | problems(429)
)
async def retry_dead_letter(user: UserName, job_id: JobId, auditor: Auditor, system: Sys) -> Response:
    """Enqueue the request again as a new job of its user, and drop the dead letter. Repeating the call is harmless."""
    letter = await system.dead_letters.find(user, valid_job_id(job_id))
    if letter is None:
        raise unknown_job()
    accepted = await _retry(system, letter)
    await auditor.record("dead_letter_retried", user, job_id=job_id)
    return views.answer({"message": "accepted", "job_id": accepted.job_ids[0], "position": accepted.position})


@router.delete("/{user}/{job_id}", status_code=204, response_class=Response, responses=_PROBLEMS_OF_ONE)
async def drop_dead_letter(user: UserName, job_id: JobId, auditor: Auditor, system: Sys) -> Response:
    """Drop a dead letter. The job stays in its user's history."""
    if not await system.dead_letters.drop(user, valid_job_id(job_id)):
        raise unknown_job()
    await auditor.record("dead_letter_dropped", user, job_id=job_id)
    return Response(status_code=204)


def _selection_of(asked: admin_schemas.DropDeadLetters) -> Selection:
    return Selection(canonical(asked.user or ""), asked.type or "", asked.failure or "")


def _recorded(selection: Selection) -> dict[str, str | None]:
    return {"type": selection.type or None, "failure": selection.failure or None}


def _cursor(text: str) -> tuple[str, int]:
    """Return the key of the last dead letter, and when the first call began, in microseconds since 2020. Raises Problem."""
    found = _CURSOR.fullmatch(text)
    if not found:
        raise bad_request("send `next` of the previous call as `after`", "#/body/after")
    return found[1], int(found[2])


async def _retry(system: System, letter: Job) -> Accepted:
    """Enqueue a request again and drop its dead letter. Raises Problem if no handler takes it any more, and Refused."""
    jobs = [system.intake.again(letter.type, letter.request)]
    # The blank keeps it apart from users' own idempotency keys.
    key = f"retry {letter.job_id}"
    accepted = await system.lanes.run(Enqueue(letter.user, jobs, system.limits, key, fingerprint(jobs)))
    await system.dead_letters.drop(letter.user, letter.job_id)
    if not accepted.repeated:
        metrics.jobs_total.labels("queued").inc()
        system.acceptances.add(accepted.job_ids)
        system.job_lines.add(job_events.accepted(accepted.job_ids[0], letter.user, letter.type))
    return accepted

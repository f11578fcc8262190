"""The caller's schedules: requests that are enqueued at times given by cron or an interval.

A schedule is known by its name, and putting it again replaces it. So a program can put its schedules whenever it starts.
"""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response

from laneway.api import body, schedules, schemas, views
from laneway.api.deps import Caller, Enqueuer, ScheduleName, Sys, problems
from laneway.api.routers import enqueue
from laneway.api.schedule_schemas import FireTimes, NewSchedule, ScheduleList, ScheduleReply
from laneway.fire_times import fire_times
from laneway.lanes.errors import TokenRevoked
from laneway.scopes import Scope
from laneway.storage.mongo import now
from laneway.storage.schedules import Plan

log = structlog.get_logger()
router = APIRouter(prefix="/api/schedules", tags=["schedules"])
_PROBLEMS = problems(400, 401, 403, 404, 503)
_CREATED: dict[int | str, dict[str, Any]] = {201: {"model": ScheduleReply, "description": "It is new."}}
_Count = Annotated[int, Query(ge=1, le=100, description="How many.")]


async def _plan(request: Request, system: Sys) -> Plan:
    """Read the body. Its payload is checked as that of an enqueue, and kept as the text that came.

    It is small, because lists and the janitor read many schedules at once.
    """
    content = await body.read(request.scope["headers"], request.receive, body.SMALL_BODY_BYTES)
    new = body.parse(NewSchedule, content)
    job = system.intake.scheduled(content, new.type, new.unique_key or "")
    timing = schedules.timing_of(new)
    return Plan(job.type, job.request, job.max_attempts, timing, new.missed, job.unique_key)


@router.get("", response_model=ScheduleList, responses=problems(400, 401, 403, 503))
async def list_schedules(caller: Caller, system: Sys) -> Response:
    """List the caller's schedules in the order of their names."""
    found = await system.schedules.of_user(caller.user)
    return views.answer({"schedules": [schedules.shown(schedule) for schedule in found]})


@router.put(
    "/{name}",
    response_model=ScheduleReply,
    responses=_CREATED | problems(400, 401, 403, 408, 409, 413, 503),
    openapi_extra=body.documented(NewSchedule),
)
async def put_schedule(
    name: ScheduleName, caller: Caller, plan: Annotated[Plan, Depends(_plan)], system: Sys
) -> Response:
    """Create the caller's schedule of this name, or replace what it does.

    A schedule whose timing does not change keeps its next fire time, and a paused one stays paused. An API key needs the
    scopes `write` and `enqueue`. The schedule belongs to the user, so it outlives the key.
    """
    caller.require(Scope.ENQUEUE)
    schedule, new = await system.schedules.put(caller.user, name, plan)
    if new:
        try:
            await system.revocations.check(caller)
        except TokenRevoked:  # the account may have been deleted meanwhile, with all schedules but this one
            await system.schedules.delete(caller.user, name)
            raise
    log.info("schedule_put", user=caller.user, schedule=name, new=new)
    return views.answer(schedules.shown(schedule), 201 if new else 200)


@router.get("/{name}", response_model=ScheduleReply, responses=_PROBLEMS)
async def get_schedule(name: ScheduleName, caller: Caller, system: Sys) -> Response:
    """Show one of the caller's schedules."""
    return views.answer(schedules.shown(await schedules.find(system, caller.user, name)))


@router.delete("/{name}", status_code=204, response_class=Response, responses=_PROBLEMS)
async def delete_schedule(name: ScheduleName, caller: Caller, system: Sys) -> Response:
    """Delete one of the caller's schedules. Jobs that it has enqueued stay."""
    await schedules.delete(system, caller.user, name)
    log.info("schedule_deleted", user=caller.user, schedule=name)
    return Response(status_code=204)


@router.get("/{name}/next", response_model=FireTimes, responses=_PROBLEMS)
async def next_fire_times(name: ScheduleName, caller: Caller, system: Sys, count: _Count = 5) -> Response:
    """Show when one of the caller's schedules fires next, unless it is paused."""
    schedule = await schedules.find(system, caller.user, name)
    return views.answer({"times": list(islice(fire_times(schedule.plan.timing, now()), count))})


@router.post("/{name}/pause", response_model=ScheduleReply, responses=_PROBLEMS)
async def pause_schedule(name: ScheduleName, caller: Caller, system: Sys) -> Response:
    """Fire one of the caller's schedules no more until it is resumed. What fires at this moment may still be enqueued."""
    paused = await schedules.pause(system, caller.user, name, paused=True)
    log.info("schedule_paused", user=caller.user, schedule=name)
    return views.answer(schedules.shown(paused))


@router.post("/{name}/resume", response_model=ScheduleReply, responses=_PROBLEMS)
async def resume_schedule(name: ScheduleName, caller: Caller, system: Sys) -> Response:
    """Let one of the caller's schedules fire again. Its policy says what happens to the fire times that have passed."""
    resumed = await schedules.pause(system, caller.user, name, paused=False)
    log.info("schedule_resumed", user=caller.user, schedule=name)
    return views.answer(schedules.shown(resumed))


@router.post(
    "/{name}/run",
    response_model=schemas.Enqueued,
    responses=_PROBLEMS | problems(409, 429),
    openapi_extra=enqueue.IDEMPOTENCY,
)
async def run_schedule(name: ScheduleName, request: Request, caller: Enqueuer, system: Sys) -> Response:
    """Enqueue the request of one of the caller's schedules now. The schedule goes on as before.

    409, `unique-key-taken`: the schedule has a unique key that a job holds.
    """
    key = enqueue.key_in(request.scope["headers"])
    plan = (await schedules.find(system, caller.user, name)).plan
    job = system.intake.again(plan.type, plan.request, plan.unique_key, name)
    return await enqueue.accept_again(system, caller, job, key)

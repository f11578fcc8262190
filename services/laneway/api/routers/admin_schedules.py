"""Any user's schedules, for administrators: list them, pause, resume and delete them."""

from __future__ import annotations

from fastapi import APIRouter, Response

from laneway.api import schedules, views
from laneway.api.audit import Auditor
from laneway.api.deps import Admin, ScheduleName, Sys, UserName, problems
from laneway.api.schedule_schemas import ScheduleList, ScheduleReply

router = APIRouter(prefix="/api/admin/users/{user}/schedules", tags=["administration"])
_PROBLEMS = problems(400, 401, 403, 404, 503)


@router.get("", response_model=ScheduleList, responses=problems(400, 401, 403, 503))
async def list_schedules_of_user(user: UserName, _admin: Admin, system: Sys) -> Response:
    """List the schedules of any user in the order of their names."""
    found = await system.schedules.of_user(user)
    return views.answer({"schedules": [schedules.shown(schedule) for schedule in found]})


@router.post("/{name}/pause", response_model=ScheduleReply, responses=_PROBLEMS)
async def pause_schedule_of_user(
    user: UserName, name: ScheduleName, auditor: Auditor, system: Sys
) -> Response:
    """Pause a schedule of any user."""
    paused = await schedules.pause(system, user, name, paused=True)
    await auditor.record("schedule_paused", user, schedule=name)
    return views.answer(schedules.shown(paused))


@router.post("/{name}/resume", response_model=ScheduleReply, responses=_PROBLEMS)
async def resume_schedule_of_user(
    user: UserName, name: ScheduleName, auditor: Auditor, system: Sys
) -> Response:
    """Resume a schedule of any user."""
    resumed = await schedules.pause(system, user, name, paused=False)
    await auditor.record("schedule_resumed", user, schedule=name)
    return views.answer(schedules.shown(resumed))


@router.delete("/{name}", status_code=204, response_class=Response, responses=_PROBLEMS)
async def delete_schedule_of_user(
    user: UserName, name: ScheduleName, auditor: Auditor, system: Sys
) -> Response:
    """Delete a schedule of any user."""
    await schedules.delete(system, user, name)
    await auditor.record("schedule_deleted", user, schedule=name)
    return Response(status_code=204)

"""Administration: lanes, dead letters, users.

More than 250 lines, because half of them are the documentation of each operation.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from laneway.api import admin_schemas, body, keys, lookup, metrics, schemas, views, why
from laneway.api.account_schemas import Keys
from laneway.api.audit import Auditor
from laneway.api.deps import (
    Admin,
    After,
    JobId,
    KeyId,
    Limit,
    Sys,
    UserName,
    problems,
    unknown_job,
    valid_job_id,
)
from laneway.api.lane_ranking import MAX_LANES_LISTED
from laneway.api.listing import Listing
from laneway.api.problem import Problem
from laneway.choices import LaneOrder
from laneway.lanes.commands import InspectLane, Pause, Resume
from laneway.lanes.commands import Limit as SetLimit
from laneway.lanes.purge import purge_async
from laneway.storage.audit import ID_LENGTH as AUDIT_ID_LENGTH
from laneway.storage.users import Role, canonical
from laneway.telemetry import job_events

router = APIRouter(prefix="/api/admin", tags=["administration"])
_PROBLEMS = problems(400, 401, 403, 503)
_PROBLEMS_OF_ONE = problems(400, 401, 403, 404, 503)
_NewLimit = Annotated[admin_schemas.NewLimit, Depends(body.of(admin_schemas.NewLimit))]
_NewInvitation = Annotated[admin_schemas.NewInvitation, Depends(body.of(admin_schemas.NewInvitation))]
_NewRole = Annotated[admin_schemas.NewRole, Depends(body.of(admin_schemas.NewRole))]


@router.get("/lanes", response_model=admin_schemas.LanePage, responses=_PROBLEMS)
async def list_lanes(
    _admin: Admin,
    system: Sys,
    sort: Annotated[
        LaneOrder,
        Query(
            description="`backlog`: most waiting jobs first. `wait`: longest wait first. `failures`: most dead letters first, "
            "also of users whose lane is empty."
        ),
    ] = LaneOrder.USER,
    name: Annotated[
        str, Query(max_length=64, description="Only lanes of users whose names begin with this, in any case.")
    ] = "",
    after: After = "",
    limit: Annotated[
        int, Query(ge=1, le=MAX_LANES_LISTED, description="The largest number of lanes to return.")
    ] = 100,
) -> Response:
    """List the lanes that hold jobs, by user name, backlog, wait or failures."""
    page = await system.lane_ranking.page(sort, after, limit, canonical(name))
    lanes = [
        {
            "user": line.user,
            "jobs": line.jobs,
            "taken": line.taken,
            "slots": line.slots,
            "waits_since": views.time(line.oldest_us),
            "failures": None if page.failures is None else page.failures[line.user],
        }
        for line in page.lines
    ]
    return views.answer({"lanes": lanes, "next": page.next, "truncated": page.truncated})


@router.post("/lanes/{user}/pause", response_model=schemas.Message, responses=_PROBLEMS)
async def pause_lane(user: UserName, auditor: Auditor, system: Sys) -> Response:
    """Start no more jobs of this lane. Running jobs go on."""
    changed = await system.lanes.run(Pause(user))
    await auditor.record("lane_paused", user)
    return views.answer({"message": "paused" if changed else "was paused"})


@router.post("/lanes/{user}/resume", response_model=schemas.Message, responses=_PROBLEMS)
async def resume_lane(user: UserName, auditor: Auditor, system: Sys) -> Response:
    """Start jobs of a paused lane again."""
    changed = await system.lanes.run(Resume(user))
    await auditor.record("lane_resumed", user)
    return views.answer({"message": "resumed" if changed else "was not paused"})


@router.post("/lanes/{user}/purge", response_model=admin_schemas.Purged, responses=_PROBLEMS)
async def purge_lane(user: UserName, auditor: Auditor, system: Sys) -> Response:
    """Cancel every job of the lane that is not running. Jobs accepted during the purge stay."""
    until_us, count = (await system.presence.inspect(user)).now_us, 0
    reason = "purged by an administrator"
    async for job_ids in purge_async(system.lanes, user, until_us, reason):
        count += len(job_ids)
        metrics.jobs_total.labels("cancelled").inc(len(job_ids))
        for job_id in job_ids:
            system.job_lines.add(job_events.cancelled(job_id, user, reason=reason))
    await auditor.record("lane_purged", user, cancelled=count)
    return views.answer({"message": "purged", "cancelled": count})


@router.put(
    "/lanes/{user}/limit",
    response_model=schemas.Message,
    responses=_PROBLEMS | problems(413),
    openapi_extra=body.documented(admin_schemas.NewLimit),
)
async def limit_lane(user: UserName, auditor: Auditor, limit: _NewLimit, system: Sys) -> Response:
    """Set how many of the lane's jobs may be in flight at once. A lower limit does not interrupt running jobs."""
    await system.lanes.run(SetLimit(user, limit.slots))
    await auditor.record("lane_limited", user, slots=limit.slots)
    slots = (await system.lanes.run(InspectLane(user))).slots
    return views.answer({"message": f"the lane has {slots} slots"})


@router.get("/jobs/{user}", response_model=schemas.JobPage, responses=_PROBLEMS)
async def list_jobs_of_user(
    user: UserName, _admin: Admin, query: Listing, system: Sys, limit: Limit = 50
) -> Response:
    """List the jobs of any user, as the user may."""
    jobs, next_ = await lookup.page(system, user, query, limit)
    return views.answer({"jobs": [views.job(job) for job in jobs], "next": next_})


@router.get("/jobs/{user}/{job_id}", response_model=schemas.JobReply, responses=_PROBLEMS_OF_ONE)
async def get_job_of_user(user: UserName, job_id: JobId, _admin: Admin, system: Sys) -> Response:
    """Show one job of any user."""
    job = await lookup.find(system, user, valid_job_id(job_id))
    if job is None:
        raise unknown_job()
    return views.answer(views.job(job))


@router.get("/jobs/{user}/{job_id}/why", response_model=schemas.Why, responses=_PROBLEMS_OF_ONE)
async def explain_job_of_user(user: UserName, job_id: JobId, _admin: Admin, system: Sys) -> Response:
    """Say why one job of any user has not started."""
    explained = await why.explain(system, user, valid_job_id(job_id))
    if explained is None:
        raise unknown_job()
    return views.answer(explained)


@router.get("/jobs/{user}/{job_id}/logs", response_model=schemas.JobLog, responses=_PROBLEMS_OF_ONE)
async def get_log_of_user(user: UserName, job_id: JobId, _admin: Admin, system: Sys) -> Response:
    """Show what the handler of one job of any user has printed and logged."""
    log = await lookup.find_log(system, user, valid_job_id(job_id))
    if log is None:
        raise unknown_job()
    return views.answer(views.log(job_id, log))


@router.get("/audit", response_model=admin_schemas.AuditPage, responses=_PROBLEMS)
async def list_audit(
    _admin: Admin,
    system: Sys,
    limit: Limit = 100,
    before: Annotated[
        str,
        Query(
            pattern=rf"^([0-9a-f]{{{AUDIT_ID_LENGTH}}})?$",
            description="`next` of the previous page; leave it out for the first.",
        ),
    ] = "",
) -> Response:
    """List what administrators did, newest first."""
    entries = await system.audit.page(before, limit)
    page = [
        {
            "at": entry.at,
            "action": entry.action,
            "by": entry.by,
            "key_id": entry.key_id,
            "address": entry.address,
            "user": entry.user or None,
            "details": entry.details,
        }
        for entry in entries
    ]
    return views.answer({"entries": page, "next": entries[-1].id if len(entries) == limit else None})


@router.get("/users", response_model=admin_schemas.UserPage, responses=_PROBLEMS)
async def list_users(
    _admin: Admin,
    system: Sys,
    name: Annotated[
        str, Query(max_length=64, description="Only users whose name begins with this, in any case.")
    ] = "",
    role: Annotated[Role | None, Query(description="Only users with this role.")] = None,
    after: After = "",
    limit: Limit = 100,
) -> Response:
    """List users, ordered by name."""
    users = await system.users.page(after, limit, prefix=canonical(name), role=role)
    lanes = await asyncio.gather(*(system.lanes.run(InspectLane(user.name)) for user in users))
    page = [
        {
            "username": user.name,
            "role": user.role,
            "created_at": user.created_at,
            "last_login_at": user.last_login_at,
            "jobs": lane.queued + lane.running,
        }
        for user, lane in zip(users, lanes, strict=True)
    ]
    return views.answer({"users": page, "next": users[-1].name if len(users) == limit else None})


@router.post(
    "/invitations",
    status_code=201,
    response_model=admin_schemas.Invitation,
    responses=_PROBLEMS | problems(408, 413),
    openapi_extra=body.documented(admin_schemas.NewInvitation),
)
async def invite(auditor: Auditor, new: _NewInvitation, system: Sys) -> Response:
    """Make an invitation, with which one user can register where registration needs one."""
    await auditor.record("user_invited", seconds=new.seconds)
    return views.answer({"invitation": system.tokens.invite(new.seconds), "expires_in": new.seconds}, 201)


@router.get("/users/{user}/keys", response_model=Keys, responses=_PROBLEMS)
async def list_keys_of_user(user: UserName, _admin: Admin, system: Sys) -> Response:
    """List the API keys of any user."""
    return views.answer({"keys": [keys.shown(key) for key in await system.api_keys.of_user(user)]})


@router.delete(
    "/users/{user}/keys/{key_id}", status_code=204, response_class=Response, responses=_PROBLEMS_OF_ONE
)
async def revoke_key_of_user(user: UserName, key_id: KeyId, auditor: Auditor, system: Sys) -> Response:
    """Revoke an API key of any user, as the user may."""
    await keys.revoke(system, user, key_id)
    await auditor.record("key_revoked", user, key_id=key_id)
    return Response(status_code=204)


@router.put(
    "/users/{user}/role",
    response_model=schemas.Message,
    responses=_PROBLEMS_OF_ONE | problems(409, 413),
    openapi_extra=body.documented(admin_schemas.NewRole),
)
async def set_role(user: UserName, auditor: Auditor, new: _NewRole, system: Sys) -> Response:
    """Give a user the role of an administrator from the next log-in on, or take it away at once.

    The last administrator keeps the role: nobody could give it back.
    """
    role = Role(new.role)
    if role is not Role.ADMIN:
        await system.users.check_demotion(user)
        await system.revocations.revoke_role(user, system.tokens.revoked_seconds)
    if not await system.users.set_role(user, role):
        raise Problem(404, "unknown-user", "there is no such user")
    if role is not Role.ADMIN:  # a log-in under way may have read the old role
        await system.revocations.revoke_role(user, system.tokens.revoked_seconds)
    await auditor.record("role_set", user, role=role)
    return views.answer({"message": f"{user} is {role}"})

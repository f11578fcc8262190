"""Administration: what the deployment does, as a whole."""

from __future__ import annotations

from fastapi import APIRouter, Response

from laneway.api import observing_schemas, overview, ring, views, workers
from laneway.api.deps import Admin, Limit, OfType, OfUser, Sys, problems
from laneway.lanes.commands import InspectReports, ReportKind
from laneway.storage.dead_letters import Selection

router = APIRouter(prefix="/api/admin", tags=["administration"])
_NO_POOLS = (
    "no operator has reported a pool. Without an operator the number of workers is fixed. "
    "Where one is installed, it does not run or there is no WorkerPool"
)
_PROBLEMS = problems(400, 401, 403, 503)


@router.get("/overview", response_model=observing_schemas.Overview, responses=_PROBLEMS)
async def get_overview(_admin: Admin, system: Sys, span: overview.AskedSpan) -> Response:
    """Show what happened by minute or by hour, and what the lanes hold now.

    A job counts some seconds after it is accepted, and with its start and end some seconds after it has ended.
    """
    return views.answer(await overview.overview(system, span))


@router.get("/ring", response_model=observing_schemas.Ring, responses=_PROBLEMS)
async def get_ring(_admin: Admin, system: Sys, limit: Limit = 100) -> Response:
    """Show the next lanes in the order in which they take turns, and the lanes whose jobs workers hold now."""
    return views.answer(await ring.ring(system.lanes, limit))


@router.get("/workers", response_model=observing_schemas.Workers, responses=_PROBLEMS)
async def list_workers(_admin: Admin, system: Sys) -> Response:
    """List the workers that are alive, and what each runs now. A worker that dies is gone from the list within 16 seconds."""
    return views.answer(await workers.workers(system.lanes))


@router.get("/pools", response_model=observing_schemas.Pools, responses=_PROBLEMS)
async def list_pools(_admin: Admin, system: Sys) -> Response:
    """List the pools with the operator's last decision, what it was based on, and why it was taken."""
    reports = await system.lanes.run(InspectReports(ReportKind.POOLS))
    pools = [{"name": report.name, "changes": []} | report.body for report in reports]
    return views.answer({"pools": pools, "note": None if pools else _NO_POOLS})


@router.get("/failures", response_model=observing_schemas.Failures, responses=_PROBLEMS)
async def list_failures(
    _admin: Admin,
    system: Sys,
    user: OfUser = "",
    type_: OfType = "",
    limit: Limit = 50,
) -> Response:
    """List the failures that nobody has retried or dropped, grouped by type and error, the largest group first."""
    groups = await system.dead_letters.groups(Selection(user, type_), limit + 1)
    shown = [
        {
            "type": group.type,
            "failure": group.failure,
            "count": group.count,
            "first_at": views.time(group.first_us),
            "last_at": views.time(group.last_us),
            "example": {"user": group.example_user, "job_id": group.example_id},
        }
        for group in groups[:limit]
    ]
    return views.answer({"groups": shown, "truncated": len(groups) > limit})

"""Administration: what the deployment does, as a whole."""

from __future__ import annotations

from fastapi import APIRouter, Response

from laneway.api import admin_schemas, overview, views, workers
from laneway.api.deps import Admin, Sys, problems
from laneway.lanes.commands import InspectReports, ReportKind

router = APIRouter(prefix="/api/admin", tags=["administration"])
_NO_POOLS = "no operator has reported a pool: without one the number of workers is fixed, and with one it is away or has no WorkerPool"
_PROBLEMS = problems(400, 401, 403, 503)


@router.get("/overview", response_model=admin_schemas.Overview, responses=_PROBLEMS)
async def get_overview(_admin: Admin, system: Sys, span: overview.Asked) -> Response:
    """Show what happened by minute or by hour, and what the lanes hold now.

    A job counts some seconds after it is accepted, and with its start and end some seconds after it has ended.
    """
    return views.answer(await overview.overview(system, span))


@router.get("/workers", response_model=admin_schemas.Workers, responses=_PROBLEMS)
async def list_workers(_admin: Admin, system: Sys) -> Response:
    """List the workers that are alive, and what each runs now. A worker that dies is gone from the list within 16 seconds."""
    return views.answer(await workers.workers(system.lanes))


@router.get("/pools", response_model=admin_schemas.Pools, responses=_PROBLEMS)
async def list_pools(_admin: Admin, system: Sys) -> Response:
    """List the pools with the operator's last decision, what it was based on, and why it was taken."""
    reports = await system.lanes.run(InspectReports(ReportKind.POOLS))
    pools = [{"name": report.name} | report.body for report in reports]
    return views.answer({"pools": pools, "note": None if pools else _NO_POOLS})

"""The workers that are alive, and what each runs now: the answer of `GET /api/admin/workers`."""

from __future__ import annotations

from typing import Any

from laneway.api import views
from laneway.lanes.commands import InspectLeases, InspectReports, Reported, ReportKind
from laneway.lanes.model import HeldJob
from laneway.lanes.store import AsyncLanes

PIECE, MAX_JOBS = 200, 2000
"""Jobs that are read in one script call, and in all."""


async def workers(lanes: AsyncLanes) -> dict[str, Any]:
    """Return the answer. Raises StoreUnavailable."""
    reports = await lanes.run(InspectReports(ReportKind.WORKERS))
    jobs = await _held(lanes)
    by_process: dict[str, list[HeldJob]] = {}
    for job in jobs:
        if job.worker is not None:
            by_process.setdefault(job.worker, []).append(job)
    shown = [
        {
            "name": report.name,
            "host": report.body["host"],
            "started_at": report.body["started_at"],
            "state": _state(report.body),
            "problems": report.body["problems"],
            "processes": len(report.body["processes"]),
            "in_flight": report.body["in_flight"],
            "jobs": [_shown(job) for process in _processes(report) for job in by_process.pop(process, ())],
        }
        for report in reports
    ]
    left = [_shown(job) | {"worker": job.worker} for held in by_process.values() for job in held]
    return {"workers": shown, "jobs_without_worker": left, "truncated": len(jobs) >= MAX_JOBS}


def _processes(report: Reported) -> list[str]:
    """Return the names under which jobs of the worker are recorded: those of its pool processes and that of its lease keeper.

    In a batch the process starts jobs without notifying Redis; the lease keeper notifies it of a job that runs for longer than a moment.
    """
    return [*(f"{report.body['host']}:{pid}" for pid in report.body["processes"]), report.name]


async def _held(lanes: AsyncLanes) -> list[HeldJob]:
    """Return jobs that workers hold, each once."""
    held: dict[str, HeldJob] = {}
    for skip in range(0, MAX_JOBS, PIECE):
        page = await lanes.run(InspectLeases(skip, PIECE))
        held.update((job.job_id, job) for job in page)
        if len(page) < PIECE:
            break
    return list(held.values())


def _state(body: dict[str, Any]) -> str:
    if body["stopping"]:
        return "stopping"
    return "not_ready" if body["problems"] else "ready"


def _shown(job: HeldJob) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "user": job.user,
        "type": job.type,
        "attempt": job.attempt,
        "started_at": views.time(job.started_us),
    }

"""Liveness and readiness."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter, Response
from pymongo.errors import PyMongoError

from laneway.api import schemas, views
from laneway.api.deps import Sys, problems
from laneway.api.problem import Problem
from laneway.api.system import System
from laneway.lanes.commands import Enqueue
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.refusals import Reason

router = APIRouter(tags=["health"])


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", response_model=schemas.Health)
async def healthz() -> Response:
    """Answer as long as the process can. It says nothing about Redis or MongoDB."""
    return views.answer({"status": "ok"})


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", response_model=schemas.Ready, responses=problems(503))
async def readyz(system: Sys) -> Response:
    """Say whether requests should be sent to this process. It tries what enqueueing needs, without writing anything.

    It says `degraded`, and what is missing, while a part of the API works: without MongoDB enqueueing goes on, and without
    memory in Redis jobs can still be shown and cancelled. `warnings` names by reason what could lose jobs although
    everything is served, for example that Redis evicts keys.
    """
    if system.lifecycle.draining:
        raise Problem(503, "draining", "send requests to another process", retry_after_seconds=1)
    redis, mongo_up = await asyncio.gather(_redis(system), _up(system.mongo.command("ping")))
    mongo = "up" if mongo_up else "away"
    status = "ready" if (redis, mongo) == ("up", "up") else "degraded"
    warnings = system.redis_warnings.texts
    return views.answer({"status": status, "redis": redis, "mongodb": mongo, "warnings": warnings})


async def _redis(system: System) -> str:
    """Raises StoreUnavailable if the API is of no use."""
    try:
        await system.lanes.run(
            Enqueue("readyz", (), system.limits)
        )  # accepts no job, but needs what a job would need
    except StoreUnavailable as error:
        if error.reason != Reason.NO_MEMORY:
            raise
        return error.reason
    return "up"


async def _up(answer: Awaitable[object]) -> bool:
    try:
        await answer
        return True
    except (PyMongoError, OSError):
        return False

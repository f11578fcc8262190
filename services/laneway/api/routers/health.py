"""Liveness and readiness."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter, Response
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from laneway.api import schemas, views
from laneway.api.deps import Sys, problems
from laneway.api.problem import Problem

router = APIRouter(tags=["health"])


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", response_model=schemas.Health)
async def healthz() -> Response:
    """Answer as long as the process can. It says nothing about Redis or MongoDB."""
    return views.answer({"status": "ok"})


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", response_model=schemas.Ready, responses=problems(503))
async def readyz(system: Sys) -> Response:
    """Say whether requests should be sent to this process: Redis answers, and the process is not shutting down.

    Without MongoDB it is ready, since enqueueing goes on, and says `degraded`.
    """
    if system.lifecycle.draining:
        raise Problem(503, "draining", "send requests to another process", retry_after_seconds=1)
    redis_up, mongo_up = await asyncio.gather(_up(system.redis.ping()), _up(system.mongo.command("ping")))
    if not redis_up:
        raise Problem(503, "store-unavailable", "Redis does not answer", retry_after_seconds=1)
    status, mongo = ("ready", "up") if mongo_up else ("degraded", "away")
    return views.answer({"status": status, "redis": "up", "mongodb": mongo})


async def _up(answer: Awaitable[object]) -> bool:
    try:
        await answer
        return True
    except (PyMongoError, RedisError, OSError):
        return False

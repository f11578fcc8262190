"""Liveness, readiness, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from laneway.api import metrics, schemas, views
from laneway.api.deps import Sys, problems
from laneway.api.errors import Problem

router = APIRouter(tags=["health"])


@router.get("/healthz", response_model=schemas.Health)
async def healthz() -> Response:
    """The process answers."""
    return views.answer({"status": "ok"})


@router.get("/readyz", response_model=schemas.Ready, responses=problems(503))
async def readyz(system: Sys) -> Response:
    """Whether requests should be sent here: Redis answers, and the process is not about to end. Without MongoDB it is ready
    (enqueueing goes on) and says `degraded`."""
    if system.draining:
        raise Problem(503, "draining", "send requests elsewhere", retry_after_seconds=1)
    redis_up, mongo_up = await asyncio.gather(_up(system.redis.ping()), _up(system.mongo.command("ping")))
    if not redis_up:
        raise Problem(503, "store-unavailable", "Redis does not answer", retry_after_seconds=1)
    status, mongo = ("ready", "up") if mongo_up else ("degraded", "away")
    return views.answer({"status": status, "redis": "up", "mongodb": mongo})


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def prometheus(system: Sys) -> Response:
    """For Prometheus: all processes of this pod, and the lanes."""
    page = await asyncio.to_thread(metrics.render, await system.sampler.sizes())
    return Response(page, headers={"content-type": CONTENT_TYPE_LATEST})


async def _up(answer: Awaitable[object]) -> bool:
    try:
        await answer
        return True
    except (PyMongoError, RedisError, OSError):
        return False

"""Logs what is unsafe about Redis when the API starts. Workers log it too, but there may be none while the API accepts jobs."""

from __future__ import annotations

import asyncio

import structlog

from laneway.lanes.health import store_health
from laneway.lanes.store import AsyncLanes

RETRY_SECONDS = 5.0
log = structlog.get_logger()


async def warn_of_store(lanes: AsyncLanes) -> None:
    """Log once what can cost accepted jobs: eviction, or no persistence. Waits for Redis."""
    health = await store_health(lanes)
    while not health.ready:
        await asyncio.sleep(RETRY_SECONDS)
        health = await store_health(lanes)
    for finding in health.warnings:
        log.warning("redis_unsafe", reason=finding.kind, remedy=finding.text)

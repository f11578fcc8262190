"""Looks at Redis again and again for whatever can lose accepted jobs, such as eviction."""

from __future__ import annotations

import asyncio

from laneway.lanes.health import store_health
from laneway.lanes.store import AsyncLanes
from laneway.telemetry.redis_warnings import RedisWarnings

INTERVAL_SECONDS, RETRY_SECONDS = 15.0, 5.0
"""Seconds between two looks at Redis; the second while it cannot serve."""


async def watch_store(lanes: AsyncLanes, warnings: RedisWarnings) -> None:
    """Keep the warnings up to date. While Redis does not answer, the last ones stay."""
    while True:
        health = await store_health(lanes)
        if health.ready or health.warnings:
            warnings.set(health.warnings)
        await asyncio.sleep(INTERVAL_SECONDS if health.ready else RETRY_SECONDS)

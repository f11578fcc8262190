"""The share of Redis's memory that one lane may take. Redis is asked for its `maxmemory` now and then, never by an enqueue."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from laneway.api.system import System
from laneway.lanes.commands import EnqueueLimits
from laneway.lanes.errors import LaneError
from laneway.lanes.health import max_memory

INTERVAL_SECONDS = 30.0
"""How soon a changed `maxmemory` is known."""
RETRY_SECONDS = 1.0
log = structlog.get_logger()


def limits_within(limits: EnqueueLimits, share: float, max_bytes: int) -> EnqueueLimits:
    """Lower the bytes of a lane to `share` of `max_bytes`, what Redis may use. 0 stands for no limit in all of them."""
    share_bytes = int(share * max_bytes)
    if not share_bytes or 0 < limits.lane_bytes <= share_bytes:
        return limits
    return replace(limits, lane_bytes=share_bytes)


async def limit_lanes_forever(system: System, share: float) -> None:
    """Keep `system.limits` within the share. While Redis does not report its memory, the last known limit holds."""
    configured = system.limits
    while True:
        try:
            limits = limits_within(configured, share, await max_memory(system.lanes))
        except LaneError:
            await asyncio.sleep(RETRY_SECONDS)
            continue
        if limits != system.limits:
            log.info("lane_bytes_changed", lane_bytes=limits.lane_bytes, share=share)
            system.limits = limits
        await asyncio.sleep(INTERVAL_SECONDS)

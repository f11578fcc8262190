"""Logs what is wrong with Redis, at the start of a worker and whenever it changes."""

from __future__ import annotations

import asyncio

import structlog

from laneway.lanes.health import StoreHealth, store_health
from laneway.lanes.store import AsyncLanes

INTERVAL_SECONDS = 30.0
log = structlog.get_logger()


async def watch_store_forever(lanes: AsyncLanes) -> None:
    """Log the health of the store when it changes. A store without findings from the start is not logged."""
    last = StoreHealth()
    while True:
        health = await store_health(lanes)
        if _kinds(health) != _kinds(last):
            write = log.error if health.problems else log.warning if health.warnings else log.info
            write(
                "store_health_changed",
                problems=[finding.text for finding in health.problems],
                warnings=[finding.text for finding in health.warnings],
            )
        last = health
        await asyncio.sleep(INTERVAL_SECONDS)


def _kinds(health: StoreHealth) -> tuple[str, ...]:
    return tuple(finding.kind for finding in (*health.problems, *health.warnings))

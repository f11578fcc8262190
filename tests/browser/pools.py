"""Lets an operator report a pool: its own reconcile pass, on a cluster of objects in memory."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from tests.operator.scene import opened


def reconcile(redis_url: str, prefix: str, replicas: int | None) -> None:
    """Reconcile the pool `pool` once. `replicas`: of its Deployment; None if there is no Deployment."""

    async def once() -> None:
        async with opened(redis_url, prefix) as scene:
            scene.add_pool()
            if replicas is not None:
                scene.add_deployment(replicas)
            await scene.reconcile()

    with ThreadPoolExecutor(1) as thread:  # Playwright has an event loop in this one
        thread.submit(asyncio.run, once()).result()

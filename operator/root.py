"""The operator's parts, put together, started and stopped. Settings end here: everything below takes plain values."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from lightkube import AsyncClient
from lightkube.config.kubeconfig import SingleConfig

from cluster import COMPONENT, Cluster
from exposition import Exposition
from health import Health
from housekeeping import Housekeeping
from leadership import Leadership
from pools import Pools
from reconcile import Means
from replicas import Replicas
from services.lanes.keys import Keys
from services.lanes.store import AsyncLanes, connect_async
from services.settings import Settings

STORE_SECONDS = 3.0
"""Limit for one command to Redis: an outage is known within a pass."""
RESTART_SECONDS = 5.0
STOP_SECONDS = 10.0
log = structlog.get_logger()


class Operator:
    """To be built and started in the event loop that it runs in."""

    def __init__(self, settings: Settings, config: SingleConfig, namespace: str) -> None:
        self.identity = f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        self._client = AsyncClient(config, namespace=namespace, field_manager=COMPONENT, trust_env=False)
        self._redis = connect_async(settings.redis_url, timeout_seconds=STORE_SECONDS)
        self._leadership = Leadership(self._client, namespace, COMPONENT, self.identity)
        self._health = Health()
        keys = Keys(settings.key_prefix)
        housekeeping = Housekeeping(settings, keys, lambda: self._leadership.acting)
        self._exposition = Exposition(lambda: self._leadership.acting, housekeeping.stats)
        cluster = Cluster(self._client, namespace)
        means = Means(
            cluster,
            Replicas(cluster, lambda: self._leadership.acting, settings.worker_metrics_port),
            AsyncLanes(self._redis, keys),
            housekeeping,
            self._exposition,
            settings.shutdown_grace_seconds,
        )
        self._pools = Pools(means, self._health, lambda: self._leadership.acting)
        self._loops: Mapping[str, Callable[[], Awaitable[None]]] = {
            "leadership": lambda: self._leadership.run(lambda: self._health.beat("leadership", 0)),
            "pools": self._pools.run,
            "housekeeping": housekeeping.run,
        }
        self._metrics_port = settings.operator_metrics_port
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        if self._metrics_port:
            self._exposition.serve(self._metrics_port)
        for name, loop in self._loops.items():
            self._health.beat(name, 0)
            self._tasks.append(asyncio.create_task(self._keep_up(name, loop), name=name))

    async def stop(self) -> None:
        """What is under way ends; then another operator may act at once."""
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.wait(self._tasks[1:], timeout=STOP_SECONDS)
        self._tasks[0].cancel()
        await asyncio.wait(self._tasks[:1], timeout=STOP_SECONDS)
        await self._leadership.release()
        self._exposition.close()
        await self._client.close()
        await self._redis.aclose()

    def notice(self, body: Mapping[str, Any]) -> None:
        """There is this WorkerPool, and it may have changed."""
        self._pools.notice(body["metadata"]["name"], int(body["metadata"].get("generation", 0)))

    def gone(self, name: str) -> None:
        self._pools.gone(name)

    def health(self) -> dict[str, Any]:
        """Raises Stale when a loop has not gone round for too long."""
        acting = self._leadership.acting
        return {"acting": acting, "holder": self._leadership.holder, "ages": self._health.ages()}

    async def _keep_up(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Loops handle what they expect; after anything else they begin anew, and liveness tells of those that cannot."""
        while True:
            try:
                await loop()
            except Exception:
                log.exception("loop_failed", loop=name)
            await asyncio.sleep(RESTART_SECONDS)

"""The operator's parts, put together, started and stopped. Settings end here: everything below takes plain values."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import structlog
from lightkube import AsyncClient
from lightkube.config.kubeconfig import SingleConfig

from laneway.janitor import Janitor
from laneway.lanes.keys import Keys
from laneway.lanes.store import AsyncLanes, Lanes, connect, connect_async
from laneway.operator.cluster import COMPONENT, Cluster
from laneway.operator.heartbeats import Beat, Health
from laneway.operator.janitor_host import Housekeeping, Rules
from laneway.operator.leadership import Leadership
from laneway.operator.metrics import Exposition
from laneway.operator.pools import Pools
from laneway.operator.reconcile import Dependencies
from laneway.operator.replicas import Replicas
from laneway.operator.service_times import MeasuredHistory, ServiceTimes
from laneway.presence import PresenceSweeper
from laneway.settings import Settings
from laneway.storage.history import HistoryWriter
from laneway.telemetry.job_log import JobLog

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
        keys, times = Keys(settings.key_prefix), ServiceTimes()
        self._housekeeping = Housekeeping(
            _janitors(settings, keys, times),
            Rules(settings.disconnect_grace_seconds, settings.disconnect_policy),
            settings.janitor_interval_seconds,
            lambda: self._leadership.acting,
        )
        self._exposition = Exposition(lambda: self._leadership.acting, self._housekeeping.stats)
        cluster = Cluster(self._client, namespace)
        means = Dependencies(
            cluster,
            Replicas(cluster, lambda: self._leadership.acting, settings.worker_metrics_port),
            AsyncLanes(self._redis, keys),
            self._housekeeping,
            times,
            self._exposition,
            settings.shutdown_grace_seconds,
        )
        self._pools = Pools(means, self._health, lambda: self._leadership.acting)
        self._metrics_port = settings.operator_metrics_port
        self._campaign: asyncio.Task[None] | None = None
        self._work: list[asyncio.Task[None]] = []

    def start(self) -> None:
        if self._metrics_port:
            self._exposition.serve(self._metrics_port)
        self._campaign = self._keep_up("leadership", self._leadership.run)
        self._work = [
            self._keep_up("pools", self._pools.run),
            self._keep_up("housekeeping", self._housekeeping.run),
        ]

    async def stop(self) -> None:
        """What is under way ends; then another operator may act at once."""
        await _ended(self._work)
        if self._campaign:
            await _ended([self._campaign])
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

    def _keep_up(self, name: str, loop: Callable[[Beat], Awaitable[None]]) -> asyncio.Task[None]:
        """Loops handle what they expect; after anything else they begin anew, and liveness tells of those that cannot."""
        beat = partial(self._health.beat, name)

        async def run() -> None:
            while True:
                try:
                    await loop(beat)
                except Exception:
                    log.exception("loop_failed", loop=name)
                await asyncio.sleep(RESTART_SECONDS)

        beat(RESTART_SECONDS)
        return asyncio.create_task(run(), name=name)


def _janitors(settings: Settings, keys: Keys, times: ServiceTimes) -> Callable[[Rules], Janitor]:
    """Makes janitors, each with connections to Redis of its own, that measure what they archive."""
    history = HistoryWriter.connect(settings.mongo_url, settings.mongo_database, days=settings.history_days)

    def make(rules: Rules) -> Janitor:
        return Janitor(
            Lanes(connect(settings.redis_url), keys),
            MeasuredHistory(history, times),
            PresenceSweeper(connect(settings.redis_url), keys),
            JobLog("operator", settings.log_level, worker="janitor"),
            grace_seconds=rules.grace_seconds,
            policy=rules.policy,
            backlog=settings.history_backlog,
        )

    return make


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Once they have been cancelled and have ended."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=STOP_SECONDS)

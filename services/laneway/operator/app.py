"""Builds the operator's parts from plain values, runs their loops, and stops them in order."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from lightkube import AsyncClient
from lightkube.config.kubeconfig import SingleConfig

from laneway.announcing import Announcer
from laneway.cancellation import cancel
from laneway.janitor import Janitor
from laneway.lanes.commands import EnqueueLimits, WorkerLossLimits
from laneway.lanes.keys import Keys
from laneway.lanes.store import AsyncLanes, Lanes, connect, connect_async
from laneway.operator.cluster import COMPONENT, Cluster
from laneway.operator.endpoints import Endpoints
from laneway.operator.events import EventRecorder
from laneway.operator.heartbeats import Beat, Heartbeats
from laneway.operator.janitor_host import DisconnectRules, JanitorHost
from laneway.operator.leadership import Leadership
from laneway.operator.metrics import OperatorMetrics
from laneway.operator.pools import Pools
from laneway.operator.readiness import Readiness, redis_problem
from laneway.operator.reconcile import Dependencies
from laneway.operator.replicas import Replicas
from laneway.operator.service_times import MeasuredHistory, ServiceTimes
from laneway.presence import PresenceSweeper
from laneway.scheduler import Scheduler
from laneway.storage.activity_writer import ActivityWriter
from laneway.storage.due_schedules import DueSchedules
from laneway.storage.history_writer import HistoryWriter
from laneway.storage.mongo import connect_janitor
from laneway.storage.webhook_targets import WebhookTargets
from laneway.telemetry.job_log import JobLog
from laneway.telemetry.redis_warnings import RedisWarnings

REDIS_SECONDS = 3.0
"""Limit for one command to Redis: an outage is noticed within one reconcile pass."""
RESTART_SECONDS = 5.0
STOP_SECONDS = 10.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Options:
    """The operator's configuration. `name` identifies it in the Lease. A port of 0 turns that feature off."""

    name: str
    namespace: str
    redis_url: str
    key_prefix: str
    mongo_url: str
    mongo_database: str
    history_days: int
    limits: EnqueueLimits
    losses: WorkerLossLimits
    disconnect: DisconnectRules
    janitor_interval_seconds: float
    shutdown_grace_seconds: float
    worker_metrics_port: int
    health_port: int
    metrics_port: int
    log_level: str


class Operator:
    """Build and start it in the event loop that it runs in."""

    def __init__(self, options: Options, config: SingleConfig) -> None:
        identity = f"{options.name}_{uuid.uuid4().hex[:8]}"
        namespace, keys, times = options.namespace, Keys(options.key_prefix), ServiceTimes()
        self._client = AsyncClient(config, namespace=namespace, field_manager=COMPONENT, trust_env=False)
        self._redis = connect_async(options.redis_url, timeout_seconds=REDIS_SECONDS)
        self._lanes = AsyncLanes(self._redis, keys)
        self._leadership = Leadership(self._client, namespace, COMPONENT, identity)
        self._heartbeats = Heartbeats()
        self._redis_warnings = RedisWarnings()
        self._janitor = JanitorHost(
            _janitor_factory(options, keys, times),
            options.disconnect,
            options.janitor_interval_seconds,
            self._is_leading,
        )
        metrics = OperatorMetrics(self._is_leading, self._janitor.stats)
        cluster = Cluster(self._client, namespace)
        dependencies = Dependencies(
            cluster,
            Replicas(cluster, self._is_leading, options.worker_metrics_port),
            EventRecorder(cluster),
            self._lanes,
            self._janitor,
            times,
            metrics,
            options.shutdown_grace_seconds,
        )
        self._pools = Pools(dependencies, self._heartbeats, self._is_leading)
        readiness = Readiness(
            {"lease": self._lease_problem, "workerpools": self._pools_problem, "redis": self._redis_problem}
        )
        for collector in (readiness, self._redis_warnings):
            metrics.registry.register(collector)
        self._endpoints = Endpoints(
            self._liveness,
            readiness.problems,
            lambda: self._redis_warnings.texts,
            metrics.registry,
            options.health_port,
            options.metrics_port,
        )
        self._leadership_task: asyncio.Task[None] | None = None
        self._work: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Serve the endpoints and run the loops."""
        await self._endpoints.start()
        self._leadership_task = self._run_forever("leadership", self._leadership.run)
        self._work = [
            self._run_forever("pools", self._pools.run),
            self._run_forever("janitor", self._janitor.run),
        ]

    async def stop(self) -> None:
        """Finish what is being written, then give the lease back, so that another operator leads at once."""
        await cancel(self._work, STOP_SECONDS)
        if self._leadership_task:
            await cancel([self._leadership_task], STOP_SECONDS)
        await self._leadership.release()
        await self._endpoints.stop()
        await self._client.close()
        await self._redis.aclose()

    def pool_changed(self, body: Mapping[str, Any]) -> None:
        """Take a watch event: this WorkerPool exists, and its spec may have changed."""
        self._pools.update(body["metadata"]["name"], int(body["metadata"].get("generation", 0)))

    def pool_deleted(self, name: str) -> None:
        """Take a watch event: this WorkerPool has been deleted."""
        self._pools.remove(name)

    def _is_leading(self) -> bool:
        return self._leadership.leading

    def _liveness(self) -> dict[str, Any]:
        """What `/healthz` answers. Raises LoopStalled."""
        return {
            "leading": self._leadership.leading,
            "holder": self._leadership.holder,
            "ages": self._heartbeats.ages(),
        }

    async def _lease_problem(self) -> str:
        return self._leadership.problem

    async def _pools_problem(self) -> str:
        return self._pools.problem

    async def _redis_problem(self) -> str:
        return await redis_problem(self._lanes, self._redis_warnings)

    def _run_forever(self, name: str, loop: Callable[[Beat], Awaitable[None]]) -> asyncio.Task[None]:
        """Run a loop as a task. Loops handle the errors they expect; after any other the loop starts again."""
        beat = partial(self._heartbeats.beat, name)

        async def run() -> None:
            while True:
                try:
                    await loop(beat)
                except Exception:
                    log.exception("loop_failed", loop=name)
                await asyncio.sleep(RESTART_SECONDS)

        beat(RESTART_SECONDS)
        return asyncio.create_task(run(), name=name)


def _janitor_factory(
    options: Options, keys: Keys, times: ServiceTimes
) -> Callable[[DisconnectRules], Janitor]:
    """Makes janitors that measure what they archive, each with Redis connections of its own."""
    database = connect_janitor(options.mongo_url)[options.mongo_database]
    history, schedules = HistoryWriter(database, days=options.history_days), DueSchedules(database)
    webhooks = WebhookTargets(database)
    job_log = JobLog("operator", options.log_level, worker="janitor")

    def make(rules: DisconnectRules) -> Janitor:
        lanes = Lanes(connect(options.redis_url), keys)
        return Janitor(
            lanes,
            MeasuredHistory(history, times),
            ActivityWriter(database),
            PresenceSweeper(lanes),
            job_log,
            grace_seconds=rules.grace_seconds,
            policy=rules.policy,
            backlog=options.limits.backlog,
            losses=options.losses,
            scheduler=Scheduler(lanes, schedules, job_log, options.limits),
            announcer=Announcer(lanes, webhooks, job_log),
        )

    return make

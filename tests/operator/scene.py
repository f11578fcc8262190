"""A pool, its Deployment and its lanes, with a reconciler that works on them: what unit tests of the operator act on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from laneway.janitor import Janitor
from laneway.lanes.commands import Claim, Start
from laneway.lanes.keys import Keys
from laneway.lanes.model import Job, JobState, Lease
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.operator.cluster import Cluster
from laneway.operator.events import EventRecorder
from laneway.operator.janitor_host import DisconnectRules, JanitorHost
from laneway.operator.metrics import OperatorMetrics
from laneway.operator.reconcile import Dependencies, Reconciler
from laneway.operator.replicas import Replicas
from laneway.operator.service_times import ServiceTimes
from laneway.operator.workerpool import GROUP, KIND, VERSION
from tests.lanes.driver import Driver
from tests.operator.conformance import POOL_SPEC, deployment
from tests.operator.fake_cluster import NAMESPACE, FakeCluster

POOL, TARGET = "pool", "worker"
SHUTDOWN_GRACE_SECONDS = 30


class Scene:
    """`leading` decides whether the operator may write. `url`: of its Redis."""

    def __init__(self, url: str, prefix: str) -> None:
        self.cluster, self.leading = FakeCluster(), True
        self.redis = connect_async(url, timeout_seconds=1)
        self.client = self.cluster.client()
        self.service_times = ServiceTimes()
        self.janitor = JanitorHost(_no_janitor, DisconnectRules(60, "purge"), 1, self.is_leading)
        self.metrics = OperatorMetrics(self.is_leading, self.janitor.stats)
        cluster = Cluster(self.client, NAMESPACE)
        self.dependencies = Dependencies(
            cluster,
            Replicas(cluster, self.is_leading, worker_port=0),
            EventRecorder(cluster),
            AsyncLanes(self.redis, Keys(prefix)),
            self.janitor,
            self.service_times,
            self.metrics,
            SHUTDOWN_GRACE_SECONDS,
        )
        self.reconciler = Reconciler(POOL, self.dependencies)

    def is_leading(self) -> bool:
        return self.leading

    def add_pool(self, name: str = POOL, **spec: Any) -> None:
        self.cluster.add(
            "workerpools",
            {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "metadata": {"name": name},
                "spec": POOL_SPEC | {"stabilizationWindowSeconds": 0} | spec,
            },
        )

    def change_pool(self, **spec: Any) -> None:
        self.cluster.patch("workerpools", POOL, {"spec": spec})

    def add_deployment(self, replicas: int) -> None:
        self.cluster.add("deployments", deployment(TARGET, replicas).to_dict())

    def measure(self, run_seconds: float) -> None:
        """Let the operator know how long jobs take."""
        started_us, finished_us = 0, round(run_seconds * 1_000_000)
        job = Job(
            "0" * 25,
            "ann",
            "echo",
            b"null",
            JobState.SUCCEEDED,
            1,
            3,
            started_us=started_us,
            finished_us=finished_us,
        )
        self.service_times.add([job])

    def lose_redis(self) -> None:
        """From now on Redis refuses connections."""
        dead = connect_async("redis://127.0.0.1:1/0")
        dependencies = replace(self.dependencies, lanes=AsyncLanes(dead, Keys("lost")))
        self.reconciler = Reconciler(POOL, dependencies)

    async def reconcile(self) -> str:
        """One pass; its outcome."""
        outcome, _ = await self.reconciler.run()
        return outcome

    @property
    def replicas(self) -> int:
        return int(self.cluster.get("deployments", TARGET)["spec"]["replicas"])

    @property
    def pods(self) -> list[str]:
        """Names of all pods, Terminating ones included."""
        return [pod["metadata"]["name"] for pod in self.cluster.all("pods")]

    @property
    def status(self) -> dict[str, Any]:
        return dict(self.cluster.get("workerpools", POOL).get("status") or {})

    def condition(self, type_: str) -> tuple[str, str]:
        """Its status and its reason."""
        (found,) = (found for found in self.status["conditions"] if found["type"] == type_)
        return found["status"], found["reason"]

    def events(self) -> list[str]:
        """Reasons of the Kubernetes Events, oldest first."""
        return [event["reason"] for event in self.cluster.all("events")]

    def messages(self) -> list[str]:
        """Messages of the Kubernetes Events, oldest first."""
        return [event["message"] for event in self.cluster.all("events")]

    def scale_requests(self) -> int:
        return self.cluster.verbs("deployments/scale").count("patch")


def play(url: str, prefix: str, act: Callable[[Scene], Awaitable[None]]) -> None:
    """Run a test in an event loop."""

    async def run() -> None:
        async with opened(url, prefix) as scene:
            await act(scene)

    asyncio.run(run())


@asynccontextmanager
async def opened(url: str, prefix: str) -> AsyncIterator[Scene]:
    """A scene whose connections are closed at the end."""
    scene = Scene(url, prefix)
    try:
        yield scene
    finally:
        await scene.client.close()
        await scene.redis.aclose()


def start(lanes: Driver, host: str, count: int, age_seconds: float = 0) -> list[Lease]:
    """What a worker on that host does: claim and start jobs."""
    claimed = lanes.run(Claim(count, 300))
    started_us = claimed.now_us - int(age_seconds * 1_000_000)
    lanes.run(Start(f"{host}:1", claimed.leases, [started_us] * len(claimed.leases)))
    return list(claimed.leases)


def _no_janitor(_rules: DisconnectRules) -> Janitor:
    raise AssertionError("no janitor in this test")

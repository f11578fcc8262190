"""Changes the replicas of a Deployment, and before some go, prices its pods so that the idle ones go first.

A ReplicaSet that must shrink deletes pods that are not ready first, then those of the lowest deletion cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from laneway.operator.cluster import Cluster, Conflict, NotFound, Pod, Target
from laneway.operator.deletion_cost import ask, costs
from laneway.scaling import PoolSpec, pins

COSTS_AT_ONCE = 10
ATTEMPTS = 3
log = structlog.get_logger()


class NotActing(Exception):
    """Another operator acts, or may by now."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What was observed of a target. `grace_seconds`: what a job is granted to end when its pod is stopped."""

    target: Target
    pods: Sequence[Pod]
    grace_seconds: float

    @property
    def staying(self) -> list[Pod]:
        """A pod that is leaving is no capacity."""
        return [pod for pod in self.pods if not pod.leaving]

    @property
    def leaving_hosts(self) -> set[str]:
        return {pod.host for pod in self.pods if pod.leaving}

    @property
    def ready(self) -> int:
        return sum(pod.ready for pod in self.staying)

    def pinned(self, ages: Mapping[str, Sequence[float]], service_seconds: float | None) -> int:
        """Pods with a job that would be interrupted. `ages`: for each host, how long its jobs have run."""
        return sum(
            any(pins(age, service_seconds, self.grace_seconds) for age in ages.get(pod.host, ()))
            for pod in self.staying
        )


class Replicas:
    """`acting` is asked before each write; `worker_port`: of the workers' /in-flight."""

    def __init__(self, cluster: Cluster, acting: Callable[[], bool], worker_port: int) -> None:
        self._cluster, self._acting, self._worker_port = cluster, acting, worker_port

    async def price(
        self,
        sight: Sight,
        spec: PoolSpec,
        ages: Mapping[str, Sequence[float]],
        service_seconds: float | None,
    ) -> None:
        """Make busy pods dearer than idle ones. Raises a ClusterError where that fails: then nothing is to be scaled down."""
        pods = sight.staying
        counts = await ask(pods, self._worker_port)
        wanted = costs(pods, counts, ages, spec, service_seconds, sight.grace_seconds)
        room = asyncio.Semaphore(COSTS_AT_ONCE)

        async def put(pod: Pod) -> None:
            async with room:
                self.check()
                try:
                    await self._cluster.set_cost(pod, wanted[pod.name])
                except NotFound:
                    log.debug("pod_gone", pod=pod.name)

        changed = [pod for pod in pods if pod.cost != wanted[pod.name]]
        for result in await asyncio.gather(*map(put, changed), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def write(self, target: Target, replicas: int) -> None:
        """Raises Conflict if somebody else has changed the replicas. (A Deployment also changes with every pod that
        becomes ready, which is no reason to wait for the next look.)"""
        for _ in range(ATTEMPTS):
            self.check()
            try:
                await self._cluster.scale(target, replicas)
            except Conflict:
                now = await self._cluster.target(target.name)
                if (now.uid, now.replicas) != (target.uid, target.replicas):
                    raise
                target = now
            else:
                return
        raise Conflict(f"Deployment {target.name} changes too fast")

    def check(self) -> None:
        """Raises NotActing."""
        if not self._acting():
            raise NotActing

"""Changes a Deployment's replicas, and before a scale-down sets its pods' deletion costs so that idle pods go first.

A ReplicaSet that shrinks deletes pods that are not ready first, then those of the lowest deletion cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from laneway.operator.cluster import Cluster
from laneway.operator.deletion_cost import deletion_costs, poll_in_flight
from laneway.operator.errors import Conflict, NotFound
from laneway.operator.workload import Pod, Target, Workload
from laneway.scaling import PoolSpec

MAX_PATCHES_AT_ONCE = 10
SCALE_ATTEMPTS = 3
log = structlog.get_logger()


class NotLeading(Exception):
    """This operator does not lead, or may lose the lead any moment: it must not write."""


class Replicas:
    """`leading` is asked before each write. `worker_port`: of the workers' `/in-flight`, 0 if they have none."""

    def __init__(self, cluster: Cluster, leading: Callable[[], bool], worker_port: int) -> None:
        self._cluster, self._leading, self._worker_port = cluster, leading, worker_port

    async def set_deletion_costs(
        self,
        workload: Workload,
        spec: PoolSpec,
        job_ages: Mapping[str, Sequence[float]],
        service_seconds: float | None,
    ) -> None:
        """Make busy pods more expensive to delete than idle ones.

        Raises NotLeading and ClusterErrors; do not scale down after one, a busy pod might go.
        """
        pods = workload.staying
        in_flight = await poll_in_flight(pods, self._worker_port)
        costs = deletion_costs(pods, in_flight, job_ages, spec, service_seconds, workload.grace_seconds)
        patches = asyncio.Semaphore(MAX_PATCHES_AT_ONCE)

        async def set_cost(pod: Pod) -> None:
            async with patches:
                self.require_leadership()
                try:
                    await self._cluster.set_deletion_cost(pod, costs[pod.name])
                except NotFound:
                    log.debug("pod_deleted", pod=pod.name)

        changed = [pod for pod in pods if pod.cost != costs[pod.name]]
        for result in await asyncio.gather(*map(set_cost, changed), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def scale(self, target: Target, replicas: int) -> None:
        """Set the replicas. Raises NotLeading, Conflict if somebody else has changed them, and other ClusterErrors.

        A Deployment gets a new resource version with every pod that becomes ready. So after a conflict the replicas are
        read again, and if they are as before the write is repeated.
        """
        for _ in range(SCALE_ATTEMPTS):
            self.require_leadership()
            try:
                await self._cluster.scale(target, replicas)
            except Conflict:
                found = await self._cluster.target(target.name)
                if (found.uid, found.replicas) != (target.uid, target.replicas):
                    raise
                target = found
            else:
                return
        raise Conflict(
            f"Deployment {target.name} changed {SCALE_ATTEMPTS} times while its replicas were being set"
        )

    def require_leadership(self) -> None:
        """Raises NotLeading."""
        if not self._leading():
            raise NotLeading

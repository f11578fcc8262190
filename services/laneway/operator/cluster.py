"""The API server as the operator needs it: reads WorkerPools, Deployments and pods; writes replicas, costs and statuses.

Every write names the resource version that its decision was based on. A writer that decided on an old state, be it this
operator or a second one, gets `Conflict` and changes nothing. Nothing is retried here and no request takes longer than
REQUEST_SECONDS: the next reconcile pass reads again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from lightkube import AsyncClient, KubeConfig
from lightkube.config.kubeconfig import SingleConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Event
from lightkube.resources.core_v1 import Pod as PodResource
from lightkube.types import PatchType

from laneway.operator.errors import ClusterError, as_cluster_errors
from laneway.operator.workerpool import GROUP, KIND, PLURAL, VERSION, WorkerPool
from laneway.operator.workload import DELETION_COST, Pod, Target, has_ended

REQUEST_SECONDS = 5.0
COMPONENT = "laneway-operator"
"""Field manager, source of Events and name of the Lease."""
_PoolResource = create_namespaced_resource(GROUP, VERSION, KIND, PLURAL)


def connection() -> SingleConfig:
    """How to reach the API server: in a pod by its service account, else by KUBECONFIG or ~/.kube/config."""
    config = KubeConfig.from_env().get()
    if config is None:
        raise ClusterError("the kubeconfig has no current context: set one with `kubectl config use-context`")
    return config


class Cluster:
    """One namespace. Every method raises ClusterErrors."""

    def __init__(self, client: AsyncClient, namespace: str) -> None:
        self._client, self._namespace = client, namespace

    async def pools(self) -> dict[str, int]:
        """List the WorkerPools: the generation of each by name."""
        async with _request("list WorkerPools"):
            listed = self._client.list(_PoolResource, namespace=self._namespace)
            metadata = [pool.metadata or ObjectMeta() async for pool in listed]
        return {found.name or "": found.generation or 0 for found in metadata}

    async def pool(self, name: str) -> WorkerPool:
        """Read one WorkerPool."""
        async with _request(f"read WorkerPool {name}"):
            return WorkerPool.parse(await self._client.get(_PoolResource, name, namespace=self._namespace))

    async def target(self, name: str) -> Target:
        """Read the Deployment of that name."""
        async with _request(f"read Deployment {name}"):
            return Target.parse(await self._client.get(Deployment, name, namespace=self._namespace))

    async def pods(self, target: Target) -> list[Pod]:
        """List the target's pods, Terminating ones included, those that have ended left out."""
        async with _request(f"list pods of {target.name}"):
            listed = self._client.list(PodResource, namespace=self._namespace, labels=target.pod_labels)
            return [Pod.parse(pod) async for pod in listed if not has_ended(pod)]

    async def set_deletion_cost(self, pod: Pod, cost: int) -> None:
        """Annotate the pod: when replicas go, the controller deletes the pods of the lowest cost first."""
        metadata = {"resourceVersion": pod.resource_version, "annotations": {DELETION_COST: str(cost)}}
        await self._patch(PodResource, pod.name, {"metadata": metadata})

    async def scale(self, target: Target, replicas: int) -> None:
        """Set the Deployment's replicas, unless it has changed since `target` was read."""
        version = {"resourceVersion": target.resource_version}
        await self._patch(
            Deployment.Scale, target.name, {"metadata": version, "spec": {"replicas": replicas}}
        )

    async def set_status(self, pool: WorkerPool, status: Mapping[str, Any]) -> None:
        """Merge `status` into the pool's status, unless the pool has changed since it was read."""
        version = {"resourceVersion": pool.resource_version}
        await self._patch(_PoolResource.Status, pool.name, {"metadata": version, "status": dict(status)})

    async def create_event(self, event: Event) -> None:
        """Create a Kubernetes Event; its metadata must name this namespace."""
        async with _request("create Event"):
            await self._client.create(event)

    async def _patch(self, resource: Any, name: str, patch: dict[str, Any]) -> None:
        async with _request(f"patch {resource.__name__} {name}"):
            await self._client.patch(
                resource, name, patch, namespace=self._namespace, patch_type=PatchType.MERGE
            )


@asynccontextmanager
async def _request(description: str) -> AsyncIterator[None]:
    """Bound the request's time and raise its errors as ClusterErrors."""
    with as_cluster_errors(description):
        async with asyncio.timeout(REQUEST_SECONDS):
            yield

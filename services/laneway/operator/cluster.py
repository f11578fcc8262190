"""The API server as the operator needs it: reads pools, Deployments and Pods, writes replicas, costs and statuses.

Every write names the resource version that its decision was made on, so that one who decided on an old state, be it
this operator or a second one, is refused (`Conflict`) instead of obeyed. Nothing is retried here, and nothing takes
longer than REQUEST_SECONDS: whoever calls looks again at the next poll.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx2
from lightkube import ApiError, AsyncClient, KubeConfig
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.client import LabelSelector
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.core_v1 import EventSource, ObjectReference
from lightkube.models.meta_v1 import LabelSelector as Selector
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.operators import exists, in_, not_exists, not_in
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Event
from lightkube.resources.core_v1 import Pod as PodResource
from lightkube.types import PatchType

from laneway.operator.workerpool import GROUP, KIND, MAX_MESSAGE, PLURAL, VERSION, WorkerPool

REQUEST_SECONDS = 5.0
COST = "controller.kubernetes.io/pod-deletion-cost"
COMPONENT = "laneway-operator"
_HOSTNAME_LENGTH = 63
_DEFAULT_GRACE_SECONDS = 30
_PoolResource = create_namespaced_resource(GROUP, VERSION, KIND, PLURAL)


class ClusterError(Exception):
    """The API server did not do what it was asked for."""


class Unreachable(ClusterError):
    """It is away, overloaded or too slow."""


class NotFound(ClusterError):
    """There is no such object (any more)."""


class Conflict(ClusterError):
    """The object has changed since it was read."""


class Refused(ClusterError):
    """It does not allow it: a right is missing, or a rule is broken."""


@dataclass(frozen=True, slots=True)
class Target:
    """The Deployment that a pool scales. `grace_seconds`: what its pods are given to stop."""

    name: str
    uid: str
    resource_version: str
    replicas: int
    grace_seconds: float
    selector: Selector


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of a target. `host`: what its processes know as their host's name. `cost`: its deletion cost, 0 if it has none."""

    name: str
    resource_version: str
    host: str
    ip: str
    ready: bool
    leaving: bool
    cost: int


def connection() -> SingleConfig:
    """How to reach the API server: as a pod by its service account, else by KUBECONFIG or ~/.kube/config."""
    config = KubeConfig.from_env().get()
    if config is None:
        raise ClusterError("the configuration names no current context")
    return config


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Errors of client and network as ClusterErrors."""
    try:
        yield
    except ApiError as error:
        raise _of_status(error.status.code or 0)(f"{what}: {error.status.message}") from error
    except (httpx2.HTTPError, OSError, TimeoutError) as error:
        raise Unreachable(f"{what}: {str(error) or type(error).__name__}") from error


def _of_status(code: int) -> type[ClusterError]:
    match code:
        case 404 | 410:
            return NotFound
        case 409:
            return Conflict
        case 429:
            return Unreachable
        case _ if code >= 500 or code == 0:
            return Unreachable
        case _:
            return Refused


class Cluster:
    """One namespace. All of it raises ClusterErrors."""

    def __init__(self, client: AsyncClient, namespace: str) -> None:
        self._client, self._namespace = client, namespace

    async def pools(self) -> dict[str, int]:
        """The generation of each, by name."""
        with translated("list WorkerPools"):
            async with asyncio.timeout(REQUEST_SECONDS):
                listed = self._client.list(_PoolResource, namespace=self._namespace)
                metadata = [pool.metadata or ObjectMeta() async for pool in listed]
        return {found.name or "": found.generation or 0 for found in metadata}

    async def pool(self, name: str) -> WorkerPool:
        with translated(f"read WorkerPool {name}"):
            async with asyncio.timeout(REQUEST_SECONDS):
                return WorkerPool.parse(
                    await self._client.get(_PoolResource, name, namespace=self._namespace)
                )

    async def target(self, name: str) -> Target:
        with translated(f"read Deployment {name}"):
            async with asyncio.timeout(REQUEST_SECONDS):
                found = await self._client.get(Deployment, name, namespace=self._namespace)
        metadata = found.metadata or ObjectMeta()
        template = found.spec.template.spec
        grace = template.terminationGracePeriodSeconds if template else None
        return Target(
            name=name,
            uid=metadata.uid or "",
            resource_version=metadata.resourceVersion or "",
            replicas=1 if found.spec.replicas is None else found.spec.replicas,
            grace_seconds=_DEFAULT_GRACE_SECONDS if grace is None else grace,
            selector=found.spec.selector,
        )

    async def pods(self, target: Target) -> list[Pod]:
        with translated(f"list pods of {target.name}"):
            async with asyncio.timeout(REQUEST_SECONDS):
                labels = _selector(target.selector)
                listed = self._client.list(PodResource, namespace=self._namespace, labels=labels)
                return [_pod(pod) async for pod in listed if not _ended(pod)]

    async def set_cost(self, pod: Pod, cost: int) -> None:
        """How dear the pod is when replicas go: the controller deletes the cheapest ones first."""
        metadata = {"resourceVersion": pod.resource_version, "annotations": {COST: str(cost)}}
        await self._patch(PodResource, pod.name, {"metadata": metadata})

    async def scale(self, target: Target, replicas: int) -> None:
        await self._patch(
            Deployment.Scale,
            target.name,
            {"metadata": {"resourceVersion": target.resource_version}, "spec": {"replicas": replicas}},
        )

    async def set_status(self, pool: WorkerPool, status: Mapping[str, Any]) -> None:
        await self._patch(
            _PoolResource.Status,
            pool.name,
            {"metadata": {"resourceVersion": pool.resource_version}, "status": dict(status)},
        )

    async def tell(self, pool: WorkerPool, kind: str, reason: str, message: str) -> None:
        """A Kubernetes event about the pool. `kind`: Normal or Warning."""
        now = datetime.now(UTC)
        event = Event(
            metadata=ObjectMeta(name=f"{pool.name}.{time.time_ns():x}", namespace=self._namespace),
            involvedObject=ObjectReference(
                apiVersion=f"{GROUP}/{VERSION}",
                kind=KIND,
                name=pool.name,
                namespace=self._namespace,
                uid=pool.uid,
                resourceVersion=pool.resource_version,
            ),
            type=kind,
            reason=reason,
            message=message[:MAX_MESSAGE],
            source=EventSource(component=COMPONENT),
            count=1,
            firstTimestamp=now,
            lastTimestamp=now,
        )
        with translated(f"tell of {pool.name}"):
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._client.create(event)

    async def _patch(self, resource: Any, name: str, patch: dict[str, Any]) -> None:
        with translated(f"patch {resource.__name__} {name}"):
            async with asyncio.timeout(REQUEST_SECONDS):
                await self._client.patch(
                    resource, name, patch, namespace=self._namespace, patch_type=PatchType.MERGE
                )


def _selector(selector: Selector) -> LabelSelector:
    labels: dict[str, Any] = dict(selector.matchLabels or {})
    for wanted in selector.matchExpressions or ():
        match wanted.operator:
            case "In":
                labels[wanted.key] = in_(wanted.values or ())
            case "NotIn":
                labels[wanted.key] = not_in(wanted.values or ())
            case "Exists":
                labels[wanted.key] = exists()
            case _:
                labels[wanted.key] = not_exists()
    return labels


def _ended(pod: PodResource) -> bool:
    """Evicted or completed: it stays in the list, and is nothing any more."""
    return pod.status is not None and pod.status.phase in {"Succeeded", "Failed"}


def _pod(pod: PodResource) -> Pod:
    metadata, status = pod.metadata or ObjectMeta(), pod.status
    name = metadata.name or ""
    conditions = (status.conditions if status else None) or ()
    try:
        cost = int((metadata.annotations or {}).get(COST, "0"))
    except ValueError:
        cost = 0  # as the controller takes it
    return Pod(
        name=name,
        resource_version=metadata.resourceVersion or "",
        host=name[:_HOSTNAME_LENGTH].rstrip("-."),  # as the kubelet makes it
        ip=(status.podIP if status else None) or "",
        ready=any(condition.type == "Ready" and condition.status == "True" for condition in conditions),
        leaving=metadata.deletionTimestamp is not None,
        cost=cost,
    )

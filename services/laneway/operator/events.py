"""Records Kubernetes Events about a pool."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import structlog
from lightkube.models.core_v1 import EventSource, ObjectReference
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Event

from laneway.operator.cluster import COMPONENT, Cluster
from laneway.operator.errors import ClusterError
from laneway.operator.workerpool import GROUP, KIND, MAX_MESSAGE, VERSION, WorkerPool

log = structlog.get_logger()


class EventRecorder:
    """Creates Events. A failure is logged and not raised: what the Event is about has happened in any case."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def record(self, pool: WorkerPool, kind: str, reason: str, message: str) -> None:
        """Record an Event. `kind`: Normal or Warning; `reason`: one word for programs."""
        try:
            await self._cluster.create_event(_event(pool, kind, reason, message, datetime.now(UTC)))
        except ClusterError as error:
            log.warning("event_creation_failed", pool=pool.name, reason=reason, error=str(error))


def _event(pool: WorkerPool, kind: str, reason: str, message: str, now: datetime) -> Event:
    return Event(
        metadata=ObjectMeta(name=f"{pool.name}.{time.time_ns():x}", namespace=pool.namespace),
        involvedObject=ObjectReference(
            apiVersion=f"{GROUP}/{VERSION}",
            kind=KIND,
            name=pool.name,
            namespace=pool.namespace,
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

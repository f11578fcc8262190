"""The WorkerPool resource as the operator reads it, and the status that it writes. Pure.

The schema (`helm/laneway/crds`) has checked and completed every spec by the time it is read here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from laneway.scaling import PoolSpec, ScalingState

GROUP, VERSION, KIND, PLURAL = "laneway.dev", "v1alpha1", "WorkerPool", "workerpools"
READY, STORE_REACHABLE, SCALING_ACTIVE = "Ready", "StoreReachable", "ScalingActive"
MEMORY = "memory"
"""The status field with what the scaling rule remembers."""
MAX_MESSAGE = 1024
"""Characters of a condition's message, and the longest that an event may have."""


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """One pool, as it was read."""

    name: str
    namespace: str
    uid: str
    generation: int
    resource_version: str
    created: str
    target: str
    poll_seconds: float
    disconnect_grace_seconds: float
    disconnect_policy: Literal["purge", "drain"]
    spec: Mapping[str, Any]
    status: Mapping[str, Any]

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> WorkerPool:
        metadata, spec = body["metadata"], body["spec"]
        return cls(
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            generation=int(metadata["generation"]),
            resource_version=metadata["resourceVersion"],
            created=metadata["creationTimestamp"],
            target=spec["target"],
            poll_seconds=float(spec["pollIntervalSeconds"]),
            disconnect_grace_seconds=float(spec["disconnectGraceSeconds"]),
            disconnect_policy=spec["disconnectPolicy"],
            spec=spec,
            status=body.get("status") or {},
        )

    @property
    def paused(self) -> bool:
        return bool(self.spec.get("paused", False))

    @property
    def memory(self) -> ScalingState:
        """What the rule remembered when the status was written."""
        return ScalingState.from_status(self.status.get(MEMORY))

    def scaling(self) -> PoolSpec:
        """Raises InvalidPool, should the schema have let something through."""
        return PoolSpec(
            min_replicas=self.spec["minReplicas"],
            max_replicas=self.spec["maxReplicas"],
            slots_per_replica=self.spec["slotsPerReplica"],
            drain_target_seconds=float(self.spec["drainTargetSeconds"]),
            stabilisation_window_seconds=float(self.spec["stabilizationWindowSeconds"]),
            paused=self.paused,
        )

    @property
    def conditions(self) -> Sequence[Mapping[str, Any]]:
        return self.status.get("conditions") or []


@dataclass(frozen=True, slots=True)
class Condition:
    """`holds` None: it could not be found out. `reason`: one word for programs; `message`: a sentence for people."""

    type: str
    holds: bool | None
    reason: str
    message: str

    @property
    def status(self) -> str:
        return "Unknown" if self.holds is None else str(self.holds)


def as_status(
    conditions: Iterable[Condition], before: Sequence[Mapping[str, Any]], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """The conditions as the API has them; the time of the last transition is kept where the status stays the same."""
    known = {condition["type"]: condition for condition in before}
    written = []
    for condition in conditions:
        old = known.get(condition.type)
        same = old is not None and old["status"] == condition.status
        written.append(
            {
                "type": condition.type,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message[:MAX_MESSAGE],
                "observedGeneration": generation,
                "lastTransitionTime": old["lastTransitionTime"] if same and old else timestamp(now),
            }
        )
    return written


def transitions(conditions: Iterable[Condition], before: Sequence[Mapping[str, Any]]) -> list[Condition]:
    """Those that are news: their status has changed, or they begin with something that is wrong; one for each message."""
    known = {condition["type"]: condition["status"] for condition in before}
    news = {
        condition.message: condition
        for condition in reversed(list(conditions))
        if known.get(condition.type, "True") != condition.status
    }
    return list(reversed(news.values()))


def timestamp(now: datetime) -> str:
    """As Kubernetes writes times: whole seconds, UTC."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")

"""The WorkerPool resource: what the operator reads, and the conditions that it writes. Pure.

The schema (`helm/laneway/crds`) has validated every spec and filled in its defaults before it is read here.
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
"""The status field that holds the scaling rule's state."""
MAX_MESSAGE = 1024
"""Characters of a condition's message; Kubernetes allows an Event no more."""


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """One WorkerPool as it was read."""

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
        """Read an object from the API server; raises KeyError if the schema has not been applied to it."""
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
        """Whether the owner scales by hand."""
        return bool(self.spec.get("paused", False))

    @property
    def scaling_state(self) -> ScalingState:
        """The scaling rule's state as the status holds it."""
        return ScalingState.from_status(self.status.get(MEMORY))

    def scaling_spec(self) -> PoolSpec:
        """The spec for the scaling rule. Raises InvalidPool if the schema let a contradiction through."""
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
        """The conditions in the status, as Kubernetes holds them."""
        return self.status.get("conditions") or []


@dataclass(frozen=True, slots=True)
class Condition:
    """`holds` None: unknown. `reason`: one word for programs. `message`: one sentence for people."""

    type: str
    holds: bool | None
    reason: str
    message: str

    @property
    def status(self) -> str:
        """True, False or Unknown, as Kubernetes writes it."""
        return "Unknown" if self.holds is None else str(self.holds)


def to_status(
    conditions: Iterable[Condition], previous: Sequence[Mapping[str, Any]], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """The conditions for the status. The time of the last transition stays while a condition's status stays."""
    known = {condition["type"]: condition for condition in previous}
    written = []
    for condition in conditions:
        old = known.get(condition.type)
        unchanged = old is not None and old["status"] == condition.status
        written.append(
            {
                "type": condition.type,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message[:MAX_MESSAGE],
                "observedGeneration": generation,
                "lastTransitionTime": old["lastTransitionTime"] if unchanged and old else timestamp(now),
            }
        )
    return written


def transitions(conditions: Iterable[Condition], previous: Sequence[Mapping[str, Any]]) -> list[Condition]:
    """The conditions whose status has changed, and new ones that do not hold; one for each message."""
    known = {condition["type"]: condition["status"] for condition in previous}
    changed = {
        condition.message: condition
        for condition in reversed(list(conditions))
        if known.get(condition.type, "True") != condition.status
    }
    return list(reversed(changed.values()))


def timestamp(now: datetime) -> str:
    """The time as Kubernetes writes it: whole seconds, UTC."""
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")

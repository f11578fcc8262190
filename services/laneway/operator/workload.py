"""What the API server knows of a pool's Deployment and its pods. Pure: parsing and counting, no requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightkube.core.client import LabelSelector
from lightkube.models.meta_v1 import LabelSelector as SelectorSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.operators import exists, in_, not_exists, not_in
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Pod as PodResource

from laneway.scaling import pins

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_HOSTNAME_LENGTH = 63
_DEFAULT_GRACE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Target:
    """The Deployment that a pool scales. `grace_seconds`: the termination grace period of its pods."""

    name: str
    uid: str
    resource_version: str
    replicas: int
    grace_seconds: float
    selector: SelectorSpec

    @classmethod
    def parse(cls, deployment: Deployment) -> Target:
        """Read a Deployment; fields that the API server leaves out have Kubernetes' defaults."""
        metadata = deployment.metadata or ObjectMeta()
        template = deployment.spec.template.spec
        grace = template.terminationGracePeriodSeconds if template else None
        return cls(
            name=metadata.name or "",
            uid=metadata.uid or "",
            resource_version=metadata.resourceVersion or "",
            replicas=1 if deployment.spec.replicas is None else deployment.spec.replicas,
            grace_seconds=_DEFAULT_GRACE_SECONDS if grace is None else grace,
            selector=deployment.spec.selector,
        )

    @property
    def pod_labels(self) -> LabelSelector:
        """The label selector of the Deployment's pods, as lightkube takes it."""
        labels: dict[str, Any] = dict(self.selector.matchLabels or {})
        for rule in self.selector.matchExpressions or ():
            match rule.operator:
                case "In":
                    labels[rule.key] = in_(rule.values or ())
                case "NotIn":
                    labels[rule.key] = not_in(rule.values or ())
                case "Exists":
                    labels[rule.key] = exists()
                case _:
                    labels[rule.key] = not_exists()
        return labels


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of a target. `host`: the host name that its processes see. `cost`: its deletion cost, 0 if it has none."""

    name: str
    resource_version: str
    host: str
    ip: str
    ready: bool
    terminating: bool
    cost: int

    @classmethod
    def parse(cls, pod: PodResource) -> Pod:
        """Read a pod; a deletion cost that is no number counts as 0, as Kubernetes' controller counts it."""
        metadata, status = pod.metadata or ObjectMeta(), pod.status
        name = metadata.name or ""
        conditions = (status.conditions if status else None) or ()
        try:
            cost = int((metadata.annotations or {}).get(DELETION_COST, "0"))
        except ValueError:
            cost = 0
        return cls(
            name=name,
            resource_version=metadata.resourceVersion or "",
            host=name[:_HOSTNAME_LENGTH].rstrip("-."),  # the kubelet shortens it like this
            ip=(status.podIP if status else None) or "",
            ready=any(condition.type == "Ready" and condition.status == "True" for condition in conditions),
            terminating=metadata.deletionTimestamp is not None,
            cost=cost,
        )


def has_ended(pod: PodResource) -> bool:
    """Whether the pod was evicted or has completed: it stays in the list, but runs nothing any more."""
    return pod.status is not None and pod.status.phase in {"Succeeded", "Failed"}


@dataclass(frozen=True, slots=True)
class Workload:
    """A target with its pods. `grace_seconds`: how long a job may run on when its pod stops."""

    target: Target
    pods: Sequence[Pod]
    grace_seconds: float

    @property
    def staying(self) -> list[Pod]:
        """Pods that are not Terminating. A Terminating pod claims no new jobs, so it is no capacity."""
        return [pod for pod in self.pods if not pod.terminating]

    @property
    def leaving_hosts(self) -> set[str]:
        """Host names of the Terminating pods."""
        return {pod.host for pod in self.pods if pod.terminating}

    @property
    def ready(self) -> int:
        """Number of pods that are ready and not Terminating."""
        return sum(pod.ready for pod in self.staying)

    def pinned(self, job_ages: Mapping[str, Sequence[float]], service_seconds: float | None) -> int:
        """Count the pods with a job that a stop would interrupt. `job_ages`: by host, how long its jobs have run."""
        return sum(
            any(pins(age, service_seconds, self.grace_seconds) for age in job_ages.get(pod.host, ()))
            for pod in self.staying
        )

"""Installs the chart in a namespace and inspects the result."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.program import Program

CHART = Path(__file__).parents[2] / "helm" / "laneway"
NAME = "laneway"
DEFAULT_OBJECTS = {"serviceaccount/default", "configmap/kube-root-ca.crt"}
"""Objects that Kubernetes creates in every namespace."""
EXPIRING_KINDS = {"events", "events.events.k8s.io"}
"""Kinds whose objects expire by themselves."""


@dataclass(frozen=True)
class Release:
    """One release of the chart. Its objects are named `laneway-<component>`."""

    helm: Program
    kubectl: Program
    namespace: str

    def install(self, values: Mapping[str, Any] | None = None, *options: str) -> None:
        """Install or upgrade, and wait until every pod is ready."""
        self.helm(
            *("upgrade", "--install", NAME, str(CHART), f"--namespace={self.namespace}"),
            *("--values=-", "--wait", "--timeout=100s", *options),
            stdin=yaml.safe_dump(dict(values or {})),
        )

    def uninstall(self) -> None:
        self.helm("uninstall", NAME, f"--namespace={self.namespace}", "--wait", "--timeout=100s")

    def get(self, kind: str, component: str) -> Any:
        return self.kubectl.json("get", kind, f"{NAME}-{component}", f"--namespace={self.namespace}")

    def pool(self, **spec: int) -> None:
        """Change the WorkerPool's spec."""
        self.kubectl(
            *("patch", "workerpool", f"{NAME}-worker", f"--namespace={self.namespace}", "--type=merge"),
            f"--patch={json.dumps({'spec': spec})}",
        )

    def pods(self, component: str, *, leaving: bool = False) -> list[dict[str, Any]]:
        """A component's pods. With `leaving` also Terminating ones, which still run jobs and answer requests."""
        selector = f"--selector=app.kubernetes.io/instance={NAME},app.kubernetes.io/component={component}"
        found = self.kubectl.json("get", "pods", f"--namespace={self.namespace}", selector)["items"]
        return [pod for pod in found if leaving or "deletionTimestamp" not in pod["metadata"]]

    def uids(self, *components: str) -> set[str]:
        """The UIDs of the components' pods, to see whether pods were replaced."""
        return {pod["metadata"]["uid"] for component in components for pod in self.pods(component)}

    def left(self) -> set[str]:
        """All objects of the namespace, of every kind, except those that Kubernetes itself creates."""
        listed = ("api-resources", "--namespaced", "--verbs=list", "--output=name")
        kinds = set(self.kubectl(*listed).split()) - EXPIRING_KINDS
        return _names(self.kubectl, self.namespace, kinds) - DEFAULT_OBJECTS


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether the pod is ready. It may be Terminating."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


def _names(kubectl: Program, namespace: str, kinds: Iterable[str]) -> set[str]:
    found = kubectl("get", ",".join(sorted(kinds)), f"--namespace={namespace}", "--output=name")
    return set(found.split())

"""The chart, installed in a namespace."""

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
GIVEN = {"serviceaccount/default", "configmap/kube-root-ca.crt"}
"""What Kubernetes itself puts into every namespace."""
PASSING = {"events", "events.events.k8s.io"}
"""Kinds of objects that go by themselves."""


@dataclass(frozen=True)
class Release:
    """One release; its objects are named `laneway-<component>`."""

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
        """Change the WorkerPool."""
        self.kubectl(
            *("patch", "workerpool", f"{NAME}-worker", f"--namespace={self.namespace}", "--type=merge"),
            f"--patch={json.dumps({'spec': spec})}",
        )

    def pods(self, component: str, *, leaving: bool = False) -> list[dict[str, Any]]:
        """Those that are not being deleted, or (`leaving`) all: they still run jobs, and answer requests."""
        selector = f"--selector=app.kubernetes.io/instance={NAME},app.kubernetes.io/component={component}"
        found = self.kubectl.json("get", "pods", f"--namespace={self.namespace}", selector)["items"]
        return [pod for pod in found if leaving or "deletionTimestamp" not in pod["metadata"]]

    def uids(self, *components: str) -> set[str]:
        """Of their pods: whether they are still the same."""
        return {pod["metadata"]["uid"] for component in components for pod in self.pods(component)}

    def left(self) -> set[str]:
        """Every object of the namespace, of every kind that there is, but what Kubernetes itself puts there."""
        listed = ("api-resources", "--namespaced", "--verbs=list", "--output=name")
        kinds = set(self.kubectl(*listed).split()) - PASSING
        return _names(self.kubectl, self.namespace, kinds) - GIVEN


def is_ready(pod: Mapping[str, Any]) -> bool:
    """It may be leaving."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


def _names(kubectl: Program, namespace: str, kinds: Iterable[str]) -> set[str]:
    found = kubectl("get", ",".join(sorted(kinds)), f"--namespace={namespace}", "--output=name")
    return set(found.split())

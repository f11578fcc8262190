"""The whole system on a node: what `helm install` starts there, and how tests look at it."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.client import Client
from tests.cluster.operating import wait_for
from tests.cluster.program import Program
from tests.cluster.release import NAME, Release, is_ready
from tests.helm.chart import merged
from tests.node import inside
from tests.node.machine import Machine


@dataclass(frozen=True)
class Cluster:
    """A control plane and its one node."""

    machine: Machine
    kubectl: Program
    helm: Program
    redis_url: str
    mongo_url: str

    @contextmanager
    def namespace(self) -> Iterator[str]:
        """A new one, which refuses what Pod Security `restricted` does not allow; at the end it is told to go, and nobody waits."""
        name = "t" + secrets.token_hex(4)
        self.kubectl("create", "namespace", name)
        self.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        self.kubectl("wait", "serviceaccount/default", f"--namespace={name}", "--for=create", "--timeout=30s")
        yield name
        self.kubectl("delete", "namespace", name, "--wait=false")

    def release(self, namespace: str, values: Mapping[str, Any]) -> Release:
        """The chart with the image that is on the node, installed and ready; `values` beside those that all tests have."""
        release = Release(self.helm, self.kubectl, namespace)
        release.install(merged(self._values(namespace), values))
        return release

    def _values(self, namespace: str) -> Mapping[str, Any]:
        return {
            "image": {"tag": "runtime", "pullPolicy": "Never"},
            "settings": {
                "keyPrefix": namespace,
                "mongoDatabase": namespace,
                "asyncJobs": 5,
                "leaseSeconds": 5,
                "shutdownGraceSeconds": 20,
            },
            "redis": {"enabled": False, "url": self.redis_url},
            "mongo": {"enabled": False, "url": self.mongo_url},
            "api": {"replicas": 1, "processes": 1},
            "worker": {"processes": 1, "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}},
            "workerPool": {
                "maxReplicas": 3,
                "slotsPerReplica": 5,
                "drainTargetSeconds": 3,
                "stabilizationWindowSeconds": 1,
                "pollIntervalSeconds": 1,
            },
        }


@dataclass(frozen=True)
class System:
    cluster: Cluster
    release: Release

    def kubectl(self, *arguments: str) -> str:
        return self.release.kubectl(f"--namespace={self.release.namespace}", *arguments)

    def ready(self, replicas: int) -> list[str]:
        """Wait until there are just so many workers, and all ready; returns their names."""

        def alone() -> bool:
            pods = self.release.pods("worker", leaving=True)
            stay = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and is_ready(pod)]
            return len(pods) == len(stay) == replicas

        self.until(alone)
        return [pod["metadata"]["name"] for pod in self.release.pods("worker")]

    def until(self, condition: Callable[[], Any], seconds: float = 60) -> Any:
        return wait_for(condition, seconds, what=self.describe)

    def succeeded(self, user: Client, job_ids: list[str]) -> list[dict[str, Any]]:
        """The jobs, once they all are."""
        self.until(lambda: user.states(job_ids) == {"succeeded"})
        return [user.job(job_id) for job_id in job_ids]

    def may(self, target: str) -> dict[str, Any]:
        """What a process can do in this pod's container; `inside` has what there is to see."""
        script = Path(inside.__file__).read_text()
        return dict(json.loads(self.kubectl("exec", target, "--", "python3", "-c", script)))

    def describe(self) -> str:
        seen = [self.kubectl("get", "pods,workerpools", "--output=wide"), self.kubectl("get", "events")]
        logs = ("logs", "--tail=20", "--prefix", "--all-containers", f"--namespace={self.release.namespace}")
        for component in ("api", "worker", "operator", "redis"):
            # A container may not have begun yet: then kubectl complains, which tells as much.
            told = self.release.kubectl.run(*logs, f"--selector=app.kubernetes.io/component={component}")
            seen.append(told.stdout + told.stderr)
        return "\n".join(seen)


@contextmanager
def installed(cluster: Cluster, **values: Any) -> Iterator[System]:
    with cluster.namespace() as namespace:
        yield System(cluster, cluster.release(namespace, values))


@contextmanager
def port_forward(system: System) -> Iterator[str]:
    """URL of the API by `kubectl port-forward`, as the chart's notes have it; it stands as long as the pod that it has found."""
    kubectl, namespace = system.release.kubectl, system.release.namespace
    command = [str(kubectl.path), "port-forward", f"--namespace={namespace}", f"service/{NAME}-api", ":8000"]
    with subprocess.Popen(
        command, env=kubectl.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline()
            assert told.startswith("Forwarding from 127.0.0.1:"), told
            yield f"http://{told.split()[2]}"
        finally:
            process.kill()

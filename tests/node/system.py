"""The whole system on a node: install the chart, and observe its pods."""

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
        """Yield a new namespace that enforces Pod Security `restricted`. Request its deletion at the end, without waiting."""
        name = "t" + secrets.token_hex(4)
        self.kubectl("create", "namespace", name)
        self.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        self.kubectl("wait", "serviceaccount/default", f"--namespace={name}", "--for=create", "--timeout=30s")
        yield name
        self.kubectl("delete", "namespace", name, "--wait=false")

    def release(self, namespace: str, values: Mapping[str, Any]) -> Release:
        """Install the chart with the image that the node has, and wait until it is ready. `values` win over those of all tests."""
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
    """One release on the node."""

    cluster: Cluster
    release: Release

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the release's namespace."""
        return self.release.kubectl(f"--namespace={self.release.namespace}", *arguments)

    def exec(self, pod: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a pod, whether it succeeds or not."""
        return self.release.kubectl.run(f"--namespace={self.release.namespace}", "exec", pod, "--", *command)

    def ready(self, replicas: int) -> list[str]:
        """Wait until exactly this number of workers exists and all are ready; return their names."""

        def settled() -> bool:
            pods = self.release.pods("worker", leaving=True)
            staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and is_ready(pod)]
            return len(pods) == len(staying) == replicas

        self.until(settled)
        return [pod["metadata"]["name"] for pod in self.release.pods("worker")]

    def until(self, condition: Callable[[], Any], seconds: float = 60) -> Any:
        """Wait for a condition; on timeout, fail with a description of the system."""
        return wait_for(condition, seconds, what=self.describe)

    def succeeded(self, user: Client, job_ids: list[str]) -> list[dict[str, Any]]:
        """Wait until all jobs have succeeded, and return them."""
        self.until(lambda: user.states(job_ids) == {"succeeded"})
        return [user.job(job_id) for job_id in job_ids]

    def may(self, target: str) -> dict[str, Any]:
        """Return what a process may do in this pod's container, as inside.py reports it."""
        script = Path(inside.__file__).read_text()
        return dict(json.loads(self.kubectl("exec", target, "--", "python3", "-c", script)))

    def describe(self) -> str:
        """Return pods, WorkerPools, events and logs, for a failed test."""
        parts = [self.kubectl("get", "pods,workerpools", "--output=wide"), self.kubectl("get", "events")]
        logs = ("logs", "--tail=20", "--prefix", "--all-containers", f"--namespace={self.release.namespace}")
        for component in ("api", "worker", "operator", "redis"):
            # kubectl fails if a container has not started yet; its error text says so.
            done = self.release.kubectl.run(*logs, f"--selector=app.kubernetes.io/component={component}")
            parts.append(done.stdout + done.stderr)
        return "\n".join(parts)


@contextmanager
def installed(cluster: Cluster, **values: Any) -> Iterator[System]:
    """Yield a release in a namespace of its own."""
    with cluster.namespace() as namespace:
        yield System(cluster, cluster.release(namespace, values))


@contextmanager
def port_forward(system: System) -> Iterator[str]:
    """Yield the API's URL through `kubectl port-forward`, as in the chart's notes. It breaks when its pod ends."""
    kubectl, namespace = system.release.kubectl, system.release.namespace
    command = [str(kubectl.path), "port-forward", f"--namespace={namespace}", f"service/{NAME}-api", ":8000"]
    with subprocess.Popen(
        command, env=kubectl.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("Forwarding from 127.0.0.1:"), line
            yield f"http://{line.split()[2]}"
        finally:
            process.kill()

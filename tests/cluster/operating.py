"""The operator as a real process with the rights that the chart gives it, and the namespace that it works on."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import yaml

from laneway.dev.embedded import free_port, spawn
from laneway.lanes.commands import Claim, Enqueue, Finish, Start
from laneway.lanes.keys import Keys
from laneway.lanes.model import JobState, Lease, NewJob, Outcome
from laneway.lanes.store import Lanes, connect
from tests.cluster.program import Program
from tests.cluster.release import is_ready

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "laneway"
RELEASE = "laneway"
TARGET = f"{RELEASE}-worker"
ACCOUNT = f"{RELEASE}-operator"
POOL = "pool"
COST = "controller.kubernetes.io/pod-deletion-cost"
NODE = "node-loopback"
LOOPBACK_NODE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": NODE, "labels": {"kubernetes.io/os": "linux", "reached": "by-tests"}},
    "spec": {
        "podCIDR": "127.44.0.0/16",
        "taints": [{"key": "reached", "value": "by-tests", "effect": "NoSchedule"}],
    },
}
"""A node whose pods have loopback addresses, so that a test can answer in the place of a pod."""


def wait_for(condition: Callable[[], T], seconds: float = 20, what: Callable[[], object] = lambda: "") -> T:
    """Wait until `condition` is truthy and return its value. Fails after `seconds` and shows `what`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {value!r}\n{what()}"
        time.sleep(0.05)
    return value


@dataclass
class Field:
    """A namespace with a Deployment and a WorkerPool, and the lanes that the Deployment serves."""

    kubectl: Program
    namespace: str
    redis_url: str
    prefix: str
    lanes: Lanes = field(init=False)

    def __post_init__(self) -> None:
        self.lanes = Lanes(connect(self.redis_url), Keys(self.prefix))

    # -- objects ------------------------------------------------------------------------------------------------

    def deploy(self, replicas: int, *, grace_seconds: int = 40) -> None:
        labels = {"app": "worker"}
        container = {"name": "worker", "image": "simulated"}
        spec = {
            "containers": [container],
            "nodeSelector": {"reached": "by-tests"},
            "tolerations": [{"key": "reached", "operator": "Exists"}],
            "terminationGracePeriodSeconds": grace_seconds,
        }
        template = {"metadata": {"labels": labels}, "spec": spec}
        self.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": TARGET},
                "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
            }
        )

    def make_pool(self, **spec: Any) -> None:
        """Create the pool, with short times by default."""
        values: dict[str, Any] = {
            "target": TARGET,
            "minReplicas": 0,
            "maxReplicas": 5,
            "slotsPerReplica": 5,
            "drainTargetSeconds": 10,
            "stabilizationWindowSeconds": 1,
            "pollIntervalSeconds": 1,
        }
        self.apply(
            {
                "apiVersion": "laneway.dev/v1alpha1",
                "kind": "WorkerPool",
                "metadata": {"name": POOL},
                "spec": values | spec,
            }
        )

    def change_pool(self, **spec: Any) -> None:
        self.kubectl(
            *self._at("patch", "workerpool", POOL), "--type=merge", f"--patch={json.dumps({'spec': spec})}"
        )

    def apply(self, *objects: Mapping[str, Any]) -> None:
        self.kubectl(*self._at("apply", "--filename=-"), stdin=yaml.safe_dump_all(objects))

    def scale(self, replicas: int) -> None:
        """Set the replicas by hand."""
        self.kubectl(*self._at("scale", "deployment", TARGET), f"--replicas={replicas}")

    # -- observation -------------------------------------------------------------------------------------------------

    @property
    def replicas(self) -> int:
        found = self.kubectl.json(*self._at("get", "deployment", TARGET))
        return int(found["spec"]["replicas"])

    @property
    def generation(self) -> int:
        """The Deployment's generation, which counts every change of its replicas."""
        found = self.kubectl.json(*self._at("get", "deployment", TARGET))
        return int(found["metadata"]["generation"])

    @property
    def pool(self) -> Any:
        return self.kubectl.json(*self._at("get", "workerpool", POOL))

    @property
    def status(self) -> dict[str, Any]:
        return dict(self.pool.get("status") or {})

    def condition(self, type_: str) -> dict[str, Any]:
        """A condition of the pool; empty if there is none."""
        return next((c for c in self.status.get("conditions", ()) if c["type"] == type_), {})

    def reasons(self) -> list[str]:
        """Reasons of the pool's Kubernetes Events, oldest first."""
        selector = f"--field-selector=involvedObject.name={POOL}"
        found = self.kubectl.json(*self._at("get", "events", selector))["items"]
        return [event["reason"] for event in sorted(found, key=lambda event: str(event["metadata"]["name"]))]

    def pods(self) -> list[dict[str, Any]]:
        """The Deployment's pods that are not Terminating, ordered by name."""
        found = self.kubectl.json(*self._at("get", "pods", "--selector=app=worker"))["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self, count: int) -> list[dict[str, Any]]:
        """Wait for exactly `count` pods, all ready."""

        def ready() -> list[dict[str, Any]]:
            pods = self.pods()
            return pods if len(pods) == count and all(is_ready(pod) for pod in pods) else []

        if count == 0:
            wait_for(lambda: not self.pods(), what=self.describe)
            return []
        return wait_for(ready, what=self.describe)

    def await_replicas(self, replicas: int, seconds: float = 20) -> None:
        wait_for(lambda: self.replicas == replicas, seconds, what=self.describe)

    def await_condition(self, type_: str, status: str, seconds: float = 20) -> dict[str, Any]:
        wait_for(lambda: self.condition(type_).get("status") == status, seconds, what=self.describe)
        return self.condition(type_)

    def await_reconciles(self, operator: RunningOperator, count: int = 3) -> None:
        """Wait for `count` more reconcile passes, successful or not."""
        before = operator.reconciles()
        wait_for(lambda: operator.reconciles() >= before + count, what=operator.log)

    def describe(self) -> str:
        return json.dumps(
            {"replicas": self.replicas, "status": self.status, "events": self.reasons()}, indent=1
        )

    # -- load ---------------------------------------------------------------------------------------------------------

    def enqueue(self, user: str, count: int) -> None:
        jobs = [NewJob(secrets.token_hex(6), "echo", b"null", 3) for _ in range(count)]
        self.lanes.run(Enqueue(user, jobs))

    def start(self, host: str, limit: int, lease_seconds: float = 300, ago_seconds: float = 0) -> list[Lease]:
        """Claim and start jobs, like a worker on that host."""
        claimed = self.lanes.run(Claim(limit, lease_seconds))
        started_us = claimed.now_us - int(ago_seconds * 1_000_000)
        self.lanes.run(Start(f"{host}:1", claimed.leases, [started_us] * len(claimed.leases)))
        return list(claimed.leases)

    def finish(self, host: str, leases: list[Lease], run_seconds: float) -> None:
        seconds, us = self.lanes.client.time()
        now_us = (seconds - 1577836800) * 1_000_000 + us
        started_us = now_us - int(run_seconds * 1_000_000)
        outcomes = [Outcome(lease, JobState.SUCCEEDED, started_us, b"null") for lease in leases]
        counted: list[bool] = self.lanes.run(Finish(f"{host}:1", outcomes))
        assert all(counted)

    def all_archived(self) -> bool:
        """Whether the operator's janitor has moved every ended job to MongoDB."""
        return not self.lanes.client.exists(self.lanes.keys.outbox)

    def _at(self, *arguments: str) -> tuple[str, ...]:
        return (*arguments, f"--namespace={self.namespace}")


class RunningOperator:
    """`laneway operator` from this tree, as a process."""

    def __init__(self, name: str, folder: Path, kubeconfig: Path, namespace: str, **settings: object) -> None:
        self.name, self._log = name, folder / f"{name}.log"
        self.health_port, self.metrics_port = free_port(), free_port()
        values = {
            "operator_health_port": self.health_port,
            "operator_metrics_port": self.metrics_port,
            "log_level": "INFO",
            **settings,
        }
        env = {key: value for key, value in os.environ.items() if not key.startswith("LANEWAY_")}
        env |= {f"LANEWAY_{key.upper()}": str(value) for key, value in values.items()}
        env |= {
            "KUBECONFIG": str(kubeconfig),
            "POD_NAMESPACE": namespace,
            "POD_NAME": name,
            "HOME": str(folder),
        }
        with self._log.open("ab") as log:
            argv = [sys.executable, "-m", "laneway.operator"]
            self.process = spawn(argv, output=log.fileno(), cwd=folder, env=env | {"PYTHONPATH": str(ROOT)})

    def log(self) -> str:
        return self._log.read_text(errors="replace")[-8000:]

    def events(self) -> list[str]:
        """Names of the log events so far."""
        lines = self._log.read_text(errors="replace").split("\n")[:-1]  # it may be writing the last one
        return [str(json.loads(line)["event"]) for line in lines if line.startswith("{")]

    def health(self) -> dict[str, Any]:
        """What `/healthz` answers; empty unless it is a success."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/healthz", timeout=5) as answer:
                return dict(json.load(answer))
        except (OSError, ValueError):
            return {}

    def problems(self) -> dict[str, str]:
        """The problems that `/readyz` names; empty if the operator is ready."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/readyz", timeout=5):
                return {}
        except urllib.error.HTTPError as answer:
            return dict(json.load(answer)["problems"])

    def metrics(self) -> dict[str, float]:
        """Metric values by name and labels; empty while the operator does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return {}
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    @property
    def leading(self) -> bool:
        return self.metrics().get("laneway_operator_leading") == 1

    def reconciles(self) -> float:
        return sum(
            value
            for name, value in self.metrics().items()
            if name.startswith("laneway_operator_reconciles_total")
        )

    def await_leading(self, seconds: float = 30) -> None:
        wait_for(lambda: self.leading, seconds, what=self.log)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """Stop it with SIGTERM; returns its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def answering(counts: Mapping[str, int], port: int) -> Iterator[None]:
    """Answer `/in-flight` in the place of pods: counts by IP address."""
    servers = []
    for address, count in counts.items():

        class Handler(BaseHTTPRequestHandler):
            body = json.dumps({"in_flight": count}).encode()

            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/in-flight" else 404)
                self.send_header("Content-Length", str(len(self.body)))
                self.end_headers()
                self.wfile.write(self.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Log nothing."""

        server = ThreadingHTTPServer((address, port), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()

"""The whole system as the chart installs it: Kubernetes, Redis and MongoDB are real, and API, workers and operator are real
processes with the environment, rights and lifecycle of their pods. Only the containers are missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cluster.client import Client
from tests.cluster.control_plane import ControlPlane
from tests.cluster.kubelet import PLACEMENT, Kubelet
from tests.cluster.operating import wait_for
from tests.cluster.program import Program
from tests.cluster.release import CHART, NAME, Release
from tests.cluster.service import Requests, Service

pytestmark = pytest.mark.timeout(240)


@dataclass(frozen=True)
class System:
    release: Release
    kubelet: Kubelet
    values: dict[str, Any]

    def kubectl(self, *arguments: str) -> str:
        return self.release.kubectl(*arguments, f"--namespace={self.release.namespace}")

    def status(self) -> dict[str, Any]:
        """The WorkerPool's status."""
        return dict(self.release.get("workerpool", "worker").get("status", {}))

    def scalings(self) -> list[str]:
        """Scalings according to the operator's Events, oldest first."""
        listed = ("get", "events", "--sort-by=.metadata.creationTimestamp", "--output=json")
        events = json.loads(self.kubectl(*listed))["items"]
        messages = [event["message"] for event in events if event["reason"] in {"ScaledUp", "ScaledDown"}]
        return [
            f"{match[1]} -> {match[2]}"
            for line in messages
            if (match := re.search(r"from (\d+) to (\d+)", line))
        ]

    def workers(self) -> list[str]:
        return sorted(pod["metadata"]["name"] for pod in self.release.pods("worker"))

    def busy(self) -> dict[str, int]:
        """Number of jobs that each worker holds; workers that do not answer are left out."""
        found = {}
        for pod in self.release.pods("worker"):
            if "podIP" not in pod["status"]:  # it has just been created
                continue
            try:
                answer = httpx.get(f"http://{pod['status']['podIP']}:9101/in-flight", timeout=2)
            except httpx.HTTPError:
                continue
            found[pod["metadata"]["name"]] = answer.json()["in_flight"]
        return found

    def until(self, condition: Callable[[], Any], seconds: float = 60) -> Any:
        return wait_for(condition, seconds, what=self.describe)

    def describe(self) -> str:
        seen = self.kubectl("get", "workerpools,pods", "--output=wide")
        return f"{seen}\n{self.kubelet.logs()}"


@pytest.fixture
def system(
    helm: Program,
    kubectl: Program,
    restricted: str,
    cluster: ControlPlane,
    redis_url: str,
    prefix: str,
    mongo_url: str,
    mongo_database: str,
    tmp_path: Path,
) -> Iterator[System]:
    """The installed chart with a minimum of zero workers; replicas follow within a second or two."""
    values = {
        "settings": {
            "keyPrefix": prefix,
            "mongoDatabase": mongo_database,
            "asyncJobs": 5,
            "shutdownGraceSeconds": 20,
        },
        "redis": {"enabled": False, "url": redis_url},
        "mongo": {"enabled": False, "url": mongo_url},
        "api": {"replicas": 1, "processes": 1, **PLACEMENT},
        "worker": {"processes": 1, **PLACEMENT},
        "operator": PLACEMENT,
        "workerPool": {
            "minReplicas": 0,
            "maxReplicas": 3,
            "slotsPerReplica": 5,
            "drainTargetSeconds": 3,
            "stabilizationWindowSeconds": 1,
            "pollIntervalSeconds": 1,
        },
    }
    release = Release(helm, kubectl, restricted)
    with Kubelet(cluster, kubectl, restricted, tmp_path) as kubelet:
        release.install(values)
        yield System(release, kubelet, values)


@pytest.fixture
def url(system: System) -> str:
    """The URL of the API, once it is ready."""
    (pod,) = system.release.pods("api")
    base = f"http://{pod['status']['podIP']}:8000"

    def ready() -> bool:
        try:
            return httpx.get(f"{base}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    system.until(ready)
    return base


def test_requests_wake_workers_are_processed_and_the_workers_stop(system: System, url: str) -> None:
    system.until(lambda: system.workers() == [])  # the Deployment starts with one replica
    users = [Client(url) for _ in range(3)]
    seconds = 10  # longer than the ramp to three: the operator doubles the workers that are ready
    jobs = [(user, user.enqueue("sleep", *[{"seconds": seconds}] * 5)) for user in users]
    system.until(lambda: len(system.workers()) == 3)  # 15 jobs could run at once, 5 in each replica
    for user, job_ids in jobs:
        system.until(lambda user=user, ids=job_ids: user.states(ids) == {"succeeded"})  # type: ignore[misc]
        assert [user.job(job_id)["attempts"] for job_id in job_ids] == [1] * 5
    system.until(lambda: system.workers() == [])
    events = system.kubectl("get", "events", "--output=jsonpath={.items[*].reason}").split()
    assert {"ScaledUp", "ScaledDown"} <= set(events)


def test_the_charts_own_test_passes(system: System, url: str) -> None:
    """Run the program of `helm test`, starting with zero workers."""
    smoke = [sys.executable, str(CHART / "files" / "smoke.py"), url]
    done = subprocess.run(smoke, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, f"{done.stderr}\n{system.describe()}"


def test_one_user_with_10000_jobs_and_5_slots_gets_one_replica(system: System, url: str) -> None:
    system.until(lambda: system.workers() == [])
    heavy, light = Client(url), Client(url)
    for _ in range(10):
        heavy.enqueue("sleep", *[{"seconds": 60}] * 1000)
    system.until(lambda: system.status().get("queued", 0) + system.status().get("running", 0) == 10_000)
    system.until(lambda: system.status()["running"] == 5)
    assert system.status()["usableParallelism"] == 5
    assert len(system.workers()) == 1
    light.enqueue("sleep", {"seconds": 60})
    system.until(lambda: len(system.workers()) == 2)  # only the sixth job that can run needs a second replica
    system.until(lambda: len(system.scalings()) >= 3)  # the operator records an Event after it has scaled
    assert system.scalings() == ["1 -> 0", "0 -> 1", "1 -> 2"]


def test_a_scale_down_stops_idle_workers_and_a_deleted_worker_finishes_its_job(
    system: System, url: str
) -> None:
    system.release.pool(minReplicas=3)
    system.until(lambda: len(system.busy()) == 3)
    user = Client(url)
    long = user.enqueue("sleep", {"seconds": 600})
    (worker,) = system.until(lambda: [name for name, jobs in system.busy().items() if jobs])
    idle = set(system.workers()) - {worker}
    system.release.pool(minReplicas=1)
    system.until(lambda: system.workers() == [worker])
    assert system.until(lambda: {system.kubelet.exit_code(pod) for pod in idle} == {0})
    assert user.states(long) == {"running"}

    job_ids = user.enqueue("sleep", {"seconds": 8})
    user.cancel(long)
    system.until(lambda: user.states(job_ids) == {"running"})
    system.kubectl("delete", "pod", worker, "--wait=false")
    system.until(lambda: user.states(job_ids) == {"succeeded"})
    assert user.job(job_ids[0])["attempts"] == 1
    system.until(lambda: system.kubelet.exit_code(worker) == 0)


def test_the_operators_rights_are_sufficient_and_minimal(system: System, cluster: ControlPlane) -> None:
    """Compare the API server's audit log with the operator's Role: no request was refused, and every granted right was used
    while the pool went from zero to three workers, to one, and through a restart of the operator and the loss of its Lease."""
    account = f"system:serviceaccount:{system.release.namespace}:{NAME}-operator"
    system.release.pool(minReplicas=3)
    system.until(lambda: len(system.workers()) == 3)
    system.release.pool(minReplicas=1)
    system.until(lambda: len(system.workers()) == 1)
    (operator,) = system.release.pods("operator")
    system.kubectl("delete", "pod", operator["metadata"]["name"])  # it releases its lease
    system.kubectl("delete", "lease", f"{NAME}-operator")
    system.release.pool(minReplicas=2)
    system.until(lambda: len(system.workers()) == 2)

    whole_lines = cluster.audit.read_text().split("\n")[:-1]
    asked = [event for line in whole_lines if _by(event := json.loads(line), account)]
    refused = [event["requestURI"] for event in asked if event["responseStatus"]["code"] == 403]
    assert refused == []
    role = system.release.get("role", "operator")
    granted = {
        (verb, group, resource, name)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }
    named = {(verb, group, resource) for verb, group, resource, name in granted if name}
    assert {_right(event, named) for event in asked if "objectRef" in event} == granted


def test_a_rollout_of_the_api_fails_no_request(system: System, url: str) -> None:
    """New pods take over, and Terminating pods serve until no more requests reach them."""
    system.values["api"] |= {"replicas": 2, "preStopSeconds": 2}
    system.release.install(system.values)
    before = system.release.uids("api")
    namespace = system.release.namespace
    with Service(system.release.kubectl, namespace, f"{NAME}-api", 8000) as service:
        system.until(lambda: len(service.addresses) == 2)
        user = Client(url)
        body = {"type": "sleep", "request": {"seconds": 0}}
        with Requests(service, "/api/enqueue", body, user.headers) as requests:
            system.until(lambda: requests.answers.total() > 100)
            system.kubectl("rollout", "restart", f"deployment/{NAME}-api")
            system.kubectl("rollout", "status", f"deployment/{NAME}-api", "--timeout=60s")
            during = requests.answers.total()
            system.until(lambda: requests.answers.total() > during + 100)
        assert requests.answers.keys() == {"200"}, requests.answers
    assert len(before) == 2
    assert not before & system.release.uids("api")


def test_uninstalling_while_the_operator_runs_leaves_nothing(system: System) -> None:
    """No object waits for a finalizer, and no object is created again."""
    system.until(lambda: system.status().get("conditions"))
    system.release.uninstall()
    system.until(lambda: not any(name.startswith("pod/") for name in system.release.left()))
    # Kubernetes removes what a deleted object owned a little later.
    system.until(lambda: system.release.left() == set())


def _by(event: dict[str, Any], account: str) -> bool:
    return bool(event["user"]["username"] == account)


def _right(event: dict[str, Any], named: set[tuple[str, str, str]]) -> tuple[str, str, str, str]:
    """The right that a request needs, in a Role's terms; with the object's name where the Role names objects."""
    what = event["objectRef"]
    resource = "/".join(part for part in (what["resource"], what.get("subresource", "")) if part)
    right = (event["verb"], what.get("apiGroup", ""), resource)
    return (*right, what.get("name", "") if right in named else "")

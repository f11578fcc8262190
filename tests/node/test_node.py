"""Behaviour that needs a kubelet: the chart's pods as containers of the real image, on a network of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.client import Client
from tests.cluster.release import NAME
from tests.node.inside import minimal_rights
from tests.node.system import Cluster, System, installed, port_forward

pytestmark = pytest.mark.timeout(1200)  # the first test builds the image
CALLER = Path(__file__).parent / "caller.py"


@pytest.fixture(scope="module")
def system(cluster: Cluster) -> Iterator[System]:
    """Install one release for all tests except the one that uninstalls it. Each test sets the number of workers."""
    with installed(cluster) as running:
        yield running


def test_a_job_enqueued_through_a_port_forward_runs_in_a_container(system: System, url: str) -> None:
    system.release.pool(minReplicas=1, maxReplicas=1)
    (worker,) = system.ready(1)
    user = Client(url)
    (job,) = system.succeeded(user, user.enqueue("wordcount", {"text": "a b a"}))
    assert job["result"]["words"] == 3
    assert job["worker"].startswith(f"{worker}:")


def test_helm_test_passes_and_finds_the_service_by_name(system: System) -> None:
    """It starts without a worker. The test pod finds the API by DNS and through the Service."""
    system.release.pool(minReplicas=0, maxReplicas=1)
    system.ready(0)
    done = system.release.helm.run(
        "test", NAME, f"--namespace={system.release.namespace}", "--timeout=100s", "--logs"
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{system.describe()}"


@pytest.mark.parametrize(
    ("component", "token"),
    [("api", False), ("worker", False), ("operator", True)],
    ids=str,
)
def test_a_container_has_minimal_rights(system: System, component: str, token: bool) -> None:
    system.release.pool(minReplicas=1, maxReplicas=1)
    system.ready(1)
    assert system.may(f"deployment/{NAME}-{component}") == minimal_rights(user=10001, token=token)


def test_workers_scale_with_the_load_and_finish_their_jobs_before_they_stop(system: System, url: str) -> None:
    system.release.pool(minReplicas=0, maxReplicas=3)
    system.ready(0)
    users = [Client(url) for _ in range(3)]
    load = [(user, user.enqueue("sleep", *[{"seconds": 600}] * 5)) for user in users]
    workers = system.ready(3)
    system.release.pool(minReplicas=3)
    for user, job_ids in load:
        user.cancel(job_ids)
        system.until(lambda user=user, ids=job_ids: user.states(ids) == {"cancelled"})  # type: ignore[misc]
    jobs = [(user, user.enqueue("sleep", *[{"seconds": 8}] * 5)) for user in users]
    for user, job_ids in jobs:
        system.until(lambda user=user, ids=job_ids: user.states(ids) == {"running"})  # type: ignore[misc]
    system.kubectl("delete", "pods", *workers, "--wait=false")
    for user, job_ids in jobs:
        assert [job["attempts"] for job in system.succeeded(user, job_ids)] == [1] * 5
    system.release.pool(minReplicas=0)
    system.ready(0)


def test_a_killed_worker_restarts_and_its_job_runs_again(system: System, url: str) -> None:
    system.release.pool(minReplicas=1, maxReplicas=1)
    (worker,) = system.ready(1)
    user = Client(url)
    job_ids = user.enqueue("sleep", {"seconds": 15})  # longer than it takes to kill its worker
    system.until(lambda: user.states(job_ids) == {"running"})
    first_start = user.job(job_ids[0])["started_at"]
    # This kills everything it may: not the pod's first process, and not itself. The first process ends soon after
    # the worker, though, and the kernel then kills all that is left in the container: this shell too, if it is still there.
    killed = system.exec(worker, "sh", "-c", "kill -9 -1")
    assert killed.returncode in (0, 137), killed.stderr
    (job,) = system.succeeded(user, job_ids)
    assert job["started_at"] > first_start, "it ran again"
    assert job["attempts"] == 1, "the run that was lost with the worker is not charged"
    (pod,) = system.release.pods("worker", leaving=True)
    assert pod["metadata"]["name"] == worker
    (status,) = pod["status"]["containerStatuses"]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 137


def test_a_rolling_update_fails_no_request(system: System) -> None:
    """The client calls the Service's address all the time."""
    service = system.release.get("service", "api")["spec"]["clusterIP"]
    (before,) = system.release.pods("api", leaving=True)
    argv = system.cluster.machine.command(sys.executable, str(CALLER), f"http://{service}:8000/healthz")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as caller:
        system.kubectl("rollout", "restart", f"deployment/{NAME}-api")
        system.kubectl("rollout", "status", f"deployment/{NAME}-api", "--timeout=100s")
        uid = before["metadata"]["uid"]
        system.until(
            lambda: all(pod["metadata"]["uid"] != uid for pod in system.release.pods("api", leaving=True))
        )
        calls = json.loads(caller.communicate(timeout=60)[0])
    assert calls["failures"] == []
    assert calls["answered"] > 100


def test_an_uninstalled_release_stops_in_time_and_leaves_nothing(cluster: Cluster) -> None:
    with installed(cluster) as system:
        with port_forward(system) as url:
            user = Client(url)
            system.succeeded(user, user.enqueue("echo", 1))
        start = time.monotonic()
        system.release.uninstall()
        system.until(lambda: not system.kubectl("get", "pods", "--output=name"))
        assert time.monotonic() - start < 30, "a grace period ran out"
        # Kubernetes removes owned objects a little later.
        system.until(lambda: system.release.left() == set())

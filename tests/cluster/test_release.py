"""Installs, upgrades and uninstalls the chart on a real API server, in a namespace that enforces Pod Security `restricted`."""

from __future__ import annotations

import json

import pytest

from tests.cluster.operating import wait_for
from tests.cluster.program import Program
from tests.cluster.release import NAME, Release

pytestmark = pytest.mark.timeout(300)
DELETE = {name: {"persistence": {"whenDeleted": "Delete"}} for name in ("redis", "mongo")}
OWN_IMAGE = ("api", "worker", "operator")
SERVERS = ("redis", "mongo")


@pytest.fixture
def release(helm: Program, kubectl: Program, restricted: str) -> Release:
    return Release(helm, kubectl, restricted)


def test_every_pod_becomes_ready(release: Release) -> None:
    release.install()
    components = (*OWN_IMAGE, *SERVERS)
    counts = dict(zip(components, (2, 1, 1, 1, 1), strict=True))
    assert {component: len(release.pods(component)) for component in components} == counts
    for component in components:
        for pod in release.pods(component):
            conditions = {entry["type"]: entry["status"] for entry in pod["status"]["conditions"]}
            assert conditions["Ready"] == "True", pod["metadata"]["name"]


def test_an_upgrade_keeps_the_secrets_and_restarts_no_unchanged_pod(release: Release) -> None:
    release.install()
    secrets, pods = release.get("secret", "secrets")["data"], release.uids(*OWN_IMAGE, *SERVERS)
    assert secrets.keys() == {"jwt-secret", "redis-password", "mongo-password", "mongo-root-password"}
    release.install()
    assert release.get("secret", "secrets")["data"] == secrets
    assert release.uids(*OWN_IMAGE, *SERVERS) == pods


def test_an_upgrade_with_another_setting_restarts_its_readers(release: Release) -> None:
    release.install()
    secrets, servers, own = (
        release.get("secret", "secrets")["data"],
        release.uids(*SERVERS),
        release.uids(*OWN_IMAGE),
    )
    release.install({"settings": {"laneConcurrency": 7}})
    assert release.get("configmap", "settings")["data"]["LANEWAY_LANE_CONCURRENCY"] == "7"
    assert release.get("secret", "secrets")["data"] == secrets
    assert release.uids(*SERVERS) == servers
    assert not release.uids(*OWN_IMAGE) & own


def test_a_roll_back_brings_the_settings_back_and_keeps_the_secrets(release: Release, helm: Program) -> None:
    release.install()
    secrets = release.get("secret", "secrets")["data"]
    release.install({"settings": {"laneConcurrency": 7}, "auth": {"adminUsername": "ada"}})
    assert release.get("secret", "secrets")["data"].keys() - secrets.keys() == {"admin-password"}
    helm("rollback", NAME, "1", f"--namespace={release.namespace}", "--wait", "--timeout=100s")
    assert release.get("configmap", "settings")["data"]["LANEWAY_LANE_CONCURRENCY"] == "5"
    assert release.get("secret", "secrets")["data"].items() >= secrets.items()


def test_an_upgrade_leaves_the_replicas_of_the_workers_to_the_operator(
    release: Release, kubectl: Program
) -> None:
    release.install()
    where = f"--namespace={release.namespace}"
    kubectl("scale", "deployment", f"{NAME}-worker", where, "--replicas=3")
    kubectl("rollout", "status", "deployment", f"{NAME}-worker", where, "--timeout=30s")
    release.install({"settings": {"leaseSeconds": 31}})
    assert release.get("deployment", "worker")["spec"]["replicas"] == 3
    assert len(release.pods("worker")) == 3


def test_uninstalling_leaves_nothing_if_the_volumes_are_deleted(release: Release) -> None:
    release.install(DELETE)
    assert len(release.left()) > 20, "the query finds the objects while they exist"
    release.uninstall()
    kubectl, where = release.kubectl, f"--namespace={release.namespace}"
    kubectl("wait", "pods,persistentvolumeclaims", "--all", where, "--for=delete", "--timeout=30s")
    wait_for(lambda: release.left() == set(), 30, release.left)


def test_uninstalling_keeps_the_data_and_its_passwords(release: Release) -> None:
    """A new release of the same name uses both."""
    release.install()
    secrets, claims = release.get("secret", "secrets")["data"], _claims(release)
    release.uninstall()
    release.kubectl(
        "wait", "pods", "--all", f"--namespace={release.namespace}", "--for=delete", "--timeout=30s"
    )
    kept = {
        f"secret/{NAME}-secrets",
        f"persistentvolumeclaim/data-{NAME}-redis-0",
        f"persistentvolumeclaim/data-{NAME}-mongo-0",
    }
    wait_for(lambda: release.left() == kept, 30, release.left)
    release.install()
    assert release.get("secret", "secrets")["data"] == secrets
    assert _claims(release) == claims


def test_without_the_operator_the_values_give_the_replicas(release: Release) -> None:
    release.install({"operator": {"enabled": False}, "worker": {"replicas": 2}})
    assert (len(release.pods("worker")), len(release.pods("operator"))) == (2, 0)
    assert release.get("deployment", "worker")["spec"]["replicas"] == 2


def test_whoever_takes_over_scaling_finds_the_replicas_as_they_are(release: Release) -> None:
    """A field that Helm once set and then leaves out would return to its default of 1."""
    release.install({"api": {"replicas": 4}, "operator": {"enabled": False}, "worker": {"replicas": 3}})
    autoscaling = {"enabled": True, "minReplicas": 3}
    for _ in range(2):
        release.install({"api": {"autoscaling": autoscaling}})
        assert _replicas(release) == (4, 3)
    _scale(release, "api", 5, manager="kube-controller-manager")
    _scale(release, "worker", 7, manager="laneway-operator")
    release.install({"api": {"autoscaling": autoscaling}})
    assert _replicas(release) == (5, 7)
    # Back to the replicas in the values, which needs Helm's permission to take fields over.
    release.install({"operator": {"enabled": False}}, "--force-conflicts")
    assert _replicas(release) == (2, 2)


def _replicas(release: Release) -> tuple[int, int]:
    """The replicas of API and worker."""
    api, worker = (release.get("deployment", name)["spec"]["replicas"] for name in ("api", "worker"))
    return api, worker


def _scale(release: Release, component: str, replicas: int, manager: str) -> None:
    """Scale like an autoscaler with this field manager."""
    release.kubectl(
        *("patch", "deployment", f"{NAME}-{component}", f"--namespace={release.namespace}"),
        *("--subresource=scale", f"--field-manager={manager}", "--type=merge"),
        f"--patch={json.dumps({'spec': {'replicas': replicas}})}",
    )


def _claims(release: Release) -> set[str]:
    found = release.kubectl.json("get", "persistentvolumeclaims", f"--namespace={release.namespace}")["items"]
    assert {claim["status"]["phase"] for claim in found} == {"Bound"}
    return {claim["spec"]["volumeName"] for claim in found}

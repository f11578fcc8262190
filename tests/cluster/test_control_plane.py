"""Properties of the cluster that the tests of chart and operator rely on."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.cluster.operating import wait_for
from tests.cluster.program import Program

SLEEPER = "app=sleeper"
COST = "controller.kubernetes.io/pod-deletion-cost"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def deploy(kubectl: Program, namespace: str, replicas: int) -> None:
    """Create a Deployment `sleeper` and wait until its pods are ready."""
    container = {"name": "sleeper", "image": "sleeper:1", "securityContext": RESTRICTED}
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "sleeper"}},
        "template": {"metadata": {"labels": {"app": "sleeper"}}, "spec": {"containers": [container]}},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "sleeper"},
        "spec": spec,
    }
    kubectl("apply", f"--namespace={namespace}", "--filename=-", stdin=json.dumps(deployment))
    kubectl("rollout", "status", "deployment/sleeper", f"--namespace={namespace}", "--timeout=30s")


def scale(kubectl: Program, namespace: str, replicas: int) -> None:
    """Scale through the scale subresource, like the operator, and wait until that many pods are ready."""
    patch = json.dumps({"spec": {"replicas": replicas}})
    where = f"--namespace={namespace}"
    kubectl(
        "patch", "deployment", "sleeper", where, "--subresource=scale", "--type=merge", f"--patch={patch}"
    )
    ready = f"--for=jsonpath={{.status.readyReplicas}}={replicas}"
    kubectl("wait", "deployment/sleeper", where, ready, "--timeout=30s")


def pod_names(kubectl: Program, namespace: str) -> list[str]:
    pods = kubectl.json("get", "pods", f"--namespace={namespace}", f"--selector={SLEEPER}")["items"]
    return [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def pod(container: dict[str, object]) -> str:
    spec = {"containers": [{"name": "one", "image": "one:1", "securityContext": container}]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec})


def test_the_api_server_is_ready_and_reports_its_release(kubectl: Program) -> None:
    assert kubectl("get", "--raw=/readyz") == "ok"
    server = json.loads(kubectl("get", "--raw=/version"))
    assert server["gitVersion"].startswith(f"v{server['major']}.{server['minor']}.")
    assert int(server["minor"]) >= 34


def test_a_deployment_becomes_ready_on_simulated_nodes(kubectl: Program, namespace: str) -> None:
    deploy(kubectl, namespace, 3)
    pods = kubectl.json("get", "pods", f"--namespace={namespace}", f"--selector={SLEEPER}")["items"]
    assert [pod["status"]["phase"] for pod in pods] == ["Running"] * 3
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 3, "the scheduler spreads them over the nodes"
    assert len({pod["status"]["podIP"] for pod in pods}) == 3


def test_a_deployment_scales_through_the_scale_subresource(kubectl: Program, namespace: str) -> None:
    deploy(kubectl, namespace, 1)
    scale(kubectl, namespace, 5)
    assert len(pod_names(kubectl, namespace)) == 5


@pytest.mark.parametrize("order", ["oldest first", "newest first"])
def test_scale_down_takes_the_pods_of_the_lowest_deletion_cost(
    kubectl: Program, namespace: str, order: str
) -> None:
    """Both orders, so that one of them contradicts a choice by age or name."""
    deploy(kubectl, namespace, 4)
    names = sorted(pod_names(kubectl, namespace), reverse=order == "newest first")
    for cost, name in enumerate(names):
        kubectl("annotate", "pod", name, f"--namespace={namespace}", f"{COST}={cost}")
    scale(kubectl, namespace, 2)
    kubectl("wait", "pod", *names[:2], f"--namespace={namespace}", "--for=delete", "--timeout=30s")
    assert sorted(pod_names(kubectl, namespace)) == sorted(names[2:])


def test_a_restricted_namespace_refuses_a_privileged_pod(kubectl: Program, namespace: str) -> None:
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    create = ("create", f"--namespace={namespace}", "--filename=-")
    assert "violates PodSecurity" in kubectl.refused(*create, stdin=pod({"privileged": True}))
    kubectl(*create, stdin=pod(RESTRICTED))


def test_a_service_account_has_the_rights_of_its_role(
    kubectl: Program, namespace: str, as_account: Callable[[str, str], Program]
) -> None:
    where = f"--namespace={namespace}"
    deploy(kubectl, namespace, 1)
    kubectl("create", "serviceaccount", "scaler", where)
    kubectl("create", "role", "scaler", where, "--verb=get,patch", "--resource=deployments/scale")
    kubectl("create", "rolebinding", "scaler", where, "--role=scaler", f"--serviceaccount={namespace}:scaler")
    scaler = as_account(namespace, "scaler")
    can = ("auth", "can-i", "patch", "deployments/sleeper", "--subresource=scale")
    wait_for(lambda: scaler.run(*can).returncode == 0)  # the API server applies new roles a little later

    scaler(
        "patch",
        "deployment",
        "sleeper",
        "--subresource=scale",
        "--type=merge",
        '--patch={"spec":{"replicas":2}}',
    )
    kubectl("wait", "deployment/sleeper", where, "--for=jsonpath={.status.readyReplicas}=2", "--timeout=30s")

    for beyond in (["get", "deployments"], ["get", "secrets"], ["delete", "pods", "--all"], ["get", "nodes"]):
        assert "Forbidden" in scaler.refused(*beyond)
    other = ["--namespace=default", "--subresource=scale", "--type=merge", '--patch={"spec":{"replicas":2}}']
    assert "Forbidden" in scaler.refused("patch", "deployment", "sleeper", *other)


def test_helm_reaches_the_cluster(helm: Program, namespace: str) -> None:
    assert helm.json("list", f"--namespace={namespace}") == []

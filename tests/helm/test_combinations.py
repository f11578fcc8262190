"""The chart with every pair of switches in all four positions: complete, consistent, and within Pod Security `restricted`."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helm.chart import EVERYTHING_ON, NAMESPACE, Helm, Manifest, at, merged, of_kind, pods

CONTAINER: dict[str, Any] = {
    "image": "busybox:1",
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "16Mi"}},
}
"""A sidecar that passes Pod Security `restricted`."""
EXTRAS = {
    "sidecars": [{"name": "proxy", **CONTAINER}],
    "initContainers": [{"name": "wait", **CONTAINER}],
    "extraVolumes": [{"name": "models", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "models", "mountPath": "/models"}],
}
SWITCHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "operator": (at("operator.enabled", False), {}),
    "api autoscaling": ({}, at("api.autoscaling.enabled", True)),
    "redis": ({"redis": {"enabled": False, "url": "redis://redis.example.com:6379/0"}}, {}),
    "mongo": ({"mongo": {"enabled": False, "existingSecret": "their-mongo"}}, {}),
    "redis volume": (at("redis.persistence.enabled", False), {}),
    "mongo volume": (at("mongo.persistence.enabled", False), {}),
    "volumes go": (
        {},
        merged(at("redis.persistence.whenDeleted", "Delete"), at("mongo.persistence.whenDeleted", "Delete")),
    ),
    "own secret": ({}, at("secrets.existingSecret", "our-passwords")),
    "administrator": ({}, at("auth.adminUsername", "ada")),
    "old keys": ({}, at("auth.jwtPreviousKeysSecret", "old-keys")),
    "issuer": (
        {},
        {
            "settings": {"oidcIssuer": "https://login.example.com", "oidcClientId": "laneway"},
            "auth": {"oidcClientSecret": "our-issuer"},
        },
    ),
    "webhooks": ({}, at("webhooks.enabled", True)),
    "network policies": (at("networkPolicy.enabled", False), {}),
    "api from": ({}, at("networkPolicy.apiFrom", [{"podSelector": {"matchLabels": {"app": "front"}}}])),
    "no metrics": ({}, at("networkPolicy.metricsFrom", [])),
    "disruption budgets": (
        merged(*(at(f"{name}.podDisruptionBudget.enabled", False) for name in ("api", "worker", "operator"))),
        {},
    ),
    "ingress": ({}, {"ingress": EVERYTHING_ON["ingress"]}),
    "route": ({}, {"httpRoute": EVERYTHING_ON["httpRoute"]}),
    "extras": ({}, dict.fromkeys(("api", "worker", "operator"), EXTRAS)),
    "resolution": (
        {},
        {
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["redis.internal"]}],
            "dnsPolicy": "None",
            "dnsConfig": {"nameservers": ["10.0.0.2"]},
            "ipFamilyPolicy": "PreferDualStack",
        },
    ),
    "other scalers": ({}, merged(at("api.replicas", None), at("worker.replicas", None))),
    "authority": ({}, at("extraCa.secret", "our-ca")),
    "no ids": ({}, at("fixedUserIds", False)),
    "monitors": ({}, at("monitoring.serviceMonitor.enabled", True)),
    "alerts": ({}, at("monitoring.prometheusRule.enabled", True)),
    "dashboard": ({}, at("monitoring.dashboard.enabled", True)),
    "no preStop": ({}, at("api.preStopSeconds", 0)),
    "writable": ({}, at("readOnlyRootFilesystem", False)),
    "labels": (
        {},
        {
            "commonLabels": {"team": "queues"},
            "imagePullSecrets": [{"name": "registry"}],
            "fullnameOverride": "q",
        },
    ),
}
RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
FOREIGN_SECRETS = {"their-mongo", "our-passwords", "old-keys", "our-issuer"}


def _covering() -> Iterator[dict[str, bool]]:
    """Yield few settings of all switches that together cover every pair in all four positions."""
    names, generator = list(SWITCHES), random.Random(1)
    missing = {
        ((one, a), (two, b))
        for one, two in itertools.combinations(names, 2)
        for a, b in itertools.product((False, True), repeat=2)
    }
    while missing:
        candidates = [{name: generator.random() < 0.5 for name in names} for _ in range(50)]
        best = max(candidates, key=lambda positions: len(_pairs(positions) & missing))
        if found := _pairs(best) & missing:
            missing -= found
            yield best


def _pairs(positions: dict[str, bool]) -> set[tuple[tuple[str, bool], tuple[str, bool]]]:
    return set(itertools.combinations(positions.items(), 2))


POSITIONS = [dict.fromkeys(SWITCHES, False), dict.fromkeys(SWITCHES, True), *_covering()]


def _pod_component(body: Manifest) -> str:
    """Return the component whose pods an object is about."""
    return str(body["metadata"]["labels"]["app.kubernetes.io/component"]).removesuffix("-metrics")


def _name(positions: dict[str, bool]) -> str:
    return "".join("01"[on] for on in positions.values())


@pytest.fixture(scope="module", params=POSITIONS, ids=_name)
def manifests(helm: Helm, request: pytest.FixtureRequest) -> list[Manifest]:
    return helm.render(*(SWITCHES[name][on] for name, on in request.param.items()))


def test_names_are_unique_and_all_in_the_releases_namespace(manifests: list[Manifest]) -> None:
    names = [(body["kind"], body["metadata"]["name"]) for body in manifests]
    assert len(set(names)) == len(names)
    assert {body["metadata"]["namespace"] for body in manifests} == {NAMESPACE}
    assert all(len(name) <= 63 for _, name in names)


def test_pods_pass_the_restricted_standard(manifests: list[Manifest]) -> None:
    for component, pod in pods(manifests):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"].get("runAsUser", 1) > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        for volume in spec.get("volumes", []):
            assert set(volume) - {"name"} <= RESTRICTED_VOLUMES
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, component
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert not any("hostPort" in port for port in container.get("ports", []))


def test_pods_have_requests_and_limits(manifests: list[Manifest]) -> None:
    for component, pod in pods(manifests):
        for container in pod["spec"]["containers"]:
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), component
            assert "memory" in container["resources"]["limits"]


def test_only_the_operator_has_a_token(manifests: list[Manifest]) -> None:
    for component, pod in pods(manifests):
        assert pod["spec"]["automountServiceAccountToken"] is (component == "operator")
    assert all(body["automountServiceAccountToken"] is False for body in of_kind(manifests, "ServiceAccount"))


def test_service_links_are_off(manifests: list[Manifest]) -> None:
    """A Service named laneway-api would set LANEWAY_API_PORT to tcp://..."""
    assert all(pod["spec"]["enableServiceLinks"] is False for _, pod in pods(manifests))


def test_selectors_match_the_pods_of_their_component_only(manifests: list[Manifest]) -> None:
    labels = {component: pod["metadata"]["labels"] for component, pod in pods(manifests)}
    for body in manifests:
        spec, component = body.get("spec", {}), _pod_component(body)
        match body["kind"]:
            case "Deployment" | "StatefulSet" | "PodDisruptionBudget":
                selector = spec["selector"]["matchLabels"]
            case "NetworkPolicy":
                selector = spec["podSelector"]["matchLabels"]
            case "Service":
                selector = spec["selector"]
            case _:
                continue
        assert selector.items() <= labels[component].items()
        assert not [
            other for other in labels if other != component and selector.items() <= labels[other].items()
        ]


def test_references_lead_to_objects_that_exist(manifests: list[Manifest]) -> None:
    made = {(body["kind"], body["metadata"]["name"]) for body in manifests}
    keys = {body["metadata"]["name"]: body["data"].keys() for body in manifests if "data" in body}
    for _, pod in pods(manifests):
        spec = pod["spec"]
        if "serviceAccountName" in spec:
            assert ("ServiceAccount", spec["serviceAccountName"]) in made
        volumes = {volume["name"] for volume in spec.get("volumes", [])} | {"data"}
        for volume in spec.get("volumes", []):
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in made
        for container in spec["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
            for source in container.get("envFrom", []):
                assert ("ConfigMap", source["configMapRef"]["name"]) in made
            for entry in container.get("env", []):
                if reference := entry.get("valueFrom", {}).get("secretKeyRef"):
                    assert (
                        reference["name"] in FOREIGN_SECRETS or reference["key"] in keys[reference["name"]]
                    ), entry
    for body in manifests:
        match body["kind"]:
            case "HorizontalPodAutoscaler":
                target = body["spec"]["scaleTargetRef"]
                assert (target["kind"], target["name"]) in made
            case "WorkerPool":
                assert ("Deployment", body["spec"]["target"]) in made
            case "RoleBinding":
                assert ("Role", body["roleRef"]["name"]) in made
                assert all((who["kind"], who["name"]) in made for who in body["subjects"])
            case "StatefulSet":
                assert ("Service", body["spec"]["serviceName"]) in made


def test_named_ports_are_ports_of_the_pods(manifests: list[Manifest]) -> None:
    ports = {
        component: {
            port["name"] for container in pod["spec"]["containers"] for port in container.get("ports", [])
        }
        for component, pod in pods(manifests)
    }
    for body in of_kind(manifests, "Service"):
        component = _pod_component(body)
        assert {port["targetPort"] for port in body["spec"]["ports"]} <= ports[component]
    for body in of_kind(manifests, "ServiceMonitor"):
        component = _pod_component(body)
        assert {endpoint["port"] for endpoint in body["spec"]["endpoints"]} <= ports[component]
    for component, pod in pods(manifests):
        for container in pod["spec"]["containers"]:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                action = container.get(probe, {})
                for port in (action.get("httpGet", action.get("tcpSocket", {})).get("port"),):
                    assert port is None or port in ports[component]


def test_nothing_has_rights_outside_its_namespace(manifests: list[Manifest]) -> None:
    assert not {"ClusterRole", "ClusterRoleBinding", "Namespace", "CustomResourceDefinition"} & {
        body["kind"] for body in manifests
    }
    for role in of_kind(manifests, "Role"):
        for rule in role["rules"]:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            assert not {"secrets", "pods/exec", "roles", "rolebindings"} & set(rule["resources"])

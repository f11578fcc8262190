"""Rollouts: what an upgrade, a drain and a scale-down must not break."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.helm.chart import CHART, Helm, Manifest, at, merged, of_kind, one

API_DRAIN_MARGIN_SECONDS, WORKER_MARGIN_SECONDS = 5, 12
"""Time that API and worker need beyond their grace time. The worker's supervisor kills what remains after 10 s."""


def _spec(manifests: list[Manifest], component: str) -> dict[str, Any]:
    spec: dict[str, Any] = one(manifests, "Deployment", component)["spec"]
    return spec


def test_an_api_rollout_never_reduces_the_number_of_pods(default: list[Manifest]) -> None:
    spec = _spec(default, "api")
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }
    (container,) = spec["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_a_worker_is_ready_when_it_serves_and_lives_while_others_are_away(default: list[Manifest]) -> None:
    (container,) = _spec(default, "worker")["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert container["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}


def test_a_worker_rollout_removes_no_pod_before_its_successor_is_ready(default: list[Manifest]) -> None:
    assert _spec(default, "worker")["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0},
    }


@pytest.mark.parametrize(("pre_stop", "grace"), [(5, 25), (0, 0.5), (30, 600)])
def test_grace_periods_cover_the_time_to_stop(helm: Helm, pre_stop: int, grace: float) -> None:
    manifests = helm.render(at("api.preStopSeconds", pre_stop), at("settings.shutdownGraceSeconds", grace))
    api = _spec(manifests, "api")["template"]["spec"]
    pre_stop_seconds = (
        api["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    )
    assert pre_stop_seconds == pre_stop
    assert api["terminationGracePeriodSeconds"] >= pre_stop + grace + API_DRAIN_MARGIN_SECONDS
    worker = _spec(manifests, "worker")["template"]["spec"]
    assert worker["terminationGracePeriodSeconds"] >= grace + WORKER_MARGIN_SECONDS


def test_a_worker_gets_the_time_it_needs_to_start(helm: Helm) -> None:
    for seconds in (120, 601):
        spec = _spec(helm.render(at("worker.startupSeconds", seconds)), "worker")["template"]["spec"]
        probe = spec["containers"][0]["startupProbe"]
        assert (
            seconds <= probe["periodSeconds"] * probe["failureThreshold"] < seconds + probe["periodSeconds"]
        )


def test_an_upgrade_leaves_the_worker_replicas_to_the_operator(helm: Helm) -> None:
    assert "replicas" not in _spec(helm.render(at("worker.replicas", 7)), "worker")
    assert (
        _spec(helm.render(merged(at("worker.replicas", 7), at("operator.enabled", False))), "worker")[
            "replicas"
        ]
        == 7
    )


def test_only_the_api_has_an_autoscaler_and_it_owns_the_replicas(
    everything: list[Manifest], default: list[Manifest]
) -> None:
    """An HPA and the operator must never scale one Deployment."""
    (autoscaler,) = of_kind(everything, "HorizontalPodAutoscaler")
    assert (
        autoscaler["spec"]["scaleTargetRef"]["name"]
        == one(everything, "Deployment", "api")["metadata"]["name"]
    )
    assert "replicas" not in _spec(everything, "api")
    assert _spec(default, "api")["replicas"] == 2
    assert not of_kind(default, "HorizontalPodAutoscaler")


def test_a_manual_pause_survives_an_upgrade(default: list[Manifest]) -> None:
    """Helm does not reset a field that the chart omits."""
    assert "paused" not in one(default, "WorkerPool", "worker")["spec"]


def test_the_worker_pool_follows_the_values(helm: Helm) -> None:
    values = {
        "workerPool": {"minReplicas": 0, "maxReplicas": 40, "stabilizationWindowSeconds": 300},
        "worker": {"processes": 8},
        "settings": {"disconnectPolicy": "drain", "disconnectGraceSeconds": 5},
    }
    spec = one(helm.render(values), "WorkerPool", "worker")["spec"]
    assert spec == {
        "target": "demo-laneway-worker",
        "minReplicas": 0,
        "maxReplicas": 40,
        "slotsPerReplica": 8,
        "drainTargetSeconds": 30,
        "stabilizationWindowSeconds": 300,
        "pollIntervalSeconds": 5,
        "disconnectGraceSeconds": 5,
        "disconnectPolicy": "drain",
    }
    slots = one(helm.render(values, at("workerPool.slotsPerReplica", 800)), "WorkerPool", "worker")["spec"][
        "slotsPerReplica"
    ]
    assert slots == 800


def test_the_worker_pool_matches_the_crd(default: list[Manifest]) -> None:
    """Field names, types, bounds and defaults. tests/cluster checks the CEL rules."""
    pool = one(default, "WorkerPool", "worker")
    definition = yaml.safe_load((CHART / "crds" / "workerpools.yaml").read_text())["spec"]
    (version,) = definition["versions"]
    assert pool["apiVersion"] == f"{definition['group']}/{version['name']}"
    properties = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    defaults = {name: schema["default"] for name, schema in properties.items() if "default" in schema}
    assert pool["spec"].keys() == properties.keys() - {"paused"}
    for name, value in pool["spec"].items():
        schema = properties[name]
        assert isinstance(value, {"integer": int, "string": str}[schema["type"]])
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value)
        if name in defaults:
            assert defaults[name] == value, f"the chart's default of {name} is not the definition's"


@pytest.mark.parametrize("component", ["api", "worker", "operator"])
def test_a_drain_removes_one_pod_at_a_time_and_broken_pods_do_not_block_it(
    default: list[Manifest], component: str
) -> None:
    budget = one(default, "PodDisruptionBudget", component)["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize("component", ["api", "worker"])
def test_replicas_spread_over_nodes_and_zones(default: list[Manifest], component: str) -> None:
    constraints = _spec(default, component)["template"]["spec"]["topologySpreadConstraints"]
    assert [constraint["topologyKey"] for constraint in constraints] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]


def test_changed_settings_replace_the_pods(helm: Helm, default: list[Manifest]) -> None:
    changed = helm.render(at("settings.laneConcurrency", 6))
    for component in ("api", "worker", "operator"):
        checksums = [
            _spec(manifests, component)["template"]["metadata"]["annotations"]["checksum/settings"]
            for manifests in (default, changed)
        ]
        assert checksums[0] != checksums[1]


def test_a_new_chart_version_alone_replaces_no_pod(default: list[Manifest]) -> None:
    for component in ("api", "worker", "operator"):
        labels = _spec(default, component)["template"]["metadata"]["labels"]
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & labels.keys()


def test_the_image_can_be_given_by_digest(helm: Helm) -> None:
    digest = "sha256:" + "a" * 64
    for values, image in (
        ({}, "laneway:0.1.0"),
        (at("image.tag", "7"), "laneway:7"),
        ({"image": {"tag": "7", "digest": digest}}, f"laneway@{digest}"),
    ):
        manifests = helm.render(values)
        for component in ("api", "worker", "operator"):
            assert _spec(manifests, component)["template"]["spec"]["containers"][0]["image"] == image


@pytest.mark.parametrize("component", ["redis", "mongo"])
def test_volumes_outlive_the_release_by_default(helm: Helm, default: list[Manifest], component: str) -> None:
    def retention(manifests: list[Manifest]) -> Any:
        return one(manifests, "StatefulSet", component)["spec"].get("persistentVolumeClaimRetentionPolicy")

    assert retention(default) == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert retention(helm.render(at(f"{component}.persistence.whenDeleted", "Delete"))) == {
        "whenDeleted": "Delete",
        "whenScaled": "Retain",
    }
    without = helm.render(at(f"{component}.persistence.enabled", False))
    assert "volumeClaimTemplates" not in one(without, "StatefulSet", component)["spec"]

"""Alerts, dashboard and ServiceMonitors use metrics and ports that exist."""

from __future__ import annotations

import ast
import json
import re
from math import isnan
from typing import Any

import pytest

from laneway.telemetry.janitor_metrics import JanitorCollector, JanitorStats
from laneway.worker.counts import BUCKETS
from tests.helm.chart import CHART, EVERYTHING_ON, EXTERNAL, ROOT, Helm, Manifest, at, of_kind, one

VOLUME = "LanewayVolumeFull"
SUFFIXES = ("_total", "_bucket", "_count", "_sum")


@pytest.fixture(scope="module")
def words() -> set[str]:
    """Return every string in the sources that may be the name of a metric, or a part of a composed name."""
    return {
        node.value
        for folder in ("services", "operator")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"[a-z_]+", node.value)
    }


def _unknown(expression: str, words: set[str]) -> list[str]:
    """Return the metrics in an expression that no source names."""
    names = set(re.findall(r"\blaneway_[a-z_]+\b", expression))
    assert names
    return [
        name
        for name in names
        if not any(_is_known(name.removesuffix(suffix), words) for suffix in ("", *SUFFIXES))
    ]


def _is_known(name: str, words: set[str]) -> bool:
    pool = "laneway_pool_"
    return name in words or (pool in words and name.startswith(pool) and name.removeprefix(pool) in words)


def _alerts(manifests: list[Manifest]) -> list[dict[str, str]]:
    """Return all alerts except the one on volumes, whose metrics come from the kubelet."""
    (group,) = one(manifests, "PrometheusRule", "alerts")["spec"]["groups"]
    return [alert for alert in group["rules"] if alert["alert"] != VOLUME]


def _expression(manifests: list[Manifest], name: str) -> str:
    (expression,) = [alert["expr"] for alert in _alerts(manifests) if alert["alert"] == name]
    return expression


def test_only_existing_volumes_have_an_alert(helm: Helm) -> None:
    def claims(*changes: Any) -> list[str]:
        manifests = helm.render(EVERYTHING_ON, *changes)
        (group,) = one(manifests, "PrometheusRule", "alerts")["spec"]["groups"]
        (expression,) = [alert["expr"] for alert in group["rules"] if alert["alert"] == VOLUME] or [""]
        assert {'namespace="laneway"' in expression} == {bool(expression)}
        return re.findall(r"data-[a-z0-9-]+", expression)

    assert claims() == ["data-demo-laneway-redis-0", "data-demo-laneway-mongo-0"]
    assert claims(at("mongo.persistence.enabled", False)) == ["data-demo-laneway-redis-0"]
    assert claims(EXTERNAL) == []


def test_alerts_use_metrics_that_exist(everything: list[Manifest], words: set[str]) -> None:
    alerts = _alerts(everything)
    assert len({alert["alert"] for alert in alerts}) == len(alerts) > 5
    for alert in alerts:
        assert not _unknown(alert["expr"], words), alert["alert"]


def test_every_alert_says_what_to_do_and_links_to_its_heading(helm: Helm, everything: list[Manifest]) -> None:
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    (group,) = one(everything, "PrometheusRule", "alerts")["spec"]["groups"]
    assert {alert["alert"] for alert in group["rules"]} == set(headings)
    for alert in group["rules"]:
        assert alert["annotations"]["description"].endswith(".")
        anchor = alert["alert"].lower()
        assert alert["annotations"]["runbook_url"] == f"https://example.com/operations#{anchor}"
    without = helm.render(EVERYTHING_ON, at("monitoring.prometheusRule.runbookUrl", ""))
    assert not any("runbook_url" in alert["annotations"] for alert in _alerts(without))


def test_alerts_select_this_release_only(everything: list[Manifest]) -> None:
    for alert in _alerts(everything):
        selectors = re.findall(r"laneway_[a-z_]+\{([^}]*)\}", alert["expr"])
        assert len(selectors) == len(re.findall(r"laneway_[a-z_]+(?![\w-])(?=\{)", alert["expr"])) > 0
        assert all(
            'namespace="laneway"' in selector and 'service="demo-laneway-' in selector
            for selector in selectors
        )


def test_the_janitor_alert_selects_the_service_that_runs_it(helm: Helm) -> None:
    def service(manifests: list[Manifest]) -> str:
        (alert,) = [alert for alert in _alerts(manifests) if alert["alert"] == "LanewayJanitorSilent"]
        return str(re.search(r'service="demo-laneway-(\w+)"', alert["expr"])[1])  # type: ignore[index]

    assert service(helm.render(EVERYTHING_ON)) == "operator"
    assert service(helm.render(EVERYTHING_ON, at("operator.enabled", False))) == "worker"


def test_a_janitor_without_a_successful_round_raises_the_alert(everything: list[Manifest]) -> None:
    """Its age is NaN then, and every comparison with NaN is false."""
    (age,) = [
        m for m in JanitorCollector(JanitorStats()).collect() if m.name == "laneway_janitor_age_seconds"
    ]
    assert isnan(age.samples[0].value)
    assert re.fullmatch(
        r"absent\(laneway_janitor_age_seconds\{[^}]+\} <= \d+\)",
        _expression(everything, "LanewayJanitorSilent"),
    )


def test_what_alerts_see_the_increase_of_exists_before_it_first_happens(everything: list[Manifest]) -> None:
    """For `increase` a series that begins with its first event has never risen."""
    samples = [sample for metric in JanitorCollector(JanitorStats()).collect() for sample in metric.samples]
    increases = [
        (name, dict(re.findall(r'(\w+)="(\w+)"', selector)).get("outcome"))
        for alert in _alerts(everything)
        for name, selector in re.findall(r"increase\((laneway_\w+)\{([^}]*operator[^}]*)\}", alert["expr"])
    ]
    assert len(increases) >= 4
    for name, outcome in increases:
        assert any(s.name == name and s.labels.get("outcome") == outcome for s in samples), (name, outcome)


@pytest.mark.parametrize(
    ("alert", "interval"),
    [
        ("LanewayJanitorSilent", "settings.janitorIntervalSeconds"),
        ("LanewayOperatorBlind", "workerPool.pollIntervalSeconds"),
    ],
)
def test_a_long_interval_raises_no_alert(helm: Helm, alert: str, interval: str) -> None:
    expression = _expression(helm.render(EVERYTHING_ON, at(interval, 300)), alert)
    assert int(re.findall(r"\d+", expression)[-1]) > 300


def test_a_wait_beyond_the_last_histogram_bound_is_refused(helm: Helm) -> None:
    """A quantile never exceeds the last bound, so the alert would never fire."""
    last_bound = int(BUCKETS[-1])
    assert "waitSeconds" in helm.refused(
        EVERYTHING_ON, at("monitoring.prometheusRule.waitSeconds", last_bound)
    )
    assert helm.render(EVERYTHING_ON, at("monitoring.prometheusRule.waitSeconds", last_bound - 1))


def test_the_maximum_alert_is_about_the_charts_pool_and_omitted_for_a_fixed_size(
    helm: Helm,
) -> None:
    expression = _expression(helm.render(EVERYTHING_ON), "LanewayAtMostReplicas")
    assert 'pool="demo-laneway-worker"' in expression
    fixed = helm.render(EVERYTHING_ON, {"workerPool": {"minReplicas": 4, "maxReplicas": 4}})
    assert "LanewayAtMostReplicas" not in {alert["alert"] for alert in _alerts(fixed)}


def test_the_dashboard_uses_metrics_that_exist(everything: list[Manifest], words: set[str]) -> None:
    (name,) = (data := one(everything, "ConfigMap", "dashboard")["data"])
    dashboard = json.loads(data[name])
    assert dashboard == json.loads((CHART / "files" / "dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) > 5
    for expression in expressions:
        assert not _unknown(expression, words)
        assert 'namespace="$namespace"' in expression


def test_every_component_with_metrics_has_a_service_monitor(everything: list[Manifest], helm: Helm) -> None:
    def scraped(manifests: list[Manifest]) -> set[str]:
        return {
            body["metadata"]["labels"]["app.kubernetes.io/component"]
            for body in of_kind(manifests, "ServiceMonitor")
        }

    assert scraped(everything) == {"api", "worker", "operator"}
    assert scraped(helm.render(EVERYTHING_ON, at("operator.enabled", False))) == {"api", "worker"}


def test_objects_for_prometheus_and_grafana_carry_the_given_labels(helm: Helm) -> None:
    labels = {"release": "prometheus"}
    values = {
        "monitoring": {
            name: {"enabled": True, "labels": labels}
            for name in ("serviceMonitor", "prometheusRule", "dashboard")
        }
    }
    manifests = helm.render(values)
    found = [
        *of_kind(manifests, "ServiceMonitor"),
        one(manifests, "PrometheusRule", "alerts"),
        one(manifests, "ConfigMap", "dashboard"),
    ]
    assert all(labels.items() <= body["metadata"]["labels"].items() for body in found)

"""Network policies: which component may connect to which."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helm.chart import EVERYTHING_ON, EXTERNAL, Helm, Manifest, at, of_kind, one, pods

COMPONENTS = {"api", "worker", "operator", "redis", "mongo", "test"}
CLIENTS = {"api", "worker", "operator"}


def _policy(manifests: list[Manifest], component: str) -> dict[str, Any]:
    spec: dict[str, Any] = one(manifests, "NetworkPolicy", component)["spec"]
    return spec


def _components(peers: list[dict[str, Any]]) -> set[str]:
    return {peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in peers}


def test_every_pod_has_a_policy_for_both_directions(default: list[Manifest]) -> None:
    assert {component for component, _ in pods(default)} == COMPONENTS
    for component in COMPONENTS:
        assert _policy(default, component)["policyTypes"] == ["Ingress", "Egress"]


@pytest.mark.parametrize(("server", "port"), [("redis", 6379), ("mongo", 27017)])
def test_only_clients_reach_a_server_and_it_reaches_nobody(
    default: list[Manifest], server: str, port: int
) -> None:
    spec = _policy(default, server)
    (rule,) = spec["ingress"]
    assert _components(rule["from"]) == CLIENTS
    assert rule["ports"] == [{"port": port}]
    assert spec["egress"] == []


@pytest.mark.parametrize("component", sorted(CLIENTS))
def test_clients_reach_dns_and_their_servers(default: list[Manifest], component: str) -> None:
    egress = _policy(default, component)["egress"]
    assert egress[0] == {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    assert [(rule["ports"], _components(rule["to"])) for rule in egress[1:3]] == [
        ([{"port": 6379}], {"redis"}),
        ([{"port": 27017}], {"mongo"}),
    ]
    assert (len(egress) == 3) is (component != "operator")


def test_external_servers_are_allowed_by_port(helm: Helm) -> None:
    manifests = helm.render(EXTERNAL, at("redis.port", 6380))
    for component in CLIENTS:
        assert _policy(manifests, component)["egress"][1:3] == [
            {"ports": [{"port": 6380}]},
            {"ports": [{"port": 27017}]},
        ]
    assert len(of_kind(manifests, "NetworkPolicy")) == 4


@pytest.mark.parametrize(
    ("server", "url", "ports"),
    [
        ("redis", "redis://somewhere/0", [6379]),
        ("redis", "rediss://me:a%40b@[fd00::1]:6390/0?x=:1", [6390]),
        ("mongo", "mongodb://a:27018,b:27019,c/queue?journal=true", [27018, 27019, 27017]),
        ("mongo", "mongodb+srv://somewhere/queue", [27017]),
        ("mongo", "mongodb://me:a%3D@me.cosmos.example:10255/?ssl=true&appName=@me@", [10255]),
    ],
)
def test_the_ports_of_a_url_are_allowed(helm: Helm, server: str, url: str, ports: list[int]) -> None:
    manifests = helm.render(EXTERNAL, at(f"{server}.url", url))
    rule = _policy(manifests, "worker")["egress"][1 if server == "redis" else 2]
    assert rule == {"ports": [{"port": port} for port in ports]}


@pytest.mark.parametrize(
    ("issuer", "port"),
    [("https://login.example.com/realms/main", 443), ("https://login.example.com:8443", 8443)],
)
def test_the_api_alone_reaches_the_issuer(
    helm: Helm, default: list[Manifest], issuer: str, port: int
) -> None:
    rule = {"ports": [{"port": port}]}
    manifests = helm.render({"settings": {"oidcIssuer": issuer, "oidcClientId": "laneway"}})
    assert rule in _policy(manifests, "api")["egress"]
    assert rule not in _policy(manifests, "worker")["egress"]
    assert rule not in _policy(default, "api")["egress"]


def test_the_operator_reaches_the_api_server(helm: Helm) -> None:
    egress = _policy(helm.render(at("networkPolicy.kubernetesPorts", [16443])), "operator")["egress"]
    assert {"ports": [{"port": 16443}]} in egress


def test_the_api_is_open_until_callers_are_named(helm: Helm, default: list[Manifest]) -> None:
    assert _policy(default, "api")["ingress"][0] == {"ports": [{"port": "http"}]}
    front = {"namespaceSelector": {"matchLabels": {"name": "ingress"}}}
    rule = _policy(helm.render(at("networkPolicy.apiFrom", [front])), "api")["ingress"][0]
    assert rule["from"][0] == front
    assert _components(rule["from"][1:]) == {"test"}


def test_the_apis_metrics_have_a_port_of_their_own(helm: Helm, default: list[Manifest]) -> None:
    """Neither the API's Service nor an Ingress leads there."""
    assert _policy(default, "api")["ingress"][1] == {
        "ports": [{"port": "metrics"}],
        "from": [{"namespaceSelector": {}}],
    }
    prometheus = {"podSelector": {"matchLabels": {"app.kubernetes.io/component": "prometheus"}}}
    named = helm.render(at("networkPolicy.metricsFrom", [prometheus]))
    assert _policy(named, "api")["ingress"][1]["from"] == [prometheus]
    assert [port["name"] for port in one(default, "Service", "api")["spec"]["ports"]] == ["http"]
    metrics = one(default, "Service", "api-metrics")["spec"]
    assert metrics["clusterIP"] == "None"
    assert metrics["selector"]["app.kubernetes.io/component"] == "api"


def test_metrics_can_be_closed(helm: Helm) -> None:
    manifests = helm.render(at("networkPolicy.metricsFrom", []))
    assert _policy(manifests, "operator")["ingress"] == []
    assert _policy(manifests, "api")["ingress"] == [{"ports": [{"port": "http"}]}]
    (rule,) = _policy(manifests, "worker")["ingress"]
    assert _components(rule["from"]) == {"operator"}


def test_workers_get_further_egress_rules(helm: Helm) -> None:
    rule = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 443}]}
    manifests = helm.render(at("networkPolicy.workerEgress", [rule]))
    assert rule in _policy(manifests, "worker")["egress"]
    assert rule not in _policy(manifests, "api")["egress"]


@pytest.mark.parametrize("prefix", ["", "/laneway"])
def test_routes_follow_the_root_path(helm: Helm, prefix: str) -> None:
    manifests = helm.render(EVERYTHING_ON, at("settings.rootPath", prefix))
    (rule,) = one(manifests, "Ingress", "api")["spec"]["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == [prefix or "/"]
    matches = [
        match["path"]["value"]
        for route in one(manifests, "HTTPRoute", "api")["spec"]["rules"]
        for match in route["matches"]
    ]
    assert matches == [f"{prefix}/api/connect", f"{prefix}/api/events", prefix or "/"]


def test_webhooks_let_workers_reach_public_addresses_and_allowed_networks(
    default: list[Manifest], everything: list[Manifest]
) -> None:
    """And nobody else: the API only resolves names."""
    *_, rule = _policy(everything, "worker")["egress"]
    blocks = [peer["ipBlock"] for peer in rule["to"]]
    cidrs = [block["cidr"] for block in blocks]
    assert cidrs == ["0.0.0.0/0", "2000::/3", "64:ff9b::/96", "10.1.0.0/16", "10.2.0.1/32"]
    assert {"10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16"} <= set(blocks[0]["except"])
    for manifests, components in ((default, CLIENTS), (everything, CLIENTS - {"worker"})):
        for component in components:
            assert "ipBlock" not in str(_policy(manifests, component)["egress"])

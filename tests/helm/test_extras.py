"""Values for clusters with rules of their own: user ids, registries, private authorities, sandboxes, sidecars, other scalers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helm.chart import Helm, Manifest, at, environment, of_kind, one, pods

PROGRAMS = ("api", "worker", "operator")
IDS = {"runAsUser", "runAsGroup", "fsGroup"}


def _pod(manifests: list[Manifest], component: str) -> dict[str, Any]:
    (found,) = [pod["spec"] for name, pod in pods(manifests) if name == component]
    return dict(found)


def _container(manifests: list[Manifest], component: str) -> dict[str, Any]:
    return dict(_pod(manifests, component)["containers"][0])


def test_no_pod_has_a_fixed_user_where_the_cluster_assigns_them(helm: Helm, default: list[Manifest]) -> None:
    """OpenShift refuses pods with ids outside the range of their namespace."""
    for component, pod in pods(helm.render(at("fixedUserIds", False))):
        assert not IDS & pod["spec"]["securityContext"].keys(), component
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
    for component, pod in pods(default):
        assert pod["spec"]["securityContext"].keys() >= IDS, component


@pytest.mark.parametrize(
    ("path", "components"),
    [
        ("podSecurityContext", {*PROGRAMS, "test"}),
        ("redis.podSecurityContext", {"redis"}),
        ("mongo.podSecurityContext", {"mongo"}),
    ],
)
def test_a_security_context_can_be_changed_and_its_fields_removed(
    helm: Helm, path: str, components: set[str]
) -> None:
    changed = helm.render(at(path, {"runAsUser": None, "fsGroup": 7, "supplementalGroups": [8]}))
    for component, pod in pods(changed):
        context = pod["spec"]["securityContext"]
        if component in components:
            assert "runAsUser" not in context
            assert (context["fsGroup"], context["supplementalGroups"]) == (7, [8])
        else:
            assert context["runAsUser"] == context["fsGroup"]


def test_one_registry_serves_all_images(helm: Helm, default: list[Manifest]) -> None:
    mirrored = helm.render(at("global.imageRegistry", "registry.example.com/mirror/"))
    for component in (*PROGRAMS, "redis", "mongo", "test"):
        image = _container(default, component)["image"]
        assert _container(mirrored, component)["image"] == f"registry.example.com/mirror/{image}"


@pytest.mark.parametrize("server", ["redis", "mongo"])
def test_the_image_of_a_bundled_server_can_be_given_by_digest(helm: Helm, server: str) -> None:
    digest = "sha256:" + "a" * 64
    image = _container(helm.render(at(f"{server}.image.digest", digest)), server)["image"]
    assert image.endswith(f"@{digest}")
    assert ":" not in image.removesuffix(f"@{digest}")


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("configMap", {"configMap": {"name": "our-ca", "items": [{"key": "root.pem", "path": "ca.crt"}]}}),
        ("secret", {"secret": {"secretName": "our-ca", "items": [{"key": "root.pem", "path": "ca.crt"}]}}),
    ],
)
@pytest.mark.parametrize("component", PROGRAMS)
def test_a_private_authority_is_mounted_and_trusted(
    helm: Helm, kind: str, source: dict[str, Any], component: str
) -> None:
    manifests = helm.render({"extraCa": {kind: "our-ca", "key": "root.pem"}})
    assert {"name": "ca"} | source in _pod(manifests, component)["volumes"]
    (mount,) = [mount for mount in _container(manifests, component)["volumeMounts"] if mount["name"] == "ca"]
    assert mount["readOnly"] is True
    assert environment(manifests, component)["SSL_CERT_FILE"] == f"{mount['mountPath']}/ca.crt"


def test_no_authority_is_mounted_by_default(default: list[Manifest]) -> None:
    for component in PROGRAMS:
        assert "ca" not in {volume["name"] for volume in _pod(default, component)["volumes"]}
        assert "SSL_CERT_FILE" not in environment(default, component)


@pytest.mark.parametrize("component", PROGRAMS)
def test_a_program_gets_further_containers_volumes_and_variables(helm: Helm, component: str) -> None:
    proxy, migrate = {"name": "proxy", "image": "proxy:1"}, {"name": "wait", "image": "wait:1"}
    volume, mount = {"name": "models", "emptyDir": {}}, {"name": "models", "mountPath": "/models"}
    common, own = {"configMapRef": {"name": "common"}}, {"secretRef": {"name": "own"}}
    extras = {
        "sidecars": [proxy],
        "initContainers": [migrate],
        "extraVolumes": [volume],
        "extraVolumeMounts": [mount],
        "extraEnvFrom": [own],
    }
    manifests = helm.render({component: extras, "extraEnvFrom": [common]})
    spec = _pod(manifests, component)
    assert spec["containers"][1:] == [proxy]
    assert spec["initContainers"] == [migrate]
    assert volume in spec["volumes"]
    assert mount in spec["containers"][0]["volumeMounts"]
    assert spec["containers"][0]["envFrom"][1:] == [common, own], "a component's own entries win"
    for other in {*PROGRAMS} - {component}:
        assert len(_pod(manifests, other)["containers"]) == 1
        assert _container(manifests, other)["envFrom"][1:] == [common]


def test_name_resolution_can_be_set_for_all_pods(helm: Helm) -> None:
    values = {
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["redis.internal"]}],
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.0.0.2"]},
    }
    for component, pod in pods(helm.render(values)):
        assert {name: pod["spec"].get(name) for name in values} == values, component


@pytest.mark.parametrize("component", [*PROGRAMS, "redis", "mongo"])
def test_a_component_can_run_in_a_sandbox_with_a_priority(helm: Helm, component: str) -> None:
    values = {"runtimeClassName": "gvisor", "priorityClassName": "high"}
    manifests = helm.render({component: values})
    assert values.items() <= _pod(manifests, component).items()
    if component != "worker":
        assert not values.keys() & _pod(manifests, "worker").keys()


def test_the_test_pod_runs_where_the_api_runs(helm: Helm) -> None:
    """On tainted nodes it would stay pending otherwise."""
    where = {
        "tolerations": [{"key": "team", "operator": "Exists"}],
        "nodeSelector": {"pool": "queues"},
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
    }
    spec = _pod(helm.render({"api": where}), "test")
    assert where.items() <= spec.items()
    assert "topologySpreadConstraints" not in spec


@pytest.mark.parametrize(
    ("component", "switch"), [("api", {}), ("worker", at("operator.enabled", False))], ids=str
)
def test_replicas_can_be_left_to_another_scaler(helm: Helm, component: str, switch: dict[str, Any]) -> None:
    manifests = helm.render(switch, at(f"{component}.replicas", None))
    assert "replicas" not in one(manifests, "Deployment", component)["spec"]
    assert one(helm.render(switch), "Deployment", component)["spec"]["replicas"] == 2


def test_further_objects_belong_to_the_release(helm: Helm) -> None:
    """Text may use templates, and so may an object's strings."""
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-text'}"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-object"}}
    manifests = helm.render(at("extraObjects", [text, body]))
    names = {found["metadata"]["name"] for found in of_kind(manifests, "ConfigMap")}
    assert {"demo-text", "demo-object"} <= names


@pytest.mark.parametrize(
    ("release", "prefix"), [("laneway", "laneway"), ("demo", "demo-laneway"), ("my-laneway", "my-laneway")]
)
def test_the_charts_name_is_not_doubled(helm: Helm, release: str, prefix: str) -> None:
    manifests = helm.render(release=release)
    assert one(manifests, "Deployment", "api")["metadata"]["name"] == f"{prefix}-api"
    names = [(body["kind"], body["metadata"]["name"]) for body in manifests]
    assert len(set(names)) == len(names)


def test_services_can_have_addresses_of_both_families(helm: Helm, default: list[Manifest]) -> None:
    services = of_kind(helm.render(at("ipFamilyPolicy", "PreferDualStack")), "Service")
    assert len(services) == 6
    assert {service["spec"]["ipFamilyPolicy"] for service in services} == {"PreferDualStack"}
    assert not any("ipFamilyPolicy" in service["spec"] for service in of_kind(default, "Service"))


def test_mongod_takes_further_arguments(helm: Helm) -> None:
    arguments = _container(helm.render(at("mongo.extraArgs", ["--ipv6"])), "mongo")["args"]
    assert arguments == ["mongod", "--bind_ip_all", "--port", "27017", "--ipv6"]

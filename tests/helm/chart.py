"""Render the chart with the real helm, and parse the manifests."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "laneway"
KUBERNETES = "1.34.0"
"""Kubernetes version to render for. A helm built from its Go module has no default."""
NAMESPACE, RELEASE = "laneway", "demo"
LIMIT_SECONDS = 60

Manifest = dict[str, Any]


def default_values() -> dict[str, Any]:
    """Return values.yaml, parsed."""
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return values


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested mappings; later layers win."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            if isinstance(value, Mapping) and isinstance(below, Mapping):
                value = merged(below, value)  # noqa: PLW2901
            result[key] = value
    return result


def at(path: str, value: Any) -> dict[str, Any]:
    """Nest a value below a dotted path: `at("api.replicas", 3)` is {"api": {"replicas": 3}}."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value  # type: ignore[no-any-return]


EVERYTHING_ON: dict[str, Any] = {
    "auth": {"adminUsername": "ada", "jwtPreviousKeysSecret": "old-keys", "oidcClientSecret": "our-issuer"},
    "settings": {
        "oidcIssuer": "https://login.example.com:8443/realms/main",
        "oidcClientId": "laneway",
        "oidcAdminClaim": "groups",
        "oidcAdminValue": "admins",
        "webhooksAllowPrivate": "10.1.0.0/16, 10.2.0.1",
    },
    "webhooks": {"enabled": True},
    "extraCa": {"configMap": "our-ca"},
    "api": {"autoscaling": {"enabled": True}},
    "ingress": {"enabled": True, "hosts": ["laneway.example.com"]},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]},
    "monitoring": {
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True, "runbookUrl": "https://example.com/operations"},
        "dashboard": {"enabled": True},
    },
}
EXTERNAL: dict[str, Any] = {
    "redis": {"enabled": False, "url": "rediss://redis.example.com:6380/0"},
    "mongo": {"enabled": False, "url": "mongodb+srv://mongo.example.com"},
}
EXTERNAL_SECRETS: dict[str, Any] = {
    "redis": {"enabled": False, "existingSecret": "their-redis", "passwordSecret": "their-passwords"},
    "mongo": {"enabled": False, "existingSecret": "their-mongo", "passwordSecret": "their-passwords"},
    "secrets": {"existingSecret": "our-passwords"},
    "operator": {"enabled": False},
}


@dataclass(frozen=True)
class Helm:
    """The helm program."""

    path: Path

    def run(
        self, *arguments: str, values: Mapping[str, Any] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command with these values on standard input."""
        return subprocess.run(
            [self.path, *arguments, "--values=-"],
            input=yaml.safe_dump(dict(values or {})),
            env=os.environ | {"GOGC": "400"},  # it has little garbage to collect and ends soon
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )

    def template(self, *layers: Mapping[str, Any], chart: Path = CHART, release: str = RELEASE) -> str:
        """Return the manifests as text; fail the test if helm refuses the values."""
        done = self.try_template(*layers, chart=chart, release=release)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def render(
        self, *layers: Mapping[str, Any], chart: Path = CHART, release: str = RELEASE
    ) -> list[Manifest]:
        """Return every object of the release, hooks included, without the CRD."""
        text = self.template(*layers, chart=chart, release=release)
        return [body for body in yaml.load_all(text, yaml.CSafeLoader) if body]

    def refused(self, *layers: Mapping[str, Any]) -> str:
        """Return the error message for values that the chart must refuse."""
        done = self.try_template(*layers)
        assert done.returncode != 0, "helm accepted values that it must refuse"
        return done.stderr

    def try_template(
        self, *layers: Mapping[str, Any], chart: Path = CHART, release: str = RELEASE
    ) -> subprocess.CompletedProcess[str]:
        """Run `helm template`; the caller checks the exit code."""
        return self.run(
            "template",
            release,
            str(chart),
            f"--namespace={NAMESPACE}",
            f"--kube-version={KUBERNETES}",
            values=merged(*layers),
        )


def one(manifests: list[Manifest], kind: str, component: str) -> Manifest:
    """Return the only object of that kind that belongs to a component."""
    found = [
        body
        for body in manifests
        if body["kind"] == kind and body["metadata"]["labels"]["app.kubernetes.io/component"] == component
    ]
    assert len(found) == 1, f"{len(found)} objects of kind {kind} for {component}"
    return found[0]


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """Return all objects of a kind."""
    return [body for body in manifests if body["kind"] == kind]


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield the component and the pod template (metadata and spec) of every object that creates pods."""
    for body in manifests:
        template = body if body["kind"] == "Pod" else body.get("spec", {}).get("template", {})
        if "containers" in template.get("spec", {}):
            yield body["metadata"]["labels"]["app.kubernetes.io/component"], template


def environment(manifests: list[Manifest], component: str) -> dict[str, str]:
    """Return the environment of a component's container, with $(VARIABLE) expanded.

    A value from a Secret that the chart does not render is `from:<name>/<key>`.
    """
    (container,) = one(manifests, "Deployment", component)["spec"]["template"]["spec"]["containers"]
    maps = {body["metadata"]["name"]: body["data"] for body in of_kind(manifests, "ConfigMap")}
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        found |= maps[source["configMapRef"]["name"]]
    for entry in container["env"]:
        value = entry["value"] if "value" in entry else _reference(manifests, entry["valueFrom"])
        for name, known in found.items():
            value = value.replace(f"$({name})", known)
        found[entry["name"]] = value
    return found


def _reference(manifests: list[Manifest], source: Mapping[str, Any]) -> str:
    if "fieldRef" in source:
        return str(source["fieldRef"]["fieldPath"])
    reference = source["secretKeyRef"]
    for body in of_kind(manifests, "Secret"):
        if body["metadata"]["name"] == reference["name"]:
            return decoded(body["data"][reference["key"]])
    return f"from:{reference['name']}/{reference['key']}"


def decoded(data: str) -> str:
    """Decode a value of a Secret."""
    return base64.b64decode(data, validate=True).decode()

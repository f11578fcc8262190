"""values.yaml, values.schema.json and the templates agree: every value is used, and every value has a schema."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import jsonschema_rs
import pytest
import yaml

from tests.helm.chart import (
    CHART,
    EVERYTHING_ON,
    EXTERNAL,
    EXTERNAL_SECRETS,
    Helm,
    at,
    default_values,
    merged,
)
from tests.helm.variants import Refused, Variants

OBJECTS = {
    "affinity",
    "annotations",
    "commonLabels",
    "dnsConfig",
    "labels",
    "nodeSelector",
    "podAnnotations",
    "podSecurityContext",
    "resources",
    "serviceAccountAnnotations",
}
"""Values that are copied into the manifests as they are; Kubernetes checks their content."""
OTHER_STRINGS = (
    "other", "Delete", "DoNotSchedule", "NodePort", "Always", "drain", "everysec", "WARNING", "7mb", "7Gi", "7m",
    "Default", "PreferDualStack", "closed", "/other", "https://other.example.com", "redis://other:1/0", "mongodb://other:1", "sha256:" + "0" * 64,
)  # fmt: skip
CHANGED_TOGETHER = {f"{name}.enabled": [{name: EXTERNAL[name]}] for name in ("redis", "mongo")}
"""Values that can only be changed together with others."""
SCHEMA = jsonschema_rs.validator_for(json.loads((CHART / "values.schema.json").read_text()))
OTHER_LISTS: tuple[list[Any], ...] = ([{"name": "other"}], ["other.example.com"], [7])


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in values.items():
        path = f"{above}.{name}".removeprefix(".")
        if isinstance(value, dict) and name not in OBJECTS:
            yield from _leaves(value, path)
        else:
            yield path


def _get(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values


def _alternatives(value: Any) -> list[Any]:
    """Return values of the same type; the schema should accept one of them."""
    match value:
        case bool():
            return [not value, value]  # a base may have it the other way round
        case int() | float():
            return [value + 1, value - 1, value / 2]  # a share is between 0 and 1
        case str():
            return [*OTHER_STRINGS]
        case list():
            return [*OTHER_LISTS]
        case _:
            return [{"other": "thing"}, {"limits": {"memory": "7Gi"}}]


DEFAULTS = default_values()
BASES: tuple[dict[str, Any], ...] = (EVERYTHING_ON, {}, EXTERNAL, EXTERNAL_SECRETS)
AT_ONCE = 16
"""Values that are changed in one run of helm, each in a variant of its own. One that is refused costs a run."""


@pytest.mark.timeout(300)  # the first has them all rendered
@pytest.mark.parametrize("path", list(_leaves(DEFAULTS)))
def test_every_value_is_used(unused: set[str], path: str) -> None:
    """A change of the value changes the manifests: with everything on, by default, or with external servers."""
    assert path not in unused, "it changes nothing, or the schema refuses every alternative"


@pytest.fixture(scope="module")
def unused(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The values of which no change changes anything."""
    variants = Variants(helm, tmp_path_factory.mktemp("variants") / "around")
    unchanged, again = ([_without_randomness(text) for text in variants.render(BASES)] for _ in range(2))
    assert unchanged == again, "what differs by itself would make every value look used"
    paths, found = list(_leaves(DEFAULTS)), set[str]()
    for first in range(0, len(paths), AT_ONCE):
        found |= _unused(variants, unchanged, paths[first : first + AT_ONCE])
    return found


def _unused(variants: Variants, unchanged: list[str], paths: list[str]) -> set[str]:
    """Try for each value one change after another, on one base after another, until the manifests differ."""
    trials = {
        path: [
            (change, base)
            for change, base in product(_changes(path), _bases(path))
            if SCHEMA.is_valid(merged(DEFAULTS, BASES[base], change))
        ]
        for path in paths
    }
    trying = dict(trials)
    while trying := {path: left for path, left in trying.items() if left}:
        now = {path: left.pop(0) for path, left in trying.items()}
        try:
            rendered = variants.render([merged(BASES[base], change) for change, base in now.values()])
        except Refused as refused:
            for index, (path, trial) in enumerate(now.items()):
                if index not in refused.indexes:
                    trying[path].insert(0, trial)
            continue
        for (path, (_, base)), text in zip(now.items(), rendered, strict=True):
            if _without_randomness(text) != unchanged[base]:
                del trying[path], trials[path]
    return set(trials)


def _bases(path: str) -> list[int]:
    """Those first that set the value themselves, and so need it."""
    return sorted(range(len(BASES)), key=lambda base: path not in _leaves(BASES[base]))


def _changes(path: str) -> list[dict[str, Any]]:
    return CHANGED_TOGETHER.get(path) or [at(path, other) for other in _alternatives(_get(DEFAULTS, path))]


def _without_randomness(text: str) -> str:
    """Drop generated passwords and their checksums, which differ each time."""
    return "\n".join(
        line
        for line in text.splitlines()
        if "checksum/secrets" not in line
        and not line.strip().startswith(
            ("admin-password:", "jwt-secret:", "redis-password:", "mongo-password:", "mongo-root-password:")
        )
    )


def test_the_schema_lists_exactly_the_values() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def leaves(node: Mapping[str, Any], above: str = "") -> Iterator[str]:
        for name, below in node["properties"].items():
            path = f"{above}.{name}".removeprefix(".")
            if "properties" in below and name not in OBJECTS:
                yield from leaves(below, path)
            else:
                yield path

    assert set(leaves(schema)) == set(_leaves(DEFAULTS))


def test_no_value_is_written_twice() -> None:
    """Loaders of YAML and JSON keep the last of two equal keys without a word."""

    def check(node: Any) -> None:
        for key, below in getattr(node, "value", []) if isinstance(node, yaml.MappingNode) else []:
            names = [name.value for name, _ in node.value]
            assert names.count(key.value) == 1, f"{key.value} is written twice"
            check(below)

    check(yaml.compose((CHART / "values.yaml").read_text()))
    check(yaml.compose((CHART / "values.schema.json").read_text()))


def test_the_schema_refuses_unknown_values_everywhere() -> None:
    def check(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("type") == "object" and "properties" in node:
                assert node["additionalProperties"] is False, node
            for name, below in node.items():
                if name != "global":  # a parent chart's values share this place
                    check(below)
        elif isinstance(node, list):
            for below in node:
                check(below)

    check(json.loads((CHART / "values.schema.json").read_text()))


REFUSED = [
    ({"workers": {}}, "'workers' not allowed"),
    (at("settings.laneConcurency", 5), "'laneConcurency' not allowed"),
    (at("settings.laneConcurrency", 0), "minimum: got 0, want 1"),
    (at("settings.laneConcurrency", 101), "maximum: got 101, want 100"),
    (at("settings.laneConcurrency", "5"), "got string, want integer"),
    (at("settings.leaseSeconds", 0), "exclusiveMinimum: got 0, want 0"),
    (at("settings.disconnectPolicy", "keep"), "must be one of 'purge', 'drain'"),
    (at("settings.logLevel", "verbose"), "must be one of 'DEBUG', 'INFO', 'WARNING', 'ERROR'"),
    (at("settings.keyPrefix", "a:b"), "'a:b' does not match pattern"),
    (at("settings.handlers", "my handlers"), "does not match pattern"),
    (
        at("settings.backoffSeconds", 400),
        "backoffSeconds (400) must not be above settings.backoffMaxSeconds (300)",
    ),
    (at("auth.adminUsername", "a b"), "'a b' does not match pattern"),
    (at("api.replicas", "two"), "got string, want null or integer"),
    (at("api.resources.limit", {}), "'limit' not allowed"),
    (at("api.extraEnv", [{"name": "A", "value": 1}]), "got number, want string"),
    (
        at("api.autoscaling.minReplicas", 20),
        "minReplicas (20) must not be above api.autoscaling.maxReplicas (10)",
    ),
    (at("worker.topologySpread", "Always"), "must be one of 'ScheduleAnyway', 'DoNotSchedule'"),
    (at("worker.tmpSizeLimit", "1 GB"), "'1 GB' does not match pattern"),
    (
        at("workerPool.minReplicas", 11),
        "workerPool.minReplicas (11) must not be above workerPool.maxReplicas (10)",
    ),
    (at("workerPool.maxReplicas", 0), "minimum: got 0, want 1"),
    (at("operator.podDisruptionBudget.maxUnavailable", "half"), "does not match pattern"),
    (at("redis.enabled", False), "redis.enabled is false: set redis.url or redis.existingSecret"),
    (at("mongo.enabled", False), "mongo.enabled is false: set mongo.url or mongo.existingSecret"),
    (at("redis.url", "redis://redis.example.com"), "set redis.enabled=false to use it"),
    (at("mongo.existingSecret", "their-mongo"), "set mongo.enabled=false to use it"),
    (at("redis", {"enabled": False, "url": "http://redis"}), "'http://redis' does not match pattern"),
    (
        at("redis", {"enabled": False, "url": "redis://a", "existingSecret": "b"}),
        "redis.url and redis.existingSecret: set one",
    ),
    (at("extraCa", {"configMap": "a", "secret": "b"}), "extraCa.configMap and extraCa.secret: set one"),
    (at("settings.oidcIssuer", "http://login.example.com"), "does not match pattern '^(https"),
    (
        at("settings.oidcIssuer", "https://login.example.com"),
        "settings.oidcIssuer needs settings.oidcClientId",
    ),
    (at("settings.oidcAdminClaim", "groups"), "settings.oidcAdminValue: set both or neither"),
    (at("dnsPolicy", "ClusterLast"), "must be one of"),
    (at("redis.appendfsync", "sometimes"), "must be one of 'always', 'everysec', 'no'"),
    (at("redis.maxmemory", "70%"), "'70%' does not match pattern"),
    (at("mongo.persistence.whenDeleted", "retain"), "must be one of 'Retain', 'Delete'"),
    (at("image.digest", "latest"), "'latest' does not match pattern"),
    (at("ingress.enabled", True), "at '/ingress/hosts': minItems: got 0, want 1"),
    (at("httpRoute.enabled", True), "at '/httpRoute/parentRefs': minItems: got 0, want 1"),
    (at("networkPolicy.kubernetesPorts", []), "minItems: got 0, want 1"),
    (at("monitoring.serviceMonitor.interval", "often"), "'often' does not match pattern"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_an_invalid_value_is_refused_by_name(helm: Helm, values: dict[str, Any], message: str) -> None:
    assert message in helm.refused(values)


def test_global_values_of_a_parent_chart_are_accepted(helm: Helm) -> None:
    values = copy.deepcopy(EVERYTHING_ON) | {"global": {"storageClass": "fast"}}
    assert helm.render(values)

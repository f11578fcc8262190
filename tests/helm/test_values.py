"""values.yaml, values.schema.json and the templates agree: every value is used, and every value has a schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import jsonschema_rs
import pytest

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
    """Drop generated secrets, 48 characters in base64, and their checksums: they differ each time."""
    return "\n".join(
        line
        for line in text.splitlines()
        if "checksum/secrets" not in line and not re.fullmatch(r'\s*[\w-]+: "?[A-Za-z0-9+/]{64}"?', line)
    )

"""Passwords are generated and appear only in the Secret. tests/cluster shows that upgrades keep them, which takes an API server."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from laneway.settings import MIN_SECRET_BYTES
from tests.helm.chart import (
    EVERYTHING_ON,
    EXTERNAL,
    EXTERNAL_SECRETS,
    Helm,
    Manifest,
    at,
    decoded,
    default_values,
    merged,
    of_kind,
    one,
    pods,
)

GENERATED = {"jwt-secret", "redis-password", "mongo-password", "mongo-root-password"}
KEEP = {"helm.sh/resource-policy": "keep"}


def _secret(manifests: list[Manifest], component: str = "secrets") -> dict[str, str]:
    return {key: decoded(value) for key, value in one(manifests, "Secret", component)["data"].items()}


def test_passwords_are_long_random_and_fit_for_a_url(helm: Helm) -> None:
    first, second = _secret(helm.render()), _secret(helm.render())
    assert first.keys() == GENERATED
    for key, value in first.items():
        assert len(value) >= MIN_SECRET_BYTES
        assert re.fullmatch(r"[A-Za-z0-9]+", value)
        assert second[key] != value
    assert len(set(first.values())) == len(first)


def test_no_manifest_but_the_secret_contains_a_password(helm: Helm) -> None:
    manifests = helm.render(EVERYTHING_ON)
    passwords = _secret(manifests).values()
    others = yaml.safe_dump_all(body for body in manifests if body["kind"] != "Secret")
    assert passwords
    assert not [password for password in passwords if password in others]


def test_the_defaults_hold_no_secret() -> None:
    def walk(node: Any, path: str) -> Iterator[tuple[str, Any]]:
        for name, below in node.items():
            if isinstance(below, dict):
                yield from walk(below, f"{path}.{name}")
            else:
                yield f"{path}.{name}", below

    for path, value in walk(default_values(), ""):
        if re.search(r"secret|password|token|url$", path, re.IGNORECASE) and isinstance(value, str):
            assert value == "" or path.endswith("Key"), path


def test_secret_variables_come_from_secrets(everything: list[Manifest]) -> None:
    for _, pod in pods(everything):
        for container in pod["spec"]["containers"]:
            for entry in container.get("env", []):
                if re.search(r"PASSWORD$|SECRET$|_KEYS$|WEBHOOKS_KEY$", entry["name"]):
                    assert "secretKeyRef" in entry["valueFrom"], entry["name"]


def test_no_password_is_generated_for_a_disabled_server(helm: Helm) -> None:
    assert _secret(helm.render(EXTERNAL)).keys() == {"jwt-secret"}
    assert _secret(helm.render(at("auth.adminUsername", "ada"))).keys() == GENERATED | {"admin-password"}
    assert _secret(helm.render(at("webhooks.enabled", True))).keys() == GENERATED | {"webhooks-key"}


def test_urls_from_the_values_go_into_a_secret(helm: Helm) -> None:
    manifests = helm.render(EXTERNAL)
    assert _secret(manifests, "servers") == {
        "redis-url": EXTERNAL["redis"]["url"],
        "mongo-url": EXTERNAL["mongo"]["url"],
    }
    others = yaml.safe_dump_all(body for body in manifests if body["kind"] != "Secret")
    assert "example.com" not in others


def test_an_existing_secret_replaces_the_generated_one(helm: Helm) -> None:
    manifests = helm.render(at("secrets.existingSecret", "our-passwords"))
    assert not of_kind(manifests, "Secret")
    names = {
        entry["valueFrom"]["secretKeyRef"]["name"]
        for _, pod in pods(manifests)
        for container in pod["spec"]["containers"]
        for entry in container.get("env", [])
        if "secretKeyRef" in entry.get("valueFrom", {})
    }
    assert names == {"our-passwords"}
    assert not of_kind(helm.render(EXTERNAL_SECRETS), "Secret")


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ({}, True),
        (at("redis.persistence.whenDeleted", "Delete"), True),
        (
            merged(
                at("redis.persistence.whenDeleted", "Delete"), at("mongo.persistence.whenDeleted", "Delete")
            ),
            False,
        ),
        (merged(at("redis.persistence.enabled", False), at("mongo.persistence.enabled", False)), False),
        (EXTERNAL, False),
    ],
)
def test_passwords_outlive_the_release_as_long_as_a_volume_does(
    helm: Helm, values: dict[str, Any], kept: bool
) -> None:
    """A MongoDB volume opens only with the passwords it was created with."""
    annotations = one(helm.render(values), "Secret", "secrets")["metadata"].get("annotations", {})
    assert (annotations == KEEP) is kept


@pytest.mark.parametrize(
    ("kind", "component", "keys"),
    [
        (
            "Deployment",
            "api",
            ["redis-password", "mongo-password", "jwt-secret", "admin-password", "webhooks-key"],
        ),
        ("Deployment", "worker", ["redis-password", "mongo-password", "webhooks-key"]),
        ("Deployment", "operator", ["redis-password", "mongo-password"]),
        ("StatefulSet", "redis", ["redis-password"]),
    ],
)
def test_pods_are_replaced_only_when_a_password_that_they_read_changes(
    everything: list[Manifest], kind: str, component: str, keys: list[str]
) -> None:
    """The checksum covers the passwords of the same rendering's Secret, so an upgrade does not change it."""
    data = one(everything, "Secret", "secrets")["data"]
    expected = hashlib.sha256(" ".join(["", *(data[key] for key in keys)]).encode()).hexdigest()
    annotations = one(everything, kind, component)["spec"]["template"]["metadata"]["annotations"]
    assert annotations["checksum/secrets"] == expected

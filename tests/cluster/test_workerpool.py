"""The CRD: which WorkerPools the API server refuses, and which defaults it fills in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.program import Program

SPEC: dict[str, Any] = {"target": "worker", "maxReplicas": 10, "slotsPerReplica": 2}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no target": ({"target": None}, "spec.target: Required value"),
    "no maximum": ({"maxReplicas": None}, "spec.maxReplicas: Required value"),
    "no slots": ({"slotsPerReplica": None}, "spec.slotsPerReplica: Required value"),
    "least above most": ({"minReplicas": 11}, "must not be above maxReplicas"),
    "least above most by default": ({"minReplicas": 2, "maxReplicas": 1}, "must not be above maxReplicas"),
    "most of none": ({"maxReplicas": 0, "minReplicas": 0}, "greater than or equal to 1"),
    "below nothing": ({"minReplicas": -1}, "greater than or equal to 0"),
    "no slot in a replica": ({"slotsPerReplica": 0}, "greater than or equal to 1"),
    "a poll that never ends": ({"pollIntervalSeconds": 0}, "greater than or equal to 1"),
    "half a replica": ({"minReplicas": 0.5}, "must be of type integer"),
    "no such policy": ({"disconnectPolicy": "forget"}, 'supported values: "purge", "drain"'),
    "no such name": ({"target": "Worker_1"}, "should match"),
    "no such field": ({"minReplica": 1}, 'unknown field "spec.minReplica"'),
}


def pool(**fields: Any) -> str:
    spec = {name: value for name, value in (SPEC | fields).items() if value is not None}
    body = {"apiVersion": "laneway.dev/v1alpha1", "kind": "WorkerPool", "metadata": {"name": "p"}}
    return json.dumps(body | {"spec": spec})


@pytest.mark.parametrize("case", REFUSED)
def test_an_invalid_pool_is_refused(kubectl: Program, namespace: str, definitions: None, case: str) -> None:
    fields, complaint = REFUSED[case]
    create = ("create", f"--namespace={namespace}", "--filename=-")
    assert complaint in kubectl.refused(*create, stdin=pool(**fields))


def test_defaults_are_filled_in(kubectl: Program, namespace: str, definitions: None) -> None:
    made = kubectl.json("create", f"--namespace={namespace}", "--filename=-", stdin=pool())
    assert made["spec"] == SPEC | {
        "minReplicas": 1,
        "drainTargetSeconds": 30,
        "stabilizationWindowSeconds": 120,
        "pollIntervalSeconds": 5,
        "disconnectGraceSeconds": 60,
        "disconnectPolicy": "purge",
        "paused": False,
    }


def test_everything_but_the_target_can_be_changed(
    kubectl: Program, namespace: str, definitions: None
) -> None:
    where = f"--namespace={namespace}"
    kubectl("create", where, "--filename=-", stdin=pool())
    change = ("patch", "workerpool", "p", where, "--type=merge")
    kubectl(*change, '--patch={"spec": {"maxReplicas": 20, "minReplicas": 15}}')
    assert "target cannot be changed" in kubectl.refused(*change, '--patch={"spec": {"target": "other"}}')
    assert "must not be above" in kubectl.refused(*change, '--patch={"spec": {"maxReplicas": 14}}')


def test_spec_and_status_are_written_apart(kubectl: Program, namespace: str, definitions: None) -> None:
    """A write of the spec does not change the status, and a write of the status does not change the spec."""
    where = f"--namespace={namespace}"
    kubectl("create", where, "--filename=-", stdin=pool())
    both = json.dumps({"spec": {"maxReplicas": 20}, "status": {"queued": 7, "memory": {"any": [1.5]}}})
    change = ("patch", "workerpool", "p", where, "--type=merge", f"--patch={both}")
    changed = kubectl.json(*change)
    assert (changed["spec"]["maxReplicas"], changed.get("status")) == (20, None)
    kubectl("patch", "workerpool", "p", where, "--type=merge", '--patch={"spec": {"maxReplicas": 30}}')
    changed = kubectl.json(*change, "--subresource=status")
    assert changed["spec"]["maxReplicas"] == 30
    assert changed["status"] == {"queued": 7, "memory": {"any": [1.5]}}


def test_kubectl_get_shows_the_pool(kubectl: Program, namespace: str, definitions: None) -> None:
    where = f"--namespace={namespace}"
    kubectl("create", where, "--filename=-", stdin=pool(minReplicas=3))
    heading, line = kubectl("get", "wpool", where).splitlines()
    row = dict(zip(heading.split(), line.split(), strict=False))
    assert (row["NAME"], row["TARGET"], row["MIN"], row["MAX"]) == ("p", "worker", "3", "10")

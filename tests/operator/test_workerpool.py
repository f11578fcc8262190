"""Parses a WorkerPool and renders the conditions of its status."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from laneway.operator.workerpool import (
    GROUP,
    KIND,
    MEMORY,
    PLURAL,
    READY,
    SCALING_ACTIVE,
    STORE_REACHABLE,
    VERSION,
    Condition,
    WorkerPool,
    to_status,
    transitions,
)
from laneway.scaling import InvalidPool, PoolSpec, ScalingState, Step

DEFINITION = Path(__file__).parents[2] / "helm" / "laneway" / "crds" / "workerpools.yaml"
THEN, NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 1, 2, 3, 5, 0, 999, tzinfo=UTC)
GOOD = Condition(READY, True, "Reconciled", "3 of 3 replicas are ready")
BAD = Condition(READY, False, "TargetMissing", "there is no Deployment x in y")


def body(**spec: Any) -> dict[str, Any]:
    given = {
        "target": "worker",
        "minReplicas": 1,
        "maxReplicas": 7,
        "slotsPerReplica": 4,
        "drainTargetSeconds": 30,
        "stabilizationWindowSeconds": 120,
        "pollIntervalSeconds": 5,
        "disconnectGraceSeconds": 60,
        "disconnectPolicy": "drain",
    }
    metadata = {
        "name": "pool",
        "namespace": "here",
        "uid": "u",
        "generation": 3,
        "resourceVersion": "17",
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return {"metadata": metadata, "spec": given | spec}


def test_a_pool_is_parsed() -> None:
    pool = WorkerPool.parse(body())
    assert (pool.name, pool.namespace, pool.generation, pool.resource_version) == ("pool", "here", 3, "17")
    assert (pool.target, pool.poll_seconds) == ("worker", 5)
    assert (pool.disconnect_grace_seconds, pool.disconnect_policy) == (60, "drain")
    assert pool.scaling_spec() == PoolSpec(1, 7, 4, 30, 120)
    assert not pool.paused
    assert pool.scaling_state == ScalingState()
    assert WorkerPool.parse(body(paused=True)).scaling_spec().paused


def test_a_contradiction_that_the_schema_let_through_is_named() -> None:
    with pytest.raises(InvalidPool, match="minReplicas"):
        WorkerPool.parse(body(minReplicas=9)).scaling_spec()


def test_the_scaling_state_is_read_from_the_status() -> None:
    memory = ScalingState((Step(5.0, 2),), 0.5)
    pool = WorkerPool.parse(body() | {"status": {MEMORY: memory.to_status()}})
    assert pool.scaling_state == memory


def test_the_time_of_a_transition_is_kept_while_the_status_stays() -> None:
    first = to_status([GOOD], [], 1, THEN)
    assert first[0]["lastTransitionTime"] == "2026-01-02T03:04:05Z"
    second = to_status([Condition(READY, True, "Reconciled", "2 of 3 replicas are ready")], first, 2, NOW)
    assert second[0]["lastTransitionTime"] == first[0]["lastTransitionTime"]
    assert (second[0]["message"], second[0]["observedGeneration"]) == ("2 of 3 replicas are ready", 2)
    third = to_status([BAD], second, 2, NOW)
    assert third[0]["lastTransitionTime"] == "2026-01-02T03:05:00Z"
    assert third[0]["status"] == "False"


def test_a_long_message_is_cut_to_what_an_event_may_hold() -> None:
    (written,) = to_status([Condition(READY, None, "Unsure", "x" * 5000)], [], 1, NOW)
    assert len(written["message"]) == 1024
    assert written["status"] == "Unknown"


def test_only_changes_are_transitions_and_a_good_start_is_none() -> None:
    assert transitions([GOOD], []) == []
    assert transitions([BAD], []) == [BAD]
    assert transitions([GOOD], to_status([GOOD], [], 1, THEN)) == []
    assert transitions([GOOD], to_status([BAD], [], 1, THEN)) == [GOOD]


def test_two_conditions_with_the_same_message_are_one_transition() -> None:
    twin = Condition(SCALING_ACTIVE, False, BAD.reason, BAD.message)
    other = Condition(STORE_REACHABLE, False, "Unreachable", "Redis could not be read")
    assert transitions([BAD, twin, other], []) == [BAD, other]


def test_the_fields_read_and_written_are_those_of_the_crd() -> None:
    definition = yaml.safe_load(DEFINITION.read_text())
    (version,) = definition["spec"]["versions"]
    names = definition["spec"]["names"]
    assert (definition["spec"]["group"], version["name"]) == (GROUP, VERSION)
    assert (names["kind"], names["plural"]) == (KIND, PLURAL)
    schema = version["schema"]["openAPIV3Schema"]["properties"]
    assert body(paused=True)["spec"].keys() == schema["spec"]["properties"].keys()
    condition = schema["status"]["properties"]["conditions"]["items"]
    (written,) = to_status([GOOD], [], 1, NOW)
    assert written.keys() == condition["properties"].keys()
    assert MEMORY in schema["status"]["properties"]

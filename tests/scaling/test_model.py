"""The rule's inputs reject impossible values, and its state survives a restart."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laneway.scaling import (
    Inflow,
    InvalidObservation,
    InvalidPool,
    Load,
    Observation,
    PoolSpec,
    ScalingState,
    Step,
)

numbers = st.floats(0, 1e12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 5, 4), "minReplicas must not be negative, it is -1"),
        ((0, 0, 4), "maxReplicas must be at least 1, it is 0 (pause the pool to stop it)"),
        ((6, 5, 4), "minReplicas (6) must not be above maxReplicas (5)"),
        ((0, 5, 0), "slotsPerReplica must be at least 1, it is 0"),
        ((0, 5, 4, 0.0), "drainTargetSeconds must be above 0, it is 0.0"),
        ((0, 5, 4, math.nan), "drainTargetSeconds must be above 0, it is nan"),
        ((0, 5, 4, 30.0, -1.0), "stabilizationWindowSeconds must not be negative, it is -1.0"),
        (
            (3, 2, 0),
            "minReplicas (3) must not be above maxReplicas (2); slotsPerReplica must be at least 1, it is 0",
        ),
    ],
)
def test_a_pool_that_contradicts_itself_is_rejected_with_every_fault_named(
    arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(InvalidPool) as caught:
        PoolSpec(*arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "fields",
    [
        {"usable": -1},
        {"queued": -1},
        {"running": 1, "leaving": 2},
        {"running": 1, "held": 2},
        {"service_seconds": math.nan},
        {"service_seconds": -0.1},
        {"oldest_wait_seconds": math.inf},
    ],
)
def test_a_measurement_that_cannot_be_is_rejected(fields: dict[str, float]) -> None:
    with pytest.raises(InvalidObservation):
        Load(**{"usable": 0, "queued": 0, "running": 0, **fields})  # type: ignore[arg-type]


def test_negative_replicas_are_rejected() -> None:
    with pytest.raises(InvalidObservation):
        Observation(1, -1, None)


@given(
    st.builds(
        ScalingState,
        steps=st.lists(st.builds(Step, since=numbers, replicas=st.integers(0, 1000))).map(tuple),
        service_seconds=st.none() | numbers,
        inflow=st.none() | st.builds(Inflow, numbers, st.integers(0, 10**9), st.integers(0, 10**6), numbers),
    )
)
def test_the_state_survives_a_status_as_json(state: ScalingState) -> None:
    assert ScalingState.from_status(json.loads(json.dumps(state.to_status()))) == state


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    json_values
    | st.fixed_dictionaries(
        {}, optional={"steps": json_values, "serviceSeconds": json_values, "inflow": json_values}
    )
)
def test_a_status_that_is_not_understood_is_no_memory_and_no_error(status: object) -> None:
    state = ScalingState.from_status(status)
    assert state.service_seconds is None or state.service_seconds >= 0
    assert all(step.replicas >= 0 for step in state.steps)


@pytest.mark.parametrize(
    "status",
    [
        None,
        [],
        {"steps": [{"since": 5.0, "replicas": -1}]},
        {"steps": [{"since": "now", "replicas": 1}]},
        {"steps": [{"replicas": 1}]},
        {"steps": {"since": 1.0}},
        {"serviceSeconds": "1"},
        {"inflow": {"at": 1.0}},
    ],
)
def test_statuses_that_count_as_no_memory(status: object) -> None:
    assert ScalingState.from_status(status) == ScalingState()

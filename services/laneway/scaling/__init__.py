"""Decides how many worker replicas there should be. A pure rule: no I/O and no clock.

Replicas follow the parallelism that exists, not the backlog's length. A lane lets at most `lane_concurrency` of its
jobs run at once, so 10,000 jobs of one user with 5 slots can use 5 slots and no more, whatever a queue-length rule
would ask for. The operator observes (Redis for the load, the API server for the pods), calls `decide`, applies the
decision and keeps the returned state in the field `memory` of the WorkerPool's status:

    decision = decide(spec, observation, ScalingState.from_status(status.get("memory")), now_seconds)

Guarantees, each with a property test:
- The replicas stay within min and max. Only a pause or an unknown load leaves them as they are, even outside.
- The rule never asks for more than ceil(usable / slots), however many jobs are queued.
- It never decides on zero while a job is queued or runs. The first queued job wakes the pool in the same call.
- It scales up at once. It scales down only to the highest recommendation of the stabilisation window.
- It never goes below the number of replicas with a job that would outlast the shutdown grace (`pins`).
- Deciding twice on the same observation changes nothing.

The reasons: docs/decisions/0005-scaling-rule.md. What the rule costs and saves: `python -m bench.autoscaling`.
"""

from __future__ import annotations

from laneway.scaling.model import (
    Cause,
    Decision,
    Inflow,
    InvalidObservation,
    InvalidPool,
    Load,
    Observation,
    PoolSpec,
    ScalingState,
    Step,
)
from laneway.scaling.pinning import deletion_cost, pins
from laneway.scaling.rule import decide

__all__ = [
    "Cause",
    "Decision",
    "Inflow",
    "InvalidObservation",
    "InvalidPool",
    "Load",
    "Observation",
    "PoolSpec",
    "ScalingState",
    "Step",
    "decide",
    "deletion_cost",
    "pins",
]

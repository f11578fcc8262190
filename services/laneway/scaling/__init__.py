"""How many worker replicas there should be: a pure rule, without I/O and without a clock.

Replicas follow the parallelism that exists, not the backlog's length. A lane lets at most `lane_concurrency` of its
jobs run at once, so 10,000 jobs of one user with 5 slots can use 5 slots and no more, whatever a queue-length rule
would ask for. The operator observes (Redis for the load, the API server for the pods), calls `decide`, applies what
comes back and keeps the new state in the WorkerPool's status:

    decision = decide(pool, observation, ScalingState.from_status(status.get("scaling")), now_seconds)

Guarantees, each held by a property test:
- inside min and max, except that a pause and a missing observation leave the replicas exactly as they are;
- never asks for more than ceil(usable / slots), for any number of queued jobs;
- never zero while a job is queued or runs; the first queued job wakes the pool in the same call;
- up at once; down only to the highest recommendation of the stabilisation window;
- never below the replicas that hold a job which would not end within the shutdown grace (`pins`);
- deciding twice on the same observation changes nothing.

Why it is so: docs/decisions/0005-scaling-rule.md. What it costs and saves: `python -m bench.autoscaling`.
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

"""Publishes the last decision about a pool to Redis, so that the API can show it without any right in the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from laneway.lanes.commands import Report, ReportKind
from laneway.lanes.errors import LaneError
from laneway.lanes.store import AsyncLanes
from laneway.operator.demand import Demand
from laneway.operator.workerpool import Condition, WorkerPool
from laneway.operator.workload import Workload
from laneway.scaling import Decision, Load

MISSED_PASSES, SLACK_SECONDS = 3, 30.0
"""A report is valid until this many reconcile passes have failed, and some seconds longer."""


async def publish(lanes: AsyncLanes, pool: WorkerPool, report: Mapping[str, Any]) -> None:
    """Publish a report. Nothing depends on it, so a failure is ignored: the next pass publishes again."""
    body = {"target": pool.target, "reported_at": datetime.now(UTC).isoformat(), **report}
    seconds = MISSED_PASSES * pool.poll_seconds + SLACK_SECONDS
    with suppress(LaneError):
        await lanes.run(Report(ReportKind.POOLS, pool.name, body, seconds))


def unscalable(cause: str, reason: str) -> dict[str, Any]:
    """Return the report on a pool that cannot be scaled."""
    return {"replicas": None, "rule": None, "cause": cause, "reason": reason}


def of_decision(
    demand: Demand,
    workload: Workload,
    decision: Decision,
    load: Load | None,
    pinned: int,
    active: Condition,
) -> dict[str, Any]:
    """Return the report on a decision. `active` says why it was taken, or why it was not applied."""
    spec = demand.spec
    inflow = decision.state.inflow
    return {
        "replicas": {
            "wanted": decision.replicas,
            "needed": decision.needed,
            "current": workload.target.replicas,
            "ready": workload.ready,
            "pinned": pinned,
        },
        "rule": {
            "min_replicas": spec.min_replicas,
            "max_replicas": spec.max_replicas,
            "slots_per_replica": spec.slots_per_replica,
            "drain_target_seconds": spec.drain_target_seconds,
            "stabilisation_window_seconds": spec.stabilisation_window_seconds,
            "paused": spec.paused,
            "inflow_slots": inflow.slots if inflow else None,
            "load": asdict(load) | {"service_seconds": demand.service_seconds} if load else None,
        },
        "cause": active.reason,
        "reason": active.message,
    }

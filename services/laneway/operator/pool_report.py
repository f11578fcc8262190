"""Publishes the last decision about a pool to Redis, so that the API can show it without any right in the cluster.

The report also has the newest changes of the decision. They are stored nowhere else: after a restart, or when another operator leads,
the list continues from the last report, if that is still valid.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from laneway.lanes.commands import InspectReports, Report, ReportKind
from laneway.lanes.errors import LaneError
from laneway.lanes.store import AsyncLanes
from laneway.operator.demand import Demand
from laneway.operator.workerpool import Condition, WorkerPool
from laneway.operator.workload import Workload
from laneway.scaling import Decision, Load

MISSED_PASSES, SLACK_SECONDS = 3, 30.0
"""A report is valid until this many reconcile passes have failed, and some seconds longer."""
MAX_CHANGES = 30
"""Changes of the decision in a report, the newest ones."""


class PoolReports:
    """The reports on one pool."""

    def __init__(self, lanes: AsyncLanes) -> None:
        self._lanes = lanes
        self._changes: list[dict[str, Any]] | None = None
        """The newest changes, oldest first. None until the last report was read."""

    def forget(self) -> None:
        """Drop the changes: another operator leads, so its reports know better from here on."""
        self._changes = None

    async def publish(self, pool: WorkerPool, report: Mapping[str, Any]) -> None:
        """Publish a report. Nothing depends on it, so a failure is ignored: the next pass publishes again."""
        now = datetime.now(UTC).isoformat()
        seconds = MISSED_PASSES * pool.poll_seconds + SLACK_SECONDS
        with suppress(LaneError):
            if self._changes is None:
                self._changes = await self._reported_changes(pool.name)
            self._note(self._changes, report, now)
            body = {"target": pool.target, "reported_at": now, **report, "changes": self._changes}
            await self._lanes.run(Report(ReportKind.POOLS, pool.name, body, seconds))

    async def _reported_changes(self, name: str) -> list[dict[str, Any]]:
        reports = await self._lanes.run(InspectReports(ReportKind.POOLS))
        return next((list(found.body.get("changes", [])) for found in reports if found.name == name), [])

    def _note(self, changes: list[dict[str, Any]], report: Mapping[str, Any], now: str) -> None:
        wanted = report["replicas"] and report["replicas"]["wanted"]
        change = {"at": now, "wanted": wanted, "cause": report["cause"], "reason": report["reason"]}
        last = changes[-1] if changes else None
        if last is None or (last["wanted"], last["cause"]) != (wanted, report["cause"]):
            changes.append(change)
            del changes[:-MAX_CHANGES]


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

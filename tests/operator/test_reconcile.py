"""Reconcile passes on a fake cluster and lanes in a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx2
import pytest
from msgspec import convert

from laneway.client.admin_models import PoolView
from laneway.lanes.commands import InspectReports, ReportKind
from laneway.operator import cluster as cluster_module
from laneway.operator.errors import ClusterError, Conflict, NotFound, Refused, Unreachable
from laneway.operator.pool_report import MAX_CHANGES
from laneway.operator.reconcile import PoolDeleted, Reconciler
from laneway.operator.replicas import NotLeading
from tests.lanes.driver import Driver
from tests.operator.conftest import Play
from tests.operator.fake_cluster import COST, HANG, Action
from tests.operator.scene import POOL, TARGET, Scene, start


def test_a_queued_job_wakes_a_pool_at_zero(run: Play, lanes: Driver) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool()
        lanes.enqueue("ann", 3)
        assert await scene.reconcile() == "success"
        assert scene.replicas == 1
        assert scene.condition("Ready") == ("True", "Reconciled")
        assert scene.condition("ScalingActive") == ("True", "ScaledUp")
        status = scene.status
        assert (status["queued"], status["running"], status["usersWaiting"]) == (3, 0, 1)
        assert (status["desiredReplicas"], status["currentReplicas"], status["observedGeneration"]) == (
            1,
            0,
            1,
        )
        assert "lastScaleTime" in status
        assert scene.events() == ["ScaledUp"]
        assert scene.messages()[0].startswith("scaled worker from 0 to 1 replica")

    run(act)


def test_each_pass_publishes_its_decision_with_inputs_and_reason(run: Play, lanes: Driver) -> None:
    """The API, which has no right in the cluster, reads it from Redis."""

    def published() -> PoolView:
        (report,) = lanes.run(InspectReports(ReportKind.POOLS))
        return convert({"name": report.name} | report.body, PoolView)

    async def act(scene: Scene) -> None:
        scene.add_pool()
        await scene.reconcile()
        pool = published()
        assert (pool.name, pool.target, pool.replicas, pool.cause) == (POOL, TARGET, None, "TargetMissing")
        assert pool.reason == "there is no Deployment worker in namespace here"
        scene.add_deployment(0)
        lanes.enqueue("ann", 3)
        await scene.reconcile()
        pool = published()
        assert pool.replicas
        assert pool.rule
        assert pool.rule.load
        assert (pool.replicas.wanted, pool.replicas.current, pool.replicas.ready) == (1, 0, 0)
        assert (pool.rule.load.usable, pool.rule.load.queued, pool.rule.paused) == (3, 3, False)
        assert pool.cause == "ScaledUp"
        assert "run times are not known yet" in pool.reason

    run(act)


def test_the_report_on_a_pool_has_its_newest_changes_and_a_new_operator_goes_on_with_them(
    run: Play, lanes: Driver
) -> None:
    def changes() -> list[tuple[int | None, str]]:
        (report,) = lanes.run(InspectReports(ReportKind.POOLS))
        pool = convert({"name": report.name} | report.body, PoolView)
        assert pool.changes == sorted(pool.changes, key=lambda change: change.at)
        return [(change.wanted, change.cause) for change in pool.changes]

    async def act(scene: Scene) -> None:
        scene.add_pool()
        await scene.reconcile()
        await scene.reconcile()
        assert changes() == [(None, "TargetMissing")]
        scene.add_deployment(0)
        lanes.enqueue("ann", 3)
        await scene.reconcile()
        assert changes() == [(None, "TargetMissing"), (1, "ScaledUp")]
        scene.reconciler = Reconciler(POOL, scene.dependencies)
        scene.change_pool(paused=True)
        await scene.reconcile()
        assert changes()[:2] == [(None, "TargetMissing"), (1, "ScaledUp")]
        assert changes()[2][1] == "Paused"
        for number in range(MAX_CHANGES):
            scene.change_pool(paused=number % 2 == 1)
            await scene.reconcile()
        assert len(changes()) == MAX_CHANGES
        assert changes()[0][0] is not None

    run(act)


def test_a_second_pass_over_the_same_load_writes_nothing(run: Play, lanes: Driver) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool()
        lanes.enqueue("ann", 3)
        await scene.reconcile()
        await scene.reconcile()  # the pod is ready now
        before = len(scene.cluster.requests)
        await scene.reconcile()
        assert {request.verb for request in scene.cluster.requests[before:]} == {"get", "list"}

    run(act)


def test_a_scale_down_deletes_idle_pods_and_keeps_the_pinned_one(run: Play, lanes: Driver) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(4)
        scene.add_pool(minReplicas=1, slotsPerReplica=1)
        scene.measure(0.1)
        busy, long, *_ = scene.pods
        lanes.enqueue("ann", 1)
        lanes.enqueue("bob", 1)
        start(lanes, busy, 1)
        start(lanes, long, 1, age_seconds=100)
        await scene.reconcile()
        assert scene.replicas == 2
        assert scene.pods == [busy, long]
        costs = [int(pod["metadata"]["annotations"][COST]) for pod in scene.cluster.all("pods")]
        assert costs[0] == 1 + 1, "its job, and one that a worker without an answer may hold beside it"
        assert costs[1] > 1000

    run(act)


def test_pins_keep_more_replicas_than_the_load_needs(run: Play, lanes: Driver) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(3)
        scene.add_pool(slotsPerReplica=5)
        for user, pod in zip(("ann", "bob"), scene.pods, strict=False):
            lanes.enqueue(user, 1)
            start(lanes, pod, 1, age_seconds=100)
        await scene.reconcile()
        assert scene.replicas == 2
        await scene.reconcile()
        assert scene.replicas == 2
        assert scene.condition("ScalingActive") == ("True", "Pinned")

    run(act)


def test_a_terminating_pod_is_no_capacity(run: Play, lanes: Driver) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(2)
        scene.add_pool(minReplicas=1)
        leaving = scene.pods[0]
        lanes.enqueue("ann", 3)
        start(lanes, leaving, 3)
        scene.cluster.terminate(leaving)
        await scene.reconcile()
        assert scene.replicas == 1
        assert (scene.status["running"], scene.status["readyReplicas"]) == (3, 2)

    run(act)


def test_a_paused_pool_is_reported_and_not_scaled(run: Play, lanes: Driver) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool(paused=True)
        lanes.enqueue("ann", 50)
        await scene.reconcile()
        scene.cluster.patch("deployments", TARGET, {"spec": {"replicas": 4}})
        await scene.reconcile()
        assert (scene.replicas, scene.scale_requests()) == (4, 0)
        assert scene.status["queued"] == 50
        assert scene.condition("ScalingActive") == ("False", "Paused")
        (event,) = scene.cluster.all("events")
        assert (event["type"], event["reason"]) == ("Normal", "ScalingActiveFalse")
        scene.change_pool(paused=False)
        await scene.reconcile()
        assert scene.condition("ScalingActive")[0] == "True"
        assert "ReplicasChanged" not in scene.events(), "scaling by hand is right while the pool is paused"

    run(act)


def test_another_scaler_is_reported_and_corrected(run: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(3)
        scene.add_pool(minReplicas=3)
        await scene.reconcile()
        scene.cluster.patch("deployments", TARGET, {"spec": {"replicas": 1}})
        await scene.reconcile()
        assert scene.replicas == 3
        assert scene.events() == ["ReplicasChanged", "ScaledUp"]
        assert scene.messages()[0].startswith("worker was set from 3 to 1 replicas by somebody else")

    run(act)


def test_a_new_leader_does_not_take_its_predecessor_for_another_scaler(run: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(3)
        scene.add_pool(minReplicas=3)
        await scene.reconcile()
        scene.reconciler.forget()
        scene.cluster.patch("deployments", TARGET, {"spec": {"replicas": 4}})
        await scene.reconcile()
        assert "ReplicasChanged" not in scene.events()

    run(act)


def test_a_restart_keeps_the_stabilisation_window(run: Play, lanes: Driver) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(5)
        scene.add_pool(stabilizationWindowSeconds=300)
        await scene.reconcile()
        assert scene.replicas == 5
        assert scene.condition("ScalingActive") == ("True", "Stabilising")
        written = scene.status["memory"]["steps"]
        scene.reconciler.forget()
        await scene.reconcile()
        assert (scene.replicas, scene.status["memory"]["steps"]) == (5, written)

    run(act)


def test_without_a_deployment_the_pool_says_so_once_and_recovers(run: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.add_pool(minReplicas=2)
        assert await scene.reconcile() == "target_missing"
        assert await scene.reconcile() == "target_missing"
        assert scene.condition("Ready") == ("False", "TargetMissing")
        assert scene.events() == ["ReadyFalse"]
        assert scene.messages() == ["there is no Deployment worker in namespace here"]
        scene.add_deployment(0)
        assert await scene.reconcile() == "success"
        assert scene.replicas == 2
        assert "ReadyTrue" in scene.events()

    run(act)


def test_a_contradiction_in_the_spec_is_reported(run: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(1)
        scene.add_pool(minReplicas=9, maxReplicas=5)
        assert await scene.reconcile() == "invalid_spec"
        assert scene.condition("Ready") == ("False", "InvalidSpec")
        assert scene.scale_requests() == 0

    run(act)


def test_a_deleted_pool_ends_the_passes(run: Play) -> None:
    async def act(scene: Scene) -> None:
        with pytest.raises(PoolDeleted):
            await scene.reconcile()

    run(act)


def test_redis_away_keeps_replicas_and_status(run: Play, lanes: Driver) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(2)
        scene.add_pool(minReplicas=2)
        lanes.enqueue("ann", 7)
        await scene.reconcile()
        scene.lose_redis()
        assert await scene.reconcile() == "store_unavailable"
        assert scene.replicas == 2
        assert scene.status["queued"] == 7, "as last read"
        assert scene.condition("StoreReachable") == ("False", "Unreachable")
        assert scene.condition("ScalingActive") == ("False", "LoadUnknown")
        assert {"StoreReachableFalse", "ScalingActiveFalse"} <= set(scene.events())

    run(act)


# -- conflicts --------------------------------------------------------------------------------------------------------


def test_a_conflict_by_the_deployments_own_status_is_retried(run: Play, lanes: Driver) -> None:
    """Every pod that becomes ready gives the Deployment a new resource version."""

    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool()
        lanes.enqueue("ann", 1)
        touch = {"metadata": {"labels": {"touched": "yes"}}}
        scene.cluster.on("patch", "deployments/scale", lambda: _patch(scene, touch))
        await scene.reconcile()
        assert (scene.replicas, scene.scale_requests()) == (1, 2)

    run(act)


def test_replicas_that_somebody_set_meanwhile_are_not_overwritten(run: Play, lanes: Driver) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool()
        lanes.enqueue("ann", 1)
        scene.cluster.on("patch", "deployments/scale", lambda: _patch(scene, {"spec": {"replicas": 3}}))
        with pytest.raises(Conflict):
            await scene.reconcile()
        assert scene.replicas == 3
        assert scene.events() == []

    run(act)


def test_a_deployment_that_never_stands_still_ends_the_pass(run: Play, lanes: Driver) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool()
        lanes.enqueue("ann", 1)
        numbers = iter(range(100))
        scene.cluster.on(
            "patch",
            "deployments/scale",
            lambda: _patch(scene, {"metadata": {"labels": {"touched": str(next(numbers))}}}),
            times=None,
        )
        with pytest.raises(Conflict, match="changed 3 times"):
            await scene.reconcile()
        assert scene.scale_requests() == 3

    run(act)


def test_a_deployment_deleted_meanwhile_is_no_crash(run: Play, lanes: Driver) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool()
        lanes.enqueue("ann", 1)
        scene.cluster.on("patch", "deployments/scale", lambda: scene.cluster.remove("deployments", TARGET))
        with pytest.raises(NotFound):
            await scene.reconcile()
        assert await scene.reconcile() == "target_missing"

    run(act)


def test_a_pod_deleted_meanwhile_does_not_stop_the_scale_down(run: Play, lanes: Driver) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(3)
        scene.add_pool(minReplicas=1)
        gone = scene.pods[0]
        scene.cluster.on("patch", "pods", lambda: scene.cluster.remove("pods", gone))
        await scene.reconcile()
        assert scene.replicas == 1

    run(act)


def test_a_pool_changed_meanwhile_is_reported_in_the_next_pass(run: Play, lanes: Driver) -> None:
    """The scale has been written; its time is not lost with the status that was refused."""

    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool()
        lanes.enqueue("ann", 1)
        scene.cluster.on("patch", "workerpools/status", lambda: scene.change_pool(maxReplicas=4))
        with pytest.raises(Conflict):
            await scene.reconcile()
        assert scene.replicas == 1
        assert scene.status == {}
        await scene.reconcile()
        assert "lastScaleTime" in scene.status
        assert scene.status["observedGeneration"] == 2
        assert scene.events() == ["ScaledUp"]

    run(act)


def _patch(scene: Scene, patch: Mapping[str, object]) -> None:
    scene.cluster.patch("deployments", TARGET, patch)


# -- errors of the API server ------------------------------------------------------------------------------------------

SOON_SECONDS = 4
"""Less than any limit but that of a request."""
REQUESTS = [
    ("get", "workerpools"),
    ("get", "deployments"),
    ("list", "pods"),
    ("patch", "pods"),
    ("patch", "deployments/scale"),
    ("patch", "workerpools/status"),
]
ERRORS: list[tuple[Action, type[ClusterError]]] = [
    (500, Unreachable),
    (429, Unreachable),
    (403, Refused),
    (httpx2.ConnectError, Unreachable),
    (httpx2.ReadTimeout, Unreachable),
    (HANG, Unreachable),
]


@pytest.mark.parametrize(("verb", "resource"), REQUESTS)
@pytest.mark.parametrize(("action", "expected"), ERRORS, ids=lambda value: getattr(value, "__name__", value))
def test_a_failed_request_ends_the_pass_and_the_next_one_completes_it(
    run: Play,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    resource: str,
    action: Action,
    expected: type[ClusterError],
) -> None:
    monkeypatch.setattr(cluster_module, "REQUEST_SECONDS", 0.05)

    async def act(scene: Scene) -> None:
        scene.add_deployment(3)
        scene.add_pool(minReplicas=1)
        scene.cluster.on(verb, resource, action)
        with pytest.raises(expected):
            async with asyncio.timeout(SOON_SECONDS):
                await scene.reconcile()
        if resource != "workerpools/status":
            assert scene.replicas == 3, "nothing is scaled down without costs"
        assert await scene.reconcile() == "success"
        assert scene.replicas == 1
        assert scene.status["desiredReplicas"] == 1
        assert scene.events() == ["ScaledDown"]

    run(act)


@pytest.mark.parametrize("action", [500, 403, httpx2.ConnectError])
def test_an_event_that_cannot_be_recorded_stops_nothing(run: Play, action: Action) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool(minReplicas=1)
        scene.cluster.on("create", "events", action)
        assert await scene.reconcile() == "success"
        assert scene.replicas == 1
        assert scene.events() == []

    run(act)


# -- leadership ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost_at", [("list", "pods"), ("patch", "pods"), ("patch", "deployments/scale")])
def test_an_operator_that_loses_the_lead_during_a_pass_writes_no_more(
    run: Play, lost_at: tuple[str, str]
) -> None:
    async def act(scene: Scene) -> None:
        def lose() -> None:
            scene.leading = False

        scene.add_deployment(3)
        scene.add_pool(minReplicas=1)
        scene.cluster.on(*lost_at, lose)
        with pytest.raises(NotLeading):
            await scene.reconcile()
        assert scene.replicas == (1 if lost_at[1] == "deployments/scale" else 3)
        assert scene.status == {}

    run(act)


def test_the_pools_disconnect_rules_reach_the_janitor(run: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool(disconnectGraceSeconds=7)
        await scene.reconcile()
        (created, rules) = scene.janitor._pools[POOL]
        assert (created, rules.grace_seconds, rules.policy) == ("2026-01-01T00:00:00Z", 7, "drain")

    run(act)

"""The reconcile loops of the pools on a fake cluster: when a pass starts, and what happens after one that failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.typing import EventDict

from laneway.cancellation import cancel
from laneway.operator import pools as pools_module
from laneway.operator.heartbeats import Heartbeats
from laneway.operator.pools import Pools
from tests.operator.conftest import Play
from tests.operator.fake_cluster import Action
from tests.operator.scene import POOL, Scene
from tests.operator.test_janitor_host import until


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once; a resync only where a test wants one."""
    for name in ("STANDBY_SECONDS", "CONFLICT_SECONDS", "REFUSED_SECONDS", "RETRY_SECONDS", "PAUSE_SECONDS"):
        monkeypatch.setattr(pools_module, name, 0.01)


@asynccontextmanager
async def looping(scene: Scene, heartbeats: Heartbeats | None = None) -> AsyncIterator[Pools]:
    pools = Pools(scene.dependencies, heartbeats or Heartbeats(), scene.is_leading)
    task = asyncio.create_task(pools.run(lambda _seconds: None))
    try:
        yield pools
    finally:
        await cancel([task])


def outcomes(scene: Scene) -> dict[str, float]:
    """Number of passes by outcome."""
    (family,) = scene.metrics.reconciles.collect()
    return {
        sample.labels["outcome"]: sample.value for sample in family.samples if sample.name.endswith("_total")
    }


def passes(scene: Scene) -> Callable[[], float]:
    return lambda: sum(outcomes(scene).values())


def test_pools_are_found_and_reconciled_by_themselves(run: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool(minReplicas=2)
        async with looping(scene):
            await until(lambda: scene.replicas == 2)
            await until(lambda: outcomes(scene).get("success", 0) >= 1)

    run(act)


def test_a_changed_spec_starts_a_pass_before_the_poll_interval(run: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool(minReplicas=1, pollIntervalSeconds=300)
        async with looping(scene) as pools:
            await until(lambda: outcomes(scene) == {"success": 1})
            pools.update(POOL, 1)
            await asyncio.sleep(0.1)
            assert outcomes(scene) == {"success": 1}, "its generation is known"
            scene.change_pool(minReplicas=3)
            pools.update(POOL, 2)
            await until(lambda: scene.replicas == 3)

    run(act)


def test_an_operator_that_does_not_lead_only_lists(run: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool(minReplicas=1)
        scene.leading = False
        heartbeats = Heartbeats()
        async with looping(scene, heartbeats):
            await until(lambda: f"pool {POOL}" in heartbeats.ages())
            await asyncio.sleep(0.1)
            assert {request.verb for request in scene.cluster.requests} == {"list"}
            scene.leading = True
            await until(lambda: scene.replicas == 1)

    run(act)


def test_a_deleted_pool_is_forgotten(run: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool(minReplicas=1)
        heartbeats = Heartbeats()
        async with looping(scene, heartbeats) as pools:
            await until(lambda: "success" in outcomes(scene))
            scene.cluster.remove("workerpools", POOL)
            pools.update(POOL, 99)  # the pass notices the deletion
            await until(lambda: f"pool {POOL}" not in heartbeats.ages())
            assert POOL not in scene.janitor._pools
            page = [sample for metric in scene.metrics.registry.collect() for sample in metric.samples]
            assert not [s for s in page if s.name == "laneway_pool_replicas_desired"]
            scene.add_pool(minReplicas=2)
            pools.update(POOL, 1)
            await until(lambda: scene.replicas == 2)

    run(act)


def test_a_pool_that_the_resync_misses_is_removed(run: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools_module, "RESYNC_SECONDS", 0.05)

    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool(pollIntervalSeconds=300)
        heartbeats = Heartbeats()
        async with looping(scene, heartbeats):
            await until(lambda: "success" in outcomes(scene))
            scene.cluster.remove("workerpools", POOL)
            await until(lambda: f"pool {POOL}" not in heartbeats.ages())

    run(act)


@pytest.mark.parametrize(
    ("action", "outcome"), [(500, "unreachable"), (403, "refused"), (409, "conflict"), (404, "conflict")]
)
def test_a_failed_pass_is_counted_and_repeated(run: Play, action: Action, outcome: str) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool(minReplicas=1, pollIntervalSeconds=300)
        scene.cluster.on("patch", "workerpools/status", action, times=2)
        async with looping(scene):
            await until(lambda: outcomes(scene) == {outcome: 2, "success": 1})

    run(act)


def test_a_list_that_fails_is_repeated_and_pools_go_on(run: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools_module, "RESYNC_SECONDS", 0.02)

    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool(minReplicas=1, pollIntervalSeconds=0.05)
        async with looping(scene):
            await until(lambda: "success" in outcomes(scene))
            scene.cluster.on("list", "workerpools", 500, times=None)
            before = passes(scene)()
            await until(lambda: passes(scene)() > before + 2)
            scene.cluster.heal()
            scene.add_pool("second", target="nothing")
            await until(lambda: "target_missing" in outcomes(scene))

    run(act)


def test_a_bug_in_a_pass_ends_neither_its_loop_nor_another(
    run: Play, monkeypatch: pytest.MonkeyPatch, logged: list[EventDict]
) -> None:
    monkeypatch.setattr(pools_module, "MAX_BACKOFF_SECONDS", 0.02)

    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool(minReplicas=1)
        scene.add_pool("broken")
        del scene.cluster._objects["workerpools", "broken"]["spec"]["target"]
        async with looping(scene):
            await until(lambda: outcomes(scene).get("error", 0) >= 3)
            await until(lambda: scene.replicas == 1)

    run(act)
    assert {"reconcile_failed"} <= {event["event"] for event in logged if event.get("pool") == "broken"}


def test_a_pass_that_hangs_is_cut_off(run: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools_module, "PASS_SECONDS", 1.5)
    monkeypatch.setattr(pools_module, "MAX_BACKOFF_SECONDS", 0.02)

    async def act(scene: Scene) -> None:
        scene.add_deployment(0)
        scene.add_pool(minReplicas=1)
        scene.cluster.on("get", "deployments", "hang")
        async with looping(scene):
            await until(lambda: scene.replicas == 1)
            assert outcomes(scene).get("error") == 1

    run(act)


def test_failures_for_days_do_not_end_a_loop(run: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause between attempts grows to its limit, and no further."""
    monkeypatch.setattr(pools_module, "ERROR_SECONDS", 1e-9)
    monkeypatch.setattr(pools_module, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(pools_module, "MAX_BACKOFF_SECONDS", 1e-9)

    async def act(scene: Scene) -> None:
        scene.add_pool("broken")
        del scene.cluster._objects["workerpools", "broken"]["spec"]["target"]
        async with looping(scene) as pools:
            await until(lambda: outcomes(scene).get("error", 0) >= 1)
            task = pools._loops["broken"].task
            assert task
            await until(lambda: outcomes(scene).get("error", 0) > 1100 or task.done(), seconds=60)
            assert not task.done()

    run(act)

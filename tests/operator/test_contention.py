"""Another scaler on the same Deployment: corrected at once the first time, and ever less often after that."""

from __future__ import annotations

import time

import pytest

from laneway.operator.contention import FIRST_HOLD_SECONDS, MAX_HOLD_SECONDS, WINDOW_SECONDS, Contention
from tests.operator.conftest import Play
from tests.operator.scene import TARGET, Scene


def test_one_change_holds_nothing_and_repeated_ones_hold_ever_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    contention = Contention()
    holds = []
    for _ in range(10):
        contention.record_change()
        holds.append(contention.hold_seconds)
    assert holds[:3] == [0, 2 * FIRST_HOLD_SECONDS, 4 * FIRST_HOLD_SECONDS]
    assert holds == sorted(holds)
    assert holds[-1] == MAX_HOLD_SECONDS


def test_a_hold_ends_and_old_changes_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    contention = Contention()
    contention.record_change()
    contention.record_change()
    now += 2 * FIRST_HOLD_SECONDS
    assert contention.hold_seconds == 0
    now += WINDOW_SECONDS + 1
    contention.record_change()
    assert contention.hold_seconds == 0


def test_a_scaler_that_insists_is_left_alone_for_a_while_and_reported(
    run: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty passes against a scaler that undoes each correction: the two do not thrash the pods, nor flood the Events."""

    async def act(scene: Scene) -> None:
        scene.add_deployment(3)
        scene.add_pool(minReplicas=3)
        await scene.reconcile()
        for _ in range(20):
            scene.cluster.patch("deployments", TARGET, {"spec": {"replicas": 1}})
            await scene.reconcile()
        assert scene.scale_requests() == 1
        assert scene.replicas == 1
        assert scene.condition("ScalingActive") == ("False", "Contended")
        assert scene.events() == ["ReplicasChanged", "ScaledUp", "ReplicasChanged", "ScalingActiveFalse"]
        assert "set spec.paused" in scene.messages()[-1]
        monkeypatch.setattr(Contention, "hold_seconds", 0.0)
        await scene.reconcile()
        assert scene.replicas == 3, "the hold is over"
        await scene.reconcile()
        assert scene.condition("ScalingActive")[0] == "True"

    run(act)


def test_a_paused_pool_has_no_contention(run: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.add_deployment(3)
        scene.add_pool(minReplicas=3, paused=True)
        await scene.reconcile()
        for replicas in range(8):
            scene.cluster.patch("deployments", TARGET, {"spec": {"replicas": replicas}})
            await scene.reconcile()
        scene.change_pool(paused=False)
        scene.cluster.patch("deployments", TARGET, {"spec": {"replicas": 1}})
        await scene.reconcile()
        assert scene.replicas == 3

    run(act)

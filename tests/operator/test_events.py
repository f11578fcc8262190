"""Kubernetes Events at a bounded rate, as the fake cluster holds them afterwards."""

from __future__ import annotations

import pytest

from laneway.operator import events as events_module
from laneway.operator.events import BURST, EventRecorder
from tests.operator.conftest import Play
from tests.operator.scene import POOL, Scene


def test_the_first_occurrences_have_an_event_each_and_the_rest_share_one(
    run: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(scene: Scene) -> None:
        scene.add_pool()
        pool = await scene.dependencies.cluster.pool(POOL)
        recorder = EventRecorder(scene.dependencies.cluster)
        for number in range(BURST + 5):
            await recorder.record(pool, "Warning", "ReplicasChanged", f"change {number}")
        assert scene.messages() == [f"change {number}" for number in range(BURST)]
        await recorder.record(pool, "Normal", "ScaledUp", "another reason")
        assert scene.messages()[-1] == "another reason"
        monkeypatch.setattr(events_module, "REFILL_SECONDS", 1e-9)
        await recorder.flush(pool)
        event = scene.cluster.all("events")[-1]
        assert event["message"] == f"change {BURST + 4} (5 times, this is the latest)"
        assert (event["count"], event["reason"], event["type"]) == (5, "ReplicasChanged", "Warning")
        assert event["firstTimestamp"] <= event["lastTimestamp"]
        before = len(scene.cluster.all("events"))
        await recorder.flush(pool)
        assert len(scene.cluster.all("events")) == before, "nothing is left to report"

    run(act)


def test_the_allowance_returns_with_time_and_never_exceeds_the_burst(
    run: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "REFILL_SECONDS", 1e-9)

    async def act(scene: Scene) -> None:
        scene.add_pool()
        pool = await scene.dependencies.cluster.pool(POOL)
        recorder = EventRecorder(scene.dependencies.cluster)
        for number in range(3 * BURST):
            await recorder.record(pool, "Normal", "ScaledUp", f"{number}")
        assert scene.messages() == [f"{number}" for number in range(3 * BURST)]
        monkeypatch.setattr(events_module, "REFILL_SECONDS", 1e9)
        for _ in range(3 * BURST):
            await recorder.record(pool, "Normal", "ScaledUp", "late")
        assert scene.messages().count("late") <= BURST

    run(act)


def test_a_pool_made_again_starts_with_a_full_allowance(run: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.add_pool()
        pool = await scene.dependencies.cluster.pool(POOL)
        recorder = EventRecorder(scene.dependencies.cluster)
        for _ in range(BURST + 1):
            await recorder.record(pool, "Normal", "ScaledUp", "before")
        recorder.remove_pool(POOL)
        await recorder.record(pool, "Normal", "ScaledUp", "after")
        assert scene.messages()[-1] == "after"

    run(act)

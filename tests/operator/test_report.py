"""The status of a pool and its Events, as the fake cluster holds them afterwards."""

from __future__ import annotations

import pytest

from laneway.operator import report as report_module
from laneway.operator.replicas import NotLeading
from laneway.operator.report import Reporter
from laneway.operator.workerpool import READY, SCALING_ACTIVE, Condition
from laneway.scaling import Inflow, ScalingState, Step
from tests.operator.conftest import Play
from tests.operator.scene import POOL, Scene

READY_NOW = Condition(READY, True, "Reconciled", "3 of 3 replicas are ready")
MISSING = Condition(READY, False, "TargetMissing", "there is no Deployment x")
WINDOW = ScalingState((Step(5.0, 2),), 0.5)


class Reports:
    """Reports about the scene's pool, as it is at the moment."""

    def __init__(self, scene: Scene) -> None:
        self._scene, use = scene, scene.dependencies
        self.reporter = Reporter(use.cluster, use.events, use.replicas.require_leadership)

    async def report(self, *conditions: Condition, state: ScalingState = WINDOW, **numbers: object) -> None:
        pool = await self._scene.dependencies.cluster.pool(POOL)
        await self.reporter.report(pool, numbers, conditions, state)

    @property
    def writes(self) -> int:
        return self._scene.cluster.verbs("workerpools/status").count("patch")


def test_the_status_is_written_when_it_changes_and_only_then(run: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.add_pool()
        reports = Reports(scene)
        await reports.report(READY_NOW, queued=3)
        await reports.report(READY_NOW, queued=3)
        assert reports.writes == 1
        assert scene.status["queued"] == 3
        assert ScalingState.from_status(scene.status["memory"]) == WINDOW
        await reports.report(READY_NOW, queued=4)
        assert reports.writes == 2

    run(act)


def test_numbers_that_are_unknown_stay_as_they_were(run: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.add_pool()
        reports = Reports(scene)
        await reports.report(READY_NOW, queued=3)
        await reports.report(MISSING)
        assert scene.status["queued"] == 3
        assert scene.condition(READY) == ("False", "TargetMissing")

    run(act)


def test_the_window_is_written_at_once_and_averages_now_and_then(
    run: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(scene: Scene) -> None:
        scene.add_pool()
        reports = Reports(scene)
        await reports.report(READY_NOW)
        average = ScalingState(WINDOW.steps, 0.5, Inflow(7.0, 3, 2, 1.5))
        await reports.report(READY_NOW, state=average)
        assert reports.writes == 1
        monkeypatch.setattr(report_module, "AVERAGES_SECONDS", 0.0)
        await reports.report(READY_NOW, state=average)
        assert reports.writes == 2
        monkeypatch.undo()
        await reports.report(READY_NOW, state=ScalingState((Step(9.0, 4),), 0.5))
        assert reports.writes == 3
        assert scene.status["memory"]["steps"] == [{"since": 9.0, "replicas": 4}]

    run(act)


def test_events_tell_of_transitions_once(run: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.add_pool()
        reports = Reports(scene)
        await reports.report(READY_NOW)
        assert scene.events() == [], "a good start is no news"
        twin = Condition(SCALING_ACTIVE, False, MISSING.reason, MISSING.message)
        await reports.report(MISSING, twin)
        await reports.report(MISSING, twin)
        (event,) = scene.cluster.all("events")
        assert (event["type"], event["reason"], event["message"]) == (
            "Warning",
            "ReadyFalse",
            MISSING.message,
        )
        assert event["involvedObject"]["name"] == POOL
        assert event["source"] == {"component": "laneway-operator"}
        await reports.report(READY_NOW)
        assert scene.events() == ["ReadyFalse", "ReadyTrue"]

    run(act)


def test_a_long_message_is_cut_to_what_kubernetes_accepts(run: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.add_pool()
        await Reports(scene).report(Condition(READY, False, "Long", "x" * 5000))
        assert len(scene.messages()[0]) == 1024
        assert len(scene.status["conditions"][0]["message"]) == 1024

    run(act)


def test_nothing_is_written_without_the_lead(run: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.add_pool()
        scene.leading = False
        with pytest.raises(NotLeading):
            await Reports(scene).report(MISSING)
        assert (scene.status, scene.events()) == ({}, [])

    run(act)


def test_the_time_of_a_scaling_waits_for_the_next_status_unless_the_lead_is_lost(run: Play) -> None:
    async def act(scene: Scene) -> None:
        scene.add_pool()
        reports = Reports(scene)
        pool = await scene.dependencies.cluster.pool(POOL)
        await reports.reporter.scaled(pool, "ScaledUp", "scaled worker from 0 to 1 replica")
        await reports.report(READY_NOW)
        assert scene.status["lastScaleTime"].endswith("Z")
        before = scene.status["lastScaleTime"]
        await reports.reporter.scaled(pool, "ScaledUp", "scaled worker from 1 to 2 replicas")
        reports.reporter.forget()
        await reports.report(READY_NOW, queued=1)
        assert scene.status["lastScaleTime"] == before

    run(act)

"""Liveness: a loop that beats in time is alive, and a stalled one is named."""

from __future__ import annotations

import time

import pytest

from laneway.operator.heartbeats import MARGIN_SECONDS, Heartbeats, LoopStalled


def test_a_loop_that_goes_round_is_alive() -> None:
    health = Heartbeats()
    health.beat("pool a", 5)
    health.beat("leadership", 2)
    assert health.ages().keys() == {"pool a", "leadership"}
    assert all(0 <= age < 1 for age in health.ages().values())


def test_a_loop_that_is_late_is_named_with_its_age(monkeypatch: pytest.MonkeyPatch) -> None:
    health = Heartbeats()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    health.beat("pool a", 300)
    health.beat("leadership", 2)
    monkeypatch.setattr(time, "monotonic", lambda: now + MARGIN_SECONDS + 10)
    with pytest.raises(LoopStalled, match=r"^stalled: leadership \(100 s\)$"):
        health.ages()


def test_a_loop_that_has_ended_is_not_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    health = Heartbeats()
    now = time.monotonic()
    health.beat("pool a", 1)
    health.forget("pool a")
    monkeypatch.setattr(time, "monotonic", lambda: now + 1000)
    assert health.ages() == {}

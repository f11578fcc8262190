"""Jobs that find no room in a process come back as fast as room appears, and no faster."""

from __future__ import annotations

import time

import pytest

from laneway.handlers import Room
from laneway.worker.pool.crowds import MIN_SECONDS, UNKNOWN_SECONDS, Crowds
from laneway.worker.pool.duration_estimates import DurationEstimates
from laneway.worker.pool.isolation import LATER_SECONDS

TYPE, AT_ONCE = "deliver", 20
ROOM = Room(AT_ONCE, lambda: 0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_they_wait_as_long_as_those_before_them_take(clock: list[float]) -> None:
    durations = DurationEstimates()
    durations.learn(TYPE, 0.5)
    crowds = Crowds(durations)
    assert crowds.return_seconds(TYPE, ROOM, 2 * AT_ONCE) == pytest.approx(1.0)
    assert crowds.return_seconds(TYPE, ROOM, AT_ONCE) == pytest.approx(1.5), "behind the others"
    clock[0] += 1.5
    assert crowds.return_seconds(TYPE, ROOM, AT_ONCE) == pytest.approx(0.5), "these have started by now"


def test_the_wait_is_bounded_however_many_and_however_slow_they_are(clock: list[float]) -> None:
    durations = DurationEstimates()
    crowds = Crowds(durations)
    assert crowds.return_seconds(TYPE, ROOM, AT_ONCE) == pytest.approx(UNKNOWN_SECONDS), "none has ended yet"
    durations.learn(TYPE, 15.0)
    for _ in range(10):
        assert crowds.return_seconds(TYPE, ROOM, 100) == LATER_SECONDS
    clock[0] += LATER_SECONDS
    for _ in range(60):
        durations.learn(TYPE, 0.001)
    assert crowds.return_seconds(TYPE, ROOM, 1) == MIN_SECONDS


def test_redis_is_asked_no_more_often_than_room_appears(clock: list[float]) -> None:
    """However many lanes wait: 1,000 of them, which all come back when they are due."""
    durations = DurationEstimates()
    durations.learn(TYPE, 0.5)
    crowds, begun, returns = Crowds(durations), clock[0], 0
    due = [clock[0]] * 1000
    while clock[0] - begun < 60:
        due.sort()
        clock[0] = due[0]
        batch = [moment for moment in due if moment <= clock[0]][:100]
        seconds = crowds.return_seconds(TYPE, ROOM, len(batch))
        due = [clock[0] + seconds] * len(batch) + due[len(batch) :]
        returns += len(batch)
    assert returns / 60 < 1000 / LATER_SECONDS * 1.2, "as many as with a wait of LATER_SECONDS each"

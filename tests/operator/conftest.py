"""Fixtures of the operator's unit tests: lanes in a real Redis, and scenes on a fake cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import pytest
import structlog
from structlog.typing import EventDict

from tests.lanes.driver import Driver
from tests.operator.scene import Scene, play

Play = Callable[[Callable[[Scene], Awaitable[None]]], None]


@pytest.fixture
def lanes(redis_url: str, prefix: str) -> Iterator[Driver]:
    driver = Driver(redis_url, prefix)
    yield driver
    driver.close()


@pytest.fixture
def run(redis_url: str, prefix: str) -> Play:
    """Runs an async test on a scene."""
    return lambda act: play(redis_url, prefix, act)


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[EventDict]]:
    """What the test's code has logged."""
    with structlog.testing.capture_logs() as events:
        yield events

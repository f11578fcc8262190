"""Lanes on a real server: the shared one with a prefix of its own, or a server of its own for what would disturb others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from laneway.dev import embedded
from tests.lanes.driver import Driver


@pytest.fixture
def lanes(redis_url: str, prefix: str) -> Iterator[Driver]:
    driver = Driver(redis_url, prefix)
    yield driver
    driver.close()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[embedded.Embedded]:
    """A server that may be flushed, filled, paused and killed."""
    try:
        starting = embedded.valkey(tmp_path, appendfsync="no")
        server = starting.__enter__()
    except embedded.EmbeddedError as error:
        pytest.skip(str(error))
    yield server
    starting.__exit__(None, None, None)


@pytest.fixture
def own_lanes(own_server: embedded.Embedded) -> Iterator[Driver]:
    driver = Driver(own_server.url, "own")
    yield driver
    driver.close()

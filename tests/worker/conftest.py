"""Workers for tests. Starting one costs seconds, so those tests that do not break it share one, each with users of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.running import System, Worker, fresh, running


@pytest.fixture
def system(redis_url: str, tmp_path: Path) -> Iterator[System]:
    """Lanes of its own for one test; no janitor, so that ended jobs stay where they can be looked at."""
    with fresh(redis_url, tmp_path) as system:
        yield system


@pytest.fixture
def janitor_system(redis_url: str, mongo_url: str, mongo_database: str, tmp_path: Path) -> Iterator[System]:
    """As `system`, with a janitor in each worker."""
    with fresh(redis_url, tmp_path, (mongo_url, mongo_database)) as system:
        yield system


@pytest.fixture(scope="session")
def shared(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker for all tests that do not break it: 2 processes."""
    with fresh(redis_url, tmp_path_factory.mktemp("shared")) as system, running(system) as worker:
        yield worker

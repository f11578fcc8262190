"""What the whole system needs on this machine."""

from __future__ import annotations

import os

import pytest

from chaos.system.preload import NoCompilerError, preload_library
from laneway.dev.embedded import EmbeddedError, mongo_server, valkey_binary
from tests.worker.conftest import janitor_system, system

__all__ = ["janitor_system", "system"]


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skip, or fail in CI, if the compiler or an embedded server is missing."""
    try:
        preload_library("disk")
        preload_library("clock")
        valkey_binary()
        mongo_server(tmp_path_factory.mktemp("mongo"), port=1)
    except (NoCompilerError, EmbeddedError) as reason:
        if "CI" in os.environ:
            raise
        pytest.skip(str(reason))

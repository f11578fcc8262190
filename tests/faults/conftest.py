"""A skip, or in CI a failure, where what the whole system needs is missing."""

from __future__ import annotations

import os

import pytest

from chaos.system.preload import NoCompilerError, built
from laneway.dev.embedded import EmbeddedError
from laneway.dev.embedded.servers import mongo_server, valkey_binary


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A compiler for the shims, and the servers."""
    try:
        built("disk")
        built("clock")
        valkey_binary()
        mongo_server(tmp_path_factory.mktemp("mongo"), port=1)
    except (NoCompilerError, EmbeddedError) as reason:
        if "CI" in os.environ:
            raise
        pytest.skip(str(reason))

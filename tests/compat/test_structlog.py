"""Canary: structlog loads no rich in a server."""

from __future__ import annotations

import subprocess
import sys

import pytest

SERVERS = ("laneway.worker.supervisor", "laneway.api.app", "laneway.operator.app")


@pytest.mark.parametrize("module", SERVERS)
def test_a_server_loads_no_rich_and_can_load_it_later(module: str) -> None:
    code = f"""
import sys, {module}, structlog
loaded = [name for name in sys.modules if name.partition(".")[0] in ("rich", "pygments")]
assert not loaded, f"structlog loads rich again; see compat/structlog.py: {{loaded}}"
import rich.traceback
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""`tests/quick.sh`, which `make test` runs: once it has been stopped, nothing that it started is left."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

QUICK = Path(__file__).parent / "quick.sh"
STUBBORN = "trap '' INT TERM; echo $$ >$0; while :; do sleep 0.1; done"


@pytest.mark.thorough  # a stop gives the tests 20 s to end their servers
def test_a_stop_ends_what_ignores_ctrl_c_and_sigterm(tmp_path: Path) -> None:
    make, started = tmp_path / "make", tmp_path / "started"
    make.write_text("#!/bin/sh\n")
    make.chmod(0o755)
    os.mkfifo(started)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with subprocess.Popen([QUICK, "bash", "-c", STUBBORN, started], env=environment) as quick:
        pid = int(started.read_text())
        quick.send_signal(signal.SIGTERM)
        try:
            assert quick.wait(60) == 143
            assert not Path(f"/proc/{pid}").exists()
        finally:
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)

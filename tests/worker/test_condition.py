"""What a handler leaves behind in its process does not reach the next job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SPOILS_STREAMS = """
import os, sys
from laneway.compat.random import SeedWatch
from laneway.worker.pool.condition import Condition

condition = Condition(SeedWatch())
os.close(1)
assert os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY) == 1
print("to the file", flush=True)
condition.restore()
print("after a stolen descriptor", flush=True)
sys.stdout.close()
condition.restore()
print("after a closed stream", flush=True)
sys.stderr.close()
condition.restore()
os.write(2, b"an error")
print("", file=sys.stderr)
"""


def test_closed_and_stolen_standard_streams_come_back(tmp_path: Path) -> None:
    stolen = tmp_path / "stolen"
    command = [sys.executable, "-c", SPOILS_STREAMS, str(stolen)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("an error\n", 0)
    assert done.stdout.splitlines() == ["after a stolen descriptor", "after a closed stream"]
    assert stolen.read_text() == "to the file\n"

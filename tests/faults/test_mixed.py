"""All kinds of faults in random order for less than a minute: a short `make chaos`, run as that command."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys

import pytest

from chaos.system.programs import ROOT

pytestmark = [pytest.mark.timeout(400), pytest.mark.usefixtures("tools")]
MINUTES = 0.75


def test_no_promise_is_broken_under_mixed_faults() -> None:
    """CHAOS_SEED repeats a run."""
    seed = os.environ.get("CHAOS_SEED") or str(secrets.randbelow(1_000_000))
    command = [sys.executable, "-m", "chaos", "--minutes", str(MINUTES), "--seed", seed]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=380)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Verdict: clean" in done.stdout

"""All kinds of faults mixed at random for a minute; `make chaos` is the long version."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest
from rich.console import Console

from tests.faults import chaos

pytestmark = [pytest.mark.timeout(400), pytest.mark.usefixtures("tools")]
SECONDS = 60


def test_no_promise_is_broken_under_mixed_faults(tmp_path: Path) -> None:
    seed = int(os.environ.get("FAULTS_SEED") or secrets.randbelow(1_000_000))
    console = Console(width=150)
    console.print(f"FAULTS_SEED={seed}")
    outcome = chaos.run(tmp_path, SECONDS, seed, console)
    outcome.show(console)
    assert outcome.verdict.clean, outcome.explained
    assert outcome.clean
    assert outcome.told.accepted > 1000

"""`python -m chaos --minutes 10 --seed 1`: throw faults at the whole system under load, then judge the run."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from chaos.faults.kinds import KINDS
from chaos.run import run


def main() -> int:
    parser = argparse.ArgumentParser(description="Throw every kind of fault at the whole system under load.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None, help="the faults' order and details; printed")
    parser.add_argument("--folder", type=Path, default=None, help="keep records and logs here")
    given = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    console = Console(width=160)
    console.print(f"seed {seed}, {given.minutes} min, {len(KINDS)} kinds of faults", highlight=False)
    with tempfile.TemporaryDirectory(prefix="laneway-chaos-") as temporary:
        outcome = run(given.folder or Path(temporary), given.minutes * 60, seed, console)
    outcome.show(console)
    return 0 if outcome.clean else 1


if __name__ == "__main__":
    sys.exit(main())

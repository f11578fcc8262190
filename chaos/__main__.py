"""`python -m chaos --minutes 10 --seed 1`: inject random faults into the whole system under load, then print the verdict.

Exits with 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from chaos.faults.catalogue import FAULTS
from chaos.run import run


def main() -> int:
    """Run with the options on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m chaos", description="Inject every kind of fault into the whole system under load."
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None, help="order and details of the faults; printed")
    parser.add_argument("--folder", type=Path, default=None, help="keep records and logs here")
    given = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    console = Console(width=160)
    console.print(f"seed {seed}, {given.minutes} min, {len(FAULTS)} kinds of faults", highlight=False)
    with tempfile.TemporaryDirectory(prefix="laneway-chaos-") as temporary:
        outcome = run(given.folder or Path(temporary), given.minutes * 60, seed, console)
    outcome.print(console)
    return 0 if outcome.clean else 1


if __name__ == "__main__":
    sys.exit(main())

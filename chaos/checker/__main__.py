"""`python -m chaos.checker FOLDER CONCURRENCY LEASE_SECONDS MAX_ATTEMPTS`: judge the records in a folder.

Prints the verdict as a table, or as JSON with `--json`. Exits with 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from chaos.checker.judge import judge
from chaos.records import Limits, read_history


def main() -> int:
    """Judge the records in the folder on the command line."""
    parser = argparse.ArgumentParser(description="Judge the records of one run.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("lane_concurrency", type=int)
    parser.add_argument("lease_seconds", type=float)
    parser.add_argument("max_attempts", type=int)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    limits = Limits(given.lane_concurrency, given.lease_seconds, given.max_attempts)
    verdict = judge(read_history(given.folder, limits))
    if given.json:
        sys.stdout.write(verdict.json().decode() + "\n")
    else:
        verdict.print(Console())
    return 0 if verdict.clean else 1


if __name__ == "__main__":
    sys.exit(main())

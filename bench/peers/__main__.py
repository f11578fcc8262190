"""The command line: `python -m bench.peers [--quick] [--minutes N] [--only CASE,CASE]`."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from rich.console import Console

from bench.peers import report, results
from bench.peers.bench import Bench
from bench.peers.catalogue import BULLMQ
from bench.peers.install import Installer, NotInstalledError, node_version
from bench.peers.plan import QUICK, WHOLE
from bench.processes import COMPILED_MONGO

CASES = ("throughput", "latency", "http", "memory", "backlog", "fairness", "handlers")
"""The most requested come first: `--minutes` may not leave time for all of them."""
PARTIAL = Path(__file__).parents[1] / "out"
"""For results that are not of a whole benchmark; git ignores it."""
UNFINISHED = PARTIAL / "unfinished.json"
"""What a benchmark has measured so far."""
BUSY_PER_PROCESSOR = 0.25
"""A load average beyond this spoils figures."""


def main() -> None:
    """Measure, print the tables, and write the results and the plots."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="measure within 5 minutes")
    parser.add_argument("--only", default="", metavar="CASE,CASE", help=", ".join(CASES))
    parser.add_argument(
        "--minutes",
        type=float,
        help="start no run later than this, and run Laneway once a round instead of before every peer",
    )
    parser.add_argument("--rounds", type=int, help="each figure is the median of so many")
    options = parser.parse_args()
    chosen = [name for name in options.only.split(",") if name] or list(CASES)
    if unknown := set(chosen) - set(CASES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    plan = QUICK if options.quick else WHOLE
    if options.minutes:
        plan = replace(plan, limit_seconds=60 * options.minutes, between=False)
    rounds = options.rounds or plan.rounds
    console = Console(width=None if sys.stdout.isatty() else 180)
    found = results.new(quick=options.quick, rounds=rounds, cases=chosen, mongo=_mongo())
    bench = Bench(plan, found, Installer(), console)
    _add_node_version(bench)
    if found.machine.load_before > BUSY_PER_PROCESSOR * found.machine.processors:
        console.print(f"The machine is busy (load average {found.machine.load_before:g}).", style="yellow")
    for number in range(rounds):
        for name in chosen:
            console.rule(f"{name}, round {number + 1} of {rounds}")
            case(name).measure(bench)
            results.save(found, UNFINISHED)
    folder = results.FOLDER if found.is_whole(CASES) else PARTIAL
    path = folder / f"{'-'.join([found.taken_at[:10], *_part(options)])}.json"
    results.save(found, path)
    UNFINISHED.unlink()
    report.show(found, console)
    plots = importlib.import_module("bench.peers.plots")  # needs matplotlib, which only `make bench` installs
    drawn = ", ".join(str(plot) for plot in plots.draw(found, path.with_suffix("")))
    console.print(
        f"{(time.monotonic() - bench.started) / 60:.1f} minutes; written: {path}, {drawn or 'no plot'}"
    )


def _add_node_version(bench: Bench) -> None:
    """Add Node's version to the results, unless the peers that need it cannot be installed."""
    with suppress(NotInstalledError):
        bench.results.versions["node"] = node_version(bench.installer.programs(BULLMQ)["node"])


def case(name: str) -> ModuleType:
    """Return the module of a case."""
    return importlib.import_module(f"bench.peers.cases.{name}")


def _part(options: argparse.Namespace) -> list[str]:
    return (["quick"] if options.quick else []) + sorted(name for name in options.only.split(",") if name)


def _mongo() -> str:
    if shutil.which(COMPILED_MONGO):
        return COMPILED_MONGO
    return f"secantusdb {importlib.metadata.version('secantusdb')}, syncing each commit"


if __name__ == "__main__":
    main()

"""Runs every trace under every rule, prints the table and the verdicts, and draws the plot.

Exits with status 1 if a target is missed: a rival is better on both wait and pod-hours, our rule interrupts a job, or one
heavy user costs more than a tenth of KEDA's pod-hours.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.autoscaling.controllers import Keda, controllers
from bench.autoscaling.plot import plot
from bench.autoscaling.report import (
    HEAVY,
    OURS,
    Result,
    header,
    line,
    missed,
    share_of_keda,
    simulate,
    verdict,
)
from bench.autoscaling.traces import traces

PLOTTED = ("ours", "KEDA", "HPA, jobs compute")


def main() -> int:
    """Run the bench; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.autoscaling", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="fraction of each trace's length (default: 1)"
    )
    parser.add_argument("--plot", type=Path, default=Path(__file__).with_name("autoscaling.png"))
    options = parser.parse_args()

    print(f"seed {options.seed}, scale {options.scale:g}\n\n{header()}")
    results: list[Result] = []
    misses: list[str] = []
    verdicts: list[str] = []
    for trace in traces(options.seed, options.scale):
        of_trace = [simulate(trace, controller, options.seed) for controller in controllers()]
        for result in of_trace:
            print(line(result), flush=True)
        # KEDA with other list lengths is compared, but left out of the table.
        tuned = [simulate(trace, keda, options.seed) for keda in tuned_kedas()]
        verdicts.append(verdict(trace, of_trace + tuned))
        if trace.name == HEAVY:
            verdicts.append(f"{trace.name}: {share_of_keda(of_trace):.1%} of KEDA's pod-hours (target: 10 %)")
        misses += missed(of_trace + tuned)
        results += of_trace
    print("\nVerdicts, with KEDA at list lengths 1, 20 and 100 among the rivals:")
    print("\n".join(verdicts))
    print(f"jobs interrupted under our rule: {sum(r.interrupted for r in results if r.rule == OURS)}")
    print(f"targets missed: {'; '.join(misses) or 'none'}")
    plot(results, PLOTTED, options.plot)
    print(f"plot: {options.plot}")
    return 1 if misses else 0


def tuned_kedas() -> list[Keda]:
    """KEDA with other list lengths than its default."""
    return [Keda(name=f"KEDA, listLength {length}", list_length=length) for length in (1, 20, 100)]


if __name__ == "__main__":
    sys.exit(main())

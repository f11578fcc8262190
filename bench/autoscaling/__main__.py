"""Run every trace under every rule; print the table, the verdicts, and draw the plot.

Exits with 1 if a target is missed: a rival better on both wait and pod-hours, a job interrupted under our rule, or
more than a tenth of KEDA's pod-hours for one heavy user.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.autoscaling.controllers import Keda, controllers
from bench.autoscaling.report import Result, header, least_pod_hours, line, missed, plot, simulate
from bench.autoscaling.traces import traces

PLOTTED = ("ours", "KEDA", "HPA, jobs compute")
OTHER_LIST_LENGTHS = (1, 20, 100)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.autoscaling", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="part of each trace's length (default: 1)")
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
        # As a check that the default list length is no straw man; not in the table.
        tuned = [
            simulate(trace, Keda(name=f"KEDA, listLength {length}", list_length=length), options.seed)
            for length in OTHER_LIST_LENGTHS
        ]
        of_trace_missed = missed(of_trace + tuned)
        better = "; ".join(of_trace_missed) or "no"
        verdicts.append(
            f"{trace.name} (least possible {least_pod_hours(trace):.2f} pod-hours): "
            f"a rival is better on both wait and pod-hours, or another target missed: {better}"
        )
        results += of_trace
        misses += of_trace_missed
    print("\nVerdicts, with KEDA at list lengths 1, 20 and 100 among the rivals:")
    print("\n".join(verdicts))
    try:
        plot(results, PLOTTED, options.plot)
        print(f"\nplot: {options.plot}")
    except ImportError:
        print("\nno plot: matplotlib is not installed")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())

"""The plot of a run: pods and queued jobs over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from bench.autoscaling.report import OURS, Result


def plot(results: Sequence[Result], rules: Sequence[str], path: Path) -> None:
    """Plot pods and waiting jobs over time for the named rules, one row a trace."""
    shown = [result for result in results if result.rule in rules]
    traces = list(dict.fromkeys(result.trace for result in shown))
    figure = Figure(figsize=(13, 2.3 * len(traces)))
    axes = figure.subplots(len(traces), 2, squeeze=False)
    for (pods, queue), trace in zip(axes, traces, strict=True):
        for result in (result for result in shown if result.trace == trace):
            hours = [sample.at / 3600 for sample in result.samples]
            label = (
                f"{result.rule}: {result.pod_hours:.1f} pod-hours, p95 wait {result.p95_wait_seconds:.0f} s"
            )
            style = {
                "linewidth": 1.8 if result.rule == OURS else 0.9,
                "zorder": 3 if result.rule == OURS else 2,
            }
            pods.plot(hours, [sample.pods for sample in result.samples], label=label, **style)
            queue.plot(hours, [sample.queued for sample in result.samples], **style)
        pods.set_ylabel(f"{trace}\npods")
        pods.set_ylim(
            0,
            1.5 * max(sample.pods for result in shown if result.trace == trace for sample in result.samples),
        )
        pods.legend(fontsize=6, loc="upper right")
        queue.set_yscale("symlog")
        queue.set_ylim(bottom=0)
        queue.set_ylabel("jobs that wait")
    for axis in axes[-1]:
        axis.set_xlabel("hours")
    figure.tight_layout()
    figure.savefig(path, dpi=110)

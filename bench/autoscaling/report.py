"""Results of a run: a table row per trace and rule, a verdict per trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.autoscaling.simulator import SLOTS_PER_POD, Cluster, Controller, Sample, Trace

OURS, KEDA, HEAVY = "ours", "KEDA", "heavy user"
MAX_OF_KEDA = 0.1
"""Target: our share of KEDA's pod-hours for one heavy user with 10,000 jobs and 5 slots."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one trace under one rule.

    A wait lasts from the enqueue to the job's first start, even if that run was interrupted. A job that never started has
    waited until the end.
    """

    trace: str
    rule: str
    pod_hours: float
    p95_wait_seconds: float
    interrupted: int
    unfinished: int
    scalings: int
    samples: list[Sample]


def simulate(trace: Trace, controller: Controller, seed: int) -> Result:
    """Run one trace under one autoscaler."""
    cluster = Cluster(trace, controller, seed)
    cluster.run()
    end = trace.horizon_seconds
    waits = sorted(
        (job.first_started if job.first_started >= 0 else end) - job.arrives for job in cluster.jobs
    )
    return Result(
        trace=trace.name,
        rule=controller.name,
        pod_hours=cluster.pod_seconds / 3600,
        p95_wait_seconds=waits[int(0.95 * (len(waits) - 1))],
        interrupted=sum(job.interrupted for job in cluster.jobs),
        unfinished=sum(job.ended < 0 for job in cluster.jobs),
        scalings=cluster.scalings,
        samples=cluster.samples,
    )


def better_on_both(rival: Result, ours: Result) -> bool:
    """Whether the rival waits less and costs less."""
    return rival.p95_wait_seconds < ours.p95_wait_seconds and rival.pod_hours < ours.pod_hours


def header() -> str:
    """The table's header, in Markdown."""
    return (
        "| trace | rule | pod-hours | p95 wait, s | interrupted | unfinished | times scaled |\n"
        "|---|---|--:|--:|--:|--:|--:|"
    )


def line(result: Result) -> str:
    """The table's row for a result, in Markdown."""
    return (
        f"| {result.trace} | {result.rule} | {result.pod_hours:.2f} | {result.p95_wait_seconds:.1f} "
        f"| {result.interrupted} | {result.unfinished} | {result.scalings} |"
    )


def least_pod_hours(trace: Trace) -> float:
    """The lower bound for any rule: every slot is busy from a pod's first to its last second."""
    return sum(seconds for _, _, seconds in trace.jobs) / SLOTS_PER_POD / 3600


def verdict(trace: Trace, results: Sequence[Result]) -> str:
    """One sentence: which rivals are better than our rule."""
    better = ", ".join(rival.rule for rival in results if better_on_both(rival, _ours(results)))
    return (
        f"{trace.name}: a rival is better on both wait and pod-hours: {better or 'no'} "
        f"(lower bound for any rule: {least_pod_hours(trace):.2f} pod-hours)"
    )


def missed(results: Sequence[Result]) -> list[str]:
    """The targets that the results of one trace miss."""
    ours = _ours(results)
    misses = [
        f"{rival.trace}: {rival.rule} is better on both wait and pod-hours"
        for rival in results
        if better_on_both(rival, ours)
    ]
    if ours.interrupted:
        misses.append(f"{ours.trace}: {ours.interrupted} jobs interrupted")
    if ours.trace == HEAVY and (share := share_of_keda(results)) > MAX_OF_KEDA:
        misses.append(f"{ours.trace}: {share:.1%} of KEDA's pod-hours")
    return misses


def share_of_keda(results: Sequence[Result]) -> float:
    """Our pod-hours as a fraction of KEDA's, on one trace."""
    return _ours(results).pod_hours / next(result.pod_hours for result in results if result.rule == KEDA)


def _ours(results: Sequence[Result]) -> Result:
    return next(result for result in results if result.rule == OURS)

"""From the call that enqueues a job to its start: on an idle system, and at half of its load. And one producer that awaits each.

The load is the same for all peers: half of what the slowest of them gets done in this case's own warm-up.
"""

from __future__ import annotations

import time
from functools import partial

from bench.peers import records, statistics
from bench.peers.bench import Bench, Figures
from bench.peers.cases.throughput import LIMIT_SECONDS
from bench.peers.catalogue import RIVALS, Peer
from bench.peers.run import Run, fresh_run

CASE, LOADED, AWAITING = "latency", "load", "producer"
USERS = 100
WARM_UP_JOBS = 5_000


def measure(bench: Bench) -> None:
    """Run the rivals once, synced and not synced."""
    for synced in (True, False):
        _measure(bench, synced)


def _measure(bench: Bench, synced: bool) -> None:
    idle = [
        bench.attempt(CASE, peer, partial(_idle, bench, peer, synced), synced=synced)
        for peer in bench.in_turn(RIVALS)
    ]
    for peer in bench.in_turn(RIVALS):
        bench.attempt(AWAITING, peer, partial(_awaiting, bench, peer, synced), synced=synced)
    rates = [one.figures["warm_up_per_second"] for one in idle if one]
    for peer in bench.in_turn(RIVALS) if rates else ():
        rate = round(min(rates) / 2)
        bench.attempt(LOADED, peer, partial(_loaded, bench, peer, synced, rate), synced=synced)


def _idle(bench: Bench, peer: Peer, synced: bool) -> Figures:
    with fresh_run(peer, bench.installer, synced=synced, users=USERS) as run:
        run.fill(WARM_UP_JOBS, USERS)
        with run.working():
            run.wait_for_starts(WARM_UP_JOBS, LIMIT_SECONDS)
            starts = records.read(run.records)
            half = len(starts) // 2
            rate = half / (starts[-1].started - starts[-1 - half].started)
            records.clear(run.records)
            report = run.produce("idle", bench.plan.idle_jobs, USERS)
            before = run.cpu()
            time.sleep(bench.plan.loaded_seconds)  # idle time is what is measured
            idle = run.cpu().since(before)
        return _latencies(
            run,
            lost=report["lost"],
            warm_up_per_second=rate,
            idle_cpu=(idle.workers + idle.redis) / bench.plan.loaded_seconds,
        )


def _awaiting(bench: Bench, peer: Peer, synced: bool) -> Figures:
    with fresh_run(peer, bench.installer, synced=synced, users=USERS) as run:
        report = run.produce("awaiting", bench.plan.awaited_jobs, USERS)
        return Figures({"enqueued_per_second": report["sent"] / report["seconds"]})


def _loaded(bench: Bench, peer: Peer, synced: bool, rate: int) -> Figures:
    jobs = int(rate * bench.plan.loaded_seconds)
    with fresh_run(peer, bench.installer, synced=synced, users=USERS) as run:
        run.fill(WARM_UP_JOBS, USERS)
        with run.working():
            run.wait_for_starts(WARM_UP_JOBS, LIMIT_SECONDS)
            records.clear(run.records)
            report = run.produce("paced", jobs, USERS, rate=rate)
            run.wait_for_starts(jobs, LIMIT_SECONDS)
        return _latencies(run, jobs_per_second=rate, sent_per_second=report["sent"] / report["seconds"])


def _latencies(run: Run, **figures: float) -> Figures:
    milliseconds = [(one.started - one.enqueued) * 1e3 for one in records.read(run.records)]
    quantiles = {f"p{part}_ms": statistics.quantile(milliseconds, part / 100) for part in (50, 99)}
    step = max(1, len(milliseconds) // 1000)
    return Figures(quantiles | figures, tuple(sorted(milliseconds)[::step]))

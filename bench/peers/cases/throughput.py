"""Jobs a second over the number of users: a backlog of no-op jobs, from the moment when 5 % have started until the last has.

Laneway archives meanwhile. Its processor time is counted until the history is written, so that none of its work is left out.
"""

from __future__ import annotations

import time

from bench.peers import records
from bench.peers.bench import Bench, Figures
from bench.peers.catalogue import CELERY, LANEWAY, OTHERS, OURS, RIVALS, Peer
from bench.peers.run import Run, RunError, fresh_run

CASE = "throughput"
WARM_UP = 0.05
LIMIT_SECONDS = 180
OTHERS_USERS = 1_000


def measure(bench: Bench) -> None:
    """Run all peers once, synced and not synced."""
    plan = bench.plan
    for synced in (True, False):
        for users in plan.users:
            for peer in bench.in_turn(peer for peer in RIVALS if users <= peer.max_users):
                _attempt(bench, peer, users, plan.jobs, synced)
            if users == OTHERS_USERS:
                for peer in OTHERS if plan.others else (CELERY,):
                    _attempt(bench, peer, users, plan.slow_jobs, synced)
        for users in plan.our_users:
            _attempt(bench, LANEWAY, users, max(users, plan.jobs), synced)


def _attempt(bench: Bench, peer: Peer, users: int, jobs: int, synced: bool) -> None:
    def run() -> Figures:
        with fresh_run(peer, bench.installer, synced=synced, users=users) as one:
            return Figures(drain(one, jobs, users))

    bench.attempt(CASE, peer, run, synced=synced, users=users)


def drain(run: Run, jobs: int, users: int) -> dict[str, float]:
    """Enqueue a backlog, start the worker, and measure it until the backlog is done."""
    held = run.fill(jobs, users)
    with run.working():
        early = run.wait_for_starts(int(jobs * WARM_UP) or 1, LIMIT_SECONDS)
        before = run.cpu()
        run.wait_for_starts(jobs, LIMIT_SECONDS)
        if run.peer.name == OURS:
            run.wait_until_archived(LIMIT_SECONDS)
        archived_at, used = time.monotonic(), run.cpu().since(before)
        if run.peer.name == OURS and (archived := run.archived_jobs()) != jobs:
            raise RunError(f"MongoDB has {archived:,} of {jobs:,} jobs")
        megabytes = run.worker_megabytes()
    starts = records.read(run.records)
    first, count = starts[early - 1].started, jobs - early
    faults = records.faults(starts)
    figures = {
        "jobs_per_second": count / (starts[-1].started - first),
        "cpu_us_per_job": (used.workers + used.redis) / count * 1e6,
        "redis_us_per_job": used.redis / count * 1e6,
        "bytes_per_queued_job": held / jobs,
        "worker_mb": megabytes,
        "out_of_order": faults.out_of_order,
        "repeated": faults.repeated,
    }
    if run.peer.name == OURS:
        figures["archived_per_second"] = count / (archived_at - first)
        figures["mongo_us_per_job"] = used.mongo / count * 1e6
    return figures

"""What a queued job costs Redis: bytes while it waits, and processor time when it is processed, over the length of the backlog.

Some jobs more than the backlog are enqueued and processed first, so that the worker is warm when the measuring begins.
"""

from __future__ import annotations

from bench.peers.bench import Bench, Figures
from bench.peers.cases.throughput import LIMIT_SECONDS
from bench.peers.catalogue import BULLMQ, GROUPMQ, LANEWAY, Peer
from bench.peers.run import fresh_run

CASE = "backlog"
WARM_UP_JOBS = 2_000
MEASURED_JOBS = 10_000
MANY_LANES = 100_000


def measure(bench: Bench) -> None:
    """Run Laneway and two rivals with each backlog in one lane, and Laneway with many lanes."""
    for backlog in bench.plan.backlogs:
        peers = (BULLMQ, GROUPMQ) if backlog <= bench.plan.peer_backlog else ()
        for peer in bench.in_turn(peers) if peers else (LANEWAY,):
            _attempt(bench, peer, backlog, 1)
    if max(bench.plan.backlogs) >= MANY_LANES:
        _attempt(bench, LANEWAY, MANY_LANES, MANY_LANES)


def _attempt(bench: Bench, peer: Peer, backlog: int, lanes: int) -> None:
    def run() -> Figures:
        jobs = backlog + WARM_UP_JOBS
        # a lane is full at 100,000 jobs and the history at 200,000 unless it is set otherwise
        with fresh_run(peer, bench.installer, synced=False, users=lanes, history_backlog=10_000_000) as one:
            held = one.fill(jobs, lanes)
            with one.working():
                first = one.wait_for_starts(WARM_UP_JOBS, LIMIT_SECONDS)
                before = one.cpu()
                last = one.wait_for_starts(min(jobs, first + MEASURED_JOBS), LIMIT_SECONDS)
                used = one.cpu().since(before)
        return Figures(
            {
                "redis_us_per_job": used.redis / (last - first) * 1e6,
                "worker_us_per_job": used.workers / (last - first) * 1e6,
                "bytes_per_queued_job": held / jobs,
            }
        )

    bench.attempt(CASE, peer, run, synced=False, backlog=backlog, lanes=lanes)

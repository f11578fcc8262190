"""How long light users wait whose one job each was enqueued behind the jobs of a heavy user.

All is queued before the worker starts. The wait is from the first start of any job to the start of the light user's.
"""

from __future__ import annotations

from functools import partial

from bench.peers import records, statistics
from bench.peers.bench import Bench, Figures
from bench.peers.cases.throughput import LIMIT_SECONDS
from bench.peers.catalogue import RIVALS, Peer
from bench.peers.run import fresh_run

CASE = "fairness"
LIGHT_USERS = 5


def measure(bench: Bench) -> None:
    """Run the rivals once for each backlog of the heavy user, synced."""
    for heavy in bench.plan.heavy:
        for peer in bench.in_turn(RIVALS):
            bench.attempt(CASE, peer, partial(_wait, bench, peer, heavy), synced=True, heavy=heavy)


def _wait(bench: Bench, peer: Peer, heavy: int) -> Figures:
    with fresh_run(peer, bench.installer, synced=True, users=1 + LIGHT_USERS) as run:
        run.fill(heavy, 1)
        run.fill(LIGHT_USERS, LIGHT_USERS, first_user=1)
        with run.working():
            run.wait_for_starts(heavy + LIGHT_USERS, LIMIT_SECONDS)
        starts = records.read(run.records)
    waits = [(one.started - starts[0].started) * 1e3 for one in starts if one.user > 0]
    return Figures({"p50_ms": statistics.quantile(waits, 0.5), "max_ms": max(waits)}, tuple(sorted(waits)))

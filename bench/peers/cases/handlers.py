"""Handlers that take time: throughput over what is possible, and short jobs beside long ones. Laneway alone.

What is possible is the number of jobs at once over the time of one, where two processes run 1 plain or 100 async handlers each,
or as many computing ones as there are processors; and never more than the no-op jobs of the same run.
"""

from __future__ import annotations

from functools import partial
from itertools import product

from bench.peers import records, statistics
from bench.peers.bench import Bench, Figures
from bench.peers.cases.throughput import LIMIT_SECONDS, drain
from bench.peers.catalogue import LANEWAY
from bench.peers.run import Run, fresh_run
from laneway.processors import usable_processors

CASE, MIX = "handlers", "mix"
PROCESSES, ASYNC_JOBS = 2, 100
USERS = 100
MILLISECONDS = (1, 10, 100)
AT_ONCE = {
    "sleep": PROCESSES,
    "sleep_async": PROCESSES * ASYNC_JOBS,
    "compute": min(PROCESSES, usable_processors()),
    "compute_async": min(PROCESSES, usable_processors()),
}
NOOP_JOBS = 20_000
SHORT_MS, LONG_MS = 1, 1000
SHORT_PER_SECOND = 200
LONG_USER = 1_000
LONG_PER_SECOND = {"sleep": 0.5, "sleep_async": 5}
"""Plain ones keep a process busy, so a quarter of the time of the two; async ones overlap."""


def measure(bench: Bench) -> None:
    """Run each kind of handler once."""
    noop = bench.attempt(CASE, LANEWAY, partial(_noop, bench), synced=True, handler="no-op")
    if noop is None:
        return
    ceiling = noop.figures["jobs_per_second"]
    for kind, milliseconds in product(AT_ONCE, MILLISECONDS):
        ideal = min(AT_ONCE[kind] / milliseconds * 1000, ceiling)
        bench.attempt(
            CASE,
            LANEWAY,
            partial(_of_ideal, bench, kind, milliseconds, ideal),
            synced=True,
            handler=f"{kind.replace('_', ', ')} {milliseconds} ms",
        )
    for kind in LONG_PER_SECOND:
        bench.attempt(MIX, LANEWAY, partial(_mix, bench, kind), synced=True, handler=kind.replace("_", ", "))


def _noop(bench: Bench) -> Figures:
    with fresh_run(LANEWAY, bench.installer, synced=True, users=USERS) as run:
        return Figures({"jobs_per_second": drain(run, NOOP_JOBS, USERS)["jobs_per_second"]})


def _of_ideal(bench: Bench, kind: str, milliseconds: int, ideal: float) -> Figures:
    jobs = max(200, int(ideal * bench.plan.handler_seconds))
    with fresh_run(LANEWAY, bench.installer, synced=True, users=USERS) as run:
        _choose(run, kind, milliseconds)
        rate = drain(run, jobs, USERS)["jobs_per_second"]
    return Figures(
        {"percent_of_ideal": rate / ideal * 100, "jobs_per_second": rate, "ideal_per_second": ideal}
    )


def _mix(bench: Bench, kind: str) -> Figures:
    seconds = bench.plan.handler_seconds * 2
    with fresh_run(LANEWAY, bench.installer, synced=True, users=USERS) as run, run.working():
        _choose(run, kind, SHORT_MS)
        run.produce("idle", 20, USERS)
        alone = _short_waits(run, seconds)
        _choose(run, kind, LONG_MS)
        rate = LONG_PER_SECOND[kind]
        with run.producing("paced", int(seconds * rate) + 1, 1, first_user=LONG_USER, rate=rate):
            _choose(run, kind, SHORT_MS)
            beside = _short_waits(run, seconds)
    figures = {
        "alone_p99_ms": statistics.quantile(alone, 0.99),
        "beside_p99_ms": statistics.quantile(beside, 0.99),
    }
    return Figures(figures | {"times_alone": figures["beside_p99_ms"] / figures["alone_p99_ms"]})


def _short_waits(run: Run, seconds: float) -> list[float]:
    jobs = int(seconds * SHORT_PER_SECOND)
    records.clear(run.records)
    run.produce("paced", jobs, USERS, rate=SHORT_PER_SECOND)
    run.wait_for_starts(jobs, LIMIT_SECONDS)
    return [(one.started - one.enqueued) * 1e3 for one in records.read(run.records) if one.user < LONG_USER]


def _choose(run: Run, kind: str, milliseconds: int) -> None:
    """Let the next producer enqueue jobs of this kind."""
    run.environment |= {"BENCH_TYPE": kind, "BENCH_MILLISECONDS": str(milliseconds)}

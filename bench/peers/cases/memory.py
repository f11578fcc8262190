"""Memory (PSS) and idle processor time of our worker and our API, two processes each, after some work."""

from __future__ import annotations

from functools import partial

from bench.memory import PROGRAMS, footprint
from bench.peers.bench import Bench, Figures
from bench.peers.catalogue import LANEWAY
from bench.processes import servers

CASE = "memory"


def measure(bench: Bench) -> None:
    """Measure both programs once."""
    for program in PROGRAMS:
        bench.attempt(CASE, LANEWAY, partial(_footprint, bench, program), synced=True, program=program)


def _footprint(bench: Bench, program: str) -> Figures:
    with servers() as on:
        took = footprint(on, program, bench.plan.idle_seconds)
    return Figures({"megabytes": took.megabytes, "idle_cpu_percent": took.idle_cpu * 100})

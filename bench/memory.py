"""Memory and idle processor time of a worker with 2 processes and of an API with 2, each after some work.

    python -m bench.memory [--seconds 10]

Memory is PSS, which divides pages that processes share among them, so the parts add up to the whole (proc(5), smaps_rollup).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.enqueue import BODY, requests, serving
from bench.http_load import load
from bench.processes import (
    Servers,
    cpu_seconds,
    descendants,
    enqueue,
    fresh_lanes,
    servers,
    wait_until,
    worker,
)

WARM_UP_JOBS = 2000


@contextmanager
def warm_worker(on: Servers) -> Iterator[int]:
    """Start a worker, let it run some jobs, and yield its pid."""
    lanes = fresh_lanes(on)
    with worker(on, lanes.keys) as running:
        enqueue(lanes, [f"user{n % 20}" for n in range(WARM_UP_JOBS)], "echo", b'{"a":1}')
        wait_until(
            lambda: lanes.client.zcard(lanes.keys.lanes) == lanes.client.llen(lanes.keys.outbox) == 0,
            120,
            "the jobs end and are archived",
        )
        yield running.pid


@contextmanager
def warm_api(on: Servers) -> Iterator[int]:
    """Start an API, send it some requests, and yield its pid."""
    with serving([sys.executable, "-m", "laneway.api"], on.redis.url, "memory", processes=2) as (
        port,
        parent,
        _,
    ):
        asyncio.run(load(port, requests(16, BODY), 2))
        yield parent


def pss_by_process(pid: int) -> list[tuple[str, float]]:
    """Return name and PSS in MB of a process and each of its descendants."""
    found = []
    for one in [pid, *descendants(pid)]:
        lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        found.append((_name(one), kilobytes / 1000))
    return found


def _name(pid: int) -> str:
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    module = arguments[arguments.index("-m") + 1] if "-m" in arguments else arguments[0]
    return module.removeprefix("laneway.")


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a program takes."""

    parts: list[tuple[str, float]]
    """Name and PSS in MB of each process."""
    idle_cpu: float
    """The part of a processor that it uses while it has nothing to do."""

    @property
    def megabytes(self) -> float:
        """The sum of all processes."""
        return sum(size for _, size in self.parts)


PROGRAMS = {"worker": warm_worker, "API": warm_api}


def footprint(on: Servers, program: str, seconds: float) -> Footprint:
    """Start a program, let it work, and watch it idle for some seconds."""
    with PROGRAMS[program](on) as pid:
        before = cpu_seconds(pid)
        time.sleep(seconds)  # idle time is what is measured
        return Footprint(pss_by_process(pid), (cpu_seconds(pid) - before) / seconds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure memory and idle processor time.")
    parser.add_argument("--seconds", type=float, default=10, help="how long the idle processes are watched")
    seconds = parser.parse_args().seconds
    table = Table("program", "MB (PSS)", "of which", "idle CPU")
    with servers() as on:
        for name in PROGRAMS:
            took = footprint(on, name, seconds)
            listed = ", ".join(f"{part} {megabytes:.0f}" for part, megabytes in took.parts)
            table.add_row(f"{name}, 2 processes", f"{took.megabytes:.0f}", listed, f"{took.idle_cpu:.1%}")
    Console(width=140).print(table)


if __name__ == "__main__":
    main()

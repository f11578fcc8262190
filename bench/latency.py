"""Idle latency: the time from the answer to an enqueue until the handler starts, one job at a time, beside plain Celery.

    python -m bench.latency [--jobs 200]

The system is idle before each job. Both handlers write the monotonic clock when they start. Our job is enqueued by the script that
the API uses, Celery's by `apply_async`. Celery runs on a Redis that does not wait for the disk, ours on one that syncs every write.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson
from rich.console import Console

from bench.plain_celery import app, stamp
from bench.processes import Servers, celery_worker, enqueue, fresh_lanes, servers, wait_until, worker

PAUSE_SECONDS = 0.02


def measure(jobs: int, send: Callable[[str], None], stamps: Path) -> list[float]:
    """Return for each job the milliseconds from the return of `send(key)` to the start of the handler."""
    latencies = []
    for number in range(jobs + 5):
        send(str(number))
        sent = time.monotonic_ns()
        wait_until(lambda n=number: _count(stamps) > n, 30, "the job starts")  # type: ignore[misc]
        started = int(stamps.read_text().splitlines()[-1].split()[1])
        if number >= 5:  # the first jobs warm everything up
            latencies.append(max(0, started - sent) / 1e6)
        time.sleep(PAUSE_SECONDS)
    return latencies


def _count(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def ours(on: Servers, jobs: int) -> list[float]:
    """Measure this system."""
    lanes = fresh_lanes(on)
    stamps = on.folder / "ours.txt"
    with worker(on, lanes.keys, handlers="bench.handlers"):
        wait_until(lambda: lanes.client.exists(lanes.keys.turn) == 1, 60, "the worker is ready")

        def send(key: str) -> None:
            enqueue(lanes, ["ann"], "stamp", orjson.dumps({"path": str(stamps), "key": key}))

        return measure(jobs, send, stamps)


def plain_celery(on: Servers, jobs: int) -> list[float]:
    """Measure plain Celery."""
    app.conf.broker_url = on.unsynced.url
    stamps = on.folder / "celery.txt"
    with celery_worker(on, on.unsynced.url, "celery-stamp"):

        def send(key: str) -> None:
            stamp.apply_async((str(stamps), key), queue="celery-stamp")

        return measure(jobs, send, stamps)


def main() -> None:
    """Measure both, and exit with 1 if ours takes twice as long or longer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--jobs", type=int, default=200)
    options = parser.parse_args()
    with servers() as on:
        celery, own = plain_celery(on, options.jobs), ours(on, options.jobs)
    console = Console(width=110)
    for name, values in (("plain Celery", celery), ("ours", own)):
        p50, p95 = statistics.median(values), statistics.quantiles(values, n=20)[-1]
        console.print(f"{name:14} p50 {p50:7.2f} ms   p95 {p95:7.2f} ms   ({len(values)} jobs)")
    ratio = statistics.median(own) / statistics.median(celery)
    console.print(f"p50 over plain Celery's: {ratio:.2f} (target: under 2)")
    sys.exit(ratio >= 2)


if __name__ == "__main__":
    main()

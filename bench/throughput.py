"""Jobs a second and processor time a job over the whole path: claim, handler, finish, log at its default level, history.

    python -m bench.throughput [--jobs 60000] [--users 1,100,1000,10000] [--rounds 1]

The jobs do nothing (handler `echo`) and run on 2 worker processes. One user is a case of its own: all jobs are in one lane. The
peer in the same run is plain Celery with a prefork pool of 2 that keeps no results. Ours uses a Redis that syncs every write,
which is the default. Celery uses the same one, and then one that leaves syncing to the kernel, as most people run it. All jobs
are enqueued first. The clock runs from the moment when 5 % have ended until the last has ended (processed) and until MongoDB has
the last (archived). Machines are shared and noisy: read the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

from pymongo import MongoClient
from redis import Redis
from rich.console import Console
from rich.table import Table

from bench.plain_celery import app, noop
from bench.processes import (
    Servers,
    celery_worker,
    cpu_seconds,
    enqueue,
    fresh_lanes,
    servers,
    wait_until,
    worker,
)

SYNCED, UNSYNCED = "Celery, the same Redis", "Celery, unsynced Redis"
WARM_UP = 0.05
"""The part of the jobs that ends before the clock starts."""
LIMIT_SECONDS = 600
COUNT = """
local held = 0
for _, user in ipairs(redis.call('ZRANGE', KEYS[1] .. 'lanes', 0, -1)) do
  held = held + redis.call('ZCARD', KEYS[1] .. 'lane:' .. user)
end
return held
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """The result of one run. Processor times are microseconds for each job."""

    processed_per_second: float
    archived_per_second: float
    worker_us: float
    redis_us: float
    mongo_us: float

    @property
    def cpu_us(self) -> float:
        """Processor time of worker and Redis."""
        return self.worker_us + self.redis_us


def ours(on: Servers, jobs: int, users: int) -> Figures:
    """Measure this system."""
    lanes = fresh_lanes(on)
    enqueue(lanes, [f"user{n % users}" for n in range(jobs)], "echo", b'{"a":1}')

    def ended() -> int:
        """Count the jobs that are in no lane any more."""
        return jobs - int(lanes.client.eval(COUNT, 1, lanes.keys.prefix))

    with worker(on, lanes.keys) as running:
        wait_until(lambda: ended() >= jobs * WARM_UP, LIMIT_SECONDS, "the first jobs end")
        before = _cpu(on, running.pid)
        early, start = ended(), time.monotonic()
        wait_until(lambda: lanes.client.zcard(lanes.keys.lanes) == 0, LIMIT_SECONDS, "the last job ends")
        processed = time.monotonic() - start
        wait_until(lambda: lanes.client.llen(lanes.keys.outbox) == 0, LIMIT_SECONDS, "the history is written")
        archived = time.monotonic() - start
        used = [b - a for a, b in zip(before, _cpu(on, running.pid), strict=True)]
    stored = MongoClient(on.mongo.url)[lanes.keys.name]["history"].count_documents({})
    if stored != jobs:
        raise RuntimeError(f"MongoDB has {stored} of {jobs} jobs")
    count = jobs - early
    return Figures(count / processed, count / archived, *(seconds / count * 1e6 for seconds in used))


def plain_celery(on: Servers, redis_url: str, jobs: int) -> Figures:
    """Measure plain Celery on one of the Redis servers."""
    client: Redis = Redis.from_url(redis_url)
    queue = "celery-noop"
    with app.connection_for_write(redis_url) as connection, app.amqp.Producer(connection) as producer:
        for number in range(jobs):
            noop.apply_async((number,), queue=queue, producer=producer)
    with celery_worker(on, redis_url, queue) as running:
        wait_until(
            lambda: client.llen(queue) <= jobs * (1 - WARM_UP), LIMIT_SECONDS, "Celery's first tasks end"
        )
        before = _cpu(on, running.pid)
        count, start = int(client.llen(queue)), time.monotonic()
        wait_until(
            lambda: client.llen(queue) == 0 and client.hlen("unacked") == 0,
            LIMIT_SECONDS,
            "Celery's last task ends",
        )
        seconds = time.monotonic() - start
        used = [b - a for a, b in zip(before, _cpu(on, running.pid), strict=True)]
    return Figures(count / seconds, count / seconds, *(s / count * 1e6 for s in used))


def _label(users: int) -> str:
    return "1 user" if users == 1 else f"{users:,} users"


def _cpu(on: Servers, worker_pid: int) -> list[float]:
    redis = cpu_seconds(on.redis.pid) + cpu_seconds(on.unsynced.pid)
    return [cpu_seconds(worker_pid), redis, cpu_seconds(on.mongo.pid)]


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--jobs", type=int, default=60_000)
    parser.add_argument("--celery-jobs", type=int, default=6_000)
    parser.add_argument("--users", default="1,100,1000,10000")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    user_counts = [int(n) for n in options.users.split(",")]
    rows: dict[str, list[Figures]] = {}
    with servers() as on:
        for _ in range(options.rounds):
            for name, server in ((SYNCED, on.redis), (UNSYNCED, on.unsynced)):
                rows.setdefault(name, []).append(plain_celery(on, server.url, options.celery_jobs))
            for users in user_counts:
                rows.setdefault(_label(users), []).append(ours(on, options.jobs, users))
    _print(rows, user_counts, f"{options.jobs:,} no-op jobs, 2 worker processes, history in {on.mongo.name}")


def _print(rows: dict[str, list[Figures]], user_counts: list[int], title: str) -> None:
    table = Table(title=title)
    for name in (
        "",
        "processed/s",
        "archived/s",
        "x Celery",
        "x unsynced",
        "CPU us/job",
        "worker",
        "Redis",
        "MongoDB",
    ):
        table.add_column(name, justify="left" if not name else "right")
    medians = {name: _median(runs) for name, runs in rows.items()}
    peers = [medians[name].archived_per_second for name in (SYNCED, UNSYNCED)]
    for name, run in medians.items():
        table.add_row(
            name,
            f"{run.processed_per_second:,.0f}",
            f"{run.archived_per_second:,.0f}",
            *(f"{run.archived_per_second / peer:.1f}" for peer in peers),
            *(f"{us:.1f}" for us in (run.cpu_us, run.worker_us, run.redis_us, run.mongo_us)),
        )
    console = Console(width=120)
    console.print(table)
    few, many = (medians[_label(n)].cpu_us for n in (min(user_counts), max(user_counts)))
    slowest = min(run.archived_per_second for name, run in medians.items() if name not in {SYNCED, UNSYNCED})
    same, unsynced = (slowest / peer for peer in peers)
    console.print(
        f"archived jobs/s at their worst over plain Celery's (target: 20): {same:.1f} on the same Redis, {unsynced:.1f} on an unsynced one"
    )
    console.print(
        f"CPU a job at {_label(max(user_counts))} over that at {_label(min(user_counts))}: {many / few:.2f} (target: at most 1.15)"
    )


def _median(runs: list[Figures]) -> Figures:
    names = Figures.__slots__
    return Figures(*(statistics.median(getattr(run, name) for run in runs) for name in names))


if __name__ == "__main__":
    main()

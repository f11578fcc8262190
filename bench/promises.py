"""What the system promises under load, measured and printed. Exits with 1 if a target is missed.

    python -m bench.promises [waits] [fairness] [kills]

waits     1,000 requests of 100 users whose async handler waits 1 s, on 2 processes with 100 async jobs each
fairness  a user with one job behind another user's 50,000 queued jobs of 5 ms each
kills     `kill -9` of a random process of the worker, 20 times, while 5,000 jobs of 50 users run
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rich.console import Console

from bench.handlers import RECORDS_VARIABLE
from bench.processes import Servers, descendants, enqueue, fresh_lanes, servers, wait_until, worker
from laneway.lanes.store import Lanes

console = Console(width=110)
HANDLERS = "bench.handlers"
SLOTS = 5
KILLS = 20
LIMIT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Attempt:
    """A recorded attempt. Times are seconds of the monotonic clock; `end` is None if the process was killed."""

    user: str
    job_id: str
    start: float
    end: float | None


def read_attempts(folder: Path) -> list[Attempt]:
    """Return all recorded attempts in the order of their starts."""
    times: dict[tuple[str, str, str, str], dict[str, float]] = defaultdict(dict)
    for path in folder.glob("*.records"):
        for line in path.read_text().splitlines():
            event, user, job_id, attempt, time_ns = line.split()
            times[user, job_id, attempt, path.name][event] = int(time_ns) / 1e9
    found = [Attempt(user, job_id, at["start"], at.get("end")) for (user, job_id, *_), at in times.items()]
    return sorted(found, key=lambda attempt: attempt.start)


def max_at_once(attempts: Iterable[Attempt]) -> int:
    """Return the highest number of attempts that ran at the same time."""
    edges = [edge for one in attempts for edge in ((one.start, 1), (one.end or one.start, -1))]
    running = highest = 0
    for _, step in sorted(edges):
        running += step
        highest = max(highest, running)
    return highest


def out_of_order(attempts: Iterable[Attempt]) -> int:
    """Count the neighbours in a lane whose first starts are not in the order of their ids, which is that of acceptance."""
    lanes: dict[str, dict[str, None]] = defaultdict(dict)
    for one in attempts:
        lanes[one.user].setdefault(one.job_id)
    return sum(a > b for ids in lanes.values() for a, b in pairwise(ids))


def by_user(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    """Group attempts by user."""
    lanes: dict[str, list[Attempt]] = defaultdict(list)
    for one in attempts:
        lanes[one.user].append(one)
    return lanes


def by_job(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    """Group attempts by job."""
    jobs: dict[str, list[Attempt]] = defaultdict(list)
    for one in attempts:
        jobs[one.job_id].append(one)
    return jobs


def waits(on: Servers) -> bool:
    """Run jobs that wait, and return whether they overlap as far as slots allow."""
    lanes, records = fresh_lanes(on), _folder(on, "waits")
    with worker(on, lanes.keys, handlers=HANDLERS, async_jobs=100):
        _warm_up(lanes, records, 2)
        start = time.monotonic()
        enqueue(lanes, [f"user{n % 100}" for n in range(1000)], "wait", b"1")
        wait_until(lambda: _no_lanes(lanes), LIMIT_SECONDS, "the jobs end")
        seconds = time.monotonic() - start
    attempts = read_attempts(records)
    in_lane = max(max_at_once(some) for some in by_user(attempts).values())
    disorder = out_of_order(attempts)
    console.print(
        f"waits: {len(attempts)} jobs of 1 s in {seconds:.2f} s (target: under 10; 200 slots allow 5), "
        f"{max_at_once(attempts)} at once, {in_lane} of a lane at once (slots: {SLOTS}), {disorder} out of order"
    )
    return len(attempts) == 1000 and seconds < 10 and in_lane <= SLOTS and disorder == 0


def fairness(on: Servers) -> bool:
    """Enqueue one job behind a long lane, and return whether it starts at once."""
    lanes, records = fresh_lanes(on), _folder(on, "fairness")
    with worker(on, lanes.keys, handlers=HANDLERS):
        _warm_up(lanes, records, 2)
        enqueue(lanes, ["heavy"] * 50_000, "work", b"0.005", batch=500)
        sent = time.monotonic()
        [job_id] = enqueue(lanes, ["light"], "work", b"0.005")
        wait_until(
            lambda: any(job_id in path.read_text() for path in records.glob("*.records")),
            60,
            "the light user's job starts",
        )
        left = int(str(lanes.client.zcard(lanes.keys.prefix + "lane:heavy")))
    [started] = [one.start for one in read_attempts(records) if one.job_id == job_id]
    console.print(
        f"fairness: started {started - sent:.3f} s after it was accepted (target: under 1), behind {left:,} jobs of another user"
    )
    return started - sent < 1 and left > 10_000


def kills(on: Servers) -> bool:
    """Kill processes while jobs run, and return whether all jobs end in order and none runs twice at once."""
    lanes, records = fresh_lanes(on), _folder(on, "kills")
    settings = {"handlers": HANDLERS, "lease_seconds": 5, "max_attempts": 50}
    with ExitStack() as stack:

        def start() -> subprocess.Popen[bytes]:
            return stack.enter_context(worker(on, lanes.keys, **settings))

        running = start()
        _warm_up(lanes, records, 2)
        job_ids = enqueue(lanes, [f"user{n % 50}" for n in range(5000)], "work", b"0.004")
        running = _kill_often(running, start, records, len(job_ids))
        if running.poll() is not None or not _no_lanes(lanes):
            running.terminate()
            start()
        wait_until(lambda: _no_lanes(lanes), LIMIT_SECONDS, "the jobs end")
        wait_until(lambda: lanes.client.llen(lanes.keys.outbox) == 0, 60, "the history is written")
    attempts = read_attempts(records)
    ended = {one.job_id for one in attempts if one.end is not None}
    disorder = out_of_order(attempts)
    twice = sum(max_at_once(some) > 1 for some in by_job(attempts).values())
    console.print(
        f"kills: {KILLS} kills, {len(ended & set(job_ids))} of {len(job_ids)} jobs ended, "
        f"{len(attempts) - len(job_ids)} attempts repeated, {disorder} out of order, {twice} run twice at once"
    )
    return set(job_ids) <= ended and disorder == 0 and twice == 0


def _kill_often(
    running: subprocess.Popen[bytes], start: Callable[[], subprocess.Popen[bytes]], records: Path, jobs: int
) -> subprocess.Popen[bytes]:
    """Kill a process of the worker each time that another part of the jobs has ended. Returns the worker that runs then."""
    source = random.Random(1)
    for number in range(1, KILLS + 1):
        goal = jobs * number // (KILLS + 1) + source.randint(-50, 50)
        while _count_ends(records) < goal:
            if running.poll() is not None:
                running = start()
            time.sleep(0.01)
        os.kill(source.choice([running.pid, *descendants(running.pid)]), signal.SIGKILL)
    return running


def _warm_up(lanes: Lanes, records: Path, processes: int) -> None:
    """Wait until each process of the worker has run a job."""
    while len(list(records.glob("*.records"))) < processes:
        enqueue(lanes, [f"warm{n}" for n in range(4)], "wait", b"0.05")
        wait_until(lambda: _no_lanes(lanes), 60, "the worker starts")
    for path in records.glob("*.records"):
        path.write_text("")


def _no_lanes(lanes: Lanes) -> bool:
    return lanes.client.zcard(lanes.keys.lanes) == 0


def _count_ends(records: Path) -> int:
    return sum(path.read_text().count("end ") for path in records.glob("*.records"))


def _folder(on: Servers, name: str) -> Path:
    folder = on.folder / name
    folder.mkdir()
    os.environ[RECORDS_VARIABLE] = str(folder)
    return folder


def main() -> None:
    """Run the scenarios on the command line, or all."""
    scenarios: dict[str, Callable[[Servers], bool]] = {"waits": waits, "fairness": fairness, "kills": kills}
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help=", ".join(scenarios))
    chosen = parser.parse_args().scenarios or list(scenarios)
    if unknown := set(chosen) - set(scenarios):
        parser.error(f"unknown: {', '.join(unknown)}")
    with servers() as on:
        results = [scenarios[name](on) for name in chosen]
    sys.exit(not all(results))


if __name__ == "__main__":
    main()

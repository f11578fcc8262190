"""What the system promises under load, seen and printed; exits with 1 if a target is missed.

    python -m bench.behaviour [waits] [fairness] [kills]

waits     1,000 requests of 100 users whose async handler waits 1 s, on 2 processes with 100 async jobs each
fairness  a user with one job behind another user's 50,000 queued jobs of 5 ms each
kills     `kill -9` of the worker's processes at random, 20 times, while 5,000 jobs of 50 users run
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
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rich.console import Console

from bench.processes import Servers, enqueue, fresh_lanes, servers, wait_until, worker
from laneway.lanes.store import Lanes

console = Console(width=110)
HANDLERS = "bench.noting"
SLOTS = 5
KILLS = 20
LIMIT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a handler noted: times in seconds of this machine's monotonic clock; `end` None if its process was killed."""

    user: str
    job_id: str
    start: float
    end: float | None


def attempts(folder: Path) -> list[Attempt]:
    """All attempts that handlers noted, in order of their start."""
    found: dict[tuple[str, str], list[float]] = {}
    users: dict[tuple[str, str], str] = {}
    for path in folder.glob("*.notes"):
        for line in path.read_text().splitlines():
            what, user, job_id, attempt, time_ns = line.split()
            key = (job_id, attempt + path.name)
            users[key] = user
            found.setdefault(key, []).append(int(time_ns) / 1e9) if what == "start" else found[key].append(
                int(time_ns) / 1e9
            )
    all_ = [
        Attempt(users[key], key[0], times[0], times[1] if len(times) > 1 else None)
        for key, times in found.items()
    ]
    return sorted(all_, key=lambda one: one.start)


def most_at_once(spans: list[Attempt]) -> int:
    edges = sorted([(one.start, 1) for one in spans] + [(one.end or one.start, -1) for one in spans])
    now = most = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


def out_of_order(spans: list[Attempt]) -> int:
    """Pairs of a lane's jobs of which the later accepted was first started first (ids sort by acceptance)."""
    lanes: dict[str, list[str]] = defaultdict(list)
    seen: set[str] = set()
    for one in spans:
        if one.job_id not in seen:
            seen.add(one.job_id)
            lanes[one.user].append(one.job_id)
    return sum(a > b for ids in lanes.values() for a, b in pairwise(ids))


def most_of_a_lane(spans: list[Attempt]) -> int:
    lanes: dict[str, list[Attempt]] = defaultdict(list)
    for one in spans:
        lanes[one.user].append(one)
    return max(most_at_once(of_lane) for of_lane in lanes.values())


def _ready(lanes: Lanes, notes: Path, processes: int) -> None:
    """Until each process of the worker has run a job."""
    while len(list(notes.glob("*.notes"))) < processes:
        enqueue(lanes, [f"warm{n}" for n in range(4)], "wait", b"0.05")
        wait_until(lambda: lanes.client.zcard(lanes.keys.lanes) == 0, 60, "the worker")
    for path in notes.glob("*.notes"):
        path.write_text("")


def waits(on: Servers) -> bool:
    lanes, notes = fresh_lanes(on), _folder(on, "waits")
    with worker(on, lanes.keys, handlers=HANDLERS, async_jobs=100):
        _ready(lanes, notes, 2)
        start = time.monotonic()
        enqueue(lanes, [f"user{n % 100}" for n in range(1000)], "wait", b"1")
        wait_until(lambda: lanes.client.zcard(lanes.keys.lanes) == 0, LIMIT_SECONDS, "the jobs")
        seconds = time.monotonic() - start
    spans = attempts(notes)
    most, lane, disorder = most_at_once(spans), most_of_a_lane(spans), out_of_order(spans)
    console.print(
        f"waits: {len(spans)} jobs of 1 s in {seconds:.2f} s (target: under 10; 200 slots allow 5), {most} at once, "
        f"{lane} of a lane at once (cap {SLOTS}), {disorder} out of order"
    )
    return len(spans) == 1000 and seconds < 10 and lane <= SLOTS and disorder == 0


def fairness(on: Servers) -> bool:
    lanes, notes = fresh_lanes(on), _folder(on, "fairness")
    with worker(on, lanes.keys, handlers=HANDLERS):
        _ready(lanes, notes, 2)
        enqueue(lanes, ["heavy"] * 50_000, "work", b"0.005", together=500)
        sent = time.monotonic()
        [job_id] = enqueue(lanes, ["light"], "work", b"0.005")
        wait_until(
            lambda: any(job_id in path.read_text() for path in notes.glob("*.notes")),
            60,
            "the light user's job",
        )
        left = lanes.client.zcard(lanes.keys.prefix + "lane:heavy")
    [started] = [one.start for one in attempts(notes) if one.job_id == job_id]
    console.print(
        f"fairness: started {started - sent:.3f} s after it was accepted (target: under 1), behind {left:,} jobs of another user"
    )
    return started - sent < 1 and int(left) > 10_000


def kills(on: Servers) -> bool:
    lanes, notes, random_ = fresh_lanes(on), _folder(on, "kills"), random.Random(1)
    settings = {"handlers": HANDLERS, "lease_seconds": 5, "max_attempts": 50}
    with ExitStack() as stack:
        running = stack.enter_context(worker(on, lanes.keys, **settings))
        _ready(lanes, notes, 2)
        job_ids = enqueue(lanes, [f"user{n % 50}" for n in range(5000)], "work", b"0.004")
        killed = 0
        for count in range(1, KILLS + 1):  # spread over the run, each while jobs are being worked on
            goal = len(job_ids) * count // (KILLS + 1) + random_.randint(-50, 50)
            while _ends(notes) < goal:
                if running.poll() is not None:
                    running = stack.enter_context(worker(on, lanes.keys, **settings))
                time.sleep(0.01)
            os.kill(random_.choice(list(_family(running.pid))), signal.SIGKILL)
            killed += 1
        if running.poll() is not None or lanes.client.zcard(lanes.keys.lanes):
            running.terminate()
            stack.enter_context(worker(on, lanes.keys, **settings))
        wait_until(lambda: lanes.client.zcard(lanes.keys.lanes) == 0, LIMIT_SECONDS, "the jobs")
        wait_until(lambda: lanes.client.llen(lanes.keys.outbox) == 0, 60, "the history")
    spans = attempts(notes)
    ended = {one.job_id for one in spans if one.end is not None}
    disorder = out_of_order(spans)
    twice = sum(1 for ids in _by_job(spans).values() if most_at_once(ids) > 1)
    console.print(
        f"kills: {killed} kills, {len(ended & set(job_ids))} of {len(job_ids)} jobs ended, {len(spans) - len(job_ids)} attempts repeated, "
        f"{disorder} out of order, {twice} run twice at once"
    )
    return killed == KILLS and set(job_ids) <= ended and disorder == 0 and twice == 0


def _by_job(spans: list[Attempt]) -> dict[str, list[Attempt]]:
    jobs: dict[str, list[Attempt]] = defaultdict(list)
    for one in spans:
        jobs[one.job_id].append(one)
    return jobs


def _ends(notes: Path) -> int:
    return sum(path.read_text().count("end ") for path in notes.glob("*.notes"))


def _family(pid: int) -> Iterator[int]:
    yield pid
    for child in subprocess.run(
        ["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split():
        yield from _family(int(child))


def _folder(on: Servers, name: str) -> Path:
    folder = on.folder / name
    folder.mkdir()
    os.environ["BENCH_NOTES"] = str(folder)
    return folder


def main() -> None:
    scenes: dict[str, Callable[[Servers], bool]] = {"waits": waits, "fairness": fairness, "kills": kills}
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("scenes", nargs="*", metavar="scene", help=", ".join(scenes))
    chosen = parser.parse_args().scenes or list(scenes)
    if unknown := set(chosen) - set(scenes):
        parser.error(f"unknown: {', '.join(unknown)}")
    with servers() as on:
        results = [scenes[name](on) for name in chosen]
    sys.exit(not all(results))


if __name__ == "__main__":
    main()

"""What a job costs another version of this system and this one: `python -m bench.versions FOLDER`, five minutes.

FOLDER holds a checkout of the other version, with what it needs installed in FOLDER/.venv. Both versions process the same backlog of
no-op jobs, one after the other, with 2 processes and on the same servers; they take turns in being first.

The figures are the processor time of each process, from when some jobs have ended until the history has all of them, and jobs a
second. Other programs make both worse: they empty the caches and hold up Redis's syncs. So each figure is the best of all rounds, and
the last column is the median of the rounds' own ratios. Where the two differ much, the machine was too busy.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from rich.console import Console
from rich.table import Table

from bench.processes import ROOT, Servers, descendants, process, servers, wait_until

FIRST_NAME = "services"
"""The name of the package before it was called laneway. Its settings began with QUEUE_ then."""
LIMIT_SECONDS = 180
PARTS = ("pool processes", "lease keeper", "rest of the worker", "Redis", "MongoDB")
ALL = "worker and Redis"
RATE = "jobs a second"
FILL = """
import importlib, secrets, sys
package, url, name, jobs, users = *sys.argv[1:4], *map(int, sys.argv[4:])
commands, keys, model, store = (
    importlib.import_module(package + ".lanes." + module) for module in ("commands", "keys", "model", "store"))
lanes = store.Lanes(store.connect(url, timeout_seconds=30), keys.Keys(name))
for first in range(0, jobs, 100):
    lanes.run_all([
        commands.Enqueue(f"user{n % users}", [model.NewJob(secrets.token_hex(6), "echo", b'{"a":1}', 3)])
        for n in range(first, min(jobs, first + 100))])
print(lanes.keys.lanes, getattr(lanes.keys, "outbox", None) or lanes.keys.done)
"""


@dataclass(frozen=True, slots=True)
class Version:
    """A checkout of this system and how its programs are called."""

    folder: Path
    python: Path | str
    package: str
    settings: str

    @classmethod
    def at(cls, folder: Path) -> Version:
        """Return the version in a folder. Exits if its environment is missing."""
        python = folder / ".venv/bin/python"
        if not python.exists():
            sys.exit(f"{python} does not exist: install what that version needs into {folder}/.venv")
        if (folder / "services/laneway").exists():
            return cls(folder, python, "laneway", "LANEWAY_")
        return cls(folder, python, FIRST_NAME, "QUEUE_")


def drain(version: Version, on: Servers, name: str, jobs: int, users: int) -> dict[str, float]:
    """Process a backlog under the key prefix `name`. Return the microseconds a job by part, and the jobs a second."""
    filled = subprocess.run(
        [version.python, "-c", FILL, version.package, on.redis.url, name, str(jobs), str(users)],
        cwd=version.folder,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    lanes, outbox = filled.stdout.split()
    lane = f"{lanes.removesuffix('lanes')}lane:user"
    settings = {
        "REDIS_URL": on.redis.url,
        "MONGO_URL": on.mongo.url,
        "MONGO_DATABASE": name,
        "KEY_PREFIX": name,
        "WORKER_PROCESSES": "2",
        "WORKER_METRICS_PORT": "0",
    }
    with (
        Redis.from_url(on.redis.url) as client,
        process(
            [str(version.python), "-m", f"{version.package}.worker"],
            on.folder / f"{name}.log",
            {version.settings + setting: value for setting, value in settings.items()},
            cwd=version.folder,
        ) as running,
    ):

        def left() -> int:
            counts = client.pipeline(transaction=False)
            for user in range(users):
                counts.zcard(f"{lane}{user}")
            return sum(counts.execute())

        wait_until(lambda: client.zcard(lane + "0") < jobs // users, LIMIT_SECONDS, "the first jobs end")
        before, began, counted = used(on, running.pid), time.monotonic(), left()
        wait_until(
            lambda: client.zcard(lanes) == client.llen(outbox) == 0, LIMIT_SECONDS, "the history has all jobs"
        )
        after, seconds = used(on, running.pid), time.monotonic() - began
    costs = {part: (after[part] - before[part]) / 1000 / counted for part in PARTS}
    costs[ALL] = sum(costs[part] for part in PARTS if part != "MongoDB")
    costs[RATE] = counted / seconds
    return costs


def used(on: Servers, worker: int) -> Counter[str]:
    """Return the processor time of each part so far, in nanoseconds."""
    times = Counter({"Redis": processor_ns(on.redis.pid), "MongoDB": processor_ns(on.mongo.pid)})
    for pid in (worker, *descendants(worker)):
        if b"keeper" in Path(f"/proc/{pid}/cmdline").read_bytes():
            part = "lease keeper"
        else:
            part = "rest of the worker" if descendants(pid) else "pool processes"
        times[part] += processor_ns(pid)
    return times


def processor_ns(pid: int) -> int:
    """Return the processor time of a process, without its children, in nanoseconds: /proc has it in hundredths of a second."""
    return time.clock_gettime_ns(~pid << 3 | 2)  # as clock_getcpuclockid(3) makes it


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    other, this = versions = Version.at(options.folder.resolve()), Version.at(ROOT)
    rounds: list[dict[Version, dict[str, float]]] = []
    with servers() as on:
        for number in range(options.rounds):
            rounds.append({})
            for version in versions if number % 2 else reversed(versions):
                name = f"bench{number}{'this' if version is this else 'other'}"
                rounds[-1][version] = drain(version, on, name, options.jobs, options.users)
    Console().print(_table([(one[other], one[this]) for one in rounds]))


def _table(rounds: list[tuple[dict[str, float], dict[str, float]]]) -> Table:
    """Return the table of what both versions cost in each round, the other version first, and of how fast they were."""
    table = Table("us a job", "other", "this", "ratio", "median ratio")
    for column in table.columns[1:]:
        column.justify = "right"
    for part in (*PARTS, ALL, RATE):
        best = max if part == RATE else min
        before, after = (best(costs[part] for costs in side) for side in zip(*rounds, strict=True))
        ratio = statistics.median(this[part] / other[part] for other, this in rounds)
        table.add_row(part, f"{before:,.2f}", f"{after:,.2f}", f"{after / before:.3f}", f"{ratio:.3f}")
    return table


if __name__ == "__main__":
    main()

"""What attackers do to a bystander: how long the bystander's enqueue and log-in take while they attack.

    python -m bench.attack [--seconds 5] [--before FOLDER --before-module services.api --before-prefix QUEUE_]

The attackers run in a process of their own, at low priority, and come from another address: they are on other machines in the
field, and must not take the bystander's processor. `--before` measures another tree beside this one, for example an older
release: its folder, the module that runs its API, and the first part of its settings' names. Its own Python is used if it has one.

The output is Markdown: what was measured and when, then the table, as docs/operations.md has it.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx

from bench.attacks import ATTACKS, VICTIM, Target, run
from laneway.dev import embedded
from laneway.dev.embedded import free_port
from laneway.lanes.store import connect

BYSTANDER = {"username": "bystander", "password": "correct horse battery"}
ATTACKER = {"username": "attacker", "password": "correct horse battery"}
REDIS_BYTES = 60_000_000
CALL_SECONDS = 10.0
LOG_IN_PAUSE_SECONDS = 0.2
SETTLE_SECONDS = 1.0


@dataclass(slots=True)
class Times:
    """Seconds of calls that were answered as they should be, and how many were not."""

    enqueue: list[float] = field(default_factory=list)
    log_in: list[float] = field(default_factory=list)
    enqueue_refused: int = 0
    log_in_refused: int = 0


@dataclass(frozen=True, slots=True)
class Code:
    """A tree to measure, the module that runs its API, and the first part of its settings' names."""

    tree: Path
    module: str
    prefix: str


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--before", type=Path, metavar="FOLDER")
    parser.add_argument("--before-module", default="services.api")
    parser.add_argument("--before-prefix", default="QUEUE_")
    options = parser.parse_args()
    codes = {"now": Code(Path(__file__).parents[1], "laneway.api", "LANEWAY_")}
    if options.before:
        codes = {"before": Code(options.before, options.before_module, options.before_prefix), **codes}
    for line in origin(codes, options.seconds):
        print(line)
    print(
        "\n| attack | code | enqueue p50 | p99 | refused | log-in p50 | p99 | refused |\n" + "|---" * 8 + "|"
    )
    for name in ATTACKS:
        for label, code in codes.items():
            with fresh_servers() as (redis_url, mongo_url), serving(code, redis_url, mongo_url) as target:
                times = asyncio.run(measure(target, name, options.seconds))
            cells = [
                *quantiles(times.enqueue),
                _share(times.enqueue_refused, times.enqueue),
                *quantiles(times.log_in),
                _share(times.log_in_refused, times.log_in),
            ]
            print(f"| {name} | {label} | {' | '.join(cells)} |", flush=True)


def origin(codes: Mapping[str, Code], seconds: float) -> Iterator[str]:
    """Yield what was measured, when and on what, as Markdown."""
    trees = (f"`{label}` is {_commit(code.tree)}" for label, code in codes.items())
    yield f"Measured on {datetime.now(UTC):%Y-%m-%d} with {os.cpu_count()} processors and one API process,"
    yield f"{seconds:g} s for each attack; {', '.join(trees)}."


def _commit(tree: Path) -> str:
    """Return the commit of a tree and its date."""
    git = ["git", "-C", str(tree), "log", "-1", "--format=commit %h of %cs"]
    found = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return found or "no commit"


@contextmanager
def fresh_servers() -> Iterator[tuple[str, str]]:
    """Start a Redis with little memory, which an attacker can fill, and a MongoDB; yield their URLs."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        with (
            embedded.valkey(data / "redis", appendfsync="everysec") as redis,
            embedded.mongo(data / "mongo") as mongo,
        ):
            with connect(redis.url) as client:
                client.config_set("maxmemory", REDIS_BYTES)
            yield redis.url, mongo.url


def _share(refused: int, answered: list[float]) -> str:
    return f"{refused} of {refused + len(answered):,}"


def quantiles(seconds: list[float]) -> tuple[str, str]:
    """Return the median and the 99th percentile in milliseconds."""
    if len(seconds) < 2:
        return "-", "-"
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return f"{cuts[49] * 1000:.1f} ms", f"{cuts[98] * 1000:.1f} ms"


@contextmanager
def serving(code: Code, redis_url: str, mongo_url: str) -> Iterator[Target]:
    """Start the API with its users, and yield it."""
    port, metrics_port, name = free_port(), free_port(), "b" + secrets.token_hex(4)
    settings = {
        "REDIS_URL": redis_url,
        "MONGO_URL": mongo_url,
        "MONGO_DATABASE": name,
        "MONGO_TIMEOUT_SECONDS": "10",
        "KEY_PREFIX": name,
        "JWT_SECRET": secrets.token_hex(32),
        "API_PORT": str(port),
        "API_METRICS_PORT": str(metrics_port),
        "API_PROCESSES": "1",
    }
    environment = {f"{code.prefix}{key}": value for key, value in settings.items()}
    own_python = code.tree / ".venv/bin/python"
    process = subprocess.Popen(
        [own_python if own_python.exists() else sys.executable, "-m", code.module],
        cwd=code.tree,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(url)
        for account in (BYSTANDER, VICTIM, ATTACKER):
            httpx.post(f"{url}/api/register", json=account, timeout=30).raise_for_status()
        tokens = [
            httpx.post(f"{url}/api/login", json=account, timeout=30).json()["token"]
            for account in (BYSTANDER, ATTACKER)
        ]
        metrics = f"http://127.0.0.1:{metrics_port}/metrics"
        yield Target(url, metrics if _answers(metrics) else f"{url}/metrics", *tokens)
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + 60
    while not _answers(f"{url}/readyz"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} is not ready")
        time.sleep(0.1)


async def measure(target: Target, attack: str, seconds: float) -> Times:
    """Attack, and measure the bystander's calls and the victim's log-ins meanwhile."""
    times = Times()
    attackers = multiprocessing.get_context("spawn").Process(target=run, args=(attack, target), daemon=True)
    attackers.start()
    try:
        await asyncio.sleep(SETTLE_SECONDS)
        deadline = time.monotonic() + seconds
        async with httpx.AsyncClient(timeout=CALL_SECONDS) as client:
            await asyncio.gather(
                _enqueue(client, target, times, deadline), _log_in(client, target, times, deadline)
            )
    finally:
        attackers.kill()
        attackers.join()
    return times


async def _enqueue(client: httpx.AsyncClient, target: Target, times: Times, deadline: float) -> None:
    while time.monotonic() < deadline:
        if seconds := await _time(client, f"{target.url}/api/enqueue", {"request": 1}, target.headers):
            times.enqueue.append(seconds)
        else:
            times.enqueue_refused += 1
        await asyncio.sleep(0.005)


async def _log_in(client: httpx.AsyncClient, target: Target, times: Times, deadline: float) -> None:
    while time.monotonic() < deadline:
        if seconds := await _time(client, f"{target.url}/api/login", VICTIM):
            times.log_in.append(seconds)
        else:
            times.log_in_refused += 1
        await asyncio.sleep(LOG_IN_PAUSE_SECONDS)


async def _time(
    client: httpx.AsyncClient, url: str, body: object, headers: dict[str, str] | None = None
) -> float | None:
    """Return how long a call took; None if it was refused, or not answered within CALL_SECONDS."""
    started = time.perf_counter()
    with suppress(httpx.TransportError):
        if (await client.post(url, json=body, headers=headers)).status_code == 200:
            return time.perf_counter() - started
    return None


if __name__ == "__main__":
    main()

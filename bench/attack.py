"""What attackers do to a bystander: how long the bystander's enqueue and log-in take while they attack.

    python -m bench.attack [--seconds 5] [--tree FOLDER --module services.api --prefix QUEUE_]

The attacks: 16 connections guess the bystander's password, 64 scrape the metrics, 20 ask for large pages and read nothing.
The second form measures another tree, for example an older release: its folder, the module that runs its API, and the first part
of its settings' names. Its own Python is used if it has one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from laneway.dev import embedded
from laneway.dev.embedded import free_port

BYSTANDER = {"username": "bystander", "password": "correct horse battery"}
VICTIM = {"username": "victim", "password": "correct horse battery"}
LOG_IN_PAUSE_SECONDS = 0.2
SETTLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """The API under attack."""

    url: str
    metrics_url: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """What authorizes the bystander."""
        return {"authorization": f"Bearer {self.token}"}


@dataclass(slots=True)
class Times:
    """Seconds of the bystander's calls that were answered as they should be, and how many were not."""

    enqueue: list[float]
    log_in: list[float]
    refused: int = 0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--tree", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--module", default="laneway.api")
    parser.add_argument("--prefix", default="LANEWAY_")
    options = parser.parse_args()
    print("| attack | enqueue p50 | p99 | log-in p50 | p99 | refused |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        with (
            embedded.valkey(data / "redis", appendfsync="everysec") as redis,
            embedded.mongo(data / "mongo") as mongo,
        ):
            for name, attack in ATTACKS.items():
                with serving(options, redis.url, mongo.url) as target:
                    times = asyncio.run(measure(target, attack, options.seconds))
                cells = [*quantiles(times.enqueue), *quantiles(times.log_in), str(times.refused)]
                print(f"| {name} | {' | '.join(cells)} |", flush=True)


def quantiles(seconds: list[float]) -> tuple[str, str]:
    """Return the median and the 99th percentile in milliseconds."""
    if len(seconds) < 2:
        return "-", "-"
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return f"{cuts[49] * 1000:.1f} ms", f"{cuts[98] * 1000:.1f} ms"


@contextmanager
def serving(options: argparse.Namespace, redis_url: str, mongo_url: str) -> Iterator[Target]:
    """Start the tree's API with a bystander and a victim, and yield it."""
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
    environment = {f"{options.prefix}{key}": value for key, value in settings.items()}
    own_python = options.tree / ".venv/bin/python"
    process = subprocess.Popen(
        [own_python if own_python.exists() else sys.executable, "-m", options.module],
        cwd=options.tree,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(url)
        for account in (BYSTANDER, VICTIM):
            httpx.post(f"{url}/api/register", json=account, timeout=30).raise_for_status()
        token = httpx.post(f"{url}/api/login", json=BYSTANDER, timeout=30).json()["token"]
        metrics = f"http://127.0.0.1:{metrics_port}/metrics"
        yield Target(url, metrics if _answers(metrics) else f"{url}/metrics", token)
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


async def measure(target: Target, attack: Attack, seconds: float) -> Times:
    """Attack, and measure the bystander's calls meanwhile."""
    times = Times([], [])
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(timeout=60, limits=limits) as attackers,
        httpx.AsyncClient(timeout=60) as bystander,
    ):
        attacking = asyncio.create_task(attack(attackers, target))
        await asyncio.sleep(SETTLE_SECONDS)
        deadline = time.monotonic() + seconds
        await asyncio.gather(
            _enqueue(bystander, target, times, deadline), _log_in(bystander, target, times, deadline)
        )
        attacking.cancel()
        with suppress(asyncio.CancelledError):
            await attacking
    return times


async def _enqueue(client: httpx.AsyncClient, target: Target, times: Times, deadline: float) -> None:
    while time.monotonic() < deadline:
        started = time.perf_counter()
        reply = await client.post(f"{target.url}/api/enqueue", json={"request": 1}, headers=target.headers)
        reply.raise_for_status()
        times.enqueue.append(time.perf_counter() - started)
        await asyncio.sleep(0.005)


async def _log_in(client: httpx.AsyncClient, target: Target, times: Times, deadline: float) -> None:
    while time.monotonic() < deadline:
        started = time.perf_counter()
        reply = await client.post(f"{target.url}/api/login", json=VICTIM)
        if reply.status_code == 200:
            times.log_in.append(time.perf_counter() - started)
        else:
            times.refused += 1
        await asyncio.sleep(LOG_IN_PAUSE_SECONDS)


# -- attacks ------------------------------------------------------------------------------------------------------

Attack = Callable[[httpx.AsyncClient, Target], Coroutine[Any, Any, None]]


async def nothing(_client: httpx.AsyncClient, _target: Target) -> None:
    """Leave the API alone."""


async def guess(client: httpx.AsyncClient, target: Target) -> None:
    """Guess the victim's password on 16 connections, without a pause."""

    async def one() -> None:
        while True:
            await client.post(f"{target.url}/api/login", json=VICTIM | {"password": "wrong password"})

    await asyncio.gather(*(one() for _ in range(16)))


async def scrape(client: httpx.AsyncClient, target: Target) -> None:
    """Ask for the metrics on 64 connections, without a pause."""

    async def one() -> None:
        while True:
            await client.get(target.metrics_url)

    await asyncio.gather(*(one() for _ in range(64)))


async def read_nothing(client: httpx.AsyncClient, target: Target) -> None:
    """Ask for a page of large jobs on 20 connections again and again, and read nothing of it."""
    large = {"request": "x" * 200_000}
    for _ in range(40):
        await client.post(f"{target.url}/api/enqueue", json=large, headers=target.headers)
    host, _, port = target.url.removeprefix("http://").partition(":")
    head = f"GET /api/jobs?limit=100 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {target.token}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    while True:
        held = []
        for _ in range(20):
            connection = socket.socket()
            connection.setblocking(False)
            await loop.sock_connect(connection, (host, int(port)))
            await loop.sock_sendall(connection, head)
            held.append(connection)
        await asyncio.sleep(2)
        for connection in held:
            connection.close()


ATTACKS: dict[str, Attack] = {
    "none": nothing,
    "16 guess the user's password": guess,
    "64 scrape the metrics": scrape,
    "20 read nothing": read_nothing,
}

if __name__ == "__main__":
    main()

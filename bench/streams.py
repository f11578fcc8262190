"""Open event streams on one API process: memory and processor time of thousands of them, idle and while events are delivered.

    python -m bench.streams [--streams 5000] [--users 500] [--seconds 20]

Each stream is a `GET /api/events` (server-sent events) of one of the users. Idle, a stream gets a heartbeat every 10 s. Then each user
enqueues one request, which is an event on each of the user's streams. The numbers are those of the API's processes alone.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.enqueue import SECRET, serving
from bench.http_load import post
from bench.memory import pss_by_process
from bench.processes import cpu_seconds
from laneway.api.tokens import Tokens
from laneway.dev import embedded
from laneway.storage.users import Role

OPENED_TOGETHER = 100


class Streams:
    """Open streams, and the events that they have received."""

    def __init__(self) -> None:
        self.connected = self.events = 0
        self.changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, port: int, tokens: list[str], count: int) -> None:
        """Open as many, and wait until all are connected."""
        for first in range(0, count, OPENED_TOGETHER):
            for number in range(first, min(first + OPENED_TOGETHER, count)):
                token = tokens[number % len(tokens)]
                self._tasks.append(asyncio.create_task(self._read(port, token)))
            await self.wait(lambda: self.connected == len(self._tasks))

    async def wait(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(120):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def _read(self, port: int, token: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"GET /api/events HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        while line := await reader.readline():
            if b'"event":"connected"' in line:
                self.connected += 1
            elif b'"event":"state"' in line:
                self.events += 1
            else:
                continue
            self.changed.set()
        raise SystemExit("the API has closed a stream")


def megabytes(parent: int) -> float:
    return sum(size for _, size in pss_by_process(parent))


async def measure(port: int, parent: int, streams: int, users: int, seconds: float) -> None:
    signer = Tokens({"1": SECRET.encode()}, "1", seconds=3600)
    tokens = [signer.issue(f"user{number}", Role.USER) for number in range(users)]
    empty, opened, before = megabytes(parent), Streams(), cpu_seconds(parent)
    started = time.monotonic()
    await opened.open(port, tokens, streams)
    took, used = time.monotonic() - started, cpu_seconds(parent) - before
    full = megabytes(parent)
    print(
        f"opened {streams} streams of {users} users in {took:.1f} s, {1e6 * used / streams:.0f} us of processor time each"
    )
    print(
        f"memory {empty:.0f} MB without, {full:.0f} MB with them: {1000 * (full - empty) / streams:.1f} kB a stream"
    )
    before = cpu_seconds(parent)
    await asyncio.sleep(seconds)
    print(f"idle, with heartbeats: {100 * (cpu_seconds(parent) - before) / seconds:.1f} % of a processor")
    before, started = cpu_seconds(parent), time.monotonic()
    expected = opened.events + streams
    for first in range(0, users, OPENED_TOGETHER):
        await asyncio.gather(*(_enqueue(port, token) for token in tokens[first : first + OPENED_TOGETHER]))
    await opened.wait(lambda: opened.events >= expected)
    took, used = time.monotonic() - started, cpu_seconds(parent) - before
    print(
        f"{users} requests, {streams} events delivered in {took:.1f} s: {1e6 * used / streams:.0f} us of processor time an event"
    )


async def _enqueue(port: int, token: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(post("/api/enqueue", token, b'{"request":1}'))
    status = await reader.readline()
    writer.close()
    if b" 200 " not in status:
        raise SystemExit(f"enqueue answered {status!r}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=5000)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    wanted = arguments.streams + 500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    with (
        tempfile.TemporaryDirectory(prefix="laneway-bench-") as folder,
        embedded.valkey(Path(folder) / "redis") as redis,
        serving([sys.executable, "-m", "laneway.api"], redis.url, "streams") as (port, parent, _),
    ):
        asyncio.run(measure(port, parent, arguments.streams, arguments.users, arguments.seconds))


if __name__ == "__main__":
    main()

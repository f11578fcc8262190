"""The phases of a producer, the same for every peer. The producer's last line is a JSON object with what it did.

- `fill`      as fast as the library can, in its own batches: prepares a backlog and is not measured
- `awaiting`  one job after another, each awaited
- `idle`      one job after another, each when the one before has started and 5 to 25 ms have passed
- `paced`     at a fixed rate; what is due together is sent together
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import records

BATCH = 500
START_LIMIT_SECONDS = 10

Job = tuple[int, dict[str, str]]
Send = Callable[[int, dict[str, str]], Awaitable[object]]
SendAll = Callable[[list[Job]], Awaitable[object]]


async def produce(send: Send, send_all: SendAll) -> None:
    """Run the phase that the command line names. `send` enqueues one job of a user, `send_all` many at once."""
    options = _options()
    phases = {
        "fill": lambda: _fill(options, send_all),
        "awaiting": lambda: _awaiting(options, send),
        "idle": lambda: _idle(options, send),
        "paced": lambda: _paced(options, send_all),
    }
    start = time.monotonic()
    lost = await phases[options.phase]()
    print(json.dumps({"sent": options.jobs, "seconds": time.monotonic() - start, "lost": lost}), flush=True)


async def each(send: Send, batch: list[Job]) -> None:
    """Send a batch with a library that has no call for many: all at once, each by itself."""
    await asyncio.gather(*(send(user, data) for user, data in batch))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--phase", required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--users", type=int, required=True)
    parser.add_argument("--first-user", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    return parser.parse_args()


def _job(user: int, number: int) -> Job:
    return user, records.payload(time.monotonic(), user, number)


async def _fill(options: argparse.Namespace, send_all: SendAll) -> int:
    for first in range(0, options.jobs, BATCH):
        numbers = range(first, min(options.jobs, first + BATCH))
        await send_all([_job(options.first_user + number % options.users, number) for number in numbers])
    return 0


async def _awaiting(options: argparse.Namespace, send: Send) -> int:
    for number in range(options.jobs):
        await send(*_job(options.first_user + number % options.users, number))
    return 0


async def _idle(options: argparse.Namespace, send: Send) -> int:
    folder, lost = Path(os.environ["BENCH_RECORDS"]), 0
    for number in range(options.jobs):
        before = records.count(folder)
        await send(*_job(options.first_user + random.randrange(options.users), number))
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while records.count(folder) <= before:
            if time.monotonic() > deadline:
                lost += 1
                break
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.005 + random.random() * 0.02)
    return lost


async def _paced(options: argparse.Namespace, send_all: SendAll) -> int:
    start, sent = time.monotonic(), 0
    pending: list[asyncio.Task[object]] = []
    while sent < options.jobs:
        due = min(options.jobs, int((time.monotonic() - start) * options.rate) + 1)
        if due > sent:
            batch = [
                _job(options.first_user + random.randrange(options.users), number)
                for number in range(sent, due)
            ]
            pending.append(asyncio.ensure_future(send_all(batch)))
            sent = due
        await asyncio.sleep(0.001)
    await asyncio.gather(*pending)
    return 0

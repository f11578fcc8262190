"""Enqueues as the API does: one script call a job, concurrent ones in one round trip."""

from __future__ import annotations

import asyncio
import os
import secrets

import orjson
import producing

from laneway.lanes.commands import Enqueue, EnqueueLimits
from laneway.lanes.keys import Keys
from laneway.lanes.model import NewJob
from laneway.lanes.store import AsyncLanes, connect_async

LIMITS = EnqueueLimits(lane_length=10_000_000, backlog=10_000_000)


def command(user: int, data: dict[str, str]) -> Enqueue:
    return Enqueue(f"u{user}", [NewJob(secrets.token_hex(6), "noop", orjson.dumps(data), 3)], LIMITS)


async def main() -> None:
    client = connect_async(os.environ["BENCH_REDIS_URL"], timeout_seconds=60)
    lanes = AsyncLanes(client, Keys("bench"))
    await producing.produce(
        lambda user, data: lanes.run(command(user, data)),
        lambda batch: lanes.run_all([command(user, data) for user, data in batch]),
    )
    await client.aclose()


asyncio.run(main())

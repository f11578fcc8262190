"""Enqueues as the API does: one script call a job, concurrent ones in one round trip.

`BENCH_TYPE` names the handler and `BENCH_MILLISECONDS` how long it takes; without them jobs do nothing.
"""

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
TYPE = os.environ.get("BENCH_TYPE", "noop")
MORE = {"milliseconds": int(os.environ["BENCH_MILLISECONDS"])} if "BENCH_MILLISECONDS" in os.environ else {}


def command(user: int, data: dict[str, str]) -> Enqueue:
    request = orjson.dumps({**data, **MORE})
    return Enqueue(f"u{user}", [NewJob(secrets.token_hex(6), TYPE, request, 3)], LIMITS)


async def main() -> None:
    client = connect_async(os.environ["BENCH_REDIS_URL"], timeout_seconds=60)
    lanes = AsyncLanes(client, Keys("bench"))
    await producing.produce(
        lambda user, data: lanes.run(command(user, data)),
        lambda batch: lanes.run_all([command(user, data) for user, data in batch]),
    )
    await client.aclose()


asyncio.run(main())

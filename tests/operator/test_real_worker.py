"""What the operator learns of a real worker: by asking it, and from what it writes to Redis."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from laneway.lanes.store import AsyncLanes, connect_async
from laneway.operator.cluster import Pod
from laneway.operator.deletion_cost import ask, costs
from laneway.operator.observe import Enough, Reading, read
from laneway.scaling import PoolSpec
from tests.worker.running import System, fresh, running, wait_for

HERE = Pod("pod", "1", socket.gethostname(), "127.0.0.1", ready=True, leaving=False, cost=0)


def look(system: System) -> Reading:
    async def run() -> Reading:
        client = connect_async(system.redis_url)
        try:
            return await read(AsyncLanes(client, system.keys), Enough(100, 100), horizon_seconds=30)
        finally:
            await client.aclose()

    return asyncio.run(run())


def test_a_busy_worker_is_dear_and_an_idle_one_is_not(redis_url: str, tmp_path: Path) -> None:
    spec = PoolSpec(0, 3, 2)
    with fresh(redis_url, tmp_path) as system, running(system) as worker:
        assert asyncio.run(ask([HERE], worker.port)) == {"pod": 0}
        user = system.user(slots=2)
        jobs = system.enqueue(user, "sleep", {"seconds": 4}, {"seconds": 4})
        wait_for(lambda: len(look(system).jobs) == 2)
        reading, counts = look(system), asyncio.run(ask([HERE], worker.port))
        assert counts == {"pod": 2}
        assert set(reading.ages) == {HERE.host}
        assert all(0 <= age < 4 for age in reading.ages[HERE.host])
        assert costs([HERE], counts, reading.ages, spec, 0.1, 1000) == {"pod": 2}
        assert reading.load({HERE.host}, 30, None).leaving == 2
        system.ended(user, jobs)
        wait_for(lambda: asyncio.run(ask([HERE], worker.port)) == {"pod": 0})
        assert look(system).sizes.leases == 0

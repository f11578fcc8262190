"""The survey of all lanes: how many there are and how many jobs they hold, at a bounded cost."""

from __future__ import annotations

from dataclasses import dataclass

from laneway.lanes.commands import InspectLanes
from laneway.lanes.store import AsyncLanes

PAGE_LANES, MAX_LANES = 500, 10_000
"""Lanes read in one script call, and in all. With more lanes the number of jobs is extrapolated."""


@dataclass(frozen=True, slots=True)
class LaneSizes:
    """The sizes at one moment. `jobs` is extrapolated when only `inspected` of `lanes` were read."""

    lanes: int
    ring: int
    leases: int
    retries: int
    turns: int
    backlog: int
    jobs: int
    inspected: int


async def read_sizes(lanes: AsyncLanes) -> LaneSizes:
    """Count the entries of the keys, and the jobs of up to `MAX_LANES` lanes. Raises StoreUnavailable and RedisError."""
    keys = lanes.keys
    async with lanes.client.pipeline(transaction=False) as pipeline:
        for key in (keys.lanes, keys.ring, keys.leases, keys.retries):
            pipeline.zcard(key)
        pipeline.llen(keys.turns)
        pipeline.llen(keys.outbox)
        count, ring, leases, retries, turns, backlog = await pipeline.execute()
    jobs = inspected = 0
    after = ""
    while inspected < MAX_LANES and (page := await lanes.run(InspectLanes(after, PAGE_LANES))):
        jobs += sum(line.jobs for line in page)
        inspected += len(page)
        after = page[-1].user
        if len(page) < PAGE_LANES:
            break
    if inspected >= MAX_LANES:
        jobs = jobs * max(count, inspected) // inspected
    return LaneSizes(count, ring, leases, retries, turns, backlog, jobs, inspected)

"""The survey of all lanes: how many there are, how many jobs they hold, and how many of those could run now.

Lanes are read PAGE_LANES at a time: at some 4 us a lane a script call takes well under a millisecond, and Redis serves others
in between. After MAX_LANES, or once the caller knows enough, the rest is extrapolated; `inspected` says how many were read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from redis.exceptions import RedisError

from laneway.delivery_lanes import is_delivery_lane
from laneway.lanes.commands import InspectLanes, InspectTypes
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.model import LaneLine, TypeUse, us_of
from laneway.lanes.store import AsyncLanes

PAGE_LANES, MAX_LANES = 100, 10_000
"""Lanes read in one script call, and in all."""


@dataclass(frozen=True, slots=True)
class LaneSizes:
    """The sizes at one moment. `jobs` is extrapolated when only `inspected` of `lanes` were read."""

    lanes: int
    ring: int
    leases: int
    retries: int
    delayed: int
    """Delayed jobs before they enter their lanes. `jobs` does not include them."""
    turns: int
    outbox: int
    jobs: int = 0
    inspected: int = 0
    deliveries: int = 0
    """The jobs among them that are deliveries to webhooks, extrapolated like these."""
    limited: tuple[TypeUse, ...] = ()
    """The limited types."""


@dataclass(slots=True)
class LaneTotals:
    """Sums over the lanes that were read."""

    inspected: int = 0
    jobs: int = 0
    usable: int = 0
    """How many processes could work on them now."""
    startable: int = 0
    """Jobs of lanes that are not paused."""
    taken_in_paused: int = 0
    """Taken slots of paused lanes."""
    users_waiting: int = 0
    deliveries: int = 0
    """Jobs that are deliveries to webhooks."""

    def add(self, line: LaneLine) -> None:
        """Add one lane."""
        self.inspected += 1
        self.jobs += line.jobs
        self.usable += line.usable
        self.users_waiting += line.jobs > line.taken
        if is_delivery_lane(line.user):
            self.deliveries += line.jobs
        if line.slots:
            self.startable += line.jobs
        else:
            self.taken_in_paused += line.taken

    def extrapolated(self, lanes: int) -> LaneTotals:
        """Return the sums scaled up to this many lanes."""
        if lanes <= self.inspected or not self.inspected:
            return self

        def scaled(value: int) -> int:
            return value * lanes // self.inspected

        return replace(
            self,
            jobs=scaled(self.jobs),
            usable=scaled(self.usable),
            startable=scaled(self.startable),
            taken_in_paused=scaled(self.taken_in_paused),
            users_waiting=scaled(self.users_waiting),
            deliveries=scaled(self.deliveries),
        )


@dataclass(frozen=True, slots=True)
class Survey:
    """All lanes at one moment."""

    sizes: LaneSizes
    totals: LaneTotals
    """Extrapolated like `sizes.jobs`."""
    now_us: int
    ring_wait_seconds: float
    """How long the first lane of the ring has waited for a worker."""


async def survey(
    lanes: AsyncLanes, is_enough: Callable[[LaneTotals, LaneSizes], bool] = lambda _totals, _sizes: False
) -> Survey:
    """Survey the lanes. `is_enough`: whether no further page could change what the caller decides.

    Raises StoreUnavailable.
    """
    try:
        sizes, now_us, ring_wait_seconds = await _read_sizes(lanes)
        totals = await _read_lanes(lanes, sizes.lanes, lambda totals: is_enough(totals, sizes))
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(str(error) or type(error).__name__) from error
    types: list[TypeUse] = await lanes.run(InspectTypes())
    sizes = replace(
        sizes,
        jobs=totals.jobs,
        inspected=totals.inspected,
        deliveries=totals.deliveries,
        limited=tuple(types),
    )
    return Survey(sizes, totals, now_us, ring_wait_seconds)


async def _read_sizes(lanes: AsyncLanes) -> tuple[LaneSizes, int, float]:
    keys = lanes.keys
    async with lanes.client.pipeline(transaction=False) as pipeline:
        pipeline.time()
        for key in (keys.lanes, keys.ring, keys.leases, keys.retries, keys.delayed):
            pipeline.zcard(key)
        pipeline.llen(keys.turns)
        pipeline.llen(keys.outbox)
        pipeline.zrange(keys.ring, 0, 0, withscores=True)
        clock, *counts, head = await pipeline.execute()
    now_us = us_of(*clock)
    waited_seconds = max(0.0, (now_us - head[0][1]) / 1_000_000) if head else 0.0
    return LaneSizes(*counts), now_us, waited_seconds


async def pages(lanes: AsyncLanes, *, with_oldest: bool = False) -> AsyncIterator[list[LaneLine]]:
    """Yield lanes in the order of their users' names, at most MAX_LANES. A page of fewer than PAGE_LANES is the last one.

    Raises StoreUnavailable.
    """
    after = ""
    for _ in range(MAX_LANES // PAGE_LANES):
        page: list[LaneLine] = await lanes.run(InspectLanes(after, PAGE_LANES, with_oldest))
        yield page
        if len(page) < PAGE_LANES:
            return
        after = page[-1].user
        await asyncio.sleep(0)


async def _read_lanes(lanes: AsyncLanes, count: int, is_enough: Callable[[LaneTotals], bool]) -> LaneTotals:
    totals = LaneTotals()
    async for page in pages(lanes):
        for line in page:
            totals.add(line)
        if len(page) < PAGE_LANES:
            return totals
        if is_enough(totals):
            break
    return totals.extrapolated(count)

"""A claim that waits in Redis while its process has nothing to do: docs/decisions/0071-standing-claims.md."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass

from redis.exceptions import RedisError

from laneway.lanes.commands import Claim
from laneway.lanes.model import Claimed
from laneway.lanes.store import AsyncLanes
from laneway.worker.redis_clock import RedisClock

WITHDRAWN_WITHIN_SECONDS = 2.0
"""How long the reply to a claim that was withdrawn is waited for. If Redis is away, it comes with the next turn, or never."""
OWN_LIST_SECONDS = 60
"""How long a wake-up of one's own is kept, if it comes when the claim has been made already."""


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """What a claim of `asked` jobs gave. The leases run at least from the monotonic time `claimed_at`."""

    claimed: Claimed
    asked: int
    claimed_at: float


class StandingClaim:
    """One a process. It waits for whichever comes first: a wake-up, upon which Redis makes the claim, a local event, or the timeout.

    A call that is under way is kept for the next wait, because cancelling it would cost its connection, and the jobs that it
    claims meanwhile would wait until their leases run out.
    """

    def __init__(self, lanes: AsyncLanes, clock: RedisClock) -> None:
        self._lanes, self._clock = lanes, clock
        self._own_list = lanes.keys.wakeups_of(secrets.token_hex(6))
        self._call: asyncio.Task[ClaimResult] | None = None
        self._wakeup: asyncio.Task[None] | None = None
        self._ends_at = 0.0

    @property
    def is_over(self) -> bool:
        """Whether there is something to `take`."""
        return self._call is not None and self._call.done()

    def take(self) -> ClaimResult | None:
        """Return what the claim gave, if it has been made. Raises StoreUnavailable, and ScriptFailed if it failed."""
        if self._call is None or not self._call.done():
            return None
        call, self._call = self._call, None
        return call.result()

    async def wait(self, claim: Claim, local: asyncio.Event, timeout_seconds: float) -> None:
        """Return at the first of the three. After the timeout Redis makes the claim anyway, if it does not wait already."""
        timeout: float | None = timeout_seconds
        if self._call is None:
            self._ends_at = time.monotonic() + timeout_seconds
            self._call = asyncio.create_task(self._make(claim, timeout_seconds))
        if self._ends_at <= time.monotonic() + timeout_seconds:
            timeout = None  # Redis ends the wait, and nobody needs to claim beside it
        woken = asyncio.create_task(local.wait())
        await asyncio.wait({woken, self._call}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        woken.cancel()

    async def withdraw(self) -> None:
        """Have the claim made now, so that it takes no job later. What it gives is there to `take`."""
        if self._call is None or self._call.done():
            return
        self._wakeup = asyncio.create_task(self._wake_oneself())
        await asyncio.wait({self._call}, timeout=WITHDRAWN_WITHIN_SECONDS)

    async def _wake_oneself(self) -> None:
        with suppress(RedisError, OSError):
            async with self._lanes.client.pipeline(transaction=False) as pipeline:
                pipeline.rpush(self._own_list, b"1")
                pipeline.expire(self._own_list, OWN_LIST_SECONDS)
                await pipeline.execute()

    async def _make(self, claim: Claim, timeout_seconds: float) -> ClaimResult:
        begun_at = time.monotonic()
        lists = (self._lanes.keys.wakeups, self._own_list)
        claimed, refused = await self._lanes.run_after_wakeup(lists, timeout_seconds, claim)
        if refused and not claimed.leases:
            raise refused  # otherwise the next wait meets it
        claimed_at = max(begun_at, self._clock.earliest(claimed.now_us))
        self._clock.set(claimed.now_us, sent_at=claimed_at)
        return ClaimResult(claimed, claim.limit, claimed_at)

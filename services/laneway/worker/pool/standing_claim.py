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

END_WAIT_SECONDS = 2.0
"""How long `end_wait` waits for the reply. If Redis is away, the reply comes later, or not at all."""
OWN_LIST_MS = 60_000
"""How long a wake-up stays in the process's own list if the claim was made before it came."""


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """What a claim of `asked` jobs gave. The leases run at least from the monotonic time `claimed_at`."""

    claimed: Claimed
    asked: int
    claimed_at: float


class StandingClaim:
    """One per process. Its claim waits in Redis until a wake-up comes or the time is up.

    A call under way is kept for the next wait: cancelling it would close its connection, and jobs that it claims meanwhile would
    wait until their leases run out. `wake` is set when the claim has been made. `waiting`: the lanes by connections that wait
    longer for a reply than the longest wait.
    """

    def __init__(
        self, lanes: AsyncLanes, waiting: AsyncLanes, clock: RedisClock, wake: asyncio.Event
    ) -> None:
        self._lanes, self._waiting, self._clock, self._wake = lanes, waiting, clock, wake
        self._own_list = lanes.keys.wakeups_of(secrets.token_hex(6))
        self._call: asyncio.Task[ClaimResult] | None = None
        self._ends_at = 0.0
        self._push: asyncio.Task[None] | None = None
        """Keeps a reference: the event loop alone does not keep a task alive."""

    @property
    def has_result(self) -> bool:
        """Whether there is something to `take`."""
        return self._call is not None and self._call.done()

    def take(self) -> ClaimResult:
        """Return what the claim gave. Raises StoreUnavailable, and ScriptFailed if it failed."""
        call = self.detach()
        if call is None:
            raise RuntimeError("there is no claim")
        return call.result()

    def detach(self) -> asyncio.Task[ClaimResult] | None:
        """Forget the call and return it, if there is one. The caller must start or release the jobs that it claims."""
        call, self._call = self._call, None
        return call

    async def wait(self, claim: Claim, timeout_seconds: float) -> None:
        """Return when the claim has been made, `wake` is set, or the time is up. Starts a claim if none is waiting.

        When the time is up, Redis makes the claim if this call started it. A claim that an earlier call started may wait longer.
        """
        timeout: float | None = timeout_seconds
        if self._call is None:
            self._ends_at = time.monotonic() + timeout_seconds
            self._call = asyncio.create_task(self._make(claim, timeout_seconds))
            self._call.add_done_callback(lambda _: self._wake.set())
        if self._ends_at <= time.monotonic() + timeout_seconds:
            timeout = None  # Redis ends the wait, and nobody needs to claim beside it
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), timeout)

    async def end_wait(self) -> None:
        """End the wait, so that Redis makes the claim now and takes no job later. `take` the result."""
        if self._call is None or self._call.done():
            return
        self._push = asyncio.create_task(self._push_to_own_list())
        await asyncio.wait({self._call}, timeout=END_WAIT_SECONDS)

    async def _push_to_own_list(self) -> None:
        with suppress(RedisError, OSError):
            async with self._lanes.client.pipeline(transaction=False) as pipeline:
                pipeline.rpush(self._own_list, b"1")
                pipeline.pexpire(self._own_list, OWN_LIST_MS)
                await pipeline.execute()

    async def _make(self, claim: Claim, timeout_seconds: float) -> ClaimResult:
        begun_at = time.monotonic()
        lists = (self._lanes.keys.wakeups, self._own_list)
        claimed, refused = await self._waiting.run_after_wakeup(lists, timeout_seconds, claim)
        if refused and not claimed.leases:
            raise refused  # with jobs in hand, start them first: the next wait meets the same error
        return ClaimResult(claimed, claim.limit, max(begun_at, self._clock.earliest(claimed.now_us)))

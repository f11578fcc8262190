"""Waits for a wake-up: a process without work learns of a new job sooner than a Celery message travels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import redis.asyncio
from redis.exceptions import RedisError

from laneway.lanes.refusals import error_of

BLOCK_SECONDS = 5
"""How long Redis blocks one call."""


class Wakeup:
    """Waits for whichever comes first: a wake-up from Redis, a local event, or the timeout.

    A blocking call that is under way is kept for the next wait, because cancelling it would cost its connection. It re-queues
    a wake-up that arrives while the process is full.
    """

    def __init__(self, client: redis.asyncio.Redis, key: str, has_room: Callable[[], bool]) -> None:
        self._client, self._key, self._has_room = client, key, has_room
        self._call: asyncio.Task[None] | None = None

    async def wait(self, local: asyncio.Event, timeout_seconds: float) -> None:
        """Return at the first of the three. Raises StoreUnavailable."""
        if self._call is None:
            self._call = asyncio.create_task(self._receive())
        woken = asyncio.create_task(local.wait())
        await asyncio.wait({woken, self._call}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
        woken.cancel()
        if self._call.done():
            call, self._call = self._call, None
            call.result()

    async def _receive(self) -> None:
        try:
            received = await self._client.blpop([self._key], timeout=BLOCK_SECONDS)
            if received and not self._has_room():
                await self._client.rpush(self._key, b"1")
        except (RedisError, OSError) as error:
            raise error_of(error) from error

"""Standing by: a process without work waits here, so that a new job starts sooner than a Celery message travels."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import redis.asyncio
from redis.exceptions import RedisError

from laneway.lanes.errors import StoreUnavailable

RING_SECONDS = 5
"""How long Redis keeps one call waiting."""


class Wakeup:
    """Waits for whichever comes first: the bell, something that ended here (`wake`), or the timeout.

    A call to Redis that is under way is kept for the next wait: to break it off would cost its connection. If it takes a
    ring when there is no room any more, it passes the ring on.
    """

    def __init__(self, client: redis.asyncio.Redis, key: str, has_room: Callable[[], bool]) -> None:
        self._client, self._key, self._has_room = client, key, has_room
        self._hearing: asyncio.Task[None] | None = None

    async def wait(self, wake: asyncio.Event, timeout_seconds: float) -> None:
        """Raises StoreUnavailable."""
        if self._hearing is None:
            self._hearing = asyncio.create_task(self._hear())
        woken = asyncio.create_task(wake.wait())
        await asyncio.wait(
            {woken, self._hearing}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        woken.cancel()
        if self._hearing.done():
            heard, self._hearing = self._hearing, None
            heard.result()

    async def _hear(self) -> None:
        try:
            rung = await self._client.blpop([self._key], timeout=RING_SECONDS)
            if rung and not self._has_room():
                await self._client.rpush(self._key, b"1")
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error

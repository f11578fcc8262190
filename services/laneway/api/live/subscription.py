"""One process's subscription to the events of the users who have live connections to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

import redis.asyncio
import structlog
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from laneway.lanes import events
from laneway.lanes.keys import Keys
from laneway.lanes.refusals import error_of

CONFIRM_SECONDS = 0.8
"""How long Redis may take to confirm that events of one more user will be sent."""
RECONNECT_SECONDS = 2.0
log = structlog.get_logger()


class Subscription:
    """Calls `on_event` for each event of the users that were added, and `on_gap` where some of their events may be lost.

    After an interruption it subscribes again by itself. `silence_seconds`: how long Redis may send nothing before it is asked
    whether it is still there.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        keys: Keys,
        *,
        silence_seconds: float,
        on_event: Callable[[str, events.Event], None],
        on_gap: Callable[[Collection[str]], None],
    ) -> None:
        self._client, self._keys = client, keys
        self._silence_seconds = silence_seconds
        self._on_event, self._on_gap = on_event, on_gap
        self._pubsub: redis.asyncio.client.PubSub | None = None
        self._confirmed: dict[str, asyncio.Event] = {}
        self._in_order = asyncio.Lock()
        """A user may be removed and added again at once: what was decided last is sent last."""

    async def add(self, user: str) -> None:
        """Subscribe to a user's events, all of them from when this returns on. Raises StoreUnavailable.

        While the subscription is interrupted it returns at once, and `on_gap` follows.
        """
        try:
            if user not in self._confirmed:
                self._confirmed[user] = asyncio.Event()
                async with self._in_order:
                    await self._subscribe([user])
            if self._pubsub is not None:
                async with asyncio.timeout(CONFIRM_SECONDS):
                    await self._confirmed[user].wait()
        except TimeoutError as error:
            raise error_of(RedisTimeoutError("Redis did not confirm a subscription")) from error
        except (RedisError, OSError) as error:
            raise error_of(error) from error

    async def remove(self, users: Collection[str]) -> None:
        """Unsubscribe. Redis away is no error: its subscriptions end with the connection."""
        for user in users:
            self._confirmed.pop(user, None)
        try:
            async with self._in_order:
                gone = [user for user in users if user not in self._confirmed]
                if self._pubsub is not None and gone:
                    await self._pubsub.unsubscribe(*map(self._keys.events, gone))
        except (RedisError, OSError) as error:
            log.warning("unsubscribe_failed", users=len(users), error=str(error))

    async def run_forever(self) -> None:
        """Receive events."""
        while True:
            try:
                async with self._client.pubsub() as pubsub:
                    await pubsub.subscribe(self._keys.events(""))  # connects, which takes a while
                    self._pubsub = pubsub  # users who are added from now on are subscribed by `add`
                    await self._subscribe(self._confirmed)
                    self._on_gap(self._confirmed)
                    await self._receive(pubsub)
            except (RedisError, OSError) as error:
                log.warning("events_interrupted", error=str(error))
            except Exception:  # the next messages must be delivered, whatever this one did
                log.exception("events_interrupted")
            finally:
                self._pubsub = None
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _subscribe(self, users: Collection[str]) -> None:
        if self._pubsub is not None and users:
            await self._pubsub.subscribe(*map(self._keys.events, users))

    async def _receive(self, pubsub: redis.asyncio.client.PubSub) -> None:
        prefix_length = len(self._keys.events(""))
        silent = False
        while True:
            message = await pubsub.get_message(timeout=self._silence_seconds)
            if message is None:
                if silent:
                    raise ConnectionError("Redis did not answer a ping")
                await pubsub.ping()
            silent = message is None
            if message is None or message["type"] not in ("message", "subscribe"):
                continue
            user = message["channel"].decode()[prefix_length:]
            if message["type"] == "message":
                self._on_event(user, events.parse(message["data"]))
            elif user in self._confirmed:
                self._confirmed[user].set()

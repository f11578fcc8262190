"""All live connections of one process: it delivers job events to them and renews their users' presence.

One subscription to Redis and one heartbeat serve all connections. A client that reads too slowly, or an interruption of the
subscription, loses events and nothing else: the client is told that it missed some.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

import orjson
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from laneway.api import metrics
from laneway.api.live.connection import (
    LOGGED_OUT,
    MISSED,
    SERVER_STOPS,
    TOKEN_EXPIRED,
    Connection,
)
from laneway.api.problem import Problem
from laneway.api.revocations import Revocations
from laneway.api.tokens import Token
from laneway.batcher import Batcher
from laneway.lanes import events
from laneway.lanes.commands import Connection as PresenceConnection
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.keys import Keys
from laneway.lanes.refusals import error_of
from laneway.presence import Presence

MAX_PER_USER = 100
"""Connections of one user to one process."""
RECONNECT_SECONDS = 2.0
LOGOUT = "logout"
"""Published like a job's state, with the token id in the place of the job id."""
ALL_LOG_INS = "log-ins"
"""In the place of the token id: all tokens of the user, but no API keys."""
log = structlog.get_logger()


class Hub:
    """The connections of one process.

    `heartbeat_seconds` is the interval at which presence is renewed and at which idle connections are written to.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        keys: Keys,
        presence: Presence,
        revocations: Revocations,
        *,
        heartbeat_seconds: float,
    ) -> None:
        self._client, self._keys = client, keys
        self._presence, self._revocations = presence, revocations
        self.heartbeat_seconds = heartbeat_seconds
        self._users: dict[str, set[Connection]] = {}
        self._subscription: redis.asyncio.client.PubSub | None = None
        self._leaving: Batcher[Connection, None] = Batcher(self._record_disconnects)

    # -- connections come and go ------------------------------------------------------------------------------------

    async def join(self, token: Token) -> Connection:
        """Open a connection, whose first message is `connected`. Raises Problem, StoreUnavailable."""
        connection = Connection(token)
        mine = self._users.setdefault(connection.user, set())
        if len(mine) >= MAX_PER_USER:
            detail = f"a user may have {MAX_PER_USER} connections to one process; close some"
            raise Problem(429, "too-many-connections", detail, retry_after_seconds=10)
        mine.add(connection)
        metrics.connections.inc()
        try:
            if len(mine) == 1:
                await self._subscribe([connection.user])
            await self._presence.connect(connection.user, connection.id)
        except BaseException as error:
            self.leave(connection)
            if isinstance(error, RedisError | OSError):
                raise error_of(error) from error
            raise
        hello = {"event": "connected", "user": token.user, "heartbeat_seconds": self.heartbeat_seconds}
        connection.offer(orjson.dumps(hello))
        return connection

    def leave(self, connection: Connection) -> None:
        """Forget a connection that is closed. Presence is told soon, about all that close at the same time."""
        mine = self._users.get(connection.user, set())
        if connection not in mine:
            return
        mine.discard(connection)
        metrics.connections.dec()
        if not mine:
            del self._users[connection.user]
        self._leaving.submit(connection)

    async def logout(self, user: str, token_id: str) -> None:
        """Close all connections of a token, whatever process they are open to. Raises StoreUnavailable."""
        await self._presence.logout(user, token_id)
        try:
            await self._client.publish(self._keys.events(user), f"{token_id} {LOGOUT} 0")
        except (RedisError, OSError) as error:
            raise error_of(error) from error

    async def end_log_ins(self, user: str) -> None:
        """Close all connections of a user's tokens, whatever process they are open to. API keys keep theirs.

        Raises StoreUnavailable.
        """
        try:
            await self._client.publish(self._keys.events(user), f"{ALL_LOG_INS} {LOGOUT} 0")
        except (RedisError, OSError) as error:
            raise error_of(error) from error

    def close_all(self) -> None:
        """Close every connection because the process ends."""
        for connection in self._all():
            connection.close(SERVER_STOPS)

    async def drain(self) -> None:
        """Wait until presence knows about every connection that has left."""
        await self._leaving.drain()

    async def _record_disconnects(self, left: list[Connection]) -> Sequence[None]:
        """Redis away is no error here: what it does not learn runs out by itself."""
        idle = {connection.user for connection in left} - self._users.keys()
        try:
            if self._subscription is not None and idle:
                await self._subscription.unsubscribe(*map(self._keys.events, idle))
            await self._presence.disconnect([PresenceConnection(c.user, c.id) for c in left])
        except (StoreUnavailable, RedisError, OSError) as error:
            log.warning("disconnect_unrecorded", connections=len(left), error=str(error))
        with suppress(RedisError, OSError):
            await self._subscribe(idle & self._users.keys())  # users who joined during the unsubscription
        return [None] * len(left)

    # -- events -----------------------------------------------------------------------------------------------------

    async def deliver_forever(self) -> None:
        """Receive job events and offer them to the connections of their users."""
        while True:
            try:
                async with self._client.pubsub() as subscription:
                    await subscription.subscribe(self._keys.events(""))  # connects, which takes a while
                    self._subscription = subscription  # a user who joins from now on is subscribed by `join`
                    await self._subscribe(self._users)
                    for connection in self._all():
                        connection.offer(MISSED)
                    await self._deliver(subscription)
            except (RedisError, OSError) as error:
                log.warning("events_interrupted", error=str(error))
            except Exception:  # the next messages must be delivered, whatever this one did
                log.exception("events_interrupted")
            finally:
                self._subscription = None
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _subscribe(self, users: Collection[str]) -> None:
        if self._subscription is not None and users:
            await self._subscription.subscribe(*map(self._keys.events, users))

    async def _deliver(self, subscription: redis.asyncio.client.PubSub) -> None:
        prefix_length = len(self._keys.events(""))
        silent = False
        while True:
            message = await subscription.get_message(timeout=self.heartbeat_seconds)
            if message is None:
                if silent:
                    raise ConnectionError("Redis did not answer a ping")
                await subscription.ping()
            silent = message is None
            if message is not None and message["type"] == "message":
                user = message["channel"].decode()[prefix_length:]
                self._deliver_event(user, events.parse(message["data"]))

    def _deliver_event(self, user: str, event: events.Event) -> None:
        connections = self._users.get(user, ())
        if event.state == LOGOUT:
            for connection in connections:
                token = connection.token
                if token.token_id == event.job_id or (event.job_id == ALL_LOG_INS and token.logged_in_ms):
                    connection.close(LOGGED_OUT)
            return
        text = orjson.dumps(_fields(event))
        for connection in connections:
            connection.offer(text)

    # -- presence ---------------------------------------------------------------------------------------------------

    async def renew_forever(self) -> None:
        """Renew the presence of all users connected here, and close connections whose token is no longer valid."""
        while True:
            try:
                await self.renew()
            except StoreUnavailable as error:
                log.warning("heartbeat_failed", connections=len(self._all()), error=str(error))
            except Exception:  # without heartbeats all users here would count as disconnected
                log.exception("heartbeat_failed")
            await asyncio.sleep(self.heartbeat_seconds)

    async def renew(self) -> None:
        """One heartbeat. Raises StoreUnavailable."""
        now = time.time()
        for connection in self._all():
            if connection.token.expires_at <= now:
                connection.close(TOKEN_EXPIRED)
        await self._close_revoked()
        await self._presence.heartbeat(
            [PresenceConnection(c.user, c.id) for c in self._all() if not c.closing]
        )

    async def _close_revoked(self) -> None:
        """The log-out event may have been lost."""
        tokens = {connection.token.token_id: connection.token for connection in self._all()}
        for token_id in await self._revocations.revoked(list(tokens.values())):
            await self._presence.logout(tokens[token_id].user, token_id)
            for connection in self._all():
                if connection.token.token_id == token_id:
                    connection.close(LOGGED_OUT)

    def _all(self) -> list[Connection]:
        return [connection for mine in self._users.values() for connection in mine]


def _fields(event: events.Event) -> dict[str, Any]:
    if event.percent is not None:
        return {"event": "progress", "job_id": event.job_id, "percent": event.percent, "note": event.note}
    return {"event": "state", "job_id": event.job_id, "state": event.state, "attempts": event.attempts}

"""Live connections: which users have one open here, what happens to their jobs, and their heartbeats.

One subscription to Redis and one heartbeat serve all connections of a process. A client that reads too slowly, or a break of the
subscription, loses events and nothing else: the client is told that it missed some, and asks for the state of its jobs.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from laneway.api import metrics
from laneway.api.errors import Problem
from laneway.api.security import Revocations, Token
from laneway.lanes import events
from laneway.lanes.commands import Connection as PresenceConnection
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.keys import Keys
from laneway.presence import Presence

MAX_PER_USER = 100
"""Connections of one user to one process."""
MAX_WAITING = 500
"""Events that wait for a slow client."""
RECONNECT_SECONDS = 2.0
MISSED = orjson.dumps({"event": "missed"})
LOGOUT = "logout"
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Closing:
    """Why a connection is closed; `code` is WebSocket's."""

    code: int
    reason: str


SERVER_STOPS = Closing(1012, "the server restarts; connect again")
LOGGED_OUT = Closing(1008, "logged out")
TOKEN_EXPIRED = Closing(1008, "the token has expired; log in and connect again")


class Connection:
    """One client's open connection: messages for it, in order, and finally why it is closed."""

    def __init__(self, token: Token) -> None:
        self.user = token.user
        self.token = token
        self.id = f"{token.token_id}:{secrets.token_hex(8)}"
        self._messages: deque[bytes] = deque()
        self.closing: Closing | None = None
        self._wake = asyncio.Event()

    def offer(self, message: bytes) -> None:
        if len(self._messages) >= MAX_WAITING:
            self._messages.clear()
            message = MISSED
        self._messages.append(message)
        self._wake.set()

    def close(self, closing: Closing) -> None:
        self.closing = self.closing or closing
        self._wake.set()

    async def next(self, seconds: float) -> bytes | Closing | None:
        """The next message; None after so many seconds without one."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        if self.closing:
            return self.closing
        message = self._messages.popleft() if self._messages else None
        if not self._messages:
            self._wake.clear()
        return message


class Live:
    """`heartbeat_seconds`: how often presence is renewed; it is also how often an idle connection is written to."""

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
        self._left: list[Connection] = []
        self._leaving: asyncio.Task[None] | None = None
        self._channel: redis.asyncio.client.PubSub | None = None

    async def join(self, token: Token) -> Connection:
        """Open a connection. Raises Problem, StoreUnavailable."""
        connection = Connection(token)
        mine = self._users.setdefault(connection.user, set())
        if len(mine) >= MAX_PER_USER:
            raise Problem(
                429,
                "too-many-connections",
                f"a user has at most {MAX_PER_USER} here",
                retry_after_seconds=10,
            )
        mine.add(connection)
        metrics.connections.inc()
        try:
            if len(mine) == 1 and self._channel is not None:
                await self._channel.subscribe(self._keys.events(connection.user))
            await self._presence.connect(connection.user, connection.id)
        except BaseException as error:
            self.leave(connection)
            if isinstance(error, RedisError | OSError):
                raise StoreUnavailable(str(error)) from error
            raise
        connection.offer(
            orjson.dumps(
                {"event": "connected", "user": connection.user, "heartbeat_seconds": self.heartbeat_seconds}
            )
        )
        return connection

    def leave(self, connection: Connection) -> None:
        """The connection is closed. Presence hears of it soon, together with others that close now."""
        mine = self._users.get(connection.user, set())
        if connection not in mine:
            return
        mine.discard(connection)
        metrics.connections.dec()
        if not mine:
            del self._users[connection.user]
        self._left.append(connection)
        if self._leaving is None or self._leaving.done():
            self._leaving = asyncio.create_task(self._tell_of_left())

    async def _tell_of_left(self) -> None:
        while self._left:
            left, self._left = self._left, []
            gone = [self._keys.events(c.user) for c in left if c.user not in self._users]
            try:
                if self._channel is not None and gone:
                    await self._channel.unsubscribe(*gone)
                await self._presence.disconnect([PresenceConnection(c.user, c.id) for c in left])
            except (StoreUnavailable, RedisError, OSError) as error:
                log.warning(
                    "disconnect_not_recorded", connections=len(left), error=str(error)
                )  # they run out by themselves
            back = [
                user
                for user in {c.user for c in left} & self._users.keys()
                if self._keys.events(user) in gone
            ]
            if back and self._channel is not None:  # joined while the channel was being left
                with suppress(RedisError, OSError):
                    await self._channel.subscribe(*map(self._keys.events, back))

    async def logout(self, token: Token) -> None:
        """Disconnect the connections of a token, on whatever process they are. Raises StoreUnavailable."""
        await self._presence.logout(token.user, token.token_id)
        try:
            await self._client.publish(self._keys.events(token.user), f"{token.token_id} {LOGOUT} 0")
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error

    def close_all(self, closing: Closing) -> None:
        for connection in self._all():
            connection.close(closing)

    async def settled(self) -> None:
        """Wait until presence knows of all that were closed."""
        if self._leaving is not None:
            await self._leaving

    async def listen(self) -> None:
        """For ever: hear what happens, and pass it on."""
        while True:
            try:
                async with self._client.pubsub() as channel:
                    await channel.subscribe(self._keys.events(""))  # connects, which takes a while
                    # Who joins from now on subscribes; who was there is subscribed here.
                    self._channel = channel
                    if self._users:
                        await channel.subscribe(*map(self._keys.events, self._users))
                    for connection in self._all():
                        connection.offer(MISSED)
                    await self._hear(channel)
            except (RedisError, OSError) as error:
                log.warning("events_interrupted", error=str(error))
            except Exception:  # whatever one message did, the next ones must be heard
                log.exception("events_interrupted")
            finally:
                self._channel = None
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _hear(self, channel: redis.asyncio.client.PubSub) -> None:
        own = len(self._keys.events(""))
        quiet = False
        while True:
            message = await channel.get_message(timeout=self.heartbeat_seconds)
            if message is None:  # is it still there?
                if quiet:
                    raise ConnectionError("no answer to a ping")
                await channel.ping()
            quiet = message is None
            if message is not None and message["type"] == "message":
                self._pass_on(message["channel"].decode()[own:], events.parse(message["data"]))

    def _pass_on(self, user: str, event: events.Event) -> None:
        if event.state == LOGOUT:
            for connection in self._users.get(user, ()):
                if connection.token.token_id == event.job_id:
                    connection.close(LOGGED_OUT)
            return
        text = orjson.dumps(_fields(event))
        for connection in self._users.get(user, ()):
            connection.offer(text)

    async def beat(self) -> None:
        """For ever: renew the presence of all who are connected here, and close what may not stay open."""
        while True:
            try:
                await self.beat_once()
            except StoreUnavailable as error:
                log.warning("heartbeat_failed", connections=len(self._all()), error=str(error))
            except Exception:  # without heartbeats everybody here would count as disconnected
                log.exception("heartbeat_failed")
            await asyncio.sleep(self.heartbeat_seconds)

    async def beat_once(self) -> None:
        """Raises StoreUnavailable."""
        now = time.time()
        for connection in self._all():
            if connection.token.expires_at <= now:
                connection.close(TOKEN_EXPIRED)
        tokens = {c.token.token_id: c.token for c in self._all()}
        for token_id in await self._revocations.revoked(
            list(tokens)
        ):  # whose log-out this process did not hear of
            await self._presence.logout(tokens[token_id].user, token_id)
            for connection in self._all():
                if connection.token.token_id == token_id:
                    connection.close(LOGGED_OUT)
        await self._presence.heartbeat(
            [PresenceConnection(c.user, c.id) for c in self._all() if not c.closing]
        )

    def _all(self) -> list[Connection]:
        return [connection for mine in self._users.values() for connection in mine]


def _fields(event: events.Event) -> dict[str, Any]:
    if event.percent is not None:
        return {"event": "progress", "job_id": event.job_id, "percent": event.percent, "note": event.note}
    return {"event": "state", "job_id": event.job_id, "state": event.state, "attempts": event.attempts}


def event_name(message: bytes) -> str:
    """The kind of a message, for server-sent events."""
    return str(orjson.loads(message)["event"])

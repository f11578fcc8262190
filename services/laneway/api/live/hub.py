"""All live connections of one process: it delivers job events to them, and renews the presence of users who hold one for that.

One subscription to Redis and one heartbeat serve all connections. A client that comes back, to whatever process, receives what it
missed from its user's backlog. A client that missed more than the backlog has, reads too slowly, or was connected while the
subscription was interrupted gets a message that it missed some.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import structlog
from redis.exceptions import RedisError

from laneway.api import metrics
from laneway.api.live.connection import LOGGED_OUT, SERVER_STOPS, TOKEN_EXPIRED, Connection
from laneway.api.live.message import MISSED, job_message, message
from laneway.api.live.subscription import Subscription
from laneway.api.problem import Problem
from laneway.api.revocations import Revocations
from laneway.api.tokens import Token
from laneway.batcher import Batcher
from laneway.lanes import events
from laneway.lanes.commands import Connection as PresenceConnection
from laneway.lanes.commands import Replay, Watch
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.refusals import error_of
from laneway.lanes.store import AsyncLanes
from laneway.presence import LIVE_HEARTBEATS, MAX_TOGETHER, Presence

MAX_PER_USER = 100
"""Connections of one user to one process."""
BACKLOG_SECONDS = 60
"""How long a user's events are kept after the last live connection."""
LOGOUT = "logout"
"""Published like a job's state, with the token id in the place of the job id."""
ALL_LOG_INS = "log-ins"
"""In the place of the token id: all tokens of the user, but no API keys."""
log = structlog.get_logger()


class Hub:
    """The connections of one process.

    `heartbeat_seconds` is the interval at which presence is renewed and at which idle connections are written to.
    `on_disconnect` is what happens to the jobs of a disconnected user; clients that hold presence get it.
    """

    def __init__(
        self,
        lanes: AsyncLanes,
        presence: Presence,
        revocations: Revocations,
        *,
        heartbeat_seconds: float,
        on_disconnect: Mapping[str, Any],
    ) -> None:
        self._lanes, self._presence, self._revocations = lanes, presence, revocations
        self.heartbeat_seconds = heartbeat_seconds
        self._on_disconnect = on_disconnect
        self._users: dict[str, set[Connection]] = {}
        self._leaving: Batcher[Connection, None] = Batcher(self._record_leaving)
        self.subscription = Subscription(
            lanes.client,
            lanes.keys,
            silence_seconds=heartbeat_seconds,
            on_event=self._deliver,
            on_gap=self._report_gap,
        )

    # -- connections come and go ------------------------------------------------------------------------------------

    async def join(self, token: Token, *, is_presence: bool, after: str = "") -> Connection:
        """Open a connection, whose first message is `connected`. Raises Problem, StoreUnavailable.

        `after`: the entry that the client received last, '' if it begins.
        """
        connection = Connection(token, is_presence=is_presence)
        mine = self._users.setdefault(connection.user, set())
        if len(mine) >= MAX_PER_USER:
            detail = f"a user may have {MAX_PER_USER} connections to one process; close some"
            raise Problem(429, "too-many-connections", detail, retry_after_seconds=10)
        mine.add(connection)
        metrics.connections.inc()
        try:
            await self.subscription.add(connection.user)
            await self._begin(connection, after)
        except BaseException:
            self.leave(connection)
            raise
        return connection

    async def _begin(self, connection: Connection, after: str) -> None:
        if after and not events.is_entry(after):
            after = events.NO_ENTRY
        presence = [self._presence.connect(connection.user, connection.id)] if connection.is_presence else []
        _, backlog, *_ = await asyncio.gather(
            self._lanes.run(Watch([connection.user], self._backlog_seconds)),
            self._lanes.run(Replay(connection.user, after)),
            *presence,
        )
        hello = message(
            "connected",
            entry=backlog.newest,
            user=connection.user,
            heartbeat_seconds=self.heartbeat_seconds,
            on_disconnect=self._on_disconnect if connection.is_presence else None,
        )
        missed = map(job_message, backlog.events) if backlog.complete else [MISSED]
        connection.begin([hello, *missed], backlog.newest)

    def leave(self, connection: Connection) -> None:
        """Forget a connection that is closed. Redis learns it soon, about all that close at the same time."""
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
        await self._publish_logout(user, token_id)

    async def end_log_ins(self, user: str) -> None:
        """Close all connections of a user's tokens, whatever process they are open to. API keys keep theirs.

        Raises StoreUnavailable.
        """
        await self._publish_logout(user, ALL_LOG_INS)

    async def _publish_logout(self, user: str, whose: str) -> None:
        try:
            await self._lanes.client.publish(self._lanes.keys.events(user), f"{whose} {LOGOUT} 0")
        except (RedisError, OSError) as error:
            raise error_of(error) from error

    def close_all(self) -> None:
        """Close every connection because the process ends."""
        for connection in self._all():
            connection.close(SERVER_STOPS)

    async def drain(self) -> None:
        """Wait until Redis knows about every connection that has left."""
        await self._leaving.drain()

    async def _record_leaving(self, left: list[Connection]) -> Sequence[None]:
        """Redis away is no error here: what it does not learn runs out by itself."""
        await self.subscription.remove({connection.user for connection in left} - self._users.keys())
        try:
            await self._presence.disconnect([PresenceConnection(c.user, c.id) for c in left if c.is_presence])
        except StoreUnavailable as error:
            log.warning("disconnect_unrecorded", connections=len(left), error=str(error))
        return [None] * len(left)

    # -- events -----------------------------------------------------------------------------------------------------

    def _deliver(self, user: str, event: events.Event) -> None:
        connections = self._users.get(user, ())
        if event.state == LOGOUT:
            for connection in connections:
                token = connection.token
                if token.token_id == event.job_id or (event.job_id == ALL_LOG_INS and token.logged_in_ms):
                    connection.close(LOGGED_OUT)
            return
        for_all = job_message(event)
        for connection in connections:
            connection.offer(for_all)

    def _report_gap(self, users: Collection[str]) -> None:
        for user in users:
            for connection in self._users.get(user, ()):
                connection.offer(MISSED)

    # -- heartbeats -------------------------------------------------------------------------------------------------

    async def renew_forever(self) -> None:
        """Renew what connections keep alive in Redis, and close those whose token is no longer valid."""
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
        present = [c for c in self._all() if c.is_presence and not c.closing]
        await self._presence.heartbeat([PresenceConnection(c.user, c.id) for c in present])
        await self._renew_backlogs()

    async def _renew_backlogs(self) -> None:
        users = list(self._users)
        for first in range(0, len(users), MAX_TOGETHER):
            piece = users[first : first + MAX_TOGETHER]
            kept = await self._lanes.run(Watch(piece, self._backlog_seconds))
            self._report_gap([user for user, is_kept in zip(piece, kept, strict=True) if not is_kept])

    async def _close_revoked(self) -> None:
        """The log-out event may have been lost."""
        tokens = {connection.token.token_id: connection.token for connection in self._all()}
        for token_id in await self._revocations.revoked(list(tokens.values())):
            await self._presence.logout(tokens[token_id].user, token_id)
            for connection in self._all():
                if connection.token.token_id == token_id:
                    connection.close(LOGGED_OUT)

    @property
    def _backlog_seconds(self) -> float:
        return LIVE_HEARTBEATS * self.heartbeat_seconds + BACKLOG_SECONDS

    def _all(self) -> list[Connection]:
        return [connection for mine in self._users.values() for connection in mine]

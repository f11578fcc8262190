"""Who is connected: users who hold a live connection to any API process.

A user's presence is the time of the last sign of life and the set of open connections. Heartbeats renew both, for all
connections of a process in one round trip. A user who stays away for longer than the grace time has disconnected, and the
janitor learns it from `PresenceSweeper`. Guarantees:

- Users who never connected are never reported as disconnected: plain HTTP users have no presence at all.
- A dead process disconnects nobody who is back within the grace time, since its connections count until they run out.
- An outage disconnects nobody. While no API process could send a heartbeat (Redis or all of them were away), users could
  not show themselves, so their grace time begins again with the first heartbeat.
- A log-out disconnects at once, unless another connection is open, and applies only to jobs from before it. A heartbeat
  under way at that moment changes nothing: connections of a revoked token are not renewed.
- A disconnected user is reported until somebody has dealt with it, so a janitor's death loses nothing.

Time is Redis's. The keys stand in the catalogue (`lanes/scripts/_keys.lua`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from laneway.lanes.commands import (
    Connection,
    Disconnection,
    PresenceDisconnect,
    PresenceForget,
    PresenceHeartbeat,
    PresenceInspect,
    PresenceLogout,
    PresenceSweep,
    UserPresence,
)
from laneway.lanes.store import AsyncLanes, Lanes

LIVE_HEARTBEATS, OUTAGE_HEARTBEATS = 3, 2
"""Heartbeats without a renewal after which a connection runs out; heartbeats without any process that make an outage."""
MAX_TOGETHER = 500
"""Connections, or users, in one script call: Redis serves nobody else during it."""


class Presence:
    """What API processes do with presence. Every method raises StoreUnavailable.

    `heartbeat_seconds`: the interval at which `heartbeat` is called.
    """

    def __init__(self, lanes: AsyncLanes, *, heartbeat_seconds: float) -> None:
        self._lanes = lanes
        self._live_seconds = LIVE_HEARTBEATS * heartbeat_seconds
        self._outage_seconds = OUTAGE_HEARTBEATS * heartbeat_seconds

    async def connect(self, user: str, connection_id: str) -> None:
        """Record a new connection. `connection_id` is `<token id>:<any text>`."""
        await self.heartbeat([Connection(user, connection_id)])

    async def heartbeat(self, connections: Sequence[Connection]) -> None:
        """Renew the connections of this process. Call it without any, too: it records that a process lives."""
        for first in range(0, max(1, len(connections)), MAX_TOGETHER):
            piece = connections[first : first + MAX_TOGETHER]
            await self._lanes.run(PresenceHeartbeat(piece, self._live_seconds, self._outage_seconds))

    async def disconnect(self, connections: Sequence[Connection]) -> None:
        """Record that connections were closed. The grace times of their users begin."""
        for first in range(0, len(connections), MAX_TOGETHER):
            await self._lanes.run(PresenceDisconnect(connections[first : first + MAX_TOGETHER]))

    async def logout(self, user: str, token_id: str) -> None:
        """Remove the connections of this token. Without another one the user has disconnected now."""
        await self._lanes.run(PresenceLogout(user, token_id))

    async def inspect(self, user: str) -> UserPresence:
        """Return whether the user is connected, and Redis's time."""
        return await self._lanes.run(PresenceInspect(user))


class PresenceSweeper:
    """What the janitor does with presence. Raises StoreUnavailable."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    def take_disconnected(self, grace_seconds: float) -> Iterator[Disconnection]:
        """Yield users who have disconnected.

        A user counts as dealt with when the next one is asked for. After an error or a crash it is yielded again, so deal
        with it in an idempotent way.
        """
        while True:
            disconnected = self._lanes.run(PresenceSweep(grace_seconds, MAX_TOGETHER))
            for disconnection in disconnected:
                yield disconnection
                self._lanes.run(PresenceForget(disconnection))
            if len(disconnected) < MAX_TOGETHER:
                return

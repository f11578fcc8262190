"""Who is connected: users who hold a live connection to any API process open.

A user's presence is the time of the last sign of life and the set of open connections; heartbeats renew both, for all connections of a
process in one round trip. Whoever stays away for longer than the grace time has disconnected, and the janitor is told so
(`PresenceSweeper`). Guarantees:

- Who never held a connection is never told of: plain HTTP users have no presence at all.
- A dead process disconnects nobody who is back within the grace time, since its connections count until they run out.
- An outage is no disconnection: while no API process at all could say that it lives (Redis was away, or every process), users
  could not have shown themselves, and their grace time begins anew when one can.
- After a log-out the user is told of at once, unless another connection is open; and only the jobs from before it are meant.
  A heartbeat that was under way meanwhile changes nothing: the connections of a revoked token are not renewed.
- A janitor that dies before it has done what it was told is told again, or another one is.

Time is Redis's, as in the lanes' scripts. Keys (P is the prefix of all keys):

    P presence             ZSET  user -> last sign of life, ms since 2020; after a log-out minus its time in us since 2020
    P connections:<user>   ZSET  connection -> ms since 2020 when it runs out unless renewed; expires as a whole
    P watch                HASH  last: when an API process last showed itself; since: from when on they did so without a gap; gap:
                                 how long one must be to count as an outage. All in ms
    P departed             ZSET  user -> us since 2020: disconnected, and not known to have been dealt with
    P revoked:<token id>   written by services/laneway/api/security.py before a log-out comes here; only looked at
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio
from redis.exceptions import RedisError

from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.keys import Keys

LIVE_HEARTBEATS, OUTAGE_HEARTBEATS = 3, 2
"""After so many heartbeats without a renewal a connection runs out; and without any heartbeat of any process it is an outage."""
TOGETHER = 500
"""Connections, or users, that one script call handles: Redis serves nobody else during it."""

_PRELUDE = """#!lua flags=allow-oom
local P = KEYS[1]
local time = redis.call('TIME')
local now_us = (time[1] - 1577836800) * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)
local function int(number) return string.format('%.0f', number) end
local presence, departed = P .. 'presence', P .. 'departed'
local function connections(user) return P .. 'connections:' .. user end
local function live(user) return redis.call('ZCOUNT', connections(user), int(now_ms), '+inf') end
"""

_HEARTBEAT = """
-- Renew connections (a new one likewise) unless their token has been revoked, and note that an API process lives.
-- Cost: O(log n) a connection.
-- ARGV[1] ms for which they count   ARGV[2] ms without any API process that make an outage   ARGV[3..] user, connection...
local most = tonumber(ARGV[1])
local seen = redis.call('HMGET', P .. 'watch', 'last', 'since')
local since = seen[2] or '0'
if seen[1] and now_ms - seen[1] > tonumber(ARGV[2]) then since = int(now_ms) end
redis.call('HSET', P .. 'watch', 'last', int(now_ms), 'since', since, 'gap', ARGV[2])
for at = 3, #ARGV, 2 do
  local key, token = connections(ARGV[at]), string.match(ARGV[at + 1], '^[^:]*')
  if redis.call('EXISTS', P .. 'revoked:' .. token) == 0 then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. int(now_ms))
    redis.call('ZADD', key, int(now_ms + most), ARGV[at + 1])
    redis.call('PEXPIRE', key, most)
    redis.call('ZADD', presence, int(now_ms), ARGV[at])
  end
end
return 1
"""

_DISCONNECT = """
-- Take closed connections away; their closing is the last sign of life. Cost: O(log n) a connection.
-- ARGV[1..] user, connection...
for at = 1, #ARGV, 2 do
  if redis.call('ZREM', connections(ARGV[at]), ARGV[at + 1]) == 1 then
    redis.call('ZADD', presence, 'XX', 'GT', int(now_ms), ARGV[at])
  end
end
return 1
"""

_LOGOUT = """
-- Take away the connections of a token; without another one the user has disconnected now. Cost: O(connections of the user).
-- ARGV[1] user   ARGV[2] token id
local user, key = ARGV[1], connections(ARGV[1])
for _, connection in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  if string.sub(connection, 1, #ARGV[2] + 1) == ARGV[2] .. ':' then redis.call('ZREM', key, connection) end
end
if live(user) == 0 then redis.call('ZADD', presence, 'XX', int(-now_us), user) end
return 1
"""

_LOOK = """
-- Reply: {whether the user has a live connection, us since 2020}
return { live(ARGV[1]) > 0 and 1 or 0, int(now_us) }
"""

_SWEEP = """
-- Move users who have disconnected from the presence to the departed, and tell of the latter. Cost: O(users told of).
-- ARGV[1] grace, ms   ARGV[2] most users
-- Reply: user, us since 2020 up to which accepted jobs are meant...
local grace, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local function depart(user, until_us)
  redis.call('ZREM', presence, user)
  redis.call('UNLINK', connections(user))
  redis.call('ZADD', departed, int(until_us), user)
end
for _, user in ipairs(redis.call('ZRANGE', presence, '-inf', 0, 'BYSCORE', 'LIMIT', 0, most)) do
  depart(user, -tonumber(redis.call('ZSCORE', presence, user)))
end
local seen = redis.call('HMGET', P .. 'watch', 'last', 'since', 'gap')
if seen[1] and now_ms - seen[1] <= tonumber(seen[3]) and now_ms - seen[2] >= grace then
  for _, user in ipairs(redis.call('ZRANGE', presence, 1, '(' .. int(now_ms - grace), 'BYSCORE', 'LIMIT', 0, most)) do
    if live(user) > 0 then
      redis.call('ZADD', presence, int(now_ms), user) -- a grace time shorter than the heartbeats
    else
      depart(user, now_us)
    end
  end
end
return redis.call('ZRANGE', departed, 0, most - 1, 'WITHSCORES')
"""

_DEALT_WITH = """
-- A departed user has been dealt with, unless there is a newer departure.
-- ARGV[1] user   ARGV[2] us since 2020, as told
if tonumber(redis.call('ZSCORE', departed, ARGV[1])) == tonumber(ARGV[2]) then redis.call('ZREM', departed, ARGV[1]) end
return 1
"""


@dataclass(frozen=True, slots=True)
class Look:
    """`now_us`: Redis's time, microseconds since 2020."""

    connected: bool
    now_us: int


class Presence:
    """The face of the API processes. `heartbeat_seconds`: how often `heartbeat` is called. All of it raises StoreUnavailable."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, *, heartbeat_seconds: float) -> None:
        self._keys = [keys.prefix]
        heartbeat_ms = int(heartbeat_seconds * 1000)
        self._times = [LIVE_HEARTBEATS * heartbeat_ms, OUTAGE_HEARTBEATS * heartbeat_ms]
        self._heartbeat = client.register_script(_PRELUDE + _HEARTBEAT)
        self._disconnect = client.register_script(_PRELUDE + _DISCONNECT)
        self._logout = client.register_script(_PRELUDE + _LOGOUT)
        self._look = client.register_script(_PRELUDE + _LOOK)

    async def connect(self, user: str, connection: str) -> None:
        """`connection` is `<token id>:<any text>`, so that a log-out finds the connections of its token."""
        await self.heartbeat([(user, connection)])

    async def heartbeat(self, connections: Sequence[tuple[str, str]]) -> None:
        """Renew the (user, connection) pairs of this process. To be called without any, too: it says that a process lives."""
        for first in range(0, max(1, len(connections)), TOGETHER):
            await self._run(self._heartbeat, [*self._times, *_flat(connections[first : first + TOGETHER])])

    async def disconnect(self, connections: Sequence[tuple[str, str]]) -> None:
        """These (user, connection) pairs have been closed: their users' grace time begins."""
        for first in range(0, len(connections), TOGETHER):
            await self._run(self._disconnect, _flat(connections[first : first + TOGETHER]))

    async def logout(self, user: str, token_id: str) -> None:
        """The connections of this token are no more; the user has disconnected now, unless another one is open."""
        await self._run(self._logout, [user, token_id])

    async def look(self, user: str) -> Look:
        connected, now_us = await self._run(self._look, [user])
        return Look(connected == 1, int(now_us))

    async def connected(self, user: str) -> bool:
        return (await self.look(user)).connected

    async def _run(self, script: Any, args: Sequence[str | int]) -> Any:
        try:
            return await script(keys=self._keys, args=args)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error


class PresenceSweeper:
    """The janitor's face. All of it raises StoreUnavailable."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._keys = [keys.prefix]
        self._sweep = client.register_script(_PRELUDE + _SWEEP)
        self._dealt_with = client.register_script(_PRELUDE + _DEALT_WITH)

    def take_disconnected(self, grace_seconds: float) -> Iterator[tuple[str, int]]:
        """Users who have disconnected, each with the moment (us since 2020) up to which accepted jobs are meant.

        A user counts as dealt with when the next one is asked for. One who was not (an error, a crash) is told of again: what is
        done with them must be idempotent.
        """
        while True:
            flat = self._run(self._sweep, [int(grace_seconds * 1000), TOGETHER])
            for user, until_us in zip(flat[::2], flat[1::2], strict=True):
                yield user.decode(), int(until_us)
                self._run(self._dealt_with, [user, int(until_us)])
            if len(flat) < 2 * TOGETHER:
                return

    def _run(self, script: Any, args: Sequence[Any]) -> Any:
        try:
            return script(keys=self._keys, args=args)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(str(error)) from error


def _flat(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [text for pair in pairs for text in pair]

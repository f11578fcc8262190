"""Connections to Redis for an event loop, that notice when they have been lost.

redis-py 8.1 looks at a pooled connection before it hands it out, but sees only a closed one (FIN), not one that was reset; and
where writing to a lost connection raises OSError in asyncio's own loop, uvloop raises RuntimeError (uvloop issue 506), which
redis-py does not take for what it is.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError


def notice_losses(pool: ConnectionPool) -> None:
    """Make the pool open a new connection in place of one that was lost while nobody used it, and raise Redis's ConnectionError
    for one that is lost in use. To be called before the first use."""
    plain: Any = pool.connection_class
    pool.connection_class = type(plain.__name__, (_Noticing, plain), {})


class _Noticing(AbstractConnection):
    async def can_read(self) -> bool:
        """Asked by the pool before it hands the connection out; whoever raises is connected anew."""
        if self._writer is None or self._writer.transport.is_closing():
            raise RedisConnectionError("the connection was lost")
        return await super().can_read()

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            if "closed" not in str(error):
                raise
            raise RedisConnectionError("the connection was lost") from error

"""Connections to Redis that notice when they have been lost, or lead to a server that is no primary any more.

After a failover the address may stand for another server, but a connection stays with the old one as long as that lives: whoever is
told that it only reads lets go of the connection, and the next one is made to whom the address stands for now.

redis-py 8.1 looks at a pooled connection before it hands it out, but sees only a closed one (FIN), not one that was reset; and
where writing to a lost connection raises OSError in asyncio's own loop, uvloop raises RuntimeError (uvloop issue 506), which
redis-py does not take for what it is.
"""

from __future__ import annotations

from typing import Any

from redis import connection as threads
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError


def notice_losses(pool: ConnectionPool) -> None:
    """Make the pool open a new connection in place of one that was lost while nobody used it, or whose server only reads, and raise
    Redis's ConnectionError for one that is lost in use. To be called before the first use."""
    plain: Any = pool.connection_class
    pool.connection_class = type(plain.__name__, (_Noticing, plain), {})


def notice_demotions(pool: threads.ConnectionPool) -> None:
    """The same for threads, where redis-py itself notices what is lost."""
    plain: Any = pool.connection_class
    pool.connection_class = type(plain.__name__, (_NoticingInThreads, plain), {})


class _NoticingInThreads(threads.AbstractConnection):
    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options)
        except ReadOnlyError:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise


class _Noticing(AbstractConnection):
    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except ReadOnlyError:
            await self.disconnect()
            raise

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

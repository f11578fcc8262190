"""What we need from inside redis-py: improvements for the connections of a pool on an event loop. Written against redis-py 8.1.

| entry | needs | why | upstream |
|---|---|---|---|
| `improve` | `connection_class` of a pool | the improvements below are added to that class | none: the pool is public, its attribute is not documented |
| `_Packing` | `pack_command`, `pack_commands` | redis-py packs commands with hiredis for threads, and in Python for event loops, which was half of what an enqueue costs the API | redis-py 4176, open |
| `_LossNoticing` | `can_read` | the pool asks it before it hands a connection out, and so sees one that was closed, but not one that was reset | no issue known |
| | `send_packed_command` | uvloop raises RuntimeError where asyncio raises OSError, and redis-py does not take that for a lost connection | uvloop 506, redis-py 3230, open |
| `_Patient` | `_active_read_timeout`, `_read_response_from_parser` | after an event loop stood still (a starved or throttled process) its timers come before the reply that arrived meanwhile, so redis-py gave up a Redis that had answered at once | no issue known |
| `_AtHand` | `_parser._reader` of hiredis | redis-py starts a timer for each reply of a pipeline, though they arrive together: a twentieth of what an enqueue costs the API | no issue known |
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import hiredis
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

SEPARATE_BYTES = 65_536
"""Commands are copied into one buffer unless one of them is this large. Then each is handed to the transport by itself."""
LAST_SECONDS = 0.2
"""The last part of a time limit: it begins when the loop sees that the first part is over, and so leaves time to read."""


def improve(pool: ConnectionPool) -> None:
    """Give the connections that the pool makes from now on all improvements. Call it before the first use."""
    plain: Any = pool.connection_class
    bases = (_Packing, _LossNoticing, _Patient, _AtHand, plain)
    pool.connection_class = type(plain.__name__, bases, {})


class _Packing(AbstractConnection):
    def pack_command(self, *args: Any) -> list[bytes]:
        return [_pack(args)]

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        packed = [_pack(command) for command in commands]
        if max(map(len, packed), default=0) < SEPARATE_BYTES:
            return [b"".join(packed)]
        return packed


def _pack(command: Iterable[Any]) -> bytes:
    args = tuple(command)
    name = args[0]
    if (
        isinstance(name, str) and " " in name
    ):  # redis-py takes `SCRIPT LOAD` for one name; Redis wants two words
        args = (*name.split(), *args[1:])
    packed: bytes = hiredis.pack_command(args)
    return packed


class _LossNoticing(AbstractConnection):
    async def can_read(self) -> bool:
        """Raise if the connection is lost: the pool, which asks before it hands a connection out, then reconnects it."""
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


class _Patient(AbstractConnection):
    _is_first_reply = False
    """The replies to a pipeline arrive together, so the first alone is waited for with patience."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        self._is_first_reply = True
        await super().send_packed_command(command, check_health)

    async def _read_response_from_parser(
        self, disable_decoding: bool = False, push_request: bool | None = False
    ) -> Any:
        limit: asyncio.Timeout | None = self._active_read_timeout
        if limit is None or not self._is_first_reply:
            return await super()._read_response_from_parser(disable_decoding, push_request)
        self._is_first_reply = False
        loop, end = asyncio.get_running_loop(), limit.when() or 0.0
        last_part = loop.call_at(end - LAST_SECONDS, _begin_last_part, limit, loop)
        try:
            return await super()._read_response_from_parser(disable_decoding, push_request)
        finally:
            last_part.cancel()


class _AtHand(AbstractConnection):
    async def read_response(
        self,
        disable_decoding: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - redis-py's signature
        **options: Any,
    ) -> Any:
        """Return the next reply: at once if it was read together with the one before, else when it comes, as redis-py does."""
        parser: Any = self._parser
        reader = parser._reader  # noqa: SLF001 - what hiredis has read of this connection
        if timeout is None and self.protocol == 2 and self.is_connected and reader and reader.has_data():
            reply = reader.gets(False) if disable_decoding else reader.gets()
            if isinstance(reply, RedisError):
                if not isinstance(reply, ResponseError) and options.get("disconnect_on_error", True):
                    await self.disconnect(nowait=True)  # Redis does not serve: it loads its data, for example
                raise reply from None
            if reply is not NOT_ENOUGH_DATA:
                return reply
        return await super().read_response(disable_decoding, timeout, **options)


def _begin_last_part(limit: asyncio.Timeout, loop: asyncio.AbstractEventLoop) -> None:
    end = limit.when()
    if end is not None and not limit.expired():
        limit.reschedule(max(end, loop.time() + LAST_SECONDS))

"""Packs commands to Redis in C, as redis-py does for threads but (8.1) not for event loops: in Python it was half of what an enqueue
costs the API, and a tenth of what a worker's claims and finishes cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool

SEPARATE_BYTES = 65_536
"""With a command of this size among them, commands are handed to the transport one by one, not copied together."""


def pack_in_c(pool: ConnectionPool) -> None:
    """For connections that the pool makes from now on."""
    plain: Any = pool.connection_class
    pool.connection_class = type(plain.__name__, (_Packing, plain), {})


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
    if isinstance(name, str) and " " in name:  # `SCRIPT LOAD` are two words
        args = (*name.split(), *args[1:])
    packed: bytes = hiredis.pack_command(args)
    return packed

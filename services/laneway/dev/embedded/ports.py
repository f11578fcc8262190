"""Free ports for servers that will listen later."""

from __future__ import annotations

import random
import socket
import sys
from collections import deque

HOST = "127.0.0.1"
_PORTS = (10_000, 32_000)
_MAX_RESERVED = 256
_reserved: deque[tuple[int, socket.socket]] = deque(maxlen=_MAX_RESERVED)
"""The ports handed out last. A server listens on older ones by now, or never will."""


def free_port() -> int:
    """Return a loopback port on which nobody listens. No other caller gets it, in this process or (on Linux) in another.

    It is outside the range from which the kernel gives ports to clients. A client that reconnects to a dead server could
    otherwise get that server's port as its own, connect to itself and keep the port.
    """
    while True:
        port = random.randrange(*_PORTS)
        if reserve_port(port) and _is_free(port):
            return port


def reserve_port(port: int) -> bool:
    """Keep `free_port` from handing out this port. Returns False if it was handed out or reserved before."""
    if any(port == known for known, _ in _reserved):
        return False
    mark = socket.socket(socket.AF_UNIX)
    if sys.platform == "linux":
        try:
            mark.bind(
                f"\0laneway-port-{port}"
            )  # an abstract name: one for all processes, gone when this one ends
        except OSError:
            mark.close()
            return False
    _reserved.append((port, mark))
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True

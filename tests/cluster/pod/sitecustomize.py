"""Python imports this at the start of every simulated pod's process: it gives the process the pod's host name and address.

A container would have a network and a host name of its own; here several pods share those of the machine. A server that
listens on all addresses listens on the pod's IPv4 address instead, and on a random port of the IPv6 loopback address.
"""

import os
import socket
from typing import Any

_bind = socket.socket.bind


def bind(self: socket.socket, address: Any, /) -> None:
    if isinstance(address, tuple) and address[0] in {"", "0.0.0.0"}:
        address = (os.environ["POD_IP"], *address[1:])
    elif isinstance(address, tuple) and address[0] == "::":
        address = ("::1", 0, *address[2:])
    _bind(self, address)


socket.socket.bind = bind  # type: ignore[assignment, method-assign]
socket.gethostname = lambda: os.environ["HOSTNAME"]

"""Python imports this at the start of every simulated pod's process: it gives the process the pod's host name and address.

A container would have a network and a host name of its own; here several pods share those of the machine. A server that
listens on all addresses listens on the pod's IPv4 address instead. A socket for IPv6 alone, beside one for IPv4, gets a random
port of the loopback address.
"""

import os
import socket
from typing import Any

_bind = socket.socket.bind


def bind(self: socket.socket, address: Any, /) -> None:
    if isinstance(address, tuple) and address[0] in {"", "0.0.0.0"}:
        address = (os.environ["POD_IP"], *address[1:])
    elif isinstance(address, tuple) and address[0] == "::":
        alone = self.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
        address = ("::1", 0) if alone else (f"::ffff:{os.environ['POD_IP']}", *address[1:])
    _bind(self, address)


socket.socket.bind = bind  # type: ignore[assignment, method-assign]
socket.gethostname = lambda: os.environ["HOSTNAME"]

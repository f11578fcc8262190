"""Read by Python at every start of a simulated pod's process: it has the pod's host name, and listens at the pod's address alone.

A container would have a network and a name of its own; here several pods share those of the machine.
"""

import os
import socket
from typing import Any

_bind = socket.socket.bind


def bind(self: socket.socket, address: Any, /) -> None:
    if isinstance(address, tuple) and address[0] in {"", "0.0.0.0"}:
        address = (os.environ["POD_IP"], *address[1:])
    _bind(self, address)


socket.socket.bind = bind  # type: ignore[assignment, method-assign]
socket.gethostname = lambda: os.environ["HOSTNAME"]

"""A pool process's end of its connection to the lease keeper."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from laneway.worker import private_folder, protocol
from laneway.worker.protocol import FromLeaseKeeper, FromProcess, MessageReader
from laneway.worker.start_tokens import RunningMark, StartTokens

EXIT_CODE = 70
"""Of a pool process that ends because it cannot go on (EX_SOFTWARE)."""
_READ_BYTES = 65536


class LeaseKeeperLink:
    """Sends blocks only while the lease keeper is far behind. Without a lease keeper the process ends: nobody renews its leases."""

    def __init__(self, folder: Path) -> None:
        self.start_tokens = StartTokens(private_folder.start_tokens_path(folder, os.getpid()), create=True)
        self.running_mark = RunningMark(private_folder.running_mark_path(folder, os.getpid()))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(private_folder.socket_path(folder)))
        self._reader: MessageReader[FromLeaseKeeper] = MessageReader(FromLeaseKeeper)
        self.send(protocol.Hello(os.getpid(), os.getppid()))

    def fileno(self) -> int:
        """The descriptor to watch; call `receive` when it is readable."""
        return self._socket.fileno()

    def send(self, message: FromProcess) -> None:
        """Send one message, in order with all others."""
        try:
            self._socket.sendall(protocol.encode(message))
        except OSError:
            os._exit(EXIT_CODE)

    def receive(self, handle: Callable[[FromLeaseKeeper], None]) -> None:
        """Pass on the messages that have arrived, without waiting for more."""
        try:
            data = self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            os._exit(EXIT_CODE)
        for message in self._reader.feed(data):
            handle(message)

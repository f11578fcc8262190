"""A TCP proxy on the loopback interface that can act as a bad network between a program and a server.

It is written here because the one maintained tool for this (toxiproxy) is a server in Go, and we need little of it. A TCP stream
cannot lose bytes in the middle: to both ends, a network that drops packets looks like one that has stopped. `stall` does that.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import TypeVar

CALL_SECONDS = 10.0
CHUNK_BYTES = 65536
T = TypeVar("T")


class Proxy:
    """Forwards `port` on 127.0.0.1 to `target_port`. Its methods may be called from any thread and take effect before they
    return. Faults apply to new connections as well as to old ones."""

    def __init__(self, target_port: int) -> None:
        self.target_port, self.port = target_port, 0
        self._delay_seconds, self._jitter_seconds, self._random = 0.0, 0.0, Random(0)
        self._refusing = self._truncating = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def start(self) -> None:
        """Start the thread and listen on a free port."""
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, limit=CHUNK_BYTES), self._loop
        ).result(CALL_SECONDS)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Reset all connections and end the thread."""
        asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop).result(CALL_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS)
        self._loop.close()

    # -- the faults -------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """End all faults. Data that was held back goes on its way."""

        def act() -> None:
            self._delay_seconds = self._jitter_seconds = 0.0
            self._refusing = self._truncating = False
            self._flowing.set()

        self._call(act)

    def delay(self, seconds: float, jitter_seconds: float = 0.0) -> None:
        """Delay each chunk of each stream."""

        def act() -> None:
            self._delay_seconds, self._jitter_seconds = seconds, jitter_seconds

        self._call(act)

    def stall(self) -> None:
        """Forward nothing, as with a cable pulled out. Connections stay open, and new ones are accepted."""
        self._call(self._flowing.clear)

    def refuse(self) -> None:
        """Reset each new connection. Existing ones stay."""

        def act() -> None:
            self._refusing = True

        self._call(act)

    def truncate(self) -> None:
        """Break each connection in the middle of its next answer."""

        def act() -> None:
            self._truncating = True

        self._call(act)

    def reset(self) -> int:
        """Reset (RST) all connections, and return how many there were. Data on its way is lost."""
        return self._call(lambda: self._drop(reset=True))

    def close(self) -> int:
        """Close (FIN) all connections, and return how many there were."""
        return self._call(lambda: self._drop(reset=False))

    def connections(self) -> int:
        """Count the connected clients."""
        return self._call(lambda: len(self._writers) // 2)

    # -- inside the thread ------------------------------------------------------------------------------------------

    def _call(self, act: Callable[[], T]) -> T:
        async def run() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(CALL_SECONDS)

    def _drop(self, *, reset: bool) -> int:
        count = len(self._writers) // 2
        for writer in list(self._writers):
            _close(writer, reset=reset)
        return count

    async def _shut_down(self) -> None:
        if self._server is not None:
            self._server.close()
        self._drop(reset=True)
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        await asyncio.sleep(0.01)  # transports report their end in a later iteration of the loop

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._refusing:
            _close(writer, reset=True)
            return
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            _close(writer, reset=True)
            return
        # without the suppression asyncio would log each connection when the proxy stops
        with self._tracked(writer), self._tracked(server_writer), contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(
                self._pump(reader, server_writer, answers=False),
                self._pump(server_reader, writer, answers=True),
            )

    @contextlib.contextmanager
    def _tracked(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if self._delay_seconds or self._jitter_seconds:
                    await asyncio.sleep(self._delay_seconds + self._random.random() * self._jitter_seconds)
                await self._flowing.wait()
                if answers and self._truncating:
                    writer.write(chunk[: len(chunk) // 2])
                    await writer.drain()
                    break
                writer.write(chunk)
                await writer.drain()
        if not writer.is_closing():
            writer.close()


def _close(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if reset:
        connection: socket.socket | None = writer.get_extra_info("socket")
        if connection is not None and not writer.is_closing():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()

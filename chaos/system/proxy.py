"""A TCP proxy between the processes and a server, on the loopback interface, that can be a bad network.

Written here, since the one maintained tool for it (toxiproxy) is a server in Go, and what is needed is small. A
stream cannot lose bytes in the middle: a network that drops packets looks to both ends like one that has stopped,
so that is what `stall` does.
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

LIMIT_SECONDS = 10.0
CHUNK_BYTES = 65536
T = TypeVar("T")


class Proxy:
    """Forwards `port` (of 127.0.0.1) to `target_port`. Its methods may be called from any thread, and take effect
    before they return. New connections meet the same faults as old ones."""

    def __init__(self, target_port: int) -> None:
        self.target_port, self.port = target_port, 0
        self._delay_seconds, self._jitter_seconds, self._random = 0.0, 0.0, Random(0)
        self._refusing = self._truncating = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._flows.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def start(self) -> None:
        """Listen on a free port."""
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, limit=CHUNK_BYTES), self._loop
        ).result(LIMIT_SECONDS)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Cut everything and end the thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(LIMIT_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT_SECONDS)
        self._loop.close()

    # -- faults -------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Forward everything at once again, what was held back included."""

        def act() -> None:
            self._delay_seconds = self._jitter_seconds = 0.0
            self._refusing = self._truncating = False
            self._flows.set()

        self._call(act)

    def delay(self, seconds: float, jitter_seconds: float = 0.0) -> None:
        """Hold each piece of each stream back for a while."""

        def act() -> None:
            self._delay_seconds, self._jitter_seconds = seconds, jitter_seconds

        self._call(act)

    def stall(self) -> None:
        """Forward nothing; connections stay open and new ones are accepted, as with a cable pulled out."""
        self._call(self._flows.clear)

    def refuse(self) -> None:
        """Reset each new connection; those that there are stay."""

        def act() -> None:
            self._refusing = True

        self._call(act)

    def truncate(self) -> None:
        """Break each connection in the middle of the next answer that it carries."""

        def act() -> None:
            self._truncating = True

        self._call(act)

    def reset(self) -> int:
        """Reset (RST) all connections; returns how many. What was on the way is lost."""
        return self._call(lambda: self._drop(reset=True))

    def close(self) -> int:
        """Close (FIN) all connections; returns how many."""
        return self._call(lambda: self._drop(reset=False))

    def connections(self) -> int:
        """How many clients are connected."""
        return self._call(lambda: len(self._writers) // 2)

    # -- in the thread ------------------------------------------------------------------------------------------

    def _call(self, act: Callable[[], T]) -> T:
        async def run() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(LIMIT_SECONDS)

    def _drop(self, *, reset: bool) -> int:
        count = len(self._writers) // 2
        for writer in list(self._writers):
            _close(writer, reset=reset)
        return count

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        self._drop(reset=True)
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        await asyncio.sleep(0.01)  # transports tell of their end in a later turn of the loop

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._refusing:
            _close(writer, reset=True)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            _close(writer, reset=True)
            return
        # cancelled: the proxy ends, and asyncio would report the end of each connection
        with self._known(writer), self._known(far_writer), contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(
                self._pump(reader, far_writer, answers=False), self._pump(far_reader, writer, answers=True)
            )

    @contextlib.contextmanager
    def _known(self, writer: asyncio.StreamWriter) -> Iterator[None]:
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
                await self._flows.wait()
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
        found: socket.socket | None = writer.get_extra_info("socket")
        if found is not None and not writer.is_closing():
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()

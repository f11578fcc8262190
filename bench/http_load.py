"""An HTTP client for measurements: keep-alive connections that each send the same POST again as soon as it is answered.

It reads only as much of an answer as it must, so that it costs less than the server that it measures.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import cast

LIMIT_SECONDS = 20


class LoadError(RuntimeError):
    """The server answered something else than 200, or closed a connection."""


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, request: bytes, deadline: float, seconds: list[float]) -> None:
        self._request, self._deadline, self._seconds = request, deadline, seconds
        self._received = b""
        self._sent = 0.0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = answer_length(self._received)
        if end is None or len(self._received) < end:
            return None
        if not self._received.startswith(b"HTTP/1.1 200 "):
            return self._end(LoadError(self._received[:200].decode(errors="replace")))
        now = time.perf_counter()
        self._seconds.append(now - self._sent)
        self._received = b""
        return self._send() if now < self._deadline else self._end(None)

    def connection_lost(self, _error: Exception | None) -> None:
        self._end(LoadError("the server closed a connection"))

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def _end(self, error: LoadError | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(error) if error else self.ended.set_result(None)
        self._transport.close()


def answer_length(received: bytes) -> int | None:
    """Return the bytes of an answer's head and body; None while the head is not complete."""
    head = received.find(b"\r\n\r\n")
    if head < 0:
        return None
    start = received[:head].lower().find(b"content-length:")
    return head + 4 + int(received[start + 15 : head].split(b"\r", 1)[0])


def post(path: str, token: str, body: bytes) -> bytes:
    """Return a request as bytes."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: laneway\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def load(port: int, requests: Sequence[bytes], seconds: float) -> list[float]:
    """Send each request again and again over a connection of its own, and return how long each answer took.

    Raises LoadError for an answer that is not 200, and OSError where nothing listens.
    """
    loop = asyncio.get_running_loop()
    deadline = time.perf_counter() + seconds
    took: list[float] = []
    clients = [_Client(request, deadline, took) for request in requests]
    async with asyncio.timeout(seconds + LIMIT_SECONDS):
        for client in clients:
            await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
        await asyncio.gather(*(client.ended for client in clients))
    return took

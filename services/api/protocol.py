"""uvicorn's HTTP protocol with limits that it does not have itself: how long a request's head may be, and how long it may take.

(uvicorn 0.54 limits heads only with its other parser, h11, and times out connections only between requests.)
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.api.errors import MEDIA_TYPE, Problem

HEAD_BYTES = 65_536
"""As much as common servers and proxies take, and more; what comes in one piece from the network is read in any case."""
HEAD_SECONDS = 10.0
"""From the first byte of a head to its end."""
_TOO_LARGE = Problem(
    431, "head-too-large", f"a request's line and headers have {HEAD_BYTES} bytes together at most"
)


class LimitedProtocol(HttpToolsProtocol):
    """One connection."""

    _timer: asyncio.TimerHandle | None = None
    _in_head = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(self.timeout_keep_alive)  # as between requests: load balancers open connections in advance

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        begun = self._in_head
        super().data_received(data)
        if self._in_head:  # and not yet at its end
            self._head_bytes += len(data)
            if not begun:
                self._wait(HEAD_SECONDS)
            if self._head_bytes > HEAD_BYTES:
                self._refuse()

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._cancel()
        super().on_headers_complete()

    def _refuse(self) -> None:
        body = _TOO_LARGE.body()
        head = (
            f"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _wait(self, seconds: float) -> None:
        self._cancel()
        self._timer = self.loop.call_later(seconds, self.transport.close)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

"""uvicorn's HTTP protocol with limits that it does not have itself: how long a request's head may be, and how long it may take.

(uvicorn 0.54 limits heads only with its other parser, h11, and times out connections only between requests.)

And with the bodies of requests that offer to go on with another protocol, as Java's HttpClient does by default (h2c). Such an offer is
ignored; but uvicorn's parser has left the body out then, and takes it for the next request (Kludex/uvicorn issue 2722, open).
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from laneway.api.errors import MEDIA_TYPE, Problem

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
    _data = _rest = b""
    _head_again = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(self.timeout_keep_alive)  # as between requests: load balancers open connections in advance

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        begun, self._data = self._in_head, data
        super().data_received(data)
        self._data = b""
        if self._rest:
            rest, self._rest = self._rest, b""
            self.data_received(rest)
        elif self._in_head:  # and not yet at its end
            self._head_bytes += len(data)
            if not begun:
                self._wait(HEAD_SECONDS)
            if self._head_bytes > HEAD_BYTES:
                self._refuse()

    def on_message_begin(self) -> None:
        if self._head_again:
            return
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._head_again:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_again:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._head_again:
            return
        self._in_head = False
        self._cancel()
        super().on_headers_complete()

    def _should_upgrade(self) -> bool:
        return super()._should_upgrade() and self.parser.get_method() == b"GET"

    def _unsupported_upgrade_warning(self) -> None:
        """The parser has stopped behind the head: another one, which hears of no offer, reads what follows."""
        stopped: Any = sys.exception()  # httptools.HttpParserUpgrade, with how far it came
        self._rest = self._data[stopped.args[0] :]
        framing = [
            b"%b: %b\r\n" % line
            for line in self.headers
            if line[0] in {b"content-length", b"transfer-encoding"}
        ]
        self.parser = httptools.HttpRequestParser(self)
        self.cycle.more_body = True
        self._head_again = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))
        self._head_again = False

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

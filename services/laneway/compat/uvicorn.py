"""What we need from inside uvicorn. Written against uvicorn 0.54.

| entry | needs | why | upstream |
|---|---|---|---|
| `GuardedProtocol` | a subclass of `HttpToolsProtocol` and of its callbacks for the parser | uvicorn has no limits on a request's head for httptools | Kludex/uvicorn 157, closed without them |
| | `send_400_response` | uvicorn answers parser errors in plain text | no issue known |
| | the protocol's `transport` | uvicorn closes while the client still sends, which takes the answer away from the client | no issue known |
| | `shutdown` | when the server ends, uvicorn closes connections whose next request is on its way, or has come and is not read yet | no issue known |
| | `_should_upgrade`, `_unsupported_upgrade_warning` | the body of a request that offers an upgrade is taken for the next request | Kludex/uvicorn 2722, open |
| `SignalledServer` | `Server.handle_exit` | uvicorn stops accepting connections at the first SIGTERM | Kludex/uvicorn 2414, open |
| `ForwardedHeaders` | `trusted_hosts` of `ProxyHeadersMiddleware` | it knows networks, and its class is not public | no issue known |
| `is_noise` | the texts of two log records | uvicorn has no setting that leaves them out | no issue known |

More than 250 lines, because each library has one file here.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import time
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, ClassVar

import httptools
import structlog
import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = structlog.get_logger()


class GuardedProtocol(HttpToolsProtocol):
    """One connection, whose subclass sets the limits and the answers to what no application sees.

    Guarantees:

    - A head that is too long, too slow or malformed, or that does not name exactly one host, is answered and closed. So is
      a body whose trailers or chunk extensions are too long. No trailer counts as a header.
    - The client gets its answer even if it is still sending the body: the server half-closes, reads on within limits and
      drops what it reads, and then closes.
    - A body that goes on after its answer is read within the same limits.
    - An offer of another protocol is ignored and the request is served, unless it is a GET for a WebSocket.
    """

    HEAD_BYTES: ClassVar[int]
    """Also of what one body has beside its data."""
    HEAD_SECONDS: ClassVar[float]
    """From the first byte of a head to its end."""
    LINGER_BYTES: ClassVar[int]
    LINGER_SECONDS: ClassVar[float]
    """How much is read after the answer, and for how long."""
    LAST_SECONDS: ClassVar[float]
    """How long an idle connection stays open for one more request when the server shuts down."""
    HEAD_TOO_LARGE: ClassVar[bytes]
    MALFORMED: ClassVar[bytes]
    WRONG_HOST: ClassVar[bytes]
    """Whole answers, status line included."""

    _timer: asyncio.TimerHandle | None = None
    _in_head = _in_body = _lingering = False
    _refused_later = b""
    """A refusal (431, 400) that waits until the requests before it on its connection are answered."""
    _had_begun = False
    """Whether the last data received found the connection in a head."""
    _bare_bytes = _may_drop = 0
    """The first: read since a head began or since the last piece of a body, without the read in which that was."""
    _fault = _data = _rest = b""

    # -- asyncio's side ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Serve the connection; its first request may take as long to come as any later one."""
        super().connection_made(transport)
        self._raw = transport
        self.transport = _Closing(self, transport)  # type: ignore[assignment]
        self._close_after(self.timeout_keep_alive)  # load balancers open connections in advance

    def shutdown(self) -> None:
        """The server ends: answer what is under way, and what comes soon. (The application says `Connection: close`.)"""
        if self._owes_answer() or self._in_body:
            super().shutdown()
        else:
            self._close_after(self.LAST_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer, too."""
        self._cancel_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, within the limits."""
        if self._lingering or (self._in_body and self._is_answered()):
            self._may_drop -= len(data)
            if self._may_drop < 0:
                self._raw.close()
            if self._lingering:
                return
        if self._refused_later:
            return  # what was read before the pause
        begun = self._had_begun = self._in_head
        self._data = data
        super().data_received(data)
        self._data = b""
        if self._rest:
            rest, self._rest = self._rest, b""
            self.data_received(rest)
            return
        if self._in_head and not begun:  # and not yet at its end
            self._end_head_after(self.HEAD_SECONDS)
        if self._in_head or (self._in_body and not self._is_answered()):
            self._bare_bytes += len(data)
            if self._bare_bytes > self.HEAD_BYTES:
                self._refuse_size()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over as it is."""
        self.transport = self._raw
        super().handle_websocket_upgrade()

    # -- the parser's side ------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin to count a head."""
        self._in_head, self._bare_bytes = True, -len(self._data)
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, but no trailer: the application would take it for a header."""
        if self._in_head:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Begin to count what comes beside the body's data."""
        self._bare_bytes = -len(self._data)
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """Start the request if its head is good."""
        self._in_head = False
        self._cancel_timer()
        hosts = 0
        for name, _ in self.headers:
            if name == b"host":
                hosts += 1
        if hosts != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            self._fault = self.WRONG_HOST
            raise ValueError("not exactly one Host")  # the parser stops, and uvicorn calls send_400_response
        if (self._had_begun or len(self._data) > self.HEAD_BYTES) and self._size_of_head() > self.HEAD_BYTES:
            self._fault = self.HEAD_TOO_LARGE
            raise ValueError("the head is too large")
        self._in_body, self._may_drop = True, self.LINGER_BYTES
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the body has come to its end."""
        if self._in_body and self._is_answered():
            self._close_after(
                self.timeout_keep_alive
            )  # uvicorn's own timer was cancelled by the body's last piece
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Bound the time of a body whose request has been answered already."""
        if self._in_body and self._is_answered() and not self._lingering:
            self._close_after(self.LINGER_SECONDS)
        super().on_response_complete()
        if self._refused_later and self._is_answered():
            self._refuse(self._refused_later)

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused, after the answers to the requests before it."""
        del msg
        cycle: Any = self.cycle  # None before the first request
        if cycle is None or cycle.response_complete or (self._in_body and not cycle.response_started):
            self._refuse(self._fault or self.MALFORMED)
        elif self._in_body:
            self._raw.close()
        else:
            self._refuse_later(self._fault or self.MALFORMED)

    def _should_upgrade(self) -> bool:
        return super()._should_upgrade() and self.parser.get_method() == b"GET"

    def _unsupported_upgrade_warning(self) -> None:
        # The parser has stopped behind the head. Another one reads what follows: it is given a head without the offer.
        stopped: Any = sys.exception()  # httptools.HttpParserUpgrade, with how far it came
        self._rest = self._data[stopped.args[0] :]
        framing = [b"%b: %b\r\n" % line for line in self.headers if line[0] in _FRAMING]
        callbacks = _AfterHead(self)
        self.parser = httptools.HttpRequestParser(callbacks)
        self._in_body = self.cycle.more_body = True
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))
        callbacks.forwards = True

    def _is_answered(self) -> bool:
        """Whether the answer to the newest request is complete. A WebSocket's request has none."""
        cycle: Any = self.cycle  # None before the first request
        return cycle is not None and cycle.response_complete

    def _owes_answer(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    # -- closing ----------------------------------------------------------------------------------------------------

    def _refuse(self, answer: bytes) -> None:
        if self.is_closing():
            return
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:  # it must not answer any more
            cycle.disconnected = True
            cycle.message_event.set()
        self._raw.write(answer)
        self._in_body, self._may_drop = True, self.HEAD_BYTES  # whatever else the client sends
        self.close()

    def _refuse_later(self, answer: bytes) -> None:
        """Refuse a request once those before it are answered, and read nothing until then."""
        self._refused_later = answer
        self._cancel_timer()
        self.flow.pause_reading()

    def _refuse_size(self) -> None:
        if self._in_head and self._owes_answer():
            self._refuse_later(self.HEAD_TOO_LARGE)
        elif self._in_body and self.cycle.response_started:
            self._raw.close()
        else:
            self._refuse(self.HEAD_TOO_LARGE)

    def is_closing(self) -> bool:
        """Whether nothing more may be written."""
        return self._lingering or self._raw.is_closing()

    def close(self) -> None:
        """Close now if the request has come whole, else let the client read its answer first."""
        if not self._in_body or self._raw.is_closing() or not self._raw.can_write_eof():
            self._raw.close()
        elif not self._lingering:
            self._lingering = True
            self._raw.write_eof()
            self.flow.resume_reading()
            self._close_after(self.LINGER_SECONDS)

    def _close_after(self, seconds: float) -> None:
        self._cancel_timer()
        self._timer = self.loop.call_later(seconds, self._raw.close)

    def _end_head_after(self, seconds: float) -> None:
        """Close when the head takes longer, but not before the requests before it are answered."""

        def end() -> None:
            if self._owes_answer():
                self._end_head_after(seconds)
            else:
                self._raw.close()

        self._cancel_timer()
        self._timer = self.loop.call_later(seconds, end)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class _Closing:
    """A transport that is closed the protocol's way."""

    def __init__(self, protocol: GuardedProtocol, raw: asyncio.Transport) -> None:
        self.close = protocol.close
        self.is_closing = protocol.is_closing
        self.write = raw.write


class _AfterHead:
    """A parser's callbacks for a connection that knows the head already: the body, and then the next requests."""

    def __init__(self, protocol: GuardedProtocol) -> None:
        self._protocol = protocol
        self.forwards = False
        self.on_body = protocol.on_body
        self.on_message_complete = protocol.on_message_complete

    def on_message_begin(self) -> None:
        if self.forwards:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self.forwards:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.forwards:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.forwards:
            self._protocol.on_headers_complete()


class SignalledServer(uvicorn.Server):
    """A server that asks `defer` whether a signal ends it later: if so, whoever deferred it sets `should_exit`."""

    def __init__(self, config: uvicorn.Config, defer: Callable[[int], bool]) -> None:
        super().__init__(config)
        self._defer = defer

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Runs in the signal handler."""
        if not (self.started and not self.should_exit and self._defer(sig)):
            super().handle_exit(sig, frame)


def is_noise(record: logging.LogRecord) -> bool:
    """Whether a record of `uvicorn.error` must not be logged.

    One kind reports an error for every WebSocket that is answered with a status instead of being accepted. The other is an
    access log of WebSockets, with the query, in which a client may have put its token.
    """
    text = str(record.msg)
    return text == "ASGI callable returned without completing handshake." or '"WebSocket %s"' in text


class ForwardedHeaders(ProxyHeadersMiddleware):
    """uvicorn's way to take a client's address and scheme from trusted proxies, and the path prefix in X-Forwarded-Prefix.

    A prefix that is no plain path is ignored, and reported now and then: it is a part of addresses in our pages. A step up
    (`/..`) would lead out of what the proxy gives us.
    """

    def __init__(self, app: Any, trusted_hosts: str) -> None:
        super().__init__(app, trusted_hosts)
        self._reported_at = float("-inf")

    def __call__(self, scope: Any, receive: Any, send: Any) -> Coroutine[Any, Any, None]:
        """Serve a request as its client sent it."""
        if scope["type"] != "lifespan":
            for name, value in scope["headers"]:
                if name == b"x-forwarded-prefix" and self._trusts(scope):
                    if _PREFIX.fullmatch(value):
                        scope["root_path"] = value.decode().rstrip("/")
                    elif value != b"/":
                        self._report(value)
        return super().__call__(scope, receive, send)

    def _trusts(self, scope: Any) -> bool:
        """Whether the connection comes from a trusted proxy. The parent replaces the address by that of the client."""
        client = scope.get("client")
        return (client[0] if client else None) in self.trusted_hosts

    def _report(self, prefix: bytes) -> None:
        if time.monotonic() - self._reported_at >= REPORT_SECONDS:
            self._reported_at = time.monotonic()
            log.warning(
                "forwarded_prefix_ignored",
                prefix=ascii(prefix[:100]),
                expected="a path such as /team/laneway: letters, digits and . _ ~ -",
            )


REPORT_SECONDS = 60.0
"""How often an ignored prefix is reported at most: a client may be able to send one with each request."""
_PREFIX = re.compile(rb"(/(?!\.+(?:/|\Z))[A-Za-z0-9._~-]{1,128}){1,8}/?")

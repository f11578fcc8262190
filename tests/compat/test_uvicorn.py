"""Canaries: each fails when uvicorn or httptools no longer has what `laneway.compat.uvicorn` relies on."""

from __future__ import annotations

import asyncio
import inspect
import logging
import signal
from typing import Any

import httptools
import pytest
import uvicorn
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets import websockets_sansio_impl

from laneway.api.protocol import LimitedProtocol
from laneway.compat.uvicorn import ForwardedHeaders, GuardedProtocol, SignalledServer, is_noise

OVERRIDDEN = (
    "connection_made",
    "connection_lost",
    "shutdown",
    "data_received",
    "handle_websocket_upgrade",
    "on_message_begin",
    "on_header",
    "on_body",
    "on_headers_complete",
    "on_message_complete",
    "on_response_complete",
    "send_400_response",
    "_should_upgrade",
    "_unsupported_upgrade_warning",
)
HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n"


async def _app(_scope: Any, _receive: Any, _send: Any) -> None:
    await asyncio.Event().wait()


def upstream() -> HttpToolsProtocol:
    """Uvicorn's own protocol, as a server makes it."""
    config = uvicorn.Config(_app, log_config=None, ws="none")
    return HttpToolsProtocol(config, uvicorn.Server(config).server_state, {})


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_uvicorn_calls_what_we_override(name: str) -> None:
    assert callable(getattr(HttpToolsProtocol, name, None)), (
        f"uvicorn's HttpToolsProtocol has no {name}() any more: GuardedProtocol overrides it in vain"
    )
    assert name in vars(GuardedProtocol)


def test_the_protocol_has_the_attributes_that_we_read() -> None:
    async def run() -> None:
        protocol = upstream()
        for name in ("transport", "parser", "headers", "cycle", "flow", "loop", "timeout_keep_alive"):
            assert hasattr(protocol, name), f"uvicorn's HttpToolsProtocol has no attribute {name} any more"
        protocol.connection_made(Transport())
        protocol.data_received(HEAD + b"content-length: 1\r\n\r\n")
        for name in (
            "response_complete",
            "response_started",
            "more_body",
            "keep_alive",
            "disconnected",
            "message_event",
        ):
            assert hasattr(protocol.cycle, name), f"uvicorn's RequestResponseCycle has no {name} any more"
        for task in protocol.tasks:
            task.cancel()

    asyncio.run(run())


def test_uvicorn_closes_connections_only_by_the_protocols_transport() -> None:
    """GuardedProtocol puts a transport of its own there, which has three methods and no more."""
    for part in (HttpToolsProtocol, RequestResponseCycle):
        source = inspect.getsource(part)
        used = {piece.split("(")[0].split()[0] for piece in source.split("self.transport.")[1:]}
        assert used <= {"write", "close", "is_closing", "set_protocol"}, (
            f"uvicorn's {part.__name__} uses more of its transport than GuardedProtocol's stand-in has: {used}"
        )


@pytest.mark.parametrize("has_served", [False, True], ids=["a new connection", "a used one"])
def test_a_request_that_is_on_its_way_when_the_server_ends_is_served(*, has_served: bool) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]},
        )
        await send({"type": "http.response.body", "body": b"ok"})

    async def answers(protocol: LimitedProtocol, transport: Transport, count: int) -> None:
        protocol.data_received(HEAD + b"content-length: 0\r\n\r\n")
        while transport.written.count(b"ok") < count:  # noqa: ASYNC110 - a transport has no event for it
            await asyncio.sleep(0)

    async def run() -> None:
        config = uvicorn.Config(app, log_config=None, ws="none")
        config.load()
        protocol, transport = (
            LimitedProtocol(config, uvicorn.Server(config).server_state, {}),
            Transport(),
        )
        protocol.connection_made(transport)
        if has_served:
            await answers(protocol, transport, 1)
        protocol.shutdown()
        assert not transport.closed
        await asyncio.wait_for(answers(protocol, transport, 1 + has_served), 10)

    asyncio.run(run())


def test_a_silent_connection_is_closed_soon_when_the_server_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LimitedProtocol, "LAST_SECONDS", 0.01)

    async def run() -> None:
        config = uvicorn.Config(_app, log_config=None, ws="none")
        protocol, transport = (
            LimitedProtocol(config, uvicorn.Server(config).server_state, {}),
            Transport(),
        )
        protocol.connection_made(transport)
        protocol.shutdown()
        async with asyncio.timeout(10):
            while not transport.closed:  # noqa: ASYNC110 - a transport has no event for it
                await asyncio.sleep(0.001)

    asyncio.run(run())


def test_uvicorn_still_closes_at_once_when_it_ends() -> None:
    """Once it waits for a request that is on its way, GuardedProtocol.shutdown can go."""

    async def run() -> None:
        protocol, transport = upstream(), Transport()
        protocol.connection_made(transport)
        protocol.shutdown()
        assert transport.closed

    asyncio.run(run())


def test_uvicorn_still_closes_while_the_client_sends() -> None:
    """Once it half-closes by itself, the lingering close can go."""
    source = inspect.getsource(httptools_impl)
    assert "write_eof" not in source, "uvicorn half-closes by itself now: remove GuardedProtocol.close()"


def test_uvicorn_still_has_no_limit_on_a_requests_head() -> None:
    async def run() -> None:
        protocol, transport = upstream(), Transport()
        protocol.connection_made(transport)
        protocol.data_received(HEAD)
        for _ in range(200):
            protocol.data_received(b"x-long: %b\r\n" % (b"x" * 1000))
        assert not transport.written, "uvicorn limits heads by itself now: remove HEAD_BYTES"

    asyncio.run(run())


@pytest.mark.parametrize("protocol_class", [HttpToolsProtocol, LimitedProtocol])
def test_trailers_are_no_headers(protocol_class: type[HttpToolsProtocol]) -> None:
    """Once uvicorn drops trailers by itself, GuardedProtocol.on_header can go."""

    async def run() -> None:
        config = uvicorn.Config(_app, log_config=None, ws="none")
        protocol = protocol_class(config, uvicorn.Server(config).server_state, {})
        protocol.connection_made(Transport())
        chunked = HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
        protocol.data_received(chunked + b"authorization: x\r\n\r\n")
        is_kept = (b"authorization", b"x") in protocol.cycle.scope["headers"]
        assert is_kept is (protocol_class is HttpToolsProtocol)
        assert not protocol.cycle.more_body
        for task in protocol.tasks:
            task.cancel()

    asyncio.run(run())


def test_uvicorn_still_takes_the_body_behind_an_ignored_upgrade_for_a_request() -> None:
    """Kludex/uvicorn issue 2722."""

    async def run() -> None:
        protocol = upstream()
        protocol.connection_made(Transport())
        protocol.data_received(HEAD + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 3\r\n\r\nabc")
        fixed = protocol.cycle.body == b"abc"
        assert not fixed, "uvicorn reads such bodies now: remove _unsupported_upgrade_warning and _AfterHead"
        for task in protocol.tasks:
            task.cancel()

    asyncio.run(run())


def test_the_parser_says_how_far_it_came_when_it_stops_for_an_upgrade() -> None:
    parser = httptools.HttpRequestParser(object())
    head = HEAD + b"connection: upgrade\r\nupgrade: h2c\r\n\r\n"
    with pytest.raises(httptools.HttpParserUpgrade) as caught:
        parser.feed_data(head + b"rest")
    assert caught.value.args[0] == len(head), "httptools reports another offset than that of the rest"


def test_the_parser_reports_an_error_in_a_callback_as_a_parser_error() -> None:
    class Refusing:
        def on_headers_complete(self) -> None:
            raise ValueError

    with pytest.raises(httptools.HttpParserError):
        httptools.HttpRequestParser(Refusing()).feed_data(HEAD + b"\r\n")


def test_a_deferred_signal_does_not_end_the_server() -> None:
    seen: list[int] = []

    def defer(number: int) -> bool:
        seen.append(number)
        return number == signal.SIGTERM

    server = SignalledServer(uvicorn.Config(_app, log_config=None), defer)
    assert callable(getattr(uvicorn.Server, "handle_exit", None)), (
        "uvicorn's Server has no handle_exit any more"
    )
    server.started = True
    server.handle_exit(signal.SIGTERM, None)
    assert (seen, server.should_exit) == ([signal.SIGTERM], False)
    server.handle_exit(signal.SIGINT, None)
    assert server.should_exit, "uvicorn's handle_exit does not set should_exit any more"


@pytest.mark.parametrize(
    "text", ["ASGI callable returned without completing handshake.", '%s - "WebSocket %s" [accepted]']
)
def test_uvicorn_still_writes_the_records_that_are_left_out(text: str) -> None:
    source = inspect.getsource(websockets_sansio_impl)
    assert text in source, f"uvicorn does not log {text!r} any more: is_noise() looks for it in vain"
    record = logging.LogRecord("uvicorn.error", logging.INFO, "", 0, text, ("127.0.0.1:1", "/?x"), None)
    assert is_noise(record)


def test_other_records_are_written() -> None:
    record = logging.LogRecord(
        "uvicorn.error", logging.INFO, "", 0, "Started server process [%d]", (1,), None
    )
    assert not is_noise(record)


def test_the_parent_of_forwarded_headers_knows_trusted_networks() -> None:
    trusted = ForwardedHeaders(_app, "192.0.2.0/24, ::1").trusted_hosts
    assert "192.0.2.9" in trusted
    assert "::1" in trusted
    assert "198.51.100.1" not in trusted
    assert None not in trusted
    assert None in ForwardedHeaders(_app, "*").trusted_hosts

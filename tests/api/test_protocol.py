"""What the HTTP protocol takes, below any endpoint."""

from __future__ import annotations

import socket
import time

from services.api.protocol import HEAD_BYTES, HEAD_SECONDS
from tests.api.running import Api

START = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"


def connected(api: Api) -> socket.socket:
    host, _, port = api.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=3 * HEAD_SECONDS)


def answer(client: socket.socket) -> bytes:
    """All until the connection is closed."""
    pieces = []
    while piece := client.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def test_a_head_that_is_too_large_is_refused_before_it_has_come(api: Api) -> None:
    with connected(api) as client:
        client.sendall(START + b"x-long: ")
        sent = 0
        try:
            while sent < 100 * HEAD_BYTES:
                sent += client.send(b"x" * 8192)
            reply = b""
        except OSError:
            reply = b"HTTP/1.1 431"  # it closed while we were sending, which may take its answer with it
        reply = reply or answer(client)
    assert reply.startswith(b"HTTP/1.1 431")
    assert sent < 100 * HEAD_BYTES


def test_many_headers_are_too_large_too(api: Api) -> None:
    with connected(api) as client:
        client.sendall(START)
        for number in range(2 * HEAD_BYTES // 16):
            try:
                client.sendall(b"x-%08d: 1\r\n" % number)
            except OSError:
                break
        else:
            assert answer(client).startswith(b"HTTP/1.1 431")


def test_a_long_head_that_is_allowed(api: Api) -> None:
    reply = api.http.get("/healthz", headers={"x-long": "x" * 30_000})
    assert reply.status_code == 200


def test_a_head_that_does_not_end_is_given_up(api: Api) -> None:
    begun = time.monotonic()
    with connected(api) as half, connected(api) as good:
        half.sendall(START)
        good.sendall(START + b"\r\n")
        assert good.recv(65536).startswith(b"HTTP/1.1 200")
        assert half.recv(1) == b""
        assert time.monotonic() - begun > HEAD_SECONDS - 1

"""The proxy forwards everything until a fault is set, and each fault does what its name says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from chaos.system.proxy import Proxy
from laneway.dev.embedded import free_port


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that sends back what it receives."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while chunk := connection.recv(65536):
                    connection.sendall(chunk)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


@pytest.fixture
def proxy(echo_port: int) -> Iterator[Proxy]:
    found = Proxy(echo_port)
    found.start()
    yield found
    found.stop()


def connect(proxy: Proxy, timeout: float = 5) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout)


def connect_and_read(proxy: Proxy) -> None:
    """Connect and read. The reset may arrive at either."""
    with connect(proxy) as connection:
        connection.recv(1)


def ask(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    answer = b""
    while len(answer) < len(text):
        chunk = connection.recv(65536)
        if not chunk:
            break
        answer += chunk
    return answer


def test_large_data_passes_in_both_directions(proxy: Proxy) -> None:
    text = bytes(range(256)) * 4000
    with connect(proxy) as connection:
        sender = threading.Thread(target=connection.sendall, args=(text,))
        sender.start()
        answer = b""
        while len(answer) < len(text):
            answer += connection.recv(65536)
        sender.join(5)
        assert answer == text
        assert proxy.connections() == 1


@pytest.mark.timing
def test_delay_lasts_until_heal(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        proxy.delay(0.1)
        begun = time.monotonic()
        assert ask(connection, b"slow") == b"slow"
        assert time.monotonic() - begun >= 0.2  # there and back
        proxy.heal()
        begun = time.monotonic()
        assert ask(connection, b"fast") == b"fast"
        assert time.monotonic() - begun < 0.1


def test_a_stalled_connection_stays_open_and_delivers_later(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert ask(connection, b"before") == b"before"
        proxy.stall()
        connection.sendall(b"held")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(10)
        proxy.heal()
        connection.settimeout(5)
        assert connection.recv(10) == b"held"


def test_reset_and_close_differ(proxy: Proxy) -> None:
    with connect(proxy) as one, connect(proxy) as two:
        assert ask(one, b"1") + ask(two, b"2") == b"12"
        assert proxy.reset() == 2
        for connection in (one, two):
            with pytest.raises(ConnectionResetError):
                connection.recv(10)
    with connect(proxy) as three:
        assert ask(three, b"3") == b"3"
        assert proxy.close() == 1
        assert three.recv(10) == b""


def test_refuse_resets_new_connections_and_keeps_old_ones(proxy: Proxy) -> None:
    with connect(proxy) as old:
        assert ask(old, b"old") == b"old"
        proxy.refuse()
        with pytest.raises(ConnectionError):
            connect_and_read(proxy)
        assert ask(old, b"old") == b"old"


def test_truncate_breaks_a_connection_in_the_middle_of_an_answer(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert ask(connection, b"whole") == b"whole"
        proxy.truncate()
        assert ask(connection, b"12345678") == b"1234"


def test_a_missing_server_refuses_through_the_proxy(proxy: Proxy) -> None:
    nobody = Proxy(free_port())
    nobody.start()
    try:
        with pytest.raises(ConnectionError):
            connect_and_read(nobody)
    finally:
        nobody.stop()

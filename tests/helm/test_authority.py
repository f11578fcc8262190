"""`extraCa` sets SSL_CERT_FILE. The clients of Redis and MongoDB trust that authority then, and nobody without it."""

from __future__ import annotations

import os
import queue
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from laneway.redis_address import parse

LIMIT_SECONDS = 30
REDIS = (
    f"import redis; redis.Redis.from_url({parse('rediss://localhost:1').url!r}.replace(':1/', ':%d/')).ping()"
)
BROKER = (
    "import kombu; from laneway.redis_address import parse; address = parse('rediss://localhost:%d');"
    "kombu.Connection(address.broker_url, ssl=address.broker_use_ssl).ensure_connection(max_retries=1, timeout=1)"
)
MONGO = (
    "import pymongo; url = 'mongodb://localhost:%d/?tls=true&serverSelectionTimeoutMS=1000';"
    "pymongo.MongoClient(url).admin.command('ping')"
)
CLIENTS = pytest.mark.parametrize("client", [REDIS, BROKER, MONGO], ids=["redis", "broker", "mongo"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ca.crt, and with a certificate for localhost that it signed."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("authority")
    _openssl(folder, "-subj /CN=private -keyout ca.key -out ca.crt -addext keyUsage=critical,keyCertSign")
    signed = "-CA ca.crt -CAkey ca.key -addext authorityKeyIdentifier=keyid -addext basicConstraints=CA:false"
    name = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    _openssl(folder, f"{name} {signed} -keyout key.pem -out cert.pem")
    return folder


def _openssl(folder: Path, options: str) -> None:
    """Make a certificate and its key."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *options.split()]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)


@pytest.fixture
def server(authority: Path) -> Iterator[tuple[int, queue.Queue[bool]]]:
    """Accept TLS connections and close them; yield the port and a queue of whether each handshake succeeded."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority / "cert.pem", authority / "key.pem")
    handshakes: queue.Queue[bool] = queue.Queue()
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed
                return
            try:
                with context.wrap_socket(connection, server_side=True) as secure:
                    secure.recv(1)  # TLS 1.3: the client's verdict comes with its first bytes
                    handshakes.put(True)
            except OSError:
                handshakes.put(False)

    thread = threading.Thread(target=accept)
    thread.start()
    yield listener.getsockname()[1], handshakes
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def _connect(client: str, port: int, **variables: str) -> None:
    """Run a client; it fails in any case, since the server speaks no protocol."""
    environment = {name: value for name, value in os.environ.items() if name != "SSL_CERT_FILE"}
    subprocess.run(
        [sys.executable, "-c", client % port],
        env=environment | variables,
        capture_output=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


@CLIENTS
def test_a_client_trusts_the_private_authority(
    client: str, authority: Path, server: tuple[int, queue.Queue[bool]]
) -> None:
    port, handshakes = server
    _connect(client, port, SSL_CERT_FILE=str(authority / "ca.crt"))
    assert handshakes.get(timeout=LIMIT_SECONDS) is True


@CLIENTS
def test_a_client_without_it_refuses_the_server(client: str, server: tuple[int, queue.Queue[bool]]) -> None:
    port, handshakes = server
    _connect(client, port)
    assert handshakes.get(timeout=LIMIT_SECONDS) is False

"""The whole system as `laneway dev` starts it, for a browser to look at, and a proxy that puts it below a path."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from laneway.dev.embedded import free_port

PASSWORD = "correct horse battery"
ADMIN = "root-of-all"
START_SECONDS = 90
HOP_HEADERS = {"connection", "transfer-encoding", "keep-alive"}


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def yearly_cron() -> str:
    """A cron expression that does not fire during the tests: once a year, in half a year."""
    return f"0 3 1 {(datetime.now(UTC).month + 5) % 12 + 1} *"


class System:
    """A running Laneway. `url` has no slash at its end."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port, metrics_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            name: text for name, text in os.environ.items() if not name.startswith("LANEWAY_")
        } | {
            "LANEWAY_DATA_DIR": str(folder / "data"),
            "LANEWAY_API_PORT": str(self.port),
            "LANEWAY_API_METRICS_PORT": "0",
            "LANEWAY_WORKER_METRICS_PORT": str(metrics_port),
            "LANEWAY_WORKER_PROCESSES": "2",
            "LANEWAY_API_PROCESSES": "1",
            "LANEWAY_BACKOFF_SECONDS": "1",
            "LANEWAY_SHUTDOWN_GRACE_SECONDS": "2",
            "LANEWAY_ADMIN_USERNAME": ADMIN,
            "LANEWAY_ADMIN_PASSWORD": PASSWORD,
            "LANEWAY_HANDLERS": "laneway.handlers.demo,typed_handlers",
            "PYTHONPATH": str(Path(__file__).parent),
        }
        self._environment |= {f"LANEWAY_{name.upper()}": value for name, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "terminal").open("wb") as terminal:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "laneway.dev"],
                cwd=self.folder,
                env=self._environment,
                stdout=terminal,
                stderr=subprocess.STDOUT,
            )
        wait_for(self._is_up, START_SECONDS)

    def _is_up(self) -> bool:
        assert self._process is not None
        terminal = (self.folder / "terminal").read_text()
        assert self._process.poll() is None, terminal
        return "Try it" in terminal

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)

    def register(self, user: str) -> None:
        reply = httpx.post(f"{self.url}/api/register", json={"username": user, "password": PASSWORD})
        assert reply.status_code == 201, reply.text

    def client(self, user: str) -> httpx.Client:
        """A client that has logged in."""
        reply = httpx.post(f"{self.url}/api/login", json={"username": user, "password": PASSWORD})
        assert reply.status_code == 200, reply.text
        return httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {reply.json()['token']}"}, timeout=30
        )


class Proxy(ThreadingHTTPServer):
    """A reverse proxy that takes a path prefix off, as an ingress does, and whose connections can be cut."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, url: str, prefix: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self.prefix = urlsplit(url), prefix
        self.url = f"http://127.0.0.1:{self.server_port}{prefix}"
        self.connections: set[socket.socket] = set()
        self.is_cut = False

    def cut(self) -> None:
        """Break all connections, and every new one, until `mend`."""
        self.is_cut = True
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self.is_cut = False

    def handle_error(self, *_: object) -> None:
        """A browser may close its connections as it likes."""


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def _pass_on(self) -> None:
        self.close_connection = True
        if self.server.is_cut:
            return
        prefix, target = self.server.prefix, self.server.target
        if not self.path.startswith(prefix + "/"):
            self.send_error(404)
            return
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        upstream = http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)
        upstream.request(self.command, self.path.removeprefix(prefix), body, dict(self.headers))
        reply = upstream.getresponse()
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in HOP_HEADERS:
                self.send_header(name, value)
        self.send_header("connection", "close")
        self.end_headers()
        while piece := reply.read1(65536):
            self.wfile.write(piece)
            self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def below(url: str, prefix: str) -> Iterator[Proxy]:
    """The system behind a proxy, below this path."""
    with Proxy(url, prefix) as proxy:
        serving = threading.Thread(target=proxy.serve_forever, daemon=True)
        serving.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            serving.join()

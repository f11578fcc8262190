"""Clients that do not read, or have vanished: their connections and their answers' memory go after a bounded time."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.api.running import Api, process, settings_of, wait_for

LARGE = "x" * 200_000
UPGRADE = (
    "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    "sec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
)


def reading_nothing(api: Api, path: str, authorization: str, upgrade: str = "") -> socket.socket:
    """A connection that has sent a request and reads nothing of its answer."""
    host, _, port = api.url.removeprefix("http://").partition(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((host, int(port)))
    client.sendall(
        f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\n{upgrade}\r\n".encode()
    )
    return client


def unsent_bytes(port: int) -> int:
    """What the kernel and the process have not got rid of, by the kernel's table of connections."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    local = f":{port:04X}"
    return sum(int(line.split()[4].split(":")[0], 16) for line in lines if line.split()[1].endswith(local))


def test_the_answers_of_clients_that_read_nothing_are_dropped(
    redis_url: str, mongo_url: str, prefix: str, mongo_database: str, tmp_path: Path
) -> None:
    settings = settings_of(redis_url, mongo_url, prefix, mongo_database, heartbeat_seconds=1.0)
    with process(settings, tmp_path / "api.log") as running, ExitStack() as stack:
        api = running.api
        user = api.user()
        authorization = api.auth(user)["authorization"]
        for _ in range(50):
            api.enqueue(user, LARGE)
        api.http.get("/api/jobs?limit=50", headers={"authorization": authorization})
        for _ in range(10):
            stack.enter_context(reading_nothing(api, "/api/jobs?limit=50", authorization))
        wait_for(lambda: unsent_bytes(running.port) > 0)
        wait_for(lambda: unsent_bytes(running.port) == 0, 20)
        assert api.http.get("/healthz").status_code == 200


@pytest.mark.parametrize("form", ["event stream", "WebSocket"])
def test_a_vanished_client_is_noticed_within_about_three_heartbeats(
    start_api: Callable[..., Api], form: str
) -> None:
    """Its client answers nothing any more: a stopped machine, a lost network."""
    heartbeat = 1.0
    api = start_api(heartbeat_seconds=heartbeat)
    user = api.user()
    headers = api.auth(user)
    with vanishing(api, headers["authorization"], UPGRADE if form == "WebSocket" else "") as vanish:
        wait_for(lambda: api.http.get("/api/queue", headers=headers).json()["connected"])
        vanish()
        begun = time.monotonic()
        wait_for(lambda: not api.http.get("/api/queue", headers=headers).json()["connected"], 20)
    assert time.monotonic() - begun < 3 * heartbeat + 3


def test_a_websocket_whose_client_answers_no_ping_is_closed(start_api: Callable[..., Api]) -> None:
    """Its machine still acknowledges what it is sent: the program has stopped, or a proxy keeps the connection open for nobody."""
    heartbeat = 0.5
    api = start_api(heartbeat_seconds=heartbeat)
    user = api.user()
    headers = api.auth(user)
    with reading_nothing(api, "/api/connect", headers["authorization"], UPGRADE):
        wait_for(lambda: api.http.get("/api/queue", headers=headers).json()["connected"])
        begun = time.monotonic()
        wait_for(lambda: not api.http.get("/api/queue", headers=headers).json()["connected"], 20)
    assert time.monotonic() - begun < 3 * heartbeat + 3


@contextmanager
def vanishing(api: Api, authorization: str, upgrade: str) -> Iterator[Callable[[], None]]:
    """An open live connection, and a function that cuts its network: whatever is sent to the client is dropped."""
    with reading_nothing(api, "/api/connect", authorization, upgrade) as client:
        assert client.recv(1) == b"H"
        server_port, client_port = client.getpeername()[1], client.getsockname()[1]
        rule = f"INPUT -i lo -p tcp --sport {server_port} --dport {client_port} -j DROP".split()

        def iptables(action: str) -> None:
            done = subprocess.run(["iptables", action, *rule], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"needs the right to change the packet filter: {done.stderr}")

        if shutil.which("iptables") is None:
            pytest.skip("needs iptables")
        with ExitStack() as stack:

            def cut() -> None:
                iptables("-I")
                stack.callback(iptables, "-D")

            yield cut

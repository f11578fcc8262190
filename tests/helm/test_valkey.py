"""The bundled Valkey as its container starts it: the rendered script, configuration and probes, run with this machine's Valkey."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from laneway.dev import embedded
from laneway.dev.embedded import valkey_binary
from tests.helm.chart import Helm, at, one

PASSWORD = """p4ss"w0rd'of\\this $(test) #1"""
LIMIT_SECONDS = 15


@dataclass(frozen=True)
class Server:
    """A Valkey started by the rendered command."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    container: dict[str, Any]
    environment: dict[str, str]

    def client(self, password: str | None = PASSWORD) -> redis.Redis:
        """Return a new client."""
        return redis.Redis(port=self.port, password=password, decode_responses=True)


@pytest.fixture
def server(helm: Helm, tmp_path: Path) -> Iterator[Server]:
    """Start Valkey by the container's own command, with other paths."""
    port = embedded.free_port()
    manifests = helm.render(at("redis.port", port), at("redis.extraConfig", "maxclients 321"))
    (container,) = one(manifests, "StatefulSet", "redis")["spec"]["template"]["spec"]["containers"]
    config, programs, data = tmp_path / "valkey.conf", tmp_path / "bin", tmp_path / "data"
    config.write_text(
        one(manifests, "ConfigMap", "redis")["data"]["valkey.conf"].replace("dir /data", f"dir {data}")
    )
    programs.mkdir()
    data.mkdir()
    (programs / "valkey-server").symlink_to(valkey_binary())
    (script,) = container["args"]
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "REDIS_PASSWORD": f"{PASSWORD}\n"}
    process = subprocess.Popen(
        [*container["command"], script.replace("/etc/valkey/valkey.conf", str(config))],
        env=environment,
        cwd=data,
        stdout=subprocess.DEVNULL,
    )
    server = Server(process, port, data, container, environment)
    try:
        _wait_until_it_answers(server)
        yield server
    finally:
        process.terminate()
        assert process.wait(LIMIT_SECONDS) == 0, "the server did not end by itself after SIGTERM"


def _wait_until_it_answers(server: Server) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while server.process.poll() is None and time.monotonic() < deadline:
        try:
            with server.client() as client:
                client.ping()
        except redis.ConnectionError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("the server does not answer")


def test_it_is_configured_to_lose_nothing(server: Server) -> None:
    wanted = {
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory": str(1280 * 1024 * 1024),
        "maxmemory-policy": "noeviction",
        "auto-aof-rewrite-min-size": str(256 * 1024 * 1024),
        "maxclients": "321",
    }
    with server.client() as client:
        assert {name: client.config_get(name)[name] for name in wanted} == wanted


def test_a_client_without_the_password_is_refused(server: Server) -> None:
    with server.client(password=None) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_the_password_is_in_no_command_line_and_no_file(server: Server) -> None:
    assert PASSWORD.encode() not in Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
    with server.client() as client:
        client.set("key", "value")
    assert not [
        path for path in server.folder.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()
    ]


def test_it_is_the_first_process_of_its_container(server: Server) -> None:
    """A shell in its place would receive SIGTERM and not forward it."""
    assert Path(f"/proc/{server.process.pid}/comm").read_text().strip() == "valkey-server"


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_probes_succeed_only_if_the_server_answers(server: Server, tmp_path: Path, probe: str) -> None:
    """A stand-in replaces `valkey-cli`, which not every machine has, and uses the arguments of the probe."""
    client = tmp_path / "bin" / "valkey-cli"
    client.write_text(
        '#!/bin/bash\nexec 3<>/dev/tcp/127.0.0.1/$2\nprintf "*2\\r\\n\\$4\\r\\nAUTH\\r\\n\\$%d\\r\\n%s\\r\\nPING\\r\\nQUIT\\r\\n" "${#REDISCLI_AUTH}" "$REDISCLI_AUTH" >&3\ncat <&3\n'
    )
    client.chmod(0o755)
    command = server.container[probe]["exec"]["command"]
    assert subprocess.run(command, env=server.environment, check=False, timeout=LIMIT_SECONDS).returncode == 0
    wrong = server.environment | {"REDIS_PASSWORD": "wrong"}
    assert subprocess.run(command, env=wrong, check=False, timeout=LIMIT_SECONDS).returncode != 0

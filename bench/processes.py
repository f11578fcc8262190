"""What the benches share: servers and workers as real processes, and the CPU time that they used."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from laneway.dev import embedded
from laneway.lanes.commands import Enqueue
from laneway.lanes.keys import Keys
from laneway.lanes.model import NewJob
from laneway.lanes.store import Lanes, connect

ROOT = Path(__file__).parent.parent
COMPILED_MONGO = "secantusd-rs"


@dataclass(frozen=True, slots=True)
class Servers:
    redis: embedded.Embedded
    unsynced: embedded.Embedded
    """A Valkey that leaves syncing to the kernel: what plain Celery usually runs on."""
    mongo: embedded.Embedded
    folder: Path


@contextmanager
def servers() -> Iterator[Servers]:
    """A Valkey (append-only file, synced always) as one machine has it, and a MongoDB-protocol server."""
    with tempfile.TemporaryDirectory(prefix="laneway-bench-") as name:
        folder = Path(name)
        with (
            embedded.valkey(folder / "redis") as redis,
            embedded.valkey(folder / "unsynced", appendfsync="no") as unsynced,
            mongo_server(folder / "mongo") as mongo,
        ):
            yield Servers(redis, unsynced, mongo, folder)


@contextmanager
def mongo_server(folder: Path) -> Iterator[embedded.Embedded]:
    """The compiled sister of the embedded server where it is installed (`cargo install secantus-mdb --version 0.5.3-beta.193`):
    its cost a document is nearer to a mongod's. Else the embedded one, which is Python. Both sync each commit."""
    program = shutil.which(COMPILED_MONGO)
    if program is None:
        with embedded.mongo(folder) as server:
            yield server
        return
    folder.mkdir()
    port = embedded.free_port()
    url = f"mongodb://127.0.0.1:{port}/"
    argv = [program, "--port", str(port), "--storage-path", "data", "--standalone", "--sync-on-commit"]
    server = embedded.Embedded(COMPILED_MONGO, argv, b"", folder, url, lambda _pid: _listens(port))
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def process(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the block ends; its output goes to `log`."""
    with log.open("ab") as output:
        running = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(60)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


@contextmanager
def worker(on: Servers, keys: Keys, **settings: object) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of this system with 2 processes and its default settings, unless `settings` say otherwise."""
    environment = {
        "LANEWAY_REDIS_URL": on.redis.url,
        "LANEWAY_MONGO_URL": on.mongo.url,
        "LANEWAY_MONGO_DATABASE": keys.name,
        "LANEWAY_KEY_PREFIX": keys.name,
        "LANEWAY_WORKER_PROCESSES": "2",
        "LANEWAY_WORKER_METRICS_PORT": "0",
        **{f"LANEWAY_{name.upper()}": str(value) for name, value in settings.items()},
    }
    command = [sys.executable, "-m", "laneway.worker"]
    with process(command, on.folder / f"worker-{keys.name}.log", environment) as running:
        yield running


@contextmanager
def celery_worker(on: Servers, redis_url: str, queue: str) -> Iterator[subprocess.Popen[bytes]]:
    """A plain Celery worker with a prefork pool of 2, its log at its usual level."""
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "bench.celery_peer",
        "worker",
        "-c",
        "2",
        "-Q",
        queue,
        "-l",
        "INFO",
    ]
    with process(command, on.folder / f"celery-{queue}.log", {"BENCH_REDIS_URL": redis_url}) as running:
        yield running


def fresh_lanes(on: Servers) -> Lanes:
    """Lanes under a prefix of their own."""
    return Lanes(connect(on.redis.url, timeout_seconds=30), Keys("bench" + secrets.token_hex(4)))


def enqueue(lanes: Lanes, users: list[str], type_: str, request: bytes, *, together: int = 100) -> list[str]:
    """One job for each of `users`, in that order; the ids."""
    commands = [Enqueue(user, [NewJob(secrets.token_hex(6), type_, request, 3)]) for user in users]
    ids: list[str] = []
    for start in range(0, len(commands), together):
        ids += [accepted.job_ids[0] for accepted in lanes.run_all(commands[start : start + together])]
    return ids


def wait_until(condition: Callable[[], bool], seconds: float, what: str, every_seconds: float = 0.02) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(every_seconds)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of all that descend from it, dead children that were waited for included."""
    total, ticks = 0.0, os.sysconf("SC_CLK_TCK")
    for one in [pid, *_descendants(pid)]:
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(map(int, fields[11:15])) / ticks
    return total


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for child in subprocess.run(
        ["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split():
        found += [int(child), *_descendants(int(child))]
    return found

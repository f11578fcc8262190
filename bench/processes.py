"""Servers and workers as real processes for the measurements, and the processor time that they used."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
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
    """The servers of one measurement."""

    redis: embedded.Embedded
    mongo: embedded.Embedded
    folder: Path


@contextmanager
def servers() -> Iterator[Servers]:
    """Start a Valkey that syncs every write, and a MongoDB-protocol server."""
    with tempfile.TemporaryDirectory(prefix="laneway-bench-") as name:
        folder = Path(name)
        with (
            embedded.valkey(folder / "redis") as redis,
            mongo_server(folder / "mongo") as mongo,
        ):
            yield Servers(redis, mongo, folder)


@contextmanager
def mongo_server(folder: Path) -> Iterator[embedded.Embedded]:
    """Start a MongoDB-protocol server that syncs each commit.

    It is the compiled sister of the embedded server if that is installed (`cargo install secantus-mdb --version
    0.5.3-beta.193`), because its cost for a document is closer to that of mongod. The embedded server is written in Python.
    """
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
def process(
    command: list[str], log: Path, environment: dict[str, str], *, cwd: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the block ends, with its output in `log`. This shell's own settings do not reach it."""
    with log.open("ab") as output:
        running = subprocess.Popen(
            command,
            cwd=cwd,
            env={**without_settings(os.environ), **environment},
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
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)  # what it left behind


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without settings of this system."""
    return {name: value for name, value in environment.items() if not name.startswith("LANEWAY_")}


@contextmanager
def worker(on: Servers, keys: Keys, **settings: object) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker of this system with 2 processes; `settings` replace its default settings."""
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


def fresh_lanes(on: Servers) -> Lanes:
    """Return lanes under a key prefix of their own."""
    return Lanes(connect(on.redis.url, timeout_seconds=30), Keys("bench" + secrets.token_hex(4)))


def enqueue(lanes: Lanes, users: list[str], type_: str, request: bytes, *, batch: int = 100) -> list[str]:
    """Enqueue one job for each of `users`, in that order, and return the ids."""
    commands = [Enqueue(user, [NewJob(secrets.token_hex(6), type_, request, 3)]) for user in users]
    ids: list[str] = []
    for start in range(0, len(commands), batch):
        ids += [accepted.job_ids[0] for accepted in lanes.run_all(commands[start : start + batch])]
    return ids


def wait_until(condition: Callable[[], bool], seconds: float, what: str, every_seconds: float = 0.02) -> None:
    """Wait for a condition. Raises TimeoutError after `seconds`; `what` names the condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(every_seconds)


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and its descendants, with that of dead children that were reaped."""
    total, ticks = 0.0, os.sysconf("SC_CLK_TCK")
    for one in [pid, *descendants(pid)]:
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(map(int, fields[11:15])) / ticks
    return total


def descendants(pid: int) -> list[int]:
    """Return the pids of a process's children, of their children, and so on."""
    found: list[int] = []
    for child in subprocess.run(
        ["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split():
        found += [int(child), *descendants(int(child))]
    return found

"""One run: a peer on a Valkey of its own, with a producer and a worker."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from pymongo import MongoClient

from bench.memory import pss_by_process
from bench.peers import records
from bench.peers.catalogue import OURS, Peer
from bench.peers.install import Installer
from bench.processes import cpu_seconds, mongo_server, process, without_settings
from laneway.dev import embedded
from laneway.lanes.keys import Keys

ADAPTERS = Path(__file__).parent / "adapters"
KEYS = Keys("bench")
PRODUCER_SECONDS = 600
START_SECONDS = 60
POLL_SECONDS = 0.01


class RunError(RuntimeError):
    """A peer did not do what it was run for."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """Processor time in seconds."""

    workers: float
    redis: float
    mongo: float

    def since(self, before: Cpu) -> Cpu:
        """Return what has been used since `before`."""
        return Cpu(self.workers - before.workers, self.redis - before.redis, self.mongo - before.mongo)


@dataclass(slots=True)
class Run:
    """A peer with its servers."""

    peer: Peer
    folder: Path
    """Holds the logs, and the start records in `records`."""
    client: redis.Redis
    mongo: embedded.Embedded | None
    environment: dict[str, str]
    programs: dict[str, str]
    synced: bool
    worker_pids: list[int] = field(default_factory=list)

    @property
    def records(self) -> Path:
        """Where jobs record their starts."""
        return self.folder / "records"

    def produce(
        self, phase: str, jobs: int, users: int, *, first_user: int = 0, rate: float = 1
    ) -> dict[str, float]:
        """Run the producer to its end and return what it reports. Raises RunError."""
        with self.producing(phase, jobs, users, first_user=first_user, rate=rate) as producer:
            try:
                output, _ = producer.communicate(timeout=PRODUCER_SECONDS)
            except subprocess.TimeoutExpired:
                raise RunError(f"the producer did not end: {self.log_end()}") from None
        lines = [line for line in output.splitlines() if line.startswith("{")]
        if producer.returncode or not lines:
            raise RunError(f"the producer of {self.peer.name} failed: {self.log_end()}")
        report: dict[str, float] = json.loads(lines[-1])
        return report

    @contextmanager
    def producing(
        self, phase: str, jobs: int, users: int, *, first_user: int = 0, rate: float = 1
    ) -> Iterator[subprocess.Popen[str]]:
        """Run the producer beside the block."""
        options = {"phase": phase, "jobs": jobs, "users": users, "first-user": first_user, "rate": rate}
        command = [
            *self._command(self.peer.producer),
            *(f"--{name}={value}" for name, value in options.items()),
        ]
        with (self.folder / "log").open("ab") as log:
            producer = subprocess.Popen(
                command, cwd=ADAPTERS, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        try:
            yield producer
        finally:
            producer.kill()
            producer.wait()

    def fill(self, jobs: int, users: int, *, first_user: int = 0) -> int:
        """Enqueue a backlog as fast as the peer can, unsynced, and return the bytes that Redis holds for it."""
        before = self.used_memory()
        if self.synced:
            self.client.config_set("appendfsync", "no")
        self.produce("fill", jobs, users, first_user=first_user)
        if self.synced:
            self.client.config_set("appendfsync", "always")
        return self.used_memory() - before

    @contextmanager
    def working(self) -> Iterator[None]:
        """Run the worker beside the block."""
        with ExitStack() as stack:
            for command in self.peer.workers:
                running = stack.enter_context(
                    process(self._command(command), self.folder / "log", self.environment, cwd=ADAPTERS)
                )
                self.worker_pids.append(running.pid)
            try:
                yield
            finally:
                self.worker_pids.clear()

    def wait_for_starts(self, jobs: int, seconds: float) -> int:
        """Wait until so many jobs have started and return how many have. Raises RunError."""
        deadline = time.monotonic() + seconds
        while (started := records.count(self.records)) < jobs:
            if time.monotonic() > deadline:
                raise RunError(
                    f"{started:,} of {jobs:,} jobs started within {seconds:.0f} s: {self.log_end()}"
                )
            time.sleep(POLL_SECONDS)
        return started

    def wait_until_archived(self, seconds: float) -> None:
        """Wait until MongoDB has all that has ended. Raises RunError."""
        deadline = time.monotonic() + seconds
        while self.client.zcard(KEYS.lanes) or self.client.llen(KEYS.outbox):
            if time.monotonic() > deadline:
                raise RunError(f"the history is not written after {seconds:.0f} s: {self.log_end()}")
            time.sleep(POLL_SECONDS)

    def archived_jobs(self) -> int:
        """Return how many jobs MongoDB has."""
        assert self.mongo
        with MongoClient[dict[str, Any]](self.mongo.url) as client:
            return client[KEYS.name]["history"].count_documents({})

    def cpu(self) -> Cpu:
        """Return the processor time used so far."""
        info: dict[str, Any] = self.client.info("cpu")
        return Cpu(
            sum(map(cpu_seconds, self.worker_pids)),
            float(info["used_cpu_user"]) + float(info["used_cpu_sys"]),
            cpu_seconds(self.mongo.pid) if self.mongo else 0.0,
        )

    def worker_megabytes(self) -> float:
        """Return the PSS of the worker's processes."""
        return sum(size for pid in self.worker_pids for _, size in pss_by_process(pid))

    def used_memory(self) -> int:
        """Return the bytes that Redis has allocated."""
        info: dict[str, Any] = self.client.info("memory")
        return int(info["used_memory"])

    def log_end(self) -> str:
        """Return the last lines that producer and worker wrote."""
        return " / ".join((self.folder / "log").read_text(errors="replace").splitlines()[-3:])[-400:]

    def _command(self, command: tuple[str, ...]) -> list[str]:
        return [word.format(**self.programs) for word in command]


@contextmanager
def fresh_run(
    peer: Peer, installer: Installer, *, synced: bool, users: int, **settings: object
) -> Iterator[Run]:
    """Start the servers for a peer. Laneway also gets a MongoDB-protocol server, into which it archives.

    `synced`: Redis syncs every write (append-only file, `appendfsync always`). Otherwise it keeps no append-only file at all,
    which is how Redis comes and how peers are usually run.
    """
    programs = installer.programs(peer)
    with tempfile.TemporaryDirectory(prefix="laneway-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "records").mkdir()
        (folder / "log").touch()
        server = stack.enter_context(
            embedded.valkey(folder / "redis", appendfsync="always" if synced else "no")
        )
        client: redis.Redis = stack.enter_context(redis.Redis.from_url(server.url))
        if not synced:
            client.config_set("appendonly", "no")
        mongo = stack.enter_context(mongo_server(folder / "mongo")) if peer.name == OURS else None
        environment = {
            **without_settings(os.environ),
            "BENCH_REDIS_URL": server.url,
            "BENCH_RECORDS": str(folder / "records"),
            "BENCH_USERS": str(users),
            "PYTHONPATH": str(ADAPTERS / "python"),
            "NODE_PATH": programs.get("modules", ""),
            **peer.environment,
        }
        if mongo:
            environment |= _laneway_settings(server.url, mongo.url, settings)
        yield Run(peer, folder, client, mongo, environment, programs, synced)


def _laneway_settings(redis_url: str, mongo_url: str, settings: dict[str, object]) -> dict[str, str]:
    return {
        "LANEWAY_REDIS_URL": redis_url,
        "LANEWAY_MONGO_URL": mongo_url,
        "LANEWAY_MONGO_DATABASE": KEYS.name,
        "LANEWAY_KEY_PREFIX": KEYS.name,
        "LANEWAY_WORKER_PROCESSES": "2",
        "LANEWAY_WORKER_METRICS_PORT": "0",
        "LANEWAY_HANDLERS": "laneway_handlers",
        **{f"LANEWAY_{name.upper()}": str(value) for name, value in settings.items()},
    }

"""A Valkey server on a disk that loses what was not synced.

SIGKILL is not a power cut: what the server wrote is in the kernel's page cache and survives it. So the server runs with a
preloaded library (`preload_sources/disk.c`) that logs each `fdatasync`. After the kill, `cut_power` removes from every file what
came after the last sync, or keeps a random part of it, as a real disk may.

The model leaves out file names. A file that was created or renamed counts as durable at once; the server syncs the directory
itself after each change of the manifest of its append-only file, before it relies on the change.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chaos.system.preload import CLOCK_VARIABLE, preload_library
from chaos.system.procfs import in_process_group, is_alive
from laneway.dev.embedded import free_port, spawn, valkey_binary

START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class PowerCut:
    """What was written and not yet synced when the power went, and how much of that the disk kept."""

    unsynced_bytes: int
    kept_bytes: int


class RedisServer:
    """A server on `folder` that always comes back on the same port. `options` are further settings: `{"maxmemory": "64mb"}`."""

    def __init__(
        self, folder: Path, *, appendfsync: str = "always", options: dict[str, str] | None = None
    ) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None
        self.extra_environment: dict[str, str] = {}
        """For the next start. `CHAOS_CLOCK_SECONDS` makes its clock wrong."""
        self._options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(folder / "data"),
            "appendonly": "yes",
            "appendfsync": appendfsync,
            "save": "",
            "enable-debug-command": "local",
            **(options or {}),
        }
        (folder / "data").mkdir(parents=True, exist_ok=True)
        self._control_disk(full=False, sync_delay_ms=0)

    @property
    def running(self) -> bool:
        """Whether the process has been started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start, and wait until the data is loaded. Raises TimeoutError with the end of the log."""
        sync_log = self.folder / "synced.log"
        if not sync_log.exists():  # files from before count as durable
            sync_log.write_text("".join(f"S {s.st_ino} {s.st_size}\n" for s in map(Path.stat, self._files())))
        libraries = ["disk", *(["clock"] if CLOCK_VARIABLE in self.extra_environment else [])]
        preload = {
            "LD_PRELOAD": os.pathsep.join(str(preload_library(name)) for name in libraries),
            "CHAOS_DISK_LOG": str(sync_log),
            "CHAOS_DISK_CONTROL": str(self.folder / "control"),
        }
        settings = [text for name, value in self._options.items() for text in (f"--{name}", value)]
        with (self.folder / "server.log").open("ab") as output:
            self.process = spawn(
                [valkey_binary(), *settings],
                output=output.fileno(),
                env={**os.environ, **preload, **self.extra_environment},
            )
        self._await_loaded()

    def _await_loaded(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with self.client() as client:
            while time.monotonic() < deadline and self.running:
                try:
                    client.ping()
                    return
                except redis.exceptions.RedisError:
                    time.sleep(0.01)
        tail = (self.folder / "server.log").read_text(errors="replace")[-2000:]
        raise TimeoutError(f"Valkey did not start within {START_SECONDS} s:\n{tail}")

    def client(self) -> redis.Redis:
        """Return a client that reports a lost connection at once."""
        return redis.Redis(
            port=self.port, socket_timeout=10, socket_connect_timeout=10, retry=Retry(NoBackoff(), 0)
        )

    def kill(self) -> None:
        """Send SIGKILL to the server and to its child that rewrites the file, and wait until both are gone."""
        if self.process is None:
            return
        group = self.process.pid
        members = [group, *in_process_group(group)]
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(START_SECONDS)
        deadline = time.monotonic() + START_SECONDS
        while any(is_alive(pid) for pid in members) and time.monotonic() < deadline:
            time.sleep(0.001)
        self.process = None

    def stop(self) -> None:
        """Shut down in good order."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(START_SECONDS)
            finally:
                self.kill()

    def cut_power(self, random: Random | None = None) -> PowerCut:
        """Kill the server, and remove from its files everything that was not synced. With `random`, each file keeps a random
        part of that."""
        self.kill()
        synced = self._synced_bytes()
        unsynced = kept = 0
        for path in self._files():
            found = path.stat()
            durable = min(found.st_size, synced.get(found.st_ino, 0))
            keep = random.randint(0, found.st_size - durable) if random else 0
            unsynced += found.st_size - durable
            kept += keep
            os.truncate(path, durable + keep)
        (self.folder / "synced.log").unlink()  # what is left now is on the disk
        return PowerCut(unsynced, kept)

    def fill_disk(self, full: bool) -> None:
        """Make every write to a file fail as on a full disk, or make room again."""
        self._control_disk(full=full, sync_delay_ms=0)

    def slow_disk(self, sync_delay_ms: int) -> None:
        """Delay each sync by this much from now on."""
        self._control_disk(full=False, sync_delay_ms=sync_delay_ms)

    def _control_disk(self, *, full: bool, sync_delay_ms: int) -> None:
        descriptor = os.open(self.folder / "control", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, struct.pack("=II", full, sync_delay_ms), 0)
        finally:
            os.close(descriptor)

    def _files(self) -> list[Path]:
        return [path for path in sorted((self.folder / "data").rglob("*")) if path.is_file()]

    def _synced_bytes(self) -> dict[int, int]:
        """Return by inode how much of each file is on the disk."""
        synced: dict[int, int] = {}
        for line in (self.folder / "synced.log").read_text().splitlines():
            event, inode, size = line.split()
            known = synced.get(int(inode), 0)
            synced[int(inode)] = {"S": max(known, int(size)), "T": min(known, int(size)), "N": 0}[event]
        return synced

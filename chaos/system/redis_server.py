"""A Redis or Valkey server on a disk that forgets what was not synced.

SIGKILL is no power cut: what the server had written is in the kernel's page cache and survives it. So the server
runs with a preloaded library (`shims/disk.c`) that notes each `fdatasync`, and after the kill `cut` takes from
every file what came after the last one, or keeps a random part of it, as a disk may.

What the model leaves out: names. A file that was created or renamed counts as durable at once; the server syncs
the directory itself after each change of the append-only file's manifest, before it relies on it.
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

from chaos.system.death_watcher import runs
from chaos.system.preload import built
from laneway.dev.embedded import free_port, spawn
from laneway.dev.embedded.servers import valkey_binary

START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Cut:
    """What one power cut took: bytes that were written and not yet synced, of them bytes that the disk kept."""

    unsynced_bytes: int
    kept_bytes: int


class Server:
    """A server on `folder`, started anew as often as it is killed, always on the same port.

    `options`: further settings, such as `{"maxmemory": "64mb"}`."""

    def __init__(
        self, folder: Path, *, appendfsync: str = "always", options: dict[str, str] | None = None
    ) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None
        self.extra: dict[str, str] = {}
        """Environment of the next start: FAULTS_CLOCK_SECONDS makes its clock wrong."""
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
        self._control(full=False, sync_delay_ms=0)

    def start(self, wait: bool = True) -> None:
        """Start, and wait until it has loaded its data. Raises TimeoutError, with its last words."""
        log = self.folder / "synced.log"
        if not log.exists():  # what was there before counts as durable
            log.write_text("".join(f"S {s.st_ino} {s.st_size}\n" for s in map(Path.stat, self._files())))
        shims = ["disk", *(["clock"] if "FAULTS_CLOCK_SECONDS" in self.extra else [])]
        preload = {
            "LD_PRELOAD": os.pathsep.join(str(built(name)) for name in shims),
            "FAULTS_DISK_LOG": str(log),
            "FAULTS_DISK_CONTROL": str(self.folder / "control"),
        }
        settings = [text for name, value in self._options.items() for text in (f"--{name}", value)]
        with (self.folder / "server.log").open("ab") as output:
            self.process = spawn(
                [valkey_binary(), *settings],
                output=output.fileno(),
                env={**os.environ, **preload, **self.extra},
            )
        if wait:
            self.wait()

    def wait(self, limit_seconds: float = START_SECONDS) -> None:
        """Wait until the server answers and has loaded its data. Raises TimeoutError."""
        deadline = time.monotonic() + limit_seconds
        with self.client() as client:
            while time.monotonic() < deadline:
                try:
                    client.ping()
                    return
                except redis.exceptions.RedisError:
                    if self.process is None or self.process.poll() is not None:
                        break
                    time.sleep(0.01)
        tail = (self.folder / "server.log").read_text(errors="replace")[-2000:]
        raise TimeoutError(f"the server did not come up in {limit_seconds} s:\n{tail}")

    def client(self) -> redis.Redis:
        """A client that reports a lost connection at once."""
        return redis.Redis(
            port=self.port, socket_timeout=10, socket_connect_timeout=10, retry=Retry(NoBackoff(), 0)
        )

    def kill(self) -> None:
        """SIGKILL to the server and to its child that rewrites the file; waits until both are gone."""
        if self.process is not None:
            group = self.process.pid
            with_children = [group, *_members(group)]
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait(START_SECONDS)
            deadline = time.monotonic() + START_SECONDS
            while any(runs(pid) for pid in with_children) and time.monotonic() < deadline:
                time.sleep(0.001)
            self.process = None

    def stop(self) -> None:
        """Stop in good order."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(START_SECONDS)
            finally:
                self.kill()

    def cut(self, random: Random | None = None) -> Cut:
        """A power cut: kill the server, and take what no sync had brought to the disk. With `random`, each file
        keeps a random part of it. Returns what it took."""
        self.kill()
        synced = self._synced()
        unsynced = kept = 0
        for path in self._files():
            found = path.stat()
            durable = min(found.st_size, synced.get(found.st_ino, 0))
            keep = random.randint(0, found.st_size - durable) if random else 0
            unsynced += found.st_size - durable
            kept += keep
            os.truncate(path, durable + keep)
        (self.folder / "synced.log").unlink()  # what is there now is on the disk
        return Cut(unsynced, kept)

    def disk_full(self, full: bool) -> None:
        """From now on each write to a file fails as on a full disk, or no longer."""
        self._control(full=full, sync_delay_ms=0)

    def disk_slow(self, sync_delay_ms: int) -> None:
        """From now on each sync takes this much longer."""
        self._control(full=False, sync_delay_ms=sync_delay_ms)

    def _control(self, *, full: bool, sync_delay_ms: int) -> None:
        descriptor = os.open(self.folder / "control", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, struct.pack("=II", full, sync_delay_ms), 0)
        finally:
            os.close(descriptor)

    def _files(self) -> list[Path]:
        return [path for path in sorted((self.folder / "data").rglob("*")) if path.is_file()]

    def _synced(self) -> dict[int, int]:
        synced: dict[int, int] = {}
        for line in (self.folder / "synced.log").read_text().splitlines():
            what, inode, size = line.split()
            known = synced.get(int(inode), 0)
            synced[int(inode)] = {"S": max(known, int(size)), "T": min(known, int(size)), "N": 0}[what]
        return synced


def _members(group: int) -> list[int]:
    """Processes of a process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group:
                found.append(int(entry.name))
    return found

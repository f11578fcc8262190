"""Notes when processes die, so that the checker knows until when their attempts were in flight."""

from __future__ import annotations

import os
import select
import threading
import time
from pathlib import Path

from chaos.records import Death, note, process_name

DISCOVER_SECONDS = 0.1
LOOK_SECONDS = 0.02


class Watcher:
    """Watches some processes and all their descendants in a thread of its own, and appends a `Death` for each that
    ends. The kernel tells of an end at once (pidfd); a process that lived for less than `DISCOVER_SECONDS` may be
    missed, and then the checker holds nothing against anybody on its account."""

    def __init__(self, records: Path) -> None:
        self._records = records
        self._roots: set[int] = set()
        self._lock = threading.Lock()  # of the roots
        self.looked = 0
        """How often it has looked for new processes."""
        self._names: dict[int, str] = {}
        self._dead_names: set[str] = set()  # a dead process is seen until its parent has taken note of it
        self._pids: dict[int, int] = {}  # pidfd -> pid
        self._over = threading.Event()
        self._poll = select.poll()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what dies from now on is not noted."""
        self._over.set()
        self._thread.join(5)
        for descriptor in self._pids:
            os.close(descriptor)

    def add(self, pid: int) -> None:
        """Watch this process and what it starts, also after it has died."""
        with self._lock:
            self._roots = self._roots | {pid}

    def _drop(self, pid: int) -> None:
        with self._lock:
            self._roots = self._roots - {pid}

    def alive(self) -> dict[int, str]:
        """The processes known to live, by pid, with their names."""
        return dict(self._names)

    def _run(self) -> None:
        discover_at = 0.0
        while not self._over.is_set():
            if time.monotonic() >= discover_at:
                self._discover()
                discover_at = time.monotonic() + DISCOVER_SECONDS
            alive_ns = time.monotonic_ns()
            for descriptor, _ in self._poll.poll(0):
                self._dead(descriptor, self._seen_ns, time.monotonic_ns())
            self._seen_ns = alive_ns
            self._over.wait(LOOK_SECONDS)

    _seen_ns = 0

    def _discover(self) -> None:
        self.looked += 1
        todo = [*self._roots, *self._names]
        while todo:
            pid = todo.pop()
            if pid not in self._names:
                self._watch(pid)
            todo += [child for child in _children(pid) if child not in self._names]

    def _watch(self, pid: int) -> None:
        try:
            name = process_name(pid)
            if name in self._dead_names or not runs(pid):
                return
            descriptor = os.pidfd_open(pid)
        except OSError:
            self._drop(pid)
            return
        self._names = self._names | {pid: name}
        self._pids[descriptor] = pid
        self._poll.register(descriptor, select.POLLIN)

    def _dead(self, descriptor: int, alive_ns: int, gone_ns: int) -> None:
        self._poll.unregister(descriptor)
        os.close(descriptor)
        pid = self._pids.pop(descriptor)
        name = self._names[pid]
        self._names = {known: names for known, names in self._names.items() if known != pid}
        self._drop(pid)
        self._dead_names.add(name)
        note(self._records, f"deaths-{os.getpid()}", Death(name, alive_ns, gone_ns))


def runs(pid: int) -> bool:
    """Whether it lives, and is more than the entry that its parent has not read yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except OSError:
        pass
    return found
